"""Whose fault a failure is: when an instance is given up for its own, and when the destination is set back.

No I/O.
"""

from __future__ import annotations

from dataclasses import replace

from router.delivery.retry import (
    POISON_ABORTS_MAX,
    UNREADABLE_READINGS_MAX,
    UNREADABLE_S_MIN,
    Blame,
    ErrorClass,
    Failure,
    Limit,
)
from router.delivery.sender import Item

REFUSED_IN_A_ROW_MAX = 32
"""So many instances refused for good, without one taken in between: it is the destination that is ill. Then
one is tried from time to time, in place of giving up all that it is owed."""


class Streak:
    """Failure statuses in a row at one destination."""

    def __init__(self) -> None:
        self._busy = 0
        self._refused = 0
        self._delivered_count = 0

    def is_of_destination(self, item: Item, failure: Failure, delivered_count: int) -> bool:
        """Count a failure; say whether the whole destination has to wait.

        Single instances may meet a lack of resources for ever. delivered_count: as in reason_to_give_up.
        """
        if delivered_count != self._delivered_count:
            self._delivered_count = delivered_count
            self._busy = self._refused = 0
        if failure.error_class is ErrorClass.BUSY:
            if item.tries:
                return False
            self._busy += 1
            return self._busy > 1
        if failure.error_class is ErrorClass.REFUSED:
            self._refused += 1
            return self._refused >= REFUSED_IN_A_ROW_MAX
        return failure.treatment.blame is not Blame.INSTANCE


def reason_to_give_up(
    item: Item, failure: Failure, attempts_max: int, delivered_count: int, now: float
) -> Failure | None:
    """Count a failure that is the instance's own; return why it is given up now, None if it is not.

    delivered_count: what the destination has taken so far of all that it is sent. A fall of the peer counts
    only where others have passed since the last one: else it is the destination that is ill. now: monotonic.
    """
    limit = failure.treatment.limit
    if limit is Limit.ATTEMPTS:
        item.attempts += 1
        return failure if item.attempts >= attempts_max else None
    if limit is Limit.POISON:
        if item.aborts == 0 or delivered_count > item.passed_before:
            item.aborts += 1
            item.passed_before = delivered_count
        if item.aborts >= POISON_ABORTS_MAX:
            return replace(failure, error_class=ErrorClass.POISON)
    if limit is Limit.READINGS and failure.is_of_medium:
        if item.readings == 0:
            item.first_reading_at = now
        item.readings += 1
        if item.readings >= UNREADABLE_READINGS_MAX and now >= item.first_reading_at + UNREADABLE_S_MIN:
            return failure
    return None
