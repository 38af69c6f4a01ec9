"""pynetdicom on both sides of the router."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.corpus import corpus
from tests.support.fast_peers import fast_sink, send_all, wait_until
from tests.support.ledger import compare
from tests.support.pynetdicom_peer import pynetdicom_scp, pynetdicom_send
from tests.support.router_process import router_process

pytestmark = [pytest.mark.interop, pytest.mark.system]


def test_the_corpus_from_pynetdicom_arrives_unchanged(tmp_path: Path) -> None:
    files = [instance for instance in corpus() if instance.complete]
    with fast_sink(tmp_path) as sink, router_process(tmp_path, {"SINK": sink.port}) as router:
        sent = pynetdicom_send(tmp_path, router.port, files)
        assert [attempt.status for attempt in sent] == [0] * len(files)
        sink.wait_for(len({instance.sop_instance for instance in files}))
        router.stop()
        result = compare(sent, sink.received())
        assert result.kept_the_promise, str(result)
        syntaxes = {(record.sha256, record.transfer_syntax) for record in sink.received()}
        assert syntaxes == {(instance.sha256, instance.transfer_syntax) for instance in files}


@pytest.mark.parametrize("ack", ["stored", "delivered"])
def test_the_corpus_reaches_pynetdicom_unchanged(tmp_path: Path, ack: str) -> None:
    files = [instance for instance in corpus() if instance.complete]
    with (
        pynetdicom_scp(tmp_path) as sink,
        router_process(tmp_path, {"SINK": sink.port}, router={"ack": ack}) as router,
    ):
        sent = send_all(tmp_path, router.port, files=files)
        assert [attempt.status for attempt in sent] == [0] * len(files)
        sink.wait_for(len({instance.sop_instance for instance in files}))
        router.stop()
        result = compare(sent, sink.received())
        assert result.kept_the_promise, str(result)
        syntaxes = {(record.sha256, record.transfer_syntax) for record in sink.received()}
        assert syntaxes == {(instance.sha256, instance.transfer_syntax) for instance in files}


def test_an_abort_by_pynetdicom_is_survived(tmp_path: Path) -> None:
    with (
        pynetdicom_scp(tmp_path, abort_at=3) as sink,
        router_process(tmp_path, {"SINK": sink.port}) as router,
    ):
        sent = send_all(tmp_path, router.port, kind="small", count=10)
        assert [attempt.status for attempt in sent] == [0] * 10
        sink.wait_for(10)
        assert compare(sent, sink.received()).kept_the_promise
        wait_until(lambda: router.owed("SINK") == 0, 10, lambda: f"{router.queue()} is still owed")


def test_warnings_count_as_delivered(tmp_path: Path) -> None:
    with (
        pynetdicom_scp(tmp_path, status="B000") as sink,
        router_process(tmp_path, {"SINK": sink.port}, router={"ack": "delivered"}) as router,
    ):
        sent = send_all(tmp_path, router.port, kind="small", count=5)
        assert all(attempt.acknowledged for attempt in sent)
        assert len(sink.received()) == 5
        assert router.owed("SINK") == 0
