"""When an instance is given up for its own."""

from __future__ import annotations

import errno
import os

import pytest

from router.delivery.blame import reason_to_give_up
from router.delivery.retry import (
    MEDIUM_ERRNOS,
    UNREADABLE_READINGS_MAX,
    UNREADABLE_S_MIN,
    ErrorClass,
    Failure,
    failure_of_reading,
)
from router.delivery.sender import Item
from router.spool.faults import Unreadable
from tests.support.owed import Bytes


def reading(code: int) -> Failure:
    """What follows from a read that fails with this error."""
    error = Unreadable("segment 1 offset 64")
    error.__cause__ = OSError(code, os.strerror(code))
    return failure_of_reading(error)


def readings(code: int, times: list[float]) -> list[Failure | None]:
    """Return what is decided at each of some failed readings of one instance."""
    one = Item(1, "1.2", "1.2.1", "1.2.840.10008.1.2", 2, Bytes(b"xx"))
    return [reason_to_give_up(one, reading(code), 1, 0, now) for now in times]


@pytest.mark.parametrize("code", sorted(MEDIUM_ERRNOS))
def test_what_the_medium_does_not_give_is_given_up_after_so_many_readings_and_so_long(code: int) -> None:
    step = UNREADABLE_S_MIN / 4
    found = readings(code, [100.0 + number * step for number in range(UNREADABLE_READINGS_MAX)])
    assert found[:-1] == [None] * (UNREADABLE_READINGS_MAX - 1)
    assert found[-1] is not None
    assert found[-1].error_class is ErrorClass.UNREADABLE


def test_many_readings_in_a_short_time_or_few_over_a_long_one_give_nothing_up() -> None:
    assert not any(readings(errno.EIO, [100.0 + number for number in range(1000)]))
    assert not any(readings(errno.EIO, [1e6 * number for number in range(UNREADABLE_READINGS_MAX - 1)]))


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOMEM, errno.EACCES])
def test_what_says_nothing_of_the_bytes_gives_nothing_up_however_long(code: int) -> None:
    assert not any(readings(code, [1e6 * number for number in range(100)]))
