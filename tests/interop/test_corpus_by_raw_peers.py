"""Every pydicom test file through the router between peers that neither parse nor rewrite datasets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.corpus import corpus, write_synthetic
from tests.support.fast_peers import fast_sink, send_all, wait_until
from tests.support.ledger import SUCCESS, Sent, compare
from tests.support.router_process import router_process

pytestmark = [pytest.mark.interop, pytest.mark.system]


def assert_corpus_answered(sent: list[Sent]) -> None:
    """Every file got an answer, whole ones success; one without SOP instance may be refused by a status."""
    incomplete = {instance.sop_instance for instance in corpus() if not instance.complete}
    assert len(sent) == len(corpus())
    assert [attempt for attempt in sent if attempt.status is None] == []
    refused = {attempt.uid for attempt in sent if attempt.status not in SUCCESS}
    assert refused <= incomplete


@pytest.mark.parametrize("ack", ["stored", "delivered"])
@pytest.mark.parametrize("window", [1, 16])
def test_every_file_arrives_unchanged_in_its_own_transfer_syntax(
    tmp_path: Path, ack: str, window: int
) -> None:
    with (
        fast_sink(tmp_path, window=window) as sink,
        router_process(tmp_path, {"SINK": sink.port}, router={"ack": ack}) as router,
    ):
        sent = send_all(tmp_path, router.port, files=corpus(), associations=2, window=window)
        assert_corpus_answered(sent)
        sink.wait_for(len({attempt.uid for attempt in sent if attempt.acknowledged}))
        router.stop()
        result = compare(sent, sink.received())
        assert result.kept_the_promise, str(result)
        syntaxes = {(i.sop_instance, i.sha256): i.transfer_syntax for i in corpus()}
        arrived = {(r.uid, r.sha256): r.transfer_syntax for r in sink.received()}
        assert arrived == {key: syntaxes[key] for key in arrived}


def test_a_mixed_study_does_not_associate_anew_for_each_sop_class(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path) as sink,
        router_process(tmp_path, {"SINK": {"port": sink.port, "associations_max": 2}}) as router,
    ):
        sent = send_all(tmp_path, router.port, files=corpus())
        assert_corpus_answered(sent)
        sink.wait_for(len({attempt.uid for attempt in sent if attempt.acknowledged}))
        router.stop()
        kinds = {(i.sop_class, i.transfer_syntax) for i in corpus()}
        assert len({record.association for record in sink.received()}) < len(kinds) / 2


def test_the_contexts_of_a_destination_are_remembered(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path) as sink,
        router_process(tmp_path, {"SINK": {"port": sink.port, "associations_max": 2, "idle_s": 1}}) as router,
    ):
        send_all(tmp_path, router.port, name="first", files=corpus())
        wait_until(lambda: router.owed("SINK") == 0, 60, lambda: f"{router.queue()} is owed")
        before = len(sink.received())
        opened = {record.association for record in sink.received()}
        wait_until(lambda: set(sink.endings()) >= opened, 20, lambda: f"{opened} are not all released")
        sent = send_all(tmp_path, router.port, name="second", files=corpus())
        wait_until(
            lambda: len(sink.received()) >= before + len(sent), 60, lambda: "the second study is not there"
        )
        again = {record.association for record in sink.received()[before:]}
        assert len(again) <= 2


def test_private_and_unheard_of_sop_classes_pass(tmp_path: Path) -> None:
    classes = ["1.2.840.113619.4.26", "2.25.314159", "1.2.840.10008.5.1.4.1.1.99999"]
    files = [
        write_synthetic(tmp_path / f"private-{number}.dcm", run=1, number=number, sop_class=sop_class)
        for number, sop_class in enumerate(classes)
    ]
    with fast_sink(tmp_path) as sink, router_process(tmp_path, {"SINK": sink.port}) as router:
        sent = send_all(tmp_path, router.port, files=files)
        assert [attempt.status for attempt in sent] == [0, 0, 0]
        sink.wait_for(3)
        assert compare(sent, sink.received()).kept_the_promise
        assert {record.sop_class for record in sink.received()} == set(classes)
