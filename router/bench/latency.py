"""Latencies in cells of a histogram: bounded memory, exact to 1.6 %, whatever the number of answers.

`counts` is an array of `hot.CELLS` counts: the histogram, then the number of all answers. 64 cells an
octave, ns.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from router.bench.hot import CELLS, HISTOGRAM_CELLS

SUB_BITS = 6


def new_counts() -> array[int]:
    """Return counts that are all zero."""
    return array("q", bytes(8 * CELLS))


def cell_start_ns(cell: int) -> int:
    """Return the smallest latency that falls into a cell."""
    shift = max(0, (cell >> SUB_BITS) - 1)
    return (cell - (shift << SUB_BITS)) << shift


def cell_middle_s(cell: int) -> float:
    """Return the latency that stands for a cell."""
    return (cell_start_ns(cell) + cell_start_ns(cell + 1)) / 2e9


def filled(counts: Sequence[int]) -> list[tuple[int, int]]:
    """Return (cell, count) of every cell that is not empty, in order."""
    return [(cell, counts[cell]) for cell in range(HISTOGRAM_CELLS) if counts[cell]]


def percentile_s(cells: Iterable[tuple[int, int]], share: float) -> float:
    """Return the latency that this share (0..1) of the answers did not exceed; 0 without any."""
    ordered = sorted(cells)
    wanted = share * sum(count for _, count in ordered)
    passed = 0
    for cell, count in ordered:
        passed += count
        if passed >= wanted:
            return cell_middle_s(cell)
    return 0.0


def percentiles_s(cells: Iterable[tuple[int, int]]) -> dict[str, float]:
    """Return p50, p90, p99, p99.9 and the largest, in seconds; empty without any answer."""
    ordered = sorted(cells)
    if not ordered:
        return {}
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
    found = {name: percentile_s(ordered, share) for name, share in shares.items()}
    return {**found, "max": cell_middle_s(ordered[-1][0])}
