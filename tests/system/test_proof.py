"""What the ledgers prove of a study, and what becomes of instances that come twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fast_peers import fast_sink, send_all, wait_until
from tests.support.router_process import RouterProcess, router_process

pytestmark = pytest.mark.system

STUDY = "2.25.7001"  # of everything the fast sender makes
COUNT = 150


def test_a_study_is_proven_from_every_ledger_also_after_a_kill(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path) as sink,
        router_process(tmp_path, {"SINK": sink.port}, router={"workers": 2}) as router,
    ):
        sent = send_all(tmp_path, router.port, kind="small", count=COUNT)
        sink.wait_for(COUNT)
        wait_until(lambda: is_delivered(router), 20, lambda: "the ledgers do not say so")
        before = router.ask(f"/studies/{STUDY}")
        assert {row["sop_instance"] for row in before["instances"]} == {attempt.uid for attempt in sent}
        assert {row["id"].partition("-")[0] for row in before["instances"]} == {"0", "1"}
        assert before["is_whole"]
        assert all(
            [delivery["destination"], delivery["state"], delivery["status"]] == ["SINK", "delivered", "0000"]
            for row in before["instances"]
            for delivery in row["deliveries"]
        )
        assert all(row["received"] <= row["deliveries"][0]["at"] for row in before["instances"])
        wait_until(lambda: router.owed("SINK") == 0, 20, lambda: "something is still owed")
        router.stop()
        router.start()
        assert router.ask(f"/studies/{STUDY}")["instances"] == before["instances"]
        router.kill_everything()
        router.start()
        assert router.ask(f"/studies/{STUDY}")["instances"] == before["instances"]
        done = router.command("queue", "study", STUDY, "--admin", f"127.0.0.1:{router.admin_port}")
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == COUNT + 1


def is_delivered(router: RouterProcess) -> bool:
    summary = router.ask(f"/studies/{STUDY}")["summary"]
    return bool(summary["deliveries"] == {"SINK": {"delivered": COUNT}})


def test_a_uid_with_other_bytes_is_forwarded_in_order_and_counted(tmp_path: Path) -> None:
    with fast_sink(tmp_path) as sink, router_process(tmp_path, {"SINK": sink.port}) as router:
        for name, kind in (("first", "small"), ("second", "tiny"), ("third", "tiny")):
            sent = send_all(tmp_path, router.port, name=name, kind=kind, count=20)
            assert all(attempt.acknowledged for attempt in sent)
        wait_until(lambda: len(sink.taken()) == 60, 30, lambda: f"{len(sink.taken())} of 60 came")
        wait_until(
            lambda: (
                router.metric("dicom_router_uid_conflicts_total") == 20
                and router.metric("dicom_router_duplicates_total", handling="forwarded") == 20
            ),
            20,
            lambda: "the repeats are not counted",
        )


def test_an_identical_resend_is_answered_and_not_forwarded_where_the_policy_says_so(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path) as sink,
        router_process(
            tmp_path,
            {"SINK": sink.port},
            router={"duplicates": "skip"},
            spool={"retention_s": 600},
        ) as router,
    ):
        send_all(tmp_path, router.port, name="first", kind="small", count=30)
        sink.wait_for(30)
        sent = send_all(tmp_path, router.port, name="again", kind="small", count=30)
        assert all(attempt.status == 0 for attempt in sent)
        assert router.metric("dicom_router_duplicates_total", handling="skipped") == 30
        changed = send_all(tmp_path, router.port, name="changed", kind="tiny", count=30)
        assert all(attempt.status == 0 for attempt in changed)
        wait_until(lambda: len(sink.taken()) == 60, 30, lambda: f"{len(sink.taken())} of 60 came")


def test_what_every_destination_has_before_the_answer_never_touches_the_disk(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path) as sink,
        router_process(tmp_path, {"SINK": sink.port}, router={"ack": "delivered"}) as router,
    ):
        before = written_bytes(router)
        sent = send_all(tmp_path, router.port, kind="ct", count=50)
        assert all(attempt.status == 0 for attempt in sent)
        assert len(sink.taken()) == 50
        assert router.metric("dicom_router_group_size_count") == 0
        assert written_bytes(router) - before < 1 << 20  # of 26 MB: the log and the metrics
        assert not list((tmp_path / "spool").glob("worker-*/segments/*"))


def written_bytes(router: RouterProcess) -> int:
    """Return what the router's processes caused to be written to storage."""
    total = 0
    for process in router.tree():
        text = Path(f"/proc/{process.pid}/io").read_text()
        total += int(text.partition("write_bytes: ")[2].split()[0])
    return total
