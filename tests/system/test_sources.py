"""Known and unknown senders, and what a success answer promises to each."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers.process import free_port
from tests.support.fast_peers import fast_sink, send_all
from tests.support.router_process import router_process

pytestmark = pytest.mark.system


def test_unknown_sources_are_rejected_once_any_is_listed(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path) as sink,
        router_process(
            tmp_path, {"SINK": sink.port}, sources={"scanner": {"calling_ae_titles": ["CT1"]}}
        ) as router,
    ):
        known = send_all(tmp_path, router.port, name="known", kind="small", count=2, calling="CT1", run=1)
        unknown = send_all(tmp_path, router.port, name="unknown", kind="small", count=2, calling="CT2", run=2)
        assert all(attempt.acknowledged for attempt in known)
        assert unknown == []
        assert "association rejected 1/1/3" in (tmp_path / "unknown.log").read_text()
        sink.wait_for(2)


def test_a_source_is_also_known_by_its_address(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path) as sink,
        router_process(
            tmp_path,
            {"SINK": sink.port},
            sources={"elsewhere": {"addresses": ["192.0.2.0/24"]}, "here": {"addresses": ["127.0.0.0/8"]}},
        ) as router,
    ):
        sent = send_all(tmp_path, router.port, kind="small", count=2)
        assert all(attempt.acknowledged for attempt in sent)
        sink.wait_for(2)


def test_a_called_ae_title_that_is_not_listed_is_rejected(tmp_path: Path) -> None:
    with router_process(tmp_path, {}, rules=[], router={"called_ae_titles": ["ROUTER"]}) as router:
        send_all(tmp_path, router.port, kind="small", count=1, called="ELSEWHERE")
        assert "association rejected 1/1/7" in (tmp_path / "sender.log").read_text()


def test_ack_is_chosen_by_source(tmp_path: Path) -> None:
    nobody = free_port()
    with router_process(
        tmp_path,
        {"DOWN": nobody},
        sources={
            "patient": {"calling_ae_titles": ["PATIENT"], "ack": "stored"},
            "strict": {"calling_ae_titles": ["STRICT"], "ack": "delivered"},
        },
        router={"ack_fallback": "failure", "ack_wait_s": 1},
    ) as router:
        stored = send_all(
            tmp_path, router.port, name="patient", kind="small", count=3, calling="PATIENT", run=1
        )
        strict = send_all(
            tmp_path, router.port, name="strict", kind="small", count=3, calling="STRICT", run=2
        )
        assert [attempt.status for attempt in stored] == [0, 0, 0]
        assert all(attempt.status is not None and not attempt.acknowledged for attempt in strict)
        assert {entry["sop_instance"] for entry in router.queue(destination="DOWN")} >= {
            a.uid for a in stored
        }


def test_delivered_means_that_every_destination_has_it(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path, "a", delay_s=0.01) as a,
        fast_sink(tmp_path, "b") as b,
        router_process(tmp_path, {"A": a.port, "B": b.port}, router={"ack": "delivered"}) as router,
    ):
        sent = send_all(tmp_path, router.port, kind="small", count=30, associations=3)
        assert all(attempt.acknowledged for attempt in sent)
        answered = {attempt.uid: attempt.answered_ns for attempt in sent}
        for sink in (a, b):
            records = sink.received()
            assert {record.uid for record in records} == set(answered)
            assert all(record.received_ns <= answered[record.uid] for record in records)


def test_a_failed_delivery_falls_back_to_stored(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path, fail_times=1, fail_status="A700") as sink,
        router_process(
            tmp_path, {"SINK": sink.port}, router={"ack": "delivered", "ack_wait_s": 0.1}
        ) as router,
    ):
        sent = send_all(tmp_path, router.port, kind="small", count=3)
        assert [attempt.status for attempt in sent] == [0, 0, 0]
        sink.wait_for(3)
