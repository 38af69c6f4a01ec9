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
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.peers.relays import REFERENCE, RELAYS
from router.apps.bench_tables import relay_table
from router.bench.hot import IS_COMPILED
from router.bench.instances import KINDS
from router.bench.report import write_report
from router.bench.rounds import Plan, Progress, has_faults, machine, run_rounds
from router.bench.work import Work

DEFAULT_RELAYS = ("haproxy", "router-delivered", "router-stored", "pynetdicom", "orthanc")


def main() -> None:
    """Measure as the command line says, print a table for each kind of instance, write JSON and report."""
    options = arguments()
    console = Console(width=150)
    if not IS_COMPILED:
        console.print(
            "[bold red]The load tool runs uncompiled; sender and sink cost several times as much: build it"
        )
    old = json.loads(options.baseline.read_text())["results"] if options.baseline else {}
    shown = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    report: dict[str, Any] = {"machine": machine(), "options": shown, "results": {}, "works": {}}
    for kind in options.kinds:
        work = work_of(kind, options)
        report["works"][kind] = work.describe()
        report["results"][kind] = results = run_kind(kind, work, options, console)
        title = f"{work.describe()}, {options.rounds} rounds of {options.duration} s"
        console.print(relay_table(title, results, REFERENCE, old.get(kind)))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    if options.report:
        write_report(options.report, report, REFERENCE)
    faulty = [
        f"{kind} {name}"
        for kind, rows in report["results"].items()
        for name, row in rows.items()
        if has_faults(row)
    ]
    if faulty:
        raise SystemExit(f"faults: {', '.join(faulty)}")


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", default=["ct", "small"], choices=KINDS)
    parser.add_argument("--relays", nargs="+", default=list(DEFAULT_RELAYS), choices=list(RELAYS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=float, default=3.0, help="seconds of sending in each measurement")
    parser.add_argument("--associations", type=int, default=4)
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--directory", type=Path, default=Path("/dev/shm"), help="for spools and stores")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--report", type=Path, help="write a page with plots here")
    parser.add_argument("--baseline", type=Path, help="results of an earlier run to compare with")
    return parser.parse_args()


def work_of(kind: str, options: argparse.Namespace) -> Work:
    """Return the work that the options ask for."""
    return Work(
        kind=(kind,),
        associations=options.associations,
        window=options.window,
        duration=options.duration,
        called="ROUTER",
    )


def run_kind(kind: str, work: Work, options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure all relays with one kind of instance; return their summaries."""

    def told(progress: Progress) -> None:
        if progress.done is not None:
            console.print(
                f"{kind} round {progress.round_number} {progress.name}: {progress.done.line()}",
                highlight=False,
            )

    relays = {name: RELAYS[name] for name in options.relays}
    return run_rounds(Plan(relays, work, options.rounds, options.directory), told)


if __name__ == "__main__":
    main()
