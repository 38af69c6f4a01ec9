"""What does a relay cost? Sender -> relay -> sink, every relay in turn, in paired rounds on the same machine.

Question: instances/s end to end, CPU of the relay's process tree per instance, added latency, memory, and
what went missing, came twice or was changed.
Method: each round measures every relay once for `--duration` seconds, in an order that turns from round to
round;
medians over rounds; noise is the median absolute deviation over the median. A first round, not counted,
compares
every octet. The rate counts until the last instance is at the sink, not until the sender has its answer.
What would make it lie: another load on the machine (the noise shows it), CPU steps of 10 ms (short rounds), a
sender or sink near its own limit (look at `direct`).
Run as `python -m benchmarks.relay --kinds ct small --relays haproxy router-delivered pynetdicom`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.peers.process import PeerProcess
from benchmarks.peers.relays import RECEIVE_ONLY, REFERENCE, RELAYS
from router.bench.hot import IS_COMPILED
from router.bench.instances import template
from router.bench.measure import Measurement, SinkControl, measure

DEFAULT_RELAYS = ("haproxy", "router-delivered", "router-stored", "pynetdicom", "orthanc")
NUMBERS = ("rate", "cpu_us", "latency_p50_us", "latency_p99_us", "memory_mb")


def main() -> None:
    """Measure as the command line says, print a table for each kind of instance, write JSON."""
    options = arguments()
    report: dict[str, Any] = {
        "machine": machine(),
        "options": {**vars(options), "json": None, "baseline": None},
    }
    old = json.loads(options.baseline.read_text())["results"] if options.baseline else {}
    results: dict[str, Any] = {}
    console = Console(width=150)
    if not IS_COMPILED:
        console.print(
            "[bold red]The load tool runs uncompiled, sender and sink cost several times as much: build it"
        )
    for kind in options.kinds:
        results[kind] = summarise(run_kind(kind, options, console))
        console.print(table(kind, results[kind], old.get(kind, {}), options))
    report["results"] = results
    if options.json:
        options.json.write_text(json.dumps(report, indent=1, default=str))
    faulty = [
        f"{kind} {name}" for kind, rows in results.items() for name, row in rows.items() if has_faults(row)
    ]
    if faulty:
        raise SystemExit(f"faults: {', '.join(faulty)}")


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", default=["ct", "small"])
    parser.add_argument("--relays", nargs="+", default=list(DEFAULT_RELAYS), choices=list(RELAYS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=float, default=3.0, help="seconds of sending in each measurement")
    parser.add_argument("--associations", type=int, default=4)
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--directory", type=Path, default=Path("/dev/shm"), help="for spools and stores")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--baseline", type=Path, help="results of an earlier run to compare with")
    return parser.parse_args()


def run_kind(kind: str, options: argparse.Namespace, console: Console) -> dict[str, list[Measurement]]:
    """Measure all relays with one kind of instance; return the measurements by relay."""
    found: dict[str, list[Measurement]] = {name: [] for name in options.relays}
    with ExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir=options.directory, prefix="relay-"))
        )
        sink = stack.enter_context(SinkControl.start(kind, directory))
        relays: dict[str, PeerProcess] = {}
        for name in options.relays:
            relays[name] = stack.enter_context(RELAYS[name]([sink.port], directory / name))
        for round_number in range(options.rounds + 1):
            names = (
                options.relays[round_number % len(relays) :] + options.relays[: round_number % len(relays)]
            )
            sink.ask("trust" if round_number else "verify")
            for index, name in enumerate(names):
                run = round_number * len(names) + index + 1
                one = measure(relays[name], sink, kind, run, options, arrives=name not in RECEIVE_ONLY)
                console.print(f"{kind} round {round_number} {name}: {one.line()}", highlight=False)
                found[name].append(one)
    return found


def summarise(found: dict[str, list[Measurement]]) -> dict[str, Any]:
    """Return medians and noise by relay without the first round, and the sums of faults with it."""
    summary: dict[str, Any] = {}
    for name, measurements in found.items():
        values = {number: [getattr(one, number) for one in measurements[1:]] for number in NUMBERS}
        medians = {number: statistics.median(series) for number, series in values.items()}
        rate = medians["rate"]
        noise = statistics.median(abs(value - rate) for value in values["rate"]) / rate if rate else 0.0
        faults = {
            fault: sum(getattr(one, fault) for one in measurements)
            for fault in ("missing", "duplicates", "corrupt", "refused", "errors")
        }
        summary[name] = {**medians, "noise": noise, **faults, "rates": values["rate"]}
    return summary


def has_faults(row: dict[str, Any]) -> bool:
    """Tell whether a relay lost, changed or refused anything; what comes twice is only counted."""
    return any(row[fault] for fault in ("missing", "corrupt", "refused", "errors"))


def table(kind: str, results: dict[str, Any], old: dict[str, Any], options: argparse.Namespace) -> Table:
    """Lay the results out: each relay beside the reference and beside the earlier run."""
    size = len(template(kind).dataset)
    found = Table(
        title=f"{kind} ({size} bytes), {options.associations} associations, window {options.window}, "
        f"{options.rounds} rounds of {options.duration} s"
    )
    columns = [
        "relay",
        "old/s",
        "new/s",
        "new/old",
        "noise",
        f"of {REFERENCE}",
        "CPU us",
        "p50 us",
        "p99 us",
        "MB",
    ]
    for column in [*columns, "missing", "twice", "corrupt", "refused"]:
        found.add_column(column, justify="left" if column == "relay" else "right")
    reference = results.get(REFERENCE, {}).get("rate")
    for name, row in results.items():
        before = old.get(name, {}).get("rate")
        found.add_row(
            name,
            f"{before:,.0f}" if before else "-",
            f"{row['rate']:,.0f}",
            f"{row['rate'] / before:.2f}" if before else "-",
            f"{row['noise']:.1%}",
            f"{row['rate'] / reference:.2f}" if reference else "-",
            f"{row['cpu_us']:,.1f}",
            f"{row['latency_p50_us']:,.0f}",
            f"{row['latency_p99_us']:,.0f}",
            f"{row['memory_mb']:,.0f}",
            *(str(row[fault]) for fault in ("missing", "duplicates", "corrupt", "refused")),
        )
    return found


def machine() -> dict[str, object]:
    """Describe the machine."""
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    return {
        "cpus": os.cpu_count(),
        "model": models[0].partition(":")[2].strip() if models else platform.processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_1min": os.getloadavg()[0],
    }


if __name__ == "__main__":
    main()
