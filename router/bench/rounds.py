"""Several relays in paired rounds: each round measures every one once, in an order that turns.

Medians over rounds; noise is the median absolute deviation over the median. A first round, not counted,
warms up and compares every octet.
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from router.bench.controls import SinkControl
from router.bench.latency import percentiles_s
from router.bench.measure import Measurement, measure
from router.bench.relays import RECEIVE_ONLY, Relay, RelayUnderTest
from router.bench.work import Work

NUMBERS = (
    "rate",
    "bytes_per_s",
    "cpu_us",
    "latency_p50_us",
    "latency_p99_us",
    "memory_mb",
    "sender_cpu_us",
    "sink_cpu_us",
)
FAULTS = ("missing", "duplicates", "corrupt", "refused", "errors")


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is. tick: a sender's progress line; done: a measurement that has ended."""

    name: str
    round_number: int
    rounds: int
    tick: dict[str, Any] | None = None
    done: Measurement | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    sinks: how many each relay forwards to, but for those in sinks_of; sink_port: the first one's, 0 = free.
    works: of relays that get other work than the rest.
    """

    relays: Mapping[str, Relay]
    work: Work
    rounds: int
    directory: Path
    sinks: int = 1
    sink_port: int = 0
    sink_words: tuple[str, ...] = ()
    sinks_of: Mapping[str, int] = field(default_factory=dict)
    works: Mapping[str, Work] = field(default_factory=dict)


def run_rounds(plan: Plan, told: Callable[[Progress], None], *, ticks: bool = False) -> dict[str, Any]:
    """Measure all relays of a plan; return a summary by relay. ticks: tell progress within measurements."""
    found: dict[str, list[Measurement]] = {name: [] for name in plan.relays}
    with ExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir=plan.directory, prefix="relay-"))
        )
        words = [*plan.work.kind_words(), *plan.sink_words]
        sinks = [
            stack.enter_context(
                SinkControl.start(words, directory, 0 if number else plan.sink_port, f"sink{number}")
            )
            for number in range(plan.sinks)
        ]
        ports = [sink.port for sink in sinks]
        relays = {
            name: stack.enter_context(start(ports, directory / name)) for name, start in plan.relays.items()
        }
        for round_number in range(plan.rounds + 1):
            for sink in sinks:
                sink.ask("trust" if round_number else "verify")
            for name, run in turn(list(relays), round_number):
                one = _measure(plan, relays[name], sinks, name, run, round_number, told, ticks)
                told(Progress(name, round_number, plan.rounds, done=one))
                found[name].append(one)
    return {name: summarise(measurements) for name, measurements in found.items()}


def _measure(
    plan: Plan,
    relay: RelayUnderTest,
    sinks: list[SinkControl],
    name: str,
    run: int,
    round_number: int,
    told: Callable[[Progress], None],
    ticks: bool,
) -> Measurement:
    def tell(tick: dict[str, Any]) -> None:
        told(Progress(name, round_number, plan.rounds, tick=tick))

    receiving = [] if name in RECEIVE_ONLY else sinks[: plan.sinks_of.get(name, len(sinks))]
    work = plan.works.get(name, plan.work)
    return measure(relay, receiving, work, run, plan.directory, told=tell if ticks else None)


def turn(names: list[str], round_number: int) -> list[tuple[str, int]]:
    """Return the names in the order of one round, each with the number of its run."""
    first = round_number % len(names)
    ordered = names[first:] + names[:first]
    return [(name, round_number * len(names) + index + 1) for index, name in enumerate(ordered)]


def summarise(measurements: list[Measurement]) -> dict[str, Any]:
    """Return medians and noise without the first round, and the sums of faults with it."""
    counted = measurements[1:] or measurements
    values = {number: [getattr(one, number) for one in counted] for number in NUMBERS}
    summary: dict[str, Any] = {number: statistics.median(series) for number, series in values.items()}
    rate = summary["rate"]
    nearest = min(counted, key=lambda one: abs(one.rate - rate))
    cells = merged([one.latency_cells for one in counted])
    return {
        **summary,
        "noise": noise_of(values["rate"]),
        "rates": values["rate"],
        "cpu_all_us": values["cpu_us"],
        **{fault: sum(getattr(one, fault) for one in measurements) for fault in FAULTS},
        "error_texts": [text for one in measurements for text in one.error_texts][:10],
        "latency_s": percentiles_s(cells),
        "latency_cells": cells,
        "series": nearest.series,
        "rounds": [_without_details(one) for one in measurements],
    }


def summarise_sending(sent: dict[str, Any]) -> dict[str, Any]:
    """Return what a sender reports in the shape of a summary; what only a relay or a sink knows is 0."""
    latency = sent["latency_s"]
    succeeded = sent["statuses"].get("0000", 0)
    return {
        **dict.fromkeys((*NUMBERS, *FAULTS, "noise"), 0),
        "rate": sent["rate"],
        "bytes_per_s": sent["bytes_per_s"],
        "latency_p50_us": latency.get("p50", 0.0) * 1e6,
        "latency_p99_us": latency.get("p99", 0.0) * 1e6,
        "sender_cpu_us": sent["cpu_s"] / max(1, sent["answered"]) * 1e6,
        "refused": sent["answered"] - succeeded,
        "errors": len(sent["errors"]),
        "error_texts": sent["errors"][:10],
        "rates": [sent["rate"]],
        "cpu_all_us": [],
        "latency_s": latency,
        "latency_cells": sent["latency_cells"],
        "series": sent["series"],
    }


def noise_of(values: list[float]) -> float:
    """Return the median absolute deviation over the median."""
    middle = statistics.median(values)
    return statistics.median(abs(value - middle) for value in values) / middle if middle else 0.0


def merged(histograms: list[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Return the sum of histograms."""
    sums: dict[int, int] = {}
    for histogram in histograms:
        for cell, count in histogram:
            sums[cell] = sums.get(cell, 0) + count
    return sorted(sums.items())


def has_faults(summary: Mapping[str, Any]) -> bool:
    """Tell whether a relay lost, changed or refused anything; what comes twice is only counted."""
    return any(summary[fault] for fault in ("missing", "corrupt", "refused", "errors"))


def machine() -> dict[str, object]:
    """Describe the machine."""
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    return {
        "cpus": os.cpu_count(),
        "model": models[0].partition(":")[2].strip() if models else platform.processor(),
        "kernel": platform.release(),
        "congestion_control": _congestion_control(),
        "python": platform.python_version(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def _congestion_control() -> str:
    """Return which one the system gives to connections: one that paces (bbr) makes loopback uneven."""
    with suppress(OSError):
        return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    return "unknown"


def _without_details(one: Measurement) -> dict[str, Any]:
    found = asdict(one)
    del found["latency_cells"], found["series"]
    return found
