"""When an instance is given up: its failures counted against the limit of their class. No I/O."""

from __future__ import annotations

from dataclasses import replace

from router.delivery.retry import POISON_ABORTS_MAX, ErrorClass, Failure, Limit
from router.delivery.sender import Item


def reason_to_give_up(
    item: Item, failure: Failure, attempts_max: int, delivered_count: int
) -> Failure | None:
    """Count a failure that is the instance's own; return why it is given up now, None if it is not.

    delivered_count: what the destination has taken so far of all that it is sent. A fall of the peer counts
    only where others have passed since the last one: else it is the destination that is ill.
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
    return None
