"""Until when a destination is let alone after a failure: all of it, further associations, or one context.

Each wait is longer than the one before it (retry.py: back_off_s); an alarm rings when one is over.
"""

from __future__ import annotations

import random
from time import monotonic

from router.config.peers import Destination as DestinationSettings
from router.delivery.alarm import Alarm
from router.delivery.circuit import Circuit
from router.delivery.lane_waits import LaneWaits
from router.delivery.pool import AssociationPool, Key
from router.delivery.retry import SLOW_STEPS, Failure, back_off_s

ANSWERED_STEPS_MAX = 2
"""Back-off steps for a destination that answers, but failures only: single instances may be the reason, and
are passed by."""


class BackOff:
    """The waits of one destination.

    circuit: the wait of the whole. lanes: the waits for contexts that were refused. settings: the owner sets
    changed ones.
    """

    __slots__ = ("_alarm", "_circuit", "_open_again_at", "_openings_failed", "lanes", "settings")

    def __init__(self, circuit: Circuit, settings: DestinationSettings, alarm: Alarm) -> None:
        self.settings = settings
        self.lanes = LaneWaits()
        self._circuit = circuit
        self._alarm = alarm
        self._openings_failed = 0
        self._open_again_at = 0.0

    def delay_s(self, attempts: int, failure: Failure) -> float:
        """Return how long to wait after so many attempts in a row, the last of which failed like this."""
        settings = self.settings
        steps = attempts + SLOW_STEPS if failure.treatment.is_slow else attempts
        return back_off_s(steps, settings.retry_first_s, settings.retry_max_s, random.random())

    def end(self) -> None:
        """End every wait now."""
        self._circuit.blocked_until = 0.0
        self._open_again_at = 0.0
        self.lanes.clear()

    # The whole destination

    def set_back(self, failure: Failure) -> bool:
        """Let the whole destination wait once more; False if it does already."""
        circuit, now = self._circuit, monotonic()
        if now < circuit.blocked_until:
            return False
        setbacks = circuit.setbacks + 1
        if failure.status is not None:
            setbacks = min(setbacks, ANSWERED_STEPS_MAX)
        circuit.set_back(failure, now, self.delay_s(setbacks, failure))
        self._alarm.at(circuit.blocked_until)
        return True

    def is_over(self) -> bool:
        """Whether the wait of the whole destination is over; if not, the alarm rings when it is."""
        if monotonic() < self._circuit.blocked_until:
            self._alarm.at(self._circuit.blocked_until)
            return False
        return True

    def left_s(self) -> float:
        """Return for how long the whole destination still waits."""
        return max(0.0, self._circuit.blocked_until - monotonic()) if self._circuit.setbacks else 0.0

    # Further associations with a destination that has some

    def may_open(self) -> bool:
        """Whether a further association may be opened; if not, the alarm rings when it may."""
        if self._open_again_at and monotonic() < self._open_again_at:
            self._alarm.at(self._open_again_at)
            return False
        return True

    def take_opening(self) -> None:
        """Take note that an association was opened."""
        self._openings_failed = 0

    def take_opening_failure(self, failure: Failure) -> None:
        """Let further associations wait once more."""
        self._openings_failed += 1
        self._open_again_at = monotonic() + self.delay_s(self._openings_failed, failure)

    # One presentation context

    def hold_lane(self, key: Key, failure: Failure) -> float:
        """Let a lane wait whose context was refused; return for how long."""
        delay_s = self.delay_s(self.lanes.refusals(key) + 1, failure)
        self.lanes.hold(key, monotonic() + delay_s)
        return delay_s

    def lanes_that_wait(self, pool: AssociationPool) -> list[Key]:
        """Return the lanes that wait, without those whose context the pool has by now."""
        for key in self.lanes.refused():
            if not pool.lacks_context(key):
                self.lanes.forget(key)
        waiting, until = self.lanes.waiting(monotonic())
        if waiting:
            self._alarm.at(until)
        return waiting
