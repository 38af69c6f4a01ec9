"""Presentation contexts that a peer has refused: what needs one of them waits, all together. No I/O.

Without this each instance would ask for its own association, to be refused again.
"""

from __future__ import annotations

from router.delivery.pool import Key


class LaneWaits:
    """Until when each lane waits, and how often in a row its context was refused."""

    __slots__ = ("_waits",)

    def __init__(self) -> None:
        self._waits: dict[Key, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._waits)

    def refusals(self, key: Key) -> int:
        """Return how often a context was refused in a row."""
        return self._waits.get(key, (0.0, 0))[1]

    def hold(self, key: Key, until: float) -> None:
        """Let a lane wait: its context was refused once more."""
        self._waits[key] = (until, self.refusals(key) + 1)

    def forget(self, key: Key) -> None:
        """Take note that a context is accepted."""
        self._waits.pop(key, None)

    def clear(self) -> None:
        """End every wait."""
        self._waits.clear()

    def refused(self) -> list[Key]:
        """Return every lane that was refused last time."""
        return list(self._waits)

    def waiting(self, now: float) -> tuple[list[Key], float]:
        """Return the lanes that wait, and until when the first of them does."""
        waiting = {key: until for key, (until, _) in self._waits.items() if now < until}
        return list(waiting), min(waiting.values(), default=now)
