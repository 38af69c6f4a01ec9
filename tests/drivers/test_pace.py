"""Pace: a dribble is no progress."""

from __future__ import annotations

from router.drivers.pace import PROGRESS_MIN_BYTES, Pace


def test_enough_bytes_within_the_deadline_are_progress() -> None:
    pace, total = Pace(), 0
    for second in range(0, 600, 30):
        assert not pace.is_too_slow(second, total, 60)
        total += PROGRESS_MIN_BYTES


def test_a_byte_a_second_is_none() -> None:
    pace = Pace()
    assert not any(pace.is_too_slow(second, second, 60) for second in range(60))
    assert pace.is_too_slow(60, 60, 60)


def test_rest_is_not_held_against_anybody() -> None:
    pace = Pace()
    assert not pace.is_too_slow(0, 0, 60)
    pace.rest()
    assert not pace.is_too_slow(1000, 1, 60)
    assert not pace.is_too_slow(1059, 2, 60)
    assert pace.is_too_slow(1060, 3, 60)
