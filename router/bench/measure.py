"""One measurement: send through a relay, wait for the sink, read the relay's CPU, compare the counts."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from router.bench.instances import number_of
from router.bench.process import PeerProcess, peer_process

SETTLE_DEADLINE_S = 60.0  # without any progress at the sink
SETTLE_POLL_S = 0.05
ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parents[2])}
"""So that the programs run from this copy of the package, whatever the working directory is."""


@dataclass(slots=True)
class Measurement:
    """One relay, once. rate: instances/s up to the last at the sink; cpu_us: the relay's, per instance."""

    instances: int
    rate: float
    cpu_us: float
    latency_p50_us: float
    latency_p99_us: float
    memory_mb: float
    missing: int = 0
    duplicates: int = 0
    corrupt: int = 0
    refused: int = 0
    errors: int = 0
    error_texts: list[str] = field(default_factory=list)

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


@dataclass(slots=True)
class SinkControl:
    """A running sink, spoken to by its words."""

    port: int
    peer: PeerProcess

    def ask(self, word: str) -> dict[str, Any]:
        """Say a word; return the sink's report."""
        stdin, stdout = self.peer.process.stdin, self.peer.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(word.encode() + b"\n")
        stdin.flush()
        found: dict[str, Any] = json.loads(stdout.readline())
        return found

    @classmethod
    @contextmanager
    def start(cls, kind: str, directory: Path) -> Iterator[SinkControl]:
        """Run a sink for one kind of instance."""
        command = [sys.executable, "-m", "router.bench.sink", "0", "--kind", kind]
        with peer_process(
            "sink",
            command,
            directory,
            environment=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as peer:
            stdout = peer.process.stdout
            assert stdout is not None
            line = stdout.readline()
            yield cls(json.loads(line)["port"], peer)


def measure(
    relay: PeerProcess, sink: SinkControl, kind: str, run: int, options: argparse.Namespace, *, arrives: bool
) -> Measurement:
    """Send through the relay once. arrives: whether the sink is to receive anything."""
    sink.ask("reset")
    cpu_before = relay.cpu_s()
    sent = run_sender(relay.port, kind, run, options)
    report = settle(sink, sent["answered"]) if arrives else sink.ask("report")
    cpu_s = relay.cpu_s() - cpu_before
    answered = sent["answered"]
    refused = answered - sent["statuses"].get("0000", 0)
    ended_ns = max(report["last_ns"], sent["ended_ns"]) if arrives else sent["ended_ns"]
    latency = sent["latency_s"]
    # An operation cut off by an error may have arrived or not.
    missing = sink.ask(f"audit:{sent['attempted']}")["missing"] if arrives and not sent["errors"] else 0
    return Measurement(
        instances=answered,
        rate=answered / ((ended_ns - sent["started_ns"]) / 1e9),
        cpu_us=cpu_s / max(answered, 1) * 1e6,
        latency_p50_us=latency.get("p50", 0.0) * 1e6,
        latency_p99_us=latency.get("p99", 0.0) * 1e6,
        memory_mb=relay.memory_bytes() / 1e6,
        missing=missing,
        duplicates=report["duplicates"],
        corrupt=report["corrupt"],
        refused=refused,
        errors=len(sent["errors"]),
        error_texts=sent["errors"],
    )


def run_sender(port: int, kind: str, run: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run the sender to its end; return its report."""
    command = [sys.executable, "-m", "router.bench.sender", str(port), "--kind", kind, "--run", str(run)]
    command += ["--associations", str(options.associations), "--window", str(options.window)]
    command += ["--duration", str(options.duration), "--called", "ROUTER"]
    done = subprocess.run(
        command,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
        timeout=options.duration + 120,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the sender ended with {done.returncode}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def settle(sink: SinkControl, count: int) -> dict[str, Any]:
    """Wait until so many instances have arrived, or none has come for long; return the sink's report."""
    report = sink.ask("report")
    progress_at = time.monotonic()
    while report["distinct"] < count and time.monotonic() < progress_at + SETTLE_DEADLINE_S:
        time.sleep(SETTLE_POLL_S)
        before, report = report, sink.ask("report")
        if report["instances"] > before["instances"]:
            progress_at = time.monotonic()
    return report


def missing_of(uids: list[str], count: int) -> int:
    """Count the instances 0..count-1 that are not among these UIDs."""
    return len(set(range(count)) - {number_of(uid) for uid in uids})
