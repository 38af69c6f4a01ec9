"""A destination that came back gets what it missed slowly at first, and in portions."""

from __future__ import annotations

from itertools import pairwise

from router.processes.pace import FIRST_RATE, PORTION_S, RETURN_S, Pace

BACK_AT = 100.0


def brought(pace: Pace, since: float, until: float) -> int:
    """Bring all that is allowed, asked 1,000 times a second; the sum."""
    total = 0
    for millisecond in range(round(since * 1000), round(until * 1000)):
        allowance = pace.allowance(BACK_AT, BACK_AT + millisecond / 1000)
        assert allowance is not None
        pace.count(allowance)
        total += allowance
    return total


def test_one_that_was_never_gone_has_no_limit() -> None:
    assert Pace().allowance(float("-inf"), 100.0) is None


def test_each_second_brings_twice_as_much_until_nothing_is_counted() -> None:
    pace = Pace()
    seconds = [brought(pace, second, second + 1) for second in range(int(RETURN_S))]
    assert seconds[0] >= FIRST_RATE
    for before, after in pairwise(seconds):
        assert 1.8 < after / before < 2.2
    assert pace.allowance(BACK_AT, BACK_AT + RETURN_S) is None


def test_what_was_brought_is_followed_by_nothing_until_the_next_portion() -> None:
    pace = Pace()
    first = pace.allowance(BACK_AT, BACK_AT)
    assert first == FIRST_RATE * PORTION_S
    pace.count(first)
    assert pace.allowance(BACK_AT, BACK_AT + PORTION_S * 0.9) == 0
    assert pace.allowance(BACK_AT, BACK_AT + PORTION_S * 1.1) == first


def test_what_could_not_be_taken_may_follow_later() -> None:
    pace = Pace()
    assert brought(pace, 0, 0.2) + (pace.allowance(BACK_AT, BACK_AT + 0.9) or 0) == brought(Pace(), 0, 0.91)


def test_whoever_goes_again_begins_anew() -> None:
    pace = Pace()
    brought(pace, 0, 3)
    assert pace.allowance(BACK_AT + 4, BACK_AT + 4) == FIRST_RATE * PORTION_S
