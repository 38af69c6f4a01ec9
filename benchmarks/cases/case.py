"""What all cases share: rows with their bars, paired rounds, and ratios of rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from router.bench.relays import Relay
from router.bench.rounds import Plan, Progress, has_faults, noise_of, run_rounds
from router.bench.work import Work


@dataclass(frozen=True, slots=True)
class Options:
    """How long everything is measured. directory: on a real disk, for spools; say: shows one line."""

    rounds: int
    duration: float
    directory: Path
    say: Callable[[str], None] = field(default=print)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure beside its bar. bar: (">=" or "<=", number), None where there is none; noise: relative."""

    what: str
    value: float
    unit: str = ""
    bar: tuple[str, float] | None = None
    noise: float = 0.0
    detail: str = ""

    @property
    def holds(self) -> bool | None:
        """Tell whether the bar is reached; None without one."""
        if self.bar is None:
            return None
        sign, number = self.bar
        return self.value >= number if sign == ">=" else self.value <= number

    @property
    def value_text(self) -> str:
        """Say the value with its unit."""
        return f"{number_text(self.value)}{' ' if self.unit and self.unit != 'x' else ''}{self.unit}"

    @property
    def bar_text(self) -> str:
        """Say the bar."""
        return f"{self.bar[0]} {self.bar[1]:g}{' ' + self.unit if self.unit else ''}" if self.bar else ""


def compare(
    relays: Mapping[str, Relay],
    work: Work,
    options: Options,
    *,
    sinks: int = 1,
    sinks_of: Mapping[str, int] | None = None,
    works: Mapping[str, Work] | None = None,
) -> dict[str, Any]:
    """Measure relays in paired rounds; return their summaries. The other arguments are those of a Plan."""

    def told(progress: Progress) -> None:
        if progress.done is not None:
            options.say(f"  round {progress.round_number} {progress.name}: {progress.done.line()}")

    options.say(work.describe())
    plan = Plan(
        relays,
        work,
        options.rounds,
        options.directory,
        sinks=sinks,
        sinks_of=sinks_of or {},
        works=works or {},
    )
    results = run_rounds(plan, told)
    for name, row in results.items():
        if has_faults(row):
            options.say(f"  FAULTS of {name}: {row['error_texts'][:2]} missing {row['missing']}")
    return results


def work_of(kind: str, options: Options, *, associations: int = 4, window: int = 1) -> Work:
    """Return the work of one kind of instance for the options' duration."""
    return Work(
        kind=(kind,),
        associations=associations,
        window=window,
        duration=options.duration,
        called="ROUTER",
    )


def ratio(
    results: Mapping[str, Any], name: str, reference: str, of: str = "rates", factor: float = 1.0
) -> tuple[float, float]:
    """Return the median of the rounds' ratios and their noise. of: `rates` or `cpu_all_us`."""
    return median_and_noise(
        [a / b * factor for a, b in zip(results[name][of], results[reference][of], strict=True) if b]
    )


def median_and_noise(values: Sequence[float]) -> tuple[float, float]:
    """Return the median and the relative noise."""
    return (statistics.median(values), noise_of(list(values))) if values else (0.0, 0.0)


def rates_text(results: Mapping[str, Any]) -> str:
    """Say all rates in a line."""
    return ", ".join(f"{name} {row['rate']:,.0f}/s" for name, row in results.items())


def cpus_text(results: Mapping[str, Any]) -> str:
    """Say all costs in a line."""
    return ", ".join(f"{name} {row['cpu_us']:,.1f} us" for name, row in results.items())


def number_text(value: float) -> str:
    """Say a number with two or three figures."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
