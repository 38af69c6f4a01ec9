"""Whether a destination is worth trying: a circuit breaker. No I/O and no timer; the owner asks and tells.

CLOSED: it is sent to. OPEN: after a failure that is the destination's, nothing is sent until `blocked_until`;
each further failure doubles the wait. HALF_OPEN: the wait is over and it is tested, first by C-ECHO (where it
accepts Verification), then by one instance at a time, until one is answered well: CLOSED.
"""

from __future__ import annotations

import logging
from enum import Enum, unique

from router.delivery.retry import ErrorClass, Failure

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
    left CLOSED. last: the latest failure, also after it was overcome.
    """

    __slots__ = ("blocked_until", "down_since", "is_tested", "last", "name", "opened", "setbacks", "state")

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = CircuitState.CLOSED
        self.setbacks = 0
        self.blocked_until = 0.0
        self.down_since: float | None = None
        self.opened = 0
        self.last: Failure | None = None
        self.is_tested = True

    @property
    def is_closed(self) -> bool:
        return self.setbacks == 0

    def set_back(self, failure: Failure, now: float, delay_s: float) -> None:
        """Block for a while. What is out of resources answers: it needs no C-ECHO."""
        if self.state is CircuitState.CLOSED:
            self.opened += 1
            self.down_since = now
        self.setbacks += 1
        self.blocked_until = now + delay_s
        self.last = failure
        self.is_tested = failure.error_class is ErrorClass.BUSY
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

    def close(self) -> None:
        """Take note that it works again."""
        if self.state is CircuitState.CLOSED:
            return
        self._change(CircuitState.CLOSED)
        logger.info("circuit=closed destination=%s setbacks=%d", self.name, self.setbacks)
        self.setbacks = 0
        self.blocked_until = 0.0
        self.down_since = None
        self.is_tested = True

    def down_s(self, now: float) -> float:
        """Return for how long nothing has gone well, 0 while closed."""
        return 0.0 if self.down_since is None else now - self.down_since

    def _change(self, state: CircuitState) -> None:
        assert state is not CircuitState.HALF_OPEN or self.state is CircuitState.OPEN
        self.state = state
