"""What no rule matches, and working the queue by the command line of a running router."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fast_peers import fast_sink, send_all, wait_until
from tests.support.ledger import compare
from tests.support.router_process import RouterProcess, router_process

pytestmark = pytest.mark.system

CT_ONLY: list[dict[str, object]] = [{"name": "ct", "when": {"Modality": "CT"}, "to": ["SINK"]}]


def queue(router: RouterProcess, *words: str) -> str:
    """Run `dicom-router queue` against a router; return what it prints."""
    done = router.command("queue", *words, "--admin", f"127.0.0.1:{router.admin_port}")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_unmatched_instances_are_held_and_released_on_request(tmp_path: Path) -> None:
    with fast_sink(tmp_path) as sink, router_process(tmp_path, {"SINK": sink.port}, rules=CT_ONLY) as router:
        matched = send_all(tmp_path, router.port, name="ct", kind="ct", count=2, run=1)
        held = send_all(tmp_path, router.port, name="ot", kind="small", count=5, run=2)
        assert all(attempt.acknowledged for attempt in [*matched, *held])
        sink.wait_for(2)
        assert len(router.queue(state="held")) == 5
        assert router.metric("dicom_router_unmatched_total", action="hold") == 5
        assert "held" in queue(router, "ls")
        router.rules = [{"name": "all", "to": ["SINK"]}]
        generation = router.metric("dicom_router_config_generation")
        router.reload()
        wait_until(
            lambda: router.metric("dicom_router_config_generation") > generation, 20, lambda: "no reload"
        )
        queue(router, "release", "--state", "held")
        sink.wait_for(7)
        result = compare([*matched, *held], sink.received())
        assert result.kept_the_promise, str(result)


def test_held_instances_are_still_held_after_a_kill(tmp_path: Path) -> None:
    with fast_sink(tmp_path) as sink, router_process(tmp_path, {"SINK": sink.port}, rules=CT_ONLY) as router:
        send_all(tmp_path, router.port, kind="small", count=5)
        router.kill_everything()
        router.start()
        assert len(router.queue(state="held")) == 5
        assert sink.received() == []


def test_unmatched_instances_are_rejected_with_a_failure_status(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path) as sink,
        router_process(
            tmp_path, {"SINK": sink.port}, rules=CT_ONLY, router={"unmatched": "reject"}
        ) as router,
    ):
        sent = send_all(tmp_path, router.port, kind="small", count=5)
        assert all(attempt.status is not None and not attempt.acknowledged for attempt in sent)
        again = send_all(tmp_path, router.port, name="ct", kind="ct", count=5, run=2)
        assert all(attempt.acknowledged for attempt in again)
        sink.wait_for(5)
        assert router.queue(state="held") == []
        assert {record.uid for record in sink.received()} == {attempt.uid for attempt in again}


def test_unmatched_instances_are_discarded_only_when_asked_for(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path) as sink,
        router_process(
            tmp_path, {"SINK": sink.port}, rules=CT_ONLY, router={"unmatched": "discard"}
        ) as router,
    ):
        sent = send_all(tmp_path, router.port, kind="small", count=5)
        assert all(attempt.acknowledged for attempt in sent)
        assert router.metric("dicom_router_unmatched_total", action="discard") == 5
        send_all(tmp_path, router.port, name="ct", kind="ct", count=1, run=2)
        sink.wait_for(1)
        assert len(sink.received()) == 1
        assert router.queue(state="held") == []


def test_dead_entries_are_listed_shown_retried_and_dropped(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path, fail_times=1, fail_status="C000") as sink,
        router_process(tmp_path, {"SINK": {"port": sink.port, "attempts_max": 1}}) as router,
    ):
        sent = send_all(tmp_path, router.port, kind="small", count=3)
        wait_until(lambda: router.owed("SINK", "dead") == 3, 20, lambda: f"{router.queue()}")
        entries = router.queue(destination="SINK", state="dead")
        assert {entry["sop_instance"] for entry in entries} == {attempt.uid for attempt in sent}
        dropped, retried = str(entries[0]["id"]), str(entries[1]["id"])
        assert retried in queue(router, "ls", "--state", "dead")
        assert str(entries[1]["sop_instance"]) in queue(router, "show", retried)
        queue(router, "drop", dropped, "--yes")
        queue(router, "retry", retried)
        sink.wait_for(1)
        assert [record.uid for record in sink.taken()] == [entries[1]["sop_instance"]]
        assert [entry["id"] for entry in router.queue(state="dead")] == [entries[2]["id"]]
        queue(router, "retry", "--destination", "SINK", "--state", "dead")
        sink.wait_for(2)
        assert {record.uid for record in sink.taken()} == {entry["sop_instance"] for entry in entries[1:]}


def test_rules_send_each_instance_where_it_belongs_and_once(tmp_path: Path) -> None:
    rules: list[dict[str, object]] = [
        {"name": "ct", "when": {"Modality": "CT"}, "to": ["A"], "stop": True},
        {"name": "loader", "when": {"calling_ae_title": "LOAD*"}, "to": ["B"]},
        {"name": "all", "to": ["B"]},
    ]
    with (
        fast_sink(tmp_path, "a") as a,
        fast_sink(tmp_path, "b") as b,
        router_process(tmp_path, {"A": a.port, "B": b.port}, rules=rules) as router,
    ):
        ct = send_all(tmp_path, router.port, name="ct", kind="ct", count=3, run=1, calling="LOADER")
        ot = send_all(tmp_path, router.port, name="ot", kind="small", count=4, run=2, calling="LOADER")
        a.wait_for(3)
        b.wait_for(4)
        router.stop()
        assert sorted(record.uid for record in a.received()) == sorted(attempt.uid for attempt in ct)
        assert sorted(record.uid for record in b.received()) == sorted(attempt.uid for attempt in ot)
