"""`dicom-router bench relay`: the router, or another relay, between a sender and a sink, in paired rounds.

Without further options the router is measured in both kinds of acknowledgement, beside HAProxy in TCP mode
if that is installed, and beside nothing at all (`direct`), which is what sender and sink can do by
themselves.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from router.apps.bench_output import Display, add_output, console_of, write_json
from router.apps.bench_send import address
from router.apps.bench_tables import relay_table
from router.bench.process import find_program
from router.bench.relays import REFERENCE, RELAYS, Relay, by_command, running
from router.bench.report import write_report
from router.bench.rounds import Plan, Progress, has_faults, machine, run_rounds
from router.bench.work import Work, add_work

DURATION_S = 5.0
ROUNDS = 3
DEFAULT = ("direct", "haproxy", "router-delivered", "router-stored")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this mode's arguments."""
    subject = parser.add_argument_group("what is measured")
    subject.add_argument(
        "--relays", nargs="+", choices=RELAYS, metavar="NAME", help=f"of {', '.join(RELAYS)}"
    )
    subject.add_argument(
        "--command", metavar="CMD", help="also this relay; {port}, {sink_port} and {directory} are filled in"
    )
    subject.add_argument(
        "--at",
        type=address,
        metavar="HOST:PORT",
        help="also the relay that runs there and forwards to --sink-port",
    )
    subject.add_argument(
        "--pid", type=int, default=0, help="root of the process tree of --at, for CPU and memory"
    )
    subject.add_argument("--sink-port", type=int, default=0, help="of the sink; default a free one")
    subject.add_argument("--rounds", type=int, default=ROUNDS, help=f"besides the first; default {ROUNDS}")
    subject.add_argument("--directory", type=Path, help="for the spools; default the temporary directory")
    add_work(parser, duration=DURATION_S)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and show; 1 if anything was missing, corrupt, refused or failed."""
    args.duration = 0.0 if args.count and args.duration == DURATION_S else args.duration
    args.called = "ROUTER" if args.called == "ANY-SCP" else args.called
    work = Work.of(args)
    if work.wrong():
        raise ValueError(work.wrong())
    console, description, relays = console_of(args), work.describe(), relays_of(args)
    directory = args.directory or Path(tempfile.gettempdir())
    plan = Plan(relays, work, args.rounds, directory, sink_port=args.sink_port)
    display = Display(console, work)

    def told(progress: Progress) -> None:
        if progress.done is not None:
            which = f"round {progress.round_number}" if progress.round_number else "warm-up"
            console.print(f"[dim]{which}[/dim] {progress.name}: {progress.done.line()}")
        elif progress.tick is not None:
            text = f"{progress.round_number}/{progress.rounds} {progress.name}"
            if display.progress.tasks[0].description != text:
                display.begin(text)
            display.tick(progress.tick)

    with display.progress:
        results = run_rounds(plan, told, ticks=True)
    console.print(relay_table(description, results, REFERENCE))
    report = {"machine": machine(), "works": {"relay": description}, "results": {"relay": results}}
    write_json(args, report)
    if args.report:
        write_report(args.report, report, REFERENCE)
        console.print(f"report: {args.report}")
    return 1 if any(has_faults(row) for row in results.values()) else 0


def relays_of(args: argparse.Namespace) -> dict[str, Relay]:
    """Return the relays that the options name. Raises ValueError for a mixture that cannot work."""
    if args.at and not args.sink_port:
        raise ValueError("--at needs --sink-port, the port that the relay forwards to")
    found: dict[str, Relay] = {}
    if args.command:
        found["command"] = by_command(args.command)
    if args.at:
        found[f"{args.at[0]}:{args.at[1]}"] = running(args.at[0], args.at[1], args.pid)
    names = args.relays if args.relays is not None else (() if found else DEFAULT)
    for name in names:
        if name != "haproxy" or find_program("haproxy") or args.relays is not None:
            found[name] = RELAYS[name]
    return found
