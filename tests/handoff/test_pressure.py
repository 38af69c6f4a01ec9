"""Stages are entered at their thresholds, left below them, and end in refusing when nothing moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.handoff.pressure import HYSTERESIS_PERCENT, Pressure, PressureStage, Thresholds
from router.handoff.ticket import WorkerStage

OK = [WorkerStage.ACCEPTING, WorkerStage.ACCEPTING]
OPEN, PAUSE, REJECT, REFUSE = PressureStage


@pytest.mark.parametrize(
    ("used", "stage"),
    [(0.0, OPEN), (0.79, OPEN), (0.8, PAUSE), (0.89, PAUSE), (0.9, REJECT), (1.0, REJECT)],
)
@pytest.mark.parametrize("which", ["slab", "ring"])
def test_each_stage_begins_at_its_threshold(which: str, used: float, stage: PressureStage) -> None:
    slab, ring = (used, 0.0) if which == "slab" else (0.0, used)
    assert Pressure(Thresholds(80)).update(0.0, slab, ring, OK) is stage


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ([0.8, 0.75], PAUSE),
        ([0.8, 0.69], OPEN),
        ([0.9, 0.85], REJECT),
        ([0.9, 0.79], PAUSE),
        ([0.9, 0.69], OPEN),
        ([0.75], OPEN),
    ],
)
def test_a_stage_is_left_only_below_its_margin(path: list[float], stage: PressureStage) -> None:
    pressure = Pressure(Thresholds(80))
    for used in path:
        pressure.update(0.0, used, 0.0, OK)
    assert pressure.stage is stage


@pytest.mark.parametrize("stage", [WorkerStage.SPOOL_FULL, WorkerStage.SPOOL_FAILED])
def test_one_worker_that_cannot_store_keeps_associations_away(stage: WorkerStage) -> None:
    assert Pressure(Thresholds()).update(0.0, 0.0, 0.0, [WorkerStage.ACCEPTING, stage]) is REJECT


def test_instances_are_refused_while_no_worker_can_store() -> None:
    pressure = Pressure(Thresholds())
    full = [WorkerStage.SPOOL_FULL, WorkerStage.SPOOL_FAILED]
    assert pressure.update(0.0, 0.0, 0.0, full) is REFUSE
    assert pressure.update(1.0, 0.0, 0.0, OK) is OPEN


def test_congestion_that_lasts_ends_in_refusing_until_it_is_gone() -> None:
    pressure = Pressure(Thresholds(80, refuse_after_s=20))
    assert pressure.update(100.0, 1.0, 0.0, OK) is REJECT
    assert pressure.update(119.9, 1.0, 0.0, OK) is REJECT
    assert pressure.update(120.0, 1.0, 0.0, OK) is REFUSE
    assert pressure.update(121.0, 0.85, 0.0, OK) is REFUSE
    assert pressure.update(122.0, 0.78, 0.0, OK) is PAUSE
    assert pressure.update(123.0, 1.0, 0.0, OK) is REJECT


def test_what_each_stage_does() -> None:
    assert [stage.pauses_reading for stage in PressureStage] == [False, True, True, False]
    assert [stage.rejects_associations for stage in PressureStage] == [False, False, True, True]
    assert [stage.refuses_instances for stage in PressureStage] == [False, False, False, True]


@pytest.mark.parametrize(("percent", "refuse_after_s"), [(0, 1), (100, 1), (80, -1)])
def test_thresholds_out_of_range_are_refused(percent: float, refuse_after_s: float) -> None:
    with pytest.raises(ValueError, match="allowed"):
        Thresholds(percent, refuse_after_s)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 5)), max_size=50))
def test_the_stage_never_strays_from_what_the_readings_allow(
    readings: list[tuple[float, float, float]],
) -> None:
    thresholds = Thresholds(80, refuse_after_s=10)
    pressure, now = Pressure(thresholds), 0.0
    for slab, ring, seconds in readings:
        now += seconds
        used = max(slab, ring)
        stage = pressure.update(now, slab, ring, OK)
        if used >= thresholds.pause:
            assert stage is not OPEN
        if used >= thresholds.reject:
            assert stage >= REJECT
        if used <= thresholds.pause - HYSTERESIS_PERCENT / 100:
            assert stage is OPEN
