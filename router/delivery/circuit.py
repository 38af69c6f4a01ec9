"""Whether a destination is worth trying: a circuit breaker. No I/O and no timer; the owner asks and tells.

CLOSED: it is sent to. OPEN: after a failure that is the destination's, nothing is sent until `blocked_until`;
each further failure doubles the wait. HALF_OPEN: the wait is over and it is tested, first by C-ECHO (where it
accepts Verification), then by one instance at a time, until one is answered well: CLOSED.
One that opens again and again is flapping: each time it closes it is sent to one at a time for a second, two
at a time for the next, and so on, so that its ups and downs do not cost the others their share.
"""

from __future__ import annotations

import logging
from enum import Enum, unique

from router.delivery.retry import Failure

FLAP_WINDOW_S = 60.0
"""Opened twice within this time: it flaps."""

RAMP_STEPS = 6
"""Seconds in which a flapping destination comes back to full speed: at most 1, 2, 4, ... under way."""

logger = logging.getLogger(__name__)


@unique
class CircuitState(Enum):
    """The value is the metric's label."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Circuit:
    """The breaker of one destination. Times are monotonic.

    setbacks: failures in a row. down_since: of the first of them; None while closed. opened: how often it
    left CLOSED. last: the latest failure, also after it was overcome. is_restrained: less is sent than could
    be. closed_at: when it last went back to CLOSED; -inf if it never left it.
    """

    __slots__ = (
        "_last_opening",
        "_opening_before",
        "_ramp_from",
        "blocked_until",
        "closed_at",
        "down_since",
        "is_restrained",
        "is_tested",
        "last",
        "name",
        "opened",
        "setbacks",
        "state",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = CircuitState.CLOSED
        self.setbacks = 0
        self.blocked_until = 0.0
        self.down_since: float | None = None
        self.opened = 0
        self.last: Failure | None = None
        self.is_tested = True
        self.is_restrained = False
        self.closed_at = float("-inf")
        self._last_opening = self._opening_before = float("-inf")
        self._ramp_from: float | None = None

    @property
    def is_closed(self) -> bool:
        return self.setbacks == 0

    def set_back(self, failure: Failure, now: float, delay_s: float) -> None:
        """Block for a while. What has answered with a status needs no C-ECHO."""
        if self.state is CircuitState.CLOSED:
            self.opened += 1
            self.down_since = now
            self._opening_before, self._last_opening = self._last_opening, now
            self.is_restrained = True
        self.setbacks += 1
        self.blocked_until = now + delay_s
        self.last = failure
        self.is_tested = failure.status is not None
        self._change(CircuitState.OPEN)
        logger.warning(
            "circuit=open destination=%s class=%s setbacks=%d retry_s=%.1f why=\"%s\"",
            self.name, failure.error_class.value, self.setbacks, delay_s, failure.text,
        )  # fmt: skip

    def half_open(self) -> None:
        """Begin to test: the wait is over."""
        if self.state is CircuitState.OPEN:
            self._change(CircuitState.HALF_OPEN)
            logger.info("circuit=half-open destination=%s setbacks=%d", self.name, self.setbacks)

    def close(self, now: float) -> None:
        """Take note that it works again."""
        if self.state is CircuitState.CLOSED:
            return
        self._change(CircuitState.CLOSED)
        logger.info("circuit=closed destination=%s setbacks=%d", self.name, self.setbacks)
        self.setbacks = 0
        self.blocked_until = 0.0
        self.down_since = None
        self.is_tested = True
        self.closed_at = now
        is_flapping = now - self._opening_before < FLAP_WINDOW_S
        self._ramp_from = now if is_flapping else None
        self.is_restrained = is_flapping

    def in_flight_max(self, now: float) -> int | None:
        """Return how many instances may be under way at a time, None: any number."""
        if self.setbacks:
            return 1
        if self._ramp_from is None:
            return None
        step = int(now - self._ramp_from)
        if step < RAMP_STEPS:
            return int(2**step)
        self._ramp_from = None
        self.is_restrained = False
        return None

    def down_s(self, now: float) -> float:
        """Return for how long nothing has gone well, 0 while closed."""
        return 0.0 if self.down_since is None else now - self.down_since

    def _change(self, state: CircuitState) -> None:
        assert state is not CircuitState.HALF_OPEN or self.state is CircuitState.OPEN
        self.state = state
