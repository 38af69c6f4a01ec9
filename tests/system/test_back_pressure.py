"""A destination stands still, memory is short: the router slows its senders and keeps its promises."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.fast_peers import fast_sender, fast_sink, send_all, wait_until
from tests.support.ledger import compare
from tests.support.router_process import router_process

pytestmark = pytest.mark.system

SMALL_MEMORY = {"slab_mb": 8, "spill_mb": 2, "slot_kb": 64, "ring_kb": 64}


def test_a_full_slab_holds_senders_back_and_recovers(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    with ExitStack() as stack:
        sink = stack.enter_context(fast_sink(tmp_path, gate=gate))
        router = stack.enter_context(
            router_process(
                tmp_path,
                {"SINK": {"port": sink.port, "dimse_s": 120}},
                router={"ack": "delivered", "ack_wait_s": 120},
                limits=SMALL_MEMORY,
            )
        )
        slots = router.metric("dicom_router_slab_slots_total")
        sender = stack.enter_context(
            fast_sender(
                tmp_path,
                router.port,
                kind="ct",
                count=400,
                associations=8,
                window=8,
                timeout=90,
                reconnect_s=60,
            )
        )
        wait_until(
            lambda: router.metric("dicom_router_pressure_stage") >= 1,
            30,
            lambda: "no pressure although nothing flows",
        )
        assert router.metric("dicom_router_slab_slots_used") <= slots
        assert sender.acknowledged() == 0
        assert sink.received() == []
        gate.unlink()
        sent = sender.finish(100)
        sink.wait_for_uids({attempt.uid for attempt in sent if attempt.acknowledged})
        result = compare(sent, sink.received())
        assert result.kept_the_promise, str(result)
        assert result.acknowledged > 0
        # Whoever was turned away was told so: by a rejection, an abort or A700H.
        assert {attempt.status for attempt in sent} <= {0x0000, 0xA700, None}
        wait_until(
            lambda: (
                router.metric("dicom_router_pressure_stage") == 0
                and router.metric("dicom_router_slab_slots_used") == 0
            ),
            30,
            lambda: f"{router.metric('dicom_router_slab_slots_used')} slots are still in use",
        )
        again = send_all(tmp_path, router.port, name="again", kind="ct", count=10, run=2)
        assert all(attempt.acknowledged for attempt in again)


def test_a_full_spool_refuses_and_takes_again_when_there_is_room(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    with ExitStack() as stack:
        sink = stack.enter_context(fast_sink(tmp_path, gate=gate))
        router = stack.enter_context(
            router_process(
                tmp_path,
                {"SINK": {"port": sink.port, "dimse_s": 120}},
                spool={"quota_gb": 0.02, "segment_mb": 2},
            )
        )
        sent = send_all(
            tmp_path,
            router.port,
            kind="ct",
            count=100,
            associations=2,
            timeout=90,
            reconnect_s=5,
            deadline_s=100,
        )
        assert {attempt.status for attempt in sent} <= {0x0000, 0xA700, None}
        refused = [attempt for attempt in sent if not attempt.acknowledged]
        assert refused
        gate.unlink()
        sink.wait_for_uids({attempt.uid for attempt in sent if attempt.acknowledged})
        result = compare(sent, sink.received())
        assert result.kept_the_promise, str(result)
        wait_until(lambda: router.owed("SINK") == 0, 20, lambda: f"{router.queue()} is still owed")

        def takes_again() -> bool:
            number = len(list(tmp_path.glob("again-*.records.jsonl")))
            again = send_all(
                tmp_path, router.port, name=f"again-{number}", kind="ct", count=1, run=1000 + number
            )
            return [attempt.status for attempt in again] == [0]

        wait_until(takes_again, 30, lambda: "the spool has room again, but nothing is taken")


def test_a_destination_that_never_answers_leaves_memory_to_the_others(tmp_path: Path) -> None:
    """What the stuck one keeps is a half; the rest of what is in use is on its way."""
    gate = tmp_path / "gate"
    gate.touch()
    with ExitStack() as stack:
        stuck = stack.enter_context(fast_sink(tmp_path, "stuck", gate=gate))
        sink = stack.enter_context(fast_sink(tmp_path))
        router = stack.enter_context(
            router_process(
                tmp_path,
                {"SINK": sink.port, "STUCK": {"port": stuck.port, "dimse_s": 120}},
                limits=SMALL_MEMORY,
            )
        )
        sent = send_all(tmp_path, router.port, kind="mr", count=400, associations=2)
        assert {attempt.status for attempt in sent} == {0}
        sink.wait_for_uids({attempt.uid for attempt in sent})
        slots = router.metric("dicom_router_slab_slots_total")
        assert router.metric("dicom_router_slab_slots_used") <= slots * 3 / 4
        gate.unlink()
        stuck.wait_for_uids({attempt.uid for attempt in sent})


def test_a_spool_that_fills_up_is_told_in_stages_and_all_is_well_again_when_it_drains(tmp_path: Path) -> None:
    """Back-pressure first; then new associations are rejected while those under way go on; then A700H."""
    gate = tmp_path / "gate"
    gate.touch()
    with ExitStack() as stack:
        sink = stack.enter_context(fast_sink(tmp_path, gate=gate))
        router = stack.enter_context(
            router_process(
                tmp_path,
                {"SINK": {"port": sink.port, "dimse_s": 120}},
                router={"unknown_sources": "accept"},
                sources={"known": {"calling_ae_titles": ["KNOWN"]}},
                spool={"quota_gb": 0.15, "segment_mb": 2, "watermark_percent": 30, "back_pressure_s": 8},
            )
        )

        def stage() -> float:
            return router.metric("dicom_router_pressure_stage")

        def answer_to(calling: str, number: int) -> str:
            name = f"{calling}-{number}"
            send_all(tmp_path, router.port, name=name, kind="small", count=1, calling=calling, run=number)
            log = (tmp_path / f"{name}.log").read_text()
            return "2/3/1" if "association rejected 2/3/1" in log else "accepted"

        sender = stack.enter_context(
            fast_sender(
                tmp_path, router.port, kind="ct", count=500, associations=2, timeout=90, reconnect_s=5,
                calling="KNOWN",
            )
        )  # fmt: skip
        wait_until(lambda: stage() == 1, 30, lambda: "the watermark is not noticed")
        assert answer_to("UNKNOWN", 100) == "2/3/1"
        before = sender.acknowledged()
        wait_until(lambda: stage() >= 2, 30, lambda: "back-pressure has no end")
        assert answer_to("KNOWN", 101) == "2/3/1"
        wait_until(lambda: sender.acknowledged() > before, 30, lambda: "what is under way does not go on")
        wait_until(lambda: stage() == 3, 60, lambda: f"the quota is not noticed: {stage()}")
        sent = sender.finish(100)
        assert {attempt.status for attempt in sent} <= {0x0000, 0xA700, None}
        assert any(attempt.status == 0xA700 for attempt in sent)
        gate.unlink()
        sink.wait_for_uids({attempt.uid for attempt in sent if attempt.acknowledged})
        wait_until(lambda: stage() == 0, 30, lambda: f"the stage stays {stage()}\n{router.log()}")
        assert router.metric("dicom_router_spool_stage") == 0
        result = compare(sent, sink.received())
        assert result.kept_the_promise, str(result)
        assert answer_to("UNKNOWN", 102) == answer_to("KNOWN", 103) == "accepted"
        log = router.log_path.read_text()
        for words in (
            "spool=spool_filling why=",
            "spool=spool_full why=",
            "spool=accepting why=",
            "pressure=open",
        ):
            assert words in log
