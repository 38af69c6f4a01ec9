"""Plots as inline SVG: bars side by side, lines over time, distributions of latency. Colours come from the
page's CSS.

Each function returns one <svg>; text and numbers are escaped or formatted here, nothing is loaded from
anywhere.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from router.bench.latency import cell_start_ns

WIDTH = 560
WIDE = 1140
ROW = 40
LABEL = 128
LOG_FROM = 25.0  # a log scale from this ratio of largest to smallest on
COLOURS = 8
BINS = 96


@dataclass(frozen=True, slots=True)
class Subject:
    """What one relay contributes to a plot. colour: 1..COLOURS, a class of the page."""

    name: str
    colour: int
    rate: float
    rates: Sequence[float]
    cpu_us: float
    cpus_us: Sequence[float]
    series: Sequence[tuple[float, float]]
    cells: Sequence[tuple[int, int]]
    p50_s: float
    p99_s: float


def bars(
    subjects: Sequence[Subject],
    value: Callable[[Subject], float],
    rounds: Callable[[Subject], Sequence[float]],
    unit: str,
) -> str:
    """Draw one bar for each subject; a dot for each round shows the noise."""
    largest = max([value(one) for one in subjects] + [v for one in subjects for v in rounds(one)] + [1e-9])
    room = WIDTH - LABEL - 84
    parts = []
    for index, one in enumerate(subjects):
        middle = index * ROW + ROW / 2
        length = max(2.0, value(one) / largest * room)
        parts.append(_text(LABEL - 10, middle + 4, one.name, "name end"))
        title = f"{one.name}: {value(one):,.1f} {unit}; rounds " + ", ".join(f"{v:,.1f}" for v in rounds(one))
        parts.append(
            f'<g><title>{html.escape(title)}</title><rect class="track" x="{LABEL}" y="{middle - 9}" '
            f'width="{room}" height="18" rx="4"/><rect class="c{one.colour}" x="{LABEL}" y="{middle - 9}" '
            f'width="{length:.1f}" height="18" rx="4"/>'
        )
        parts += [
            f'<circle class="dot" cx="{LABEL + v / largest * room:.1f}" cy="{middle}" r="2.6"/>'
            for v in rounds(one)
        ]
        parts.append("</g>")
        furthest = max([length, *(v / largest * room for v in rounds(one))])
        parts.append(_text(LABEL + furthest + 9, middle + 4, short(value(one)), "value"))
    return _svg(WIDTH, len(subjects) * ROW, parts, f"bars of {unit}")


def lines(subjects: Sequence[Subject], unit: str, width: int = WIDE, height: int = 300) -> str:
    """Draw throughput over time, one line for each subject."""
    shown = [one for one in subjects if len(one.series) > 1]
    values = [v for one in shown for _, v in one.series if v > 0]
    if not values:
        return ""
    left, right, top, bottom = 58, 132, 12, 30
    seconds = max(t for one in shown for t, _ in one.series)
    middles = [sorted(v for _, v in one.series)[len(one.series) // 2] for one in shown]
    is_log = max(middles) > LOG_FROM * max(min(middles), 1e-9)
    low = 10 ** math.floor(math.log10(min(v for v in middles if v > 0) / 2)) if is_log else 0.0
    high = max(values) * (1.6 if is_log else 1.08)
    y_of = _scale(low, high, height - bottom, top, is_log=is_log)
    x_of = _scale(0.0, seconds, left, width - right)
    parts = []
    for tick in _ticks(low, high, is_log=is_log):
        y = f"{y_of(tick):.1f}"
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y}" y2="{y}"/>')
        parts.append(_text(left - 8, y_of(tick) + 4, short(tick), "tick end"))
    for tick in _ticks(0.0, seconds, count=8):
        parts.append(_text(x_of(tick), height - 8, f"{tick:g} s", "tick middle"))
    places = _apart([y_of(max(one.series[-1][1], low or 0.0)) for one in shown], 17)
    for one, place in zip(shown, places, strict=True):
        points = " ".join(f"{x_of(t):.1f},{y_of(max(v, low)):.1f}" for t, v in one.series)
        parts.append(
            f"<g><title>{html.escape(one.name)}: median {short(one.rate)} {unit}</title>"
            f'<polyline class="line s{one.colour}" points="{points}"/></g>'
        )
        parts.append(f'<circle class="c{one.colour}" cx="{width - right + 12}" cy="{place:.1f}" r="4"/>')
        parts.append(_text(width - right + 22, place + 4, one.name, "name"))
    return _svg(width, height, parts, f"{unit} over time")


def ridges(subjects: Sequence[Subject], width: int = WIDE) -> str:
    """Draw the distribution of each subject's latency on one logarithmic axis, with median and 99th
    percentile.
    """
    shown = [one for one in subjects if one.cells]
    if not shown:
        return ""
    left, right, row, foot = LABEL + 20, 226, 62, 30
    low = min(_quantile_s(one.cells, 0.001) for one in shown) * 0.8
    high = max(_quantile_s(one.cells, 0.999) for one in shown) * 1.25
    x_of = _scale(low, high, left, width - right, is_log=True)
    height = len(shown) * row + foot
    parts = []
    for tick in _ticks(low, high, is_log=True):
        x = x_of(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - foot}"/>')
        parts.append(_text(x, height - 10, in_time(tick), "tick middle"))
    for index, one in enumerate(shown):
        base = (index + 1) * row - 6
        density = _density(one.cells, low, high)
        peak = max(density) or 1.0
        step = (width - right - left) / (len(density) - 1)
        curve = " ".join(
            f"L{left + n * step:.1f} {base - v / peak * (row - 16):.1f}" for n, v in enumerate(density)
        )
        label = f"p50 {in_time(one.p50_s)}, p99 {in_time(one.p99_s)}"
        parts.append(f"<g><title>{html.escape(one.name)}: {label}</title>")
        parts.append(
            f'<path class="area a{one.colour}" d="M{left} {base} {curve} L{width - right} {base} Z"/>'
        )
        parts.append(f'<path class="line s{one.colour}" d="M{left} {base} {curve}"/></g>')
        for share in (one.p50_s, one.p99_s):
            x = x_of(min(max(share, low), high))
            parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{base - 10}" y2="{base + 3}"/>')
        parts.append(_text(left - 14, base - 4, one.name, "name end"))
        parts.append(_text(width - right + 14, base - 4, label, "value"))
    return _svg(width, height, parts, "latency distribution")


def short(value: float) -> str:
    """Say a number in few characters."""
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def in_time(seconds: float) -> str:
    """Say a duration in the unit that fits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size * 0.9995:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} \N{MICRO SIGN}s"


def _scale(
    low: float, high: float, start: float, end: float, *, is_log: bool = False
) -> Callable[[float], float]:
    if is_log:
        first, span = math.log(low), math.log(high / low) or 1.0
        return lambda value: start + (math.log(value) - first) / span * (end - start)
    return lambda value: start + (value - low) / ((high - low) or 1.0) * (end - start)


def _ticks(low: float, high: float, *, is_log: bool = False, count: int = 5) -> list[float]:
    """Return round numbers within a range."""
    if is_log:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        steps = (1, 2, 5) if high / low < 200 else (1,)
        found = [step * 10.0**decade for decade in decades for step in steps]
        return [tick for tick in found if low <= tick <= high]
    rough = (high - low) / count or 1.0
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough)
    return [low + step * n for n in range(int((high - low) / step + 1e-9) + 1)]


def _density(cells: Sequence[tuple[int, int]], low: float, high: float) -> list[float]:
    """Return counts over equal steps of the logarithm, smoothed a little."""
    bins = [0.0] * BINS
    span = math.log(high / low)
    for cell, count in cells:
        first, last = cell_start_ns(cell) / 1e9, cell_start_ns(cell + 1) / 1e9
        place = math.log(max((first + last) / 2, 1e-9) / low) / span * (BINS - 1)
        if 0 <= place < BINS - 0.5:
            bins[round(place)] += count
    weights = (1, 4, 6, 4, 1)
    padded = [0.0, 0.0, *bins, 0.0, 0.0]
    return [sum(w * padded[n + k] for k, w in enumerate(weights)) / 16 for n in range(BINS)]


def _quantile_s(cells: Sequence[tuple[int, int]], share: float) -> float:
    wanted, passed = share * sum(count for _, count in cells), 0
    for cell, count in sorted(cells):
        passed += count
        if passed >= wanted:
            return max(cell_start_ns(cell + 1) / 1e9, 1e-6)
    return 1e-6


def _apart(places: list[float], gap: float) -> list[float]:
    """Move labels apart that would cover each other, in their order."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    for before, after in pairwise(order):
        moved[after] = max(moved[after], moved[before] + gap)
    return moved


def _text(x: float, y: float, text: str, classes: str) -> str:
    return f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}">{html.escape(text)}</text>'


def _svg(width: int, height: int, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(label)}">'
        + "".join(parts)
        + "</svg>"
    )
