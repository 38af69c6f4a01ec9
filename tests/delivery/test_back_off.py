"""How long a destination, its further associations and its refused contexts wait."""

from __future__ import annotations

from time import monotonic
from types import SimpleNamespace
from typing import cast

import pytest

from router.delivery.alarm import Alarm
from router.delivery.back_off import ANSWERED_STEPS_MAX, BackOff
from router.delivery.circuit import Circuit
from router.delivery.pool import AssociationPool, Key
from router.delivery.retry import BACK_OFF_FACTOR, ErrorClass, Failure
from tests.support.owed import settings

UNREACHABLE = Failure(ErrorClass.CONNECT, None, "connection refused")
BUSY = Failure(ErrorClass.BUSY, 0xA700, "status A700H")
NO_CONTEXT = Failure(ErrorClass.NO_CONTEXT, None, "refused")
FIRST_S = 1000.0
KEY = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2")


class Alarms:
    """An alarm that only remembers the times it was asked for."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def at(self, when: float) -> None:
        self.asked.append(when)


@pytest.fixture
def alarms() -> Alarms:
    return Alarms()


@pytest.fixture
def circuit() -> Circuit:
    return Circuit("PACS")


@pytest.fixture
def back_off(circuit: Circuit, alarms: Alarms, monkeypatch: pytest.MonkeyPatch) -> BackOff:
    """Without jitter, and so long that nothing is over before the test is."""
    monkeypatch.setattr("router.delivery.back_off.random.random", lambda: 0.5)
    waits = settings(1, retry_first_s=FIRST_S, retry_max_s=FIRST_S * 20)
    return BackOff(circuit, waits, cast(Alarm, alarms))


def pool_that_lacks(*keys: Key) -> AssociationPool:
    return cast(AssociationPool, SimpleNamespace(lacks_context=lambda key: key in keys))


def test_a_second_failure_during_the_wait_does_not_lengthen_it(
    back_off: BackOff, circuit: Circuit, alarms: Alarms
) -> None:
    assert back_off.is_over()
    assert back_off.set_back(UNREACHABLE)
    until = circuit.blocked_until
    assert not back_off.set_back(UNREACHABLE)
    assert circuit.setbacks == 1
    assert circuit.blocked_until == until
    assert not back_off.is_over()
    assert set(alarms.asked) == {until}
    assert 0 < back_off.left_s() <= FIRST_S


def test_each_wait_of_the_whole_is_longer_unless_it_answers(back_off: BackOff, circuit: Circuit) -> None:
    def waits(failure: Failure, count: int) -> list[int]:
        found = []
        for _ in range(count):
            before = monotonic()
            circuit.blocked_until = 0.0
            assert back_off.set_back(failure)
            found.append(round((circuit.blocked_until - before) / FIRST_S))
        return found

    assert waits(UNREACHABLE, 3) == [round(BACK_OFF_FACTOR**step) for step in range(3)]
    assert waits(BUSY, 2) == [round(BACK_OFF_FACTOR ** (ANSWERED_STEPS_MAX - 1))] * 2


def test_further_associations_wait_until_one_is_opened(back_off: BackOff, alarms: Alarms) -> None:
    assert back_off.may_open()
    back_off.take_opening_failure(UNREACHABLE)
    back_off.take_opening_failure(UNREACHABLE)
    assert not back_off.may_open()
    second_s = alarms.asked[-1] - monotonic()
    back_off.take_opening()
    back_off.take_opening_failure(UNREACHABLE)
    assert not back_off.may_open()
    assert alarms.asked[-1] - monotonic() < second_s


def test_a_refused_context_waits_until_the_pool_has_it(back_off: BackOff, alarms: Alarms) -> None:
    first_s = back_off.hold_lane(KEY, NO_CONTEXT)
    assert back_off.hold_lane(KEY, NO_CONTEXT) > first_s
    assert back_off.lanes_that_wait(pool_that_lacks(KEY)) == [KEY]
    assert alarms.asked
    assert back_off.lanes_that_wait(pool_that_lacks()) == []
    assert not back_off.lanes


def test_end_ends_every_wait(back_off: BackOff) -> None:
    back_off.set_back(UNREACHABLE)
    back_off.take_opening_failure(UNREACHABLE)
    back_off.hold_lane(KEY, NO_CONTEXT)
    back_off.end()
    assert back_off.is_over()
    assert back_off.may_open()
    assert back_off.lanes_that_wait(pool_that_lacks(KEY)) == []
