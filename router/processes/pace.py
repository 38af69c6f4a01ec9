"""How fast a destination that came back is given what it missed.

It missed as much as came meanwhile, and giving it that at once costs all others their share: beside one that
goes and comes back, the router would work for two. So the first second brings FIRST_RATE entries, each
further second twice as many, until after RETURN_S nothing is counted any more. Whoever goes again before that
begins anew. No I/O and no timer; the owner asks.
"""

from __future__ import annotations

FIRST_RATE = 1000
"""Entries brought in the first second, by one worker."""

RETURN_S = 6.0
"""After which there is no limit; it would be above what a worker can send."""

PORTION_S = 0.05
"""Between two portions: each costs a query."""


class Pace:
    """The pace of one destination. Times are monotonic; `came_back_at` is -inf where it was never gone."""

    __slots__ = ("_brought", "_came_back_at")

    def __init__(self) -> None:
        self._came_back_at = float("-inf")
        self._brought = 0

    def allowance(self, came_back_at: float, now: float) -> int | None:
        """Return how many entries may be brought now, None: any number."""
        seconds = now - came_back_at
        if seconds >= RETURN_S:
            return None
        if came_back_at != self._came_back_at:
            self._came_back_at = came_back_at
            self._brought = 0
        portions = int(seconds / PORTION_S) + 1
        whole, part = divmod(portions * PORTION_S, 1.0)
        due = FIRST_RATE * (2**whole * (1.0 + part) - 1.0)
        return max(0, int(due) - self._brought)

    def count(self, brought: int) -> None:
        """Take note that so many were brought."""
        self._brought += brought
