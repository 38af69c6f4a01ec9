"""The watermark is reached and left with a margin, by quota or by file system, whichever is tighter."""

from __future__ import annotations

import pytest

from router.handoff.ticket import WorkerStage
from router.processes.watermark import GB, REFUSING_S, Fill, Watermark

OPEN, FILLING, FULL = WorkerStage.ACCEPTING, WorkerStage.SPOOL_FILLING, WorkerStage.SPOOL_FULL


def of_disk(percent: float, total: int = 10 * GB) -> Fill:
    """A file system that is so full."""
    return Fill(0, round(total * (1 - percent / 100)), total)


@pytest.mark.parametrize(
    ("percent", "before", "stage"),
    [
        (89.9, OPEN, OPEN),
        (90, OPEN, FILLING),
        (86, FILLING, FILLING),
        (86, FULL, FILLING),
        (84.9, FILLING, OPEN),
        (84.9, FULL, OPEN),
    ],
)
def test_the_watermark_of_the_file_system_has_a_margin(
    percent: float, before: WorkerStage, stage: WorkerStage
) -> None:
    assert Watermark(90).stage(of_disk(percent), before) is stage


def test_a_large_file_system_is_not_filling_while_much_is_free() -> None:
    assert Watermark(90).stage(of_disk(95, 1000 * GB), OPEN) is OPEN
    assert Watermark(90).stage(of_disk(99.7, 1000 * GB), OPEN) is FILLING


@pytest.mark.parametrize(("used", "stage"), [(0, OPEN), (79, OPEN), (80, FILLING), (100, FILLING)])
def test_the_watermark_of_the_quota(used: int, stage: WorkerStage) -> None:
    assert Watermark(80, quota_bytes=100).stage(Fill(used, 900 * GB, 1000 * GB), OPEN) is stage


def test_the_tighter_of_both_counts() -> None:
    assert Watermark(80, quota_bytes=100 * GB).stage(of_disk(85), OPEN) is FILLING


def test_the_reserve_is_not_touched() -> None:
    watermark = Watermark(90, reserve_bytes=2 * GB)
    assert watermark.stage(Fill(0, 2 * GB, 1000 * GB), OPEN) is FILLING
    assert watermark.stage(Fill(0, 2 * GB - 1, 1000 * GB), OPEN) is FULL
    assert watermark.stage(Fill(0, 200 * GB, 1000 * GB), FULL) is OPEN


def test_a_file_system_that_tells_nothing_is_not_filling() -> None:
    assert Watermark(90).stage(Fill(5, 0, 0), OPEN) is OPEN


@pytest.mark.parametrize(
    ("free", "refused_s", "resumes"),
    [(2, 60, False), (2.1, 60, True), (100, REFUSING_S - 0.1, False), (100, REFUSING_S, True)],
)
def test_a_full_spool_resumes_with_room_for_two_segments_and_not_at_once(
    free: float, refused_s: float, resumes: bool
) -> None:
    watermark = Watermark(90, segment_bytes=GB)
    assert watermark.may_resume(Fill(0, round(free * GB), 1000 * GB), refused_s) is resumes


@pytest.mark.parametrize(("used", "resumes"), [(9, True), (9.1, False)])
def test_a_full_spool_resumes_within_its_quota(used: float, resumes: bool) -> None:
    watermark = Watermark(90, quota_bytes=10 * GB, segment_bytes=GB)
    assert watermark.may_resume(Fill(round(used * GB), 900 * GB, 1000 * GB), 60) is resumes
