"""Twin of _codec/tally.pyx: count into cells of 64 bits."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from typing_extensions import Buffer


class Tally:
    """See _codec/tally.pyx."""

    def __init__(self, cells: Buffer) -> None:
        self.cells = memoryview(cells).cast("B").cast("Q")

    def release(self) -> None:
        """Give the buffer back; nothing may be counted any more."""
        self.cells.release()
        self.cells = memoryview(b"").cast("Q")

    def add(self, slot: int, amount: int = 1) -> None:
        """Count."""
        _check(self, slot, 1)
        self.cells[slot] += amount


class Histogram:
    """See _codec/tally.pyx."""

    def __init__(self, tally: Tally, slot: int, bounds: Sequence[int], scale: float) -> None:
        _check(tally, slot, len(bounds) + 2)
        self._tally = tally
        self._slot = slot
        self._bounds = tuple(bounds)
        self._scale = scale

    def observe(self, value: float) -> None:
        """Count a value; below 0 counts as 0."""
        cells = self._tally.cells
        if not len(cells):
            return
        amount = int(value * self._scale) if value > 0 else 0
        cells[self._slot + bisect_left(self._bounds, amount)] += 1
        cells[self._slot + len(self._bounds) + 1] += amount


def _check(tally: Tally, slot: int, cells: int) -> None:
    """Raise ValueError(reason, slot) if the cells leave the page."""
    if slot < 0 or slot + cells > len(tally.cells):
        raise ValueError("slot outside the cells", slot)
