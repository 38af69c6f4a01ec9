"""Above the watermark: first back-pressure, bounded; then new associations are rejected; then it is over."""

from __future__ import annotations

from router.handoff.pressure import PressureStage
from router.handoff.spool_pressure import SpoolPressure
from router.handoff.ticket import WorkerStage

OK, FILLING, FULL = WorkerStage.ACCEPTING, WorkerStage.SPOOL_FILLING, WorkerStage.SPOOL_FULL
OPEN, PAUSE, REJECT, _ = PressureStage


def test_the_stages_follow_each_other_by_time() -> None:
    pressure = SpoolPressure(10)
    assert pressure.update(100.0, [OK, OK]) is OPEN
    assert pressure.update(101.0, [OK, FILLING]) is PAUSE
    assert pressure.update(110.9, [FILLING, FILLING]) is PAUSE
    assert pressure.update(111.0, [FILLING, OK]) is REJECT
    assert pressure.update(200.0, [FILLING, OK]) is REJECT
    assert pressure.update(201.0, [OK, OK]) is OPEN
    assert pressure.update(202.0, [FILLING, OK]) is PAUSE


def test_a_full_spool_does_not_start_the_time_again() -> None:
    pressure = SpoolPressure(10)
    pressure.update(0.0, [FILLING])
    assert pressure.update(1.0, [FULL]) is REJECT
    assert pressure.update(11.0, [FILLING]) is REJECT


def test_without_back_pressure_associations_are_rejected_at_once() -> None:
    assert SpoolPressure(0).update(0.0, [FILLING]) is REJECT
