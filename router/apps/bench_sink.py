"""`dicom-router bench sink PORT`: a storage SCP that accepts everything, or delays, refuses, aborts as it
is told.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table

from router.apps.bench_output import console_of, write_json
from router.apps.bench_tables import sink_table
from router.bench.controls import SinkControl
from router.bench.manners import manner_words
from router.bench.rounds import machine
from router.bench.sink import add_accepting
from router.bench.work import Work

LOOK_S = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this mode's arguments."""
    parser.add_argument("port", type=int, help="TCP port; 0 takes a free one")
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on; default every one")
    add_accepting(parser)
    parser.add_argument("--duration", type=float, default=0.0, help="seconds; 0 = until Ctrl-C")
    parser.add_argument("--count", type=int, default=0, help="end after so many instances; 0 = do not")
    parser.add_argument("--json", metavar="FILE", help="write the counts as JSON; - for standard output")


def run(args: argparse.Namespace) -> int:
    """Receive until told to stop; show the counts; 1 if anything was corrupt."""
    console = console_of(args)
    words = [*Work(kind=tuple(args.kind), files=tuple(args.files)).kind_words(), *sink_words(args)]
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        with SinkControl.start(words, Path(directory), args.port) as sink:
            console.print(f"listening on {args.host}:{sink.port}; Ctrl-C ends")
            _watch(sink, args, console)
            counts = sink.ask("report")
    console.print(sink_table("received", counts))
    write_json(args, {"machine": machine(), "received": counts})
    return 1 if counts["corrupt"] else 0


def sink_words(args: argparse.Namespace) -> list[str]:
    """Return the sink's other options as they stand on its command line."""
    words = ["--host", args.host, "--maximum-length", str(args.maximum_length), "--window", str(args.window)]
    return words + (["--verify"] if args.verify else []) + manner_words(args)


def _watch(sink: SinkControl, args: argparse.Namespace, console: Any) -> None:
    """Show the counts until the duration, the count or Ctrl-C ends it."""
    began, before = time.monotonic(), (time.monotonic(), 0)
    with Live(console=console, transient=True, auto_refresh=False) as live:
        try:
            while not args.duration or time.monotonic() - began < args.duration:
                counts = sink.ask("count")
                now = time.monotonic()
                rate = (counts["instances"] - before[1]) / max(1e-9, now - before[0])
                before = (now, counts["instances"])
                live.update(_line(counts, rate), refresh=True)
                if args.count and counts["instances"] >= args.count:
                    return
                time.sleep(LOOK_S)
        except KeyboardInterrupt:
            return


def _line(counts: Mapping[str, Any], rate: float) -> Table:
    line = Table.grid(padding=(0, 3))
    line.add_row(
        f"[bold]{counts['instances']:,}[/bold] instances",
        f"{rate:,.0f}/s",
        f"{counts['dataset_bytes'] / 1e6:,.1f} MB",
        f"{counts['associations']:,} associations",
        f"[red]{counts['corrupt']:,} corrupt[/red]" if counts["corrupt"] else "",
        f"{counts['refused']:,} refused" if counts["refused"] else "",
        f"{counts['aborted']:,} aborted" if counts["aborted"] else "",
    )
    return line
