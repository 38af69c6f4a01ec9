"""One measurement: send through a relay, wait for the sinks, read the relay's CPU, compare the counts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from router.bench.controls import SinkControl, Told, run_sender
from router.bench.relays import RelayUnderTest
from router.bench.work import Work

SETTLE_DEADLINE_S = 60.0  # without any progress at the sink
SETTLE_POLL_S = 0.05


@dataclass(slots=True)
class Measurement:
    """One relay, once.

    rate: instances/s up to the last one at the sinks; cpu_us: the relay's process tree, per instance;
    sender_cpu_us, sink_cpu_us: the tool's own; latency_cells: see latency; series: (s, answers so far).
    """

    instances: int
    rate: float
    bytes_per_s: float
    cpu_us: float
    latency_p50_us: float
    latency_p99_us: float
    memory_mb: float
    sender_cpu_us: float = 0.0
    sink_cpu_us: float = 0.0
    missing: int = 0
    duplicates: int = 0
    corrupt: int = 0
    refused: int = 0
    errors: int = 0
    error_texts: list[str] = field(default_factory=list)
    latency_cells: list[tuple[int, int]] = field(default_factory=list)
    series: list[tuple[float, int]] = field(default_factory=list)

    def faults(self) -> int:
        """Count everything that must not be."""
        return self.missing + self.duplicates + self.corrupt + self.refused + self.errors

    def line(self) -> str:
        """Describe the measurement in one line."""
        faults = (
            f"missing {self.missing}, twice {self.duplicates}, corrupt {self.corrupt}, "
            f"refused {self.refused}, errors {self.error_texts[:2]}"
        )
        return f"{self.rate:,.0f}/s, {self.cpu_us:,.1f} us CPU" + (f" [{faults}]" if self.faults() else "")


def measure(
    relay: RelayUnderTest,
    sinks: Sequence[SinkControl],
    work: Work,
    run: int,
    directory: Path,
    *,
    told: Told | None = None,
) -> Measurement:
    """Send through the relay once. sinks: which all are to receive everything; none: the relay keeps it."""
    for sink in sinks:
        sink.ask("reset")
    cpu_before = relay.cpu_s()
    sinks_before = sum(sink.peer.cpu_s() for sink in sinks)
    sent = run_sender((relay.host, relay.port), work, directory, run=run, told=told)
    answered, succeeded = sent["answered"], sent["statuses"].get("0000", 0)
    reports = [settle(sink, succeeded) for sink in sinks]
    cpu_s = relay.cpu_s() - cpu_before
    sinks_s = sum(sink.peer.cpu_s() for sink in sinks) - sinks_before
    audits = [sink.ask(f"audit:{sent['attempted']}") for sink in sinks]
    ended_ns = max([sent["ended_ns"], *(report["last_ns"] for report in reports)])
    rate = answered / ((ended_ns - sent["started_ns"]) / 1e9)
    latency, each = sent["latency_s"], 1e6 / max(answered, 1)
    # An operation that was cut off by an error, or refused, may have arrived or not.
    uncertain = sent["attempted"] - succeeded
    return Measurement(
        instances=answered,
        rate=rate,
        bytes_per_s=rate * mean_bytes(work),
        cpu_us=cpu_s * each,
        latency_p50_us=latency.get("p50", 0.0) * 1e6,
        latency_p99_us=latency.get("p99", 0.0) * 1e6,
        memory_mb=relay.memory_bytes() / 1e6,
        sender_cpu_us=sent["cpu_s"] * each,
        sink_cpu_us=sinks_s * each,
        missing=sum(max(0, audit["missing"] - uncertain) for audit in audits),
        duplicates=sum(audit["duplicates"] for audit in audits),
        corrupt=sum(audit["corrupt"] for audit in audits),
        refused=answered - succeeded,
        errors=len(sent["errors"]),
        error_texts=sent["errors"],
        latency_cells=sent["latency_cells"],
        series=sent["series"],
    )


def settle(sink: SinkControl, count: int) -> dict[str, Any]:
    """Wait until so many instances have arrived, or none has come for long; return the sink's counts."""
    report = sink.ask("count")
    progress_at = time.monotonic()
    while not _has(sink, report, count) and time.monotonic() < progress_at + SETTLE_DEADLINE_S:
        time.sleep(SETTLE_POLL_S)
        before, report = report, sink.ask("count")
        if report["instances"] > before["instances"]:
            progress_at = time.monotonic()
    return report


def _has(sink: SinkControl, report: dict[str, Any], count: int) -> bool:
    return bool(report["instances"] >= count and sink.ask("report")["distinct"] >= count)


def mean_bytes(work: Work) -> float:
    """Return the mean size of a dataset of this work."""
    sizes = [len(one.dataset) for one in work.templates()]
    return sum(sizes) / len(sizes)
