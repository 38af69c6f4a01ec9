"""What does the library cost its user, beside pynetdicom doing the same with the same peer and payload?

Question: operations/s of each kind, CPU per operation in the measured process, CPU of idle associations.
Unit: operations (C-ECHOs, C-STOREs of a CT of 512 kB or of 2 kB, C-FIND matches) per second; CPU in us an
operation, or in per cent of a core for what idles.
Method: for each case two processes, one for each library, run the same script (library_peers/subject.py); a
round measures one after the other, in turning order; medians over rounds, the ratio is the median of the
rounds' ratios; noise is its median absolute deviation over the median. Peers are raw and fast: the load sink
and sender, and a C-FIND SCP and SCU that encode nothing while they are measured.
What would make it lie: another load on the machine (paired rounds lessen it, the noise shows it), rounds so
short that a scheduler's slice counts, and a peer near its own limit. pynetdicom's requestors run with their
reactor paused (see subject.Checkpoint), which is faster, and without which they hang on so fast a peer.
Run as `python -m benchmarks.library --rounds 5 --duration 3`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.library_peers.find_peers import MATCHES, open_idle, run_query
from benchmarks.library_peers.subject import ASSOCIATIONS_IDLE, SETTLE_S
from benchmarks.peers.process import HOST, PeerProcess, peer_process
from router.bench.controls import ENVIRONMENT, SinkControl, run_sender
from router.bench.rounds import machine
from router.bench.work import Work

LIBRARIES = ("router", "pynetdicom")
SENDER_ASSOCIATIONS = 4


@dataclass(slots=True)
class Sample:
    """One measurement: operations, and the seconds and CPU seconds they took."""

    operations: float
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.operations / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU per operation."""
        return self.cpu_s / self.operations * 1e6

    @property
    def cores(self) -> float:
        """Share of a core that was busy."""
        return self.cpu_s / self.seconds


class SubjectControl:
    """A running subject, spoken to by its words."""

    def __init__(self, peer: PeerProcess) -> None:
        self.peer = peer
        self.port: int = self._read()["port"]

    def ask(self, words: str) -> dict[str, Any]:
        """Say words; return the answer."""
        stdin = self.peer.process.stdin
        assert stdin is not None
        stdin.write(words.encode() + b"\n")
        stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        stdout = self.peer.process.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"{self.peer.name} ended:\n{self.peer.log()}")
        found: dict[str, Any] = json.loads(line)
        return found


def go(subject: SubjectControl, options: argparse.Namespace, run: int) -> Sample:
    """Let the subject do its case by itself."""
    found = subject.ask(f"go {options.duration}")
    return Sample(found["operations"], found["seconds"], found["cpu_s"])


def receive(kind: str) -> Callable[[SubjectControl, argparse.Namespace, int], Sample]:
    """Return the measurement of a storage SCP that the load sender feeds."""

    def measure(subject: SubjectControl, options: argparse.Namespace, run: int) -> Sample:
        cpu_s = subject.ask("cpu")["cpu_s"]
        work = Work(kind=(kind,), associations=SENDER_ASSOCIATIONS, duration=options.duration)
        sent = run_sender((HOST, subject.port), work, subject.peer.directory, run=run)
        cpu_s = subject.ask("cpu")["cpu_s"] - cpu_s
        if sent["errors"] or set(sent["statuses"]) != {"0000"}:
            raise RuntimeError(f"the SCP failed: {sent['statuses']} {sent['errors'][:3]}")
        return Sample(sent["answered"], (sent["ended_ns"] - sent["started_ns"]) / 1e9, cpu_s)

    return measure


def find(subject: SubjectControl, options: argparse.Namespace, run: int) -> Sample:
    """Measure a C-FIND SCP."""
    cpu_s = subject.ask("cpu")["cpu_s"]
    matches, seconds = run_query(subject.port)
    if matches != MATCHES:
        raise RuntimeError(f"{matches} matches came, {MATCHES} were expected")
    return Sample(matches, seconds, subject.ask("cpu")["cpu_s"] - cpu_s)


def idle(subject: SubjectControl, options: argparse.Namespace, run: int) -> Sample:
    """Measure an SCP whose associations do nothing."""
    opened = open_idle(subject.port, ASSOCIATIONS_IDLE)
    time.sleep(SETTLE_S)
    cpu_s, started = subject.ask("cpu")["cpu_s"], time.perf_counter()
    time.sleep(options.duration)
    cpu_s, seconds = subject.ask("cpu")["cpu_s"] - cpu_s, time.perf_counter() - started
    for sock in opened:
        sock.close()
    time.sleep(SETTLE_S)
    return Sample(ASSOCIATIONS_IDLE, seconds, cpu_s)


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure. bar: how many times pynetdicom's rate, or how many times less CPU when idle."""

    title: str
    bar: float
    measure: Callable[[SubjectControl, argparse.Namespace, int], Sample]
    peer: str = ""
    is_idle: bool = False


CASES: dict[str, Case] = {
    "echo": Case("C-ECHO SCU, round trips", 15, go, "sink"),
    "store-path": Case("C-STORE SCU, CT as path", 10, go, "sink"),
    "store-dataset": Case("C-STORE SCU, CT as Dataset", 4, go, "sink"),
    "scp-ct": Case("storage SCP, CT", 10, receive("ct")),
    "scp-small": Case("storage SCP, 2 kB", 10, receive("small")),
    "find-scu": Case("C-FIND SCU, matches", 4, go, "find"),
    "find-scp": Case("C-FIND SCP, matches", 4, find),
    "idle-scu": Case("100 idle, requestor", 20, go, "sink", is_idle=True),
    "idle-scp": Case("100 idle, acceptor", 20, idle, is_idle=True),
}


@contextmanager
def peer_port(kind: str, directory: Path) -> Iterator[int]:
    """Run the raw peer that a case's subjects need, if any."""
    if kind == "sink":
        with SinkControl.start(["--kind", "ct"], directory) as sink:
            yield sink.port
    elif kind == "find":
        with program("find-peer", ["benchmarks.library_peers.find_peers"], directory) as peer:
            yield SubjectControl(peer).port
    else:
        yield 0


@contextmanager
def program(name: str, command: list[str], directory: Path) -> Iterator[PeerProcess]:
    """Run a module of ours that speaks on standard input and output."""
    with peer_process(
        name,
        [sys.executable, "-m", *command],
        directory,
        environment=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as peer:
        yield peer


def run_case(name: str, options: argparse.Namespace, console: Console) -> dict[str, list[Sample]]:
    """Measure both libraries in turn; return their samples, the first round left out."""
    case = CASES[name]
    found: dict[str, list[Sample]] = {library: [] for library in LIBRARIES}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="library-")))
        port = stack.enter_context(peer_port(case.peer, directory))
        subjects = {
            library: SubjectControl(
                stack.enter_context(
                    program(
                        f"{library}-{name}",
                        ["benchmarks.library_peers.subject", library, name, str(port)],
                        directory,
                    )
                )
            )
            for library in LIBRARIES
        }
        for round_number in range(options.rounds + 1):
            turn = LIBRARIES if round_number % 2 else LIBRARIES[::-1]
            for index, library in enumerate(turn):
                run = round_number * len(turn) + index
                sample = case.measure(subjects[library], options, run)
                console.print(f"{name} round {round_number} {library}: {line(case, sample)}", highlight=False)
                if round_number:
                    found[library].append(sample)
    return found


def line(case: Case, sample: Sample) -> str:
    """Describe one sample."""
    if case.is_idle:
        return f"{sample.cores:.3%} of a core"
    return f"{sample.rate:,.0f}/s, {sample.cpu_us:,.1f} us CPU"


def summarise(case: Case, found: dict[str, list[Sample]]) -> dict[str, Any]:
    """Return medians of both, the ratio and its noise."""
    ours, theirs = (found[library] for library in LIBRARIES)
    pairs = list(zip(ours, theirs, strict=True))
    if case.is_idle:
        # A process that used no CPU at all is taken for the resolution of its clock.
        ratios = [b.cores / max(a.cores, 1e-6) for a, b in pairs]
    else:
        ratios = [a.rate / b.rate for a, b in pairs]
    ratio = statistics.median(ratios)
    noise = statistics.median(abs(value - ratio) for value in ratios) / ratio
    medians = {
        library: {
            what: statistics.median(getattr(sample, what) for sample in samples)
            for what in ("rate", "cpu_us", "cores")
        }
        for library, samples in found.items()
    }
    return {"ratio": ratio, "noise": noise, "bar": case.bar, "ratios": ratios, **medians}


def table(results: dict[str, Any], options: argparse.Namespace) -> Table:
    """Lay the results out."""
    shown = Table(
        title=f"{options.rounds} paired rounds of {options.duration} s; CPU of the measured process"
    )
    for column in ("case", "router", "pynetdicom", "ratio", "bar", "noise", "CPU", "CPU pynetdicom"):
        shown.add_column(column, justify="left" if column == "case" else "right")
    for name, row in results.items():
        case, (ours, theirs) = CASES[name], (row[library] for library in LIBRARIES)
        numbers: list[str] = []
        for one in (ours, theirs):
            numbers.append("-" if case.is_idle else f"{one['rate']:,.0f}/s")
        costs = [
            f"{one['cores']:.2%}" if case.is_idle else f"{one['cpu_us']:,.0f} us" for one in (ours, theirs)
        ]
        verdict = "" if row["ratio"] >= row["bar"] else " (!)"
        shown.add_row(
            case.title,
            *numbers,
            f"{row['ratio']:,.1f}x{verdict}",
            f"{row['bar']:g}x",
            f"{row['noise']:.0%}",
            *costs,
        )
    return shown


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--rounds", type=int, default=5, help="besides a first one that is not counted")
    parser.add_argument("--duration", type=float, default=3.0, help="seconds of each measurement")
    parser.add_argument("--json", type=Path, help="write the results here")
    return parser.parse_args()


def main() -> None:
    """Measure as the command line says, print a table, write JSON."""
    options = arguments()
    console = Console(width=130)
    results = {name: summarise(CASES[name], run_case(name, options, console)) for name in options.cases}
    console.print(table(results, options))
    if options.json:
        report = {"machine": machine(), "rounds": options.rounds, "duration_s": options.duration}
        options.json.write_text(json.dumps({**report, "results": results}, indent=1))


if __name__ == "__main__":
    main()
