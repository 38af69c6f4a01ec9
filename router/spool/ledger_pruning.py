"""When the ledger looks through what it remembers for what it may forget.

Bit by bit, beside its other work: a pass every PRUNE_INTERVAL_S. Where more is settled than is to be
remembered, one pass follows another until that is gone, whether instances come or not: otherwise the ledger
would grow for as long as they come faster than it forgets.
"""

from __future__ import annotations

from typing import NamedTuple

PRUNE_ROWS = 2000
"""Looked at in one pass."""

PRUNE_INTERVAL_S = 5.0

REST_SHARE = 1.0
"""Rest after a pass that found something, as a share of its time: the thread has other work."""

REST_SHARE_IN_VAIN = 9.0
"""The same after one that found nothing: all it looked at is still owed."""

SWEEP_S = 600.0
"""After which it begins with the oldest again: what was owed when it was looked at may be settled."""


class Pass(NamedTuple):
    """What one pass came to: rows."""

    looked_at: int
    forgotten: int

    @property
    def is_at_end(self) -> bool:
        """Whether there is nothing behind what it looked at."""
        return self.looked_at < PRUNE_ROWS


class Pruning:
    """Times are monotonic. is_behind: there is more to forget, and passes come without other work."""

    __slots__ = ("_due_at", "_sweep_at", "is_behind")

    def __init__(self, now: float) -> None:
        self.is_behind = False
        self._due_at = now + PRUNE_INTERVAL_S
        self._sweep_at = now + SWEEP_S

    def is_due(self, now: float) -> bool:
        """Whether it is time for a pass."""
        return now >= self._due_at

    def rest_s(self, now: float) -> float | None:
        """Return for how long to wait for other work, None: for as long as it takes."""
        return max(0.0, self._due_at - now) if self.is_behind else None

    def begins_anew(self, now: float) -> bool:
        """Whether this pass is to begin with the oldest."""
        if now < self._sweep_at:
            return False
        self._sweep_at = now + SWEEP_S
        return True

    def passed(self, one: Pass, excess: int, began: float, now: float) -> None:
        """Take note of a pass. excess: how much more there is still than is to be remembered."""
        is_in_vain = not one.forgotten
        self.is_behind = (excess > 0 and not (is_in_vain and one.is_at_end)) or one.forgotten == PRUNE_ROWS
        if self.is_behind:
            self._due_at = now + (now - began) * (REST_SHARE_IN_VAIN if is_in_vain else REST_SHARE)
        else:
            self._due_at = now + PRUNE_INTERVAL_S
