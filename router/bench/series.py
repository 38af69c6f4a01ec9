"""How many had come by when: points that stay below a bound, whatever the length of a run."""

from __future__ import annotations

from itertools import pairwise

POINTS_MAX = 600
FIRST_STEP_NS = 100_000_000


class Series:
    """Points (seconds, total so far); when they are many, every second one goes and the step doubles."""

    def __init__(self) -> None:
        self.points: list[tuple[float, int]] = []
        self.step_ns = FIRST_STEP_NS
        self._told_s = 0.0

    def add(self, elapsed_ns: int, total: int) -> None:
        """Add one point."""
        self.points.append((elapsed_ns / 1e9, total))
        if len(self.points) >= POINTS_MAX:
            del self.points[1::2]
            self.step_ns *= 2

    def is_told(self, elapsed_ns: int, every_s: float) -> bool:
        """Tell, once every so many seconds, that it is time to say how it goes."""
        if elapsed_ns / 1e9 - self._told_s < every_s:
            return False
        self._told_s = elapsed_ns / 1e9
        return True


def rates(points: list[tuple[float, int]]) -> list[tuple[float, float]]:
    """Return (seconds, per second) between each point and the next."""
    return [((t0 + t1) / 2, (n1 - n0) / (t1 - t0)) for (t0, n0), (t1, n1) in pairwise(points) if t1 > t0]
