"""`dicom-router bench send HOST:PORT`: a storage SCU that costs almost nothing, every instance its own
UID.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

from router.apps.bench_output import Display, add_output, console_of, write_json
from router.apps.bench_tables import sending_table
from router.bench.controls import run_sender
from router.bench.instances import RUN_MAX
from router.bench.report import SENDING_METHOD, write_report
from router.bench.rounds import machine, summarise_sending
from router.bench.work import Work, add_work

DURATION_S = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this mode's arguments."""
    parser.add_argument("address", metavar="HOST:PORT", type=address, help="the storage SCP")
    add_work(parser, duration=DURATION_S)
    parser.add_argument(
        "--run", type=int, default=None, help="part of every UID; default: a number that is new each time"
    )
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Send and show the result; 1 if anything failed or was refused."""
    args.duration = 0.0 if args.count and args.duration == DURATION_S else args.duration
    work = Work.of(args)
    if work.wrong():
        raise ValueError(work.wrong())
    console, description = console_of(args), work.describe()
    number = random.randrange(1, RUN_MAX) if args.run is None else args.run
    display = Display(console, work)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, display.progress:
        display.begin("sending")
        sent = run_sender(args.address, work, Path(directory), run=number, told=display.tick)
    console.print(sending_table(description, sent))
    write_json(args, {"machine": machine(), "work": description, "run": number, "sent": sent})
    if args.report:
        report = {
            "machine": machine(),
            "works": {"": description},
            "results": {"": {f"{args.address[0]}:{args.address[1]}": summarise_sending(sent)}},
        }
        write_report(args.report, report, title="Storage benchmark", method=SENDING_METHOD)
        console.print(f"report: {args.report}")
    return 1 if sent["errors"] or set(sent["statuses"]) - {"0000"} else 0


def address(text: str) -> tuple[str, int]:
    """Parse HOST:PORT; [::1]:104 for an IPv6 address."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)
