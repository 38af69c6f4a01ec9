"""What the modes of `dicom-router bench` share: the options for results, JSON, and the display while it
runs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from router.bench.hot import IS_COMPILED
from router.bench.kinds import told_left_out
from router.bench.work import Work


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where results go."""
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="write the results as JSON; - for standard output, and nothing else there",
    )
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="write a page with plots")


def console_of(args: argparse.Namespace) -> Console:
    """Return where tables and progress are shown: standard error if standard output carries JSON."""
    console = Console(highlight=False, stderr=args.json == "-")
    if not IS_COMPILED:
        console.print("[yellow]The load tool runs uncompiled: sender and sink cost several times as much.")
    left_out = told_left_out(args.files)
    if left_out:
        console.print(f"[yellow]{left_out}", highlight=False)
    return console


def write_json(args: argparse.Namespace, found: Mapping[str, Any]) -> None:
    """Write the results as asked for."""
    if args.json == "-":
        print(json.dumps(found, indent=1))
    elif args.json:
        Path(args.json).write_text(json.dumps(found, indent=1))


class Display:
    """One line while it runs: how far, how many, how fast, what failed."""

    def __init__(self, console: Console, work: Work) -> None:
        self.work = work
        self.progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[answered]:>11,} instances  {task.fields[rate]:>9,.0f}/s"),
            TextColumn("[red]{task.fields[wrong]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            expand=True,
        )
        self._task = self.progress.add_task("", total=1.0, answered=0, rate=0.0, wrong="")
        self._before = (0.0, 0)

    def begin(self, text: str) -> None:
        """Begin a new bar under this text."""
        self._before = (0.0, 0)
        self.progress.reset(self._task, description=text, total=1.0, answered=0, rate=0.0, wrong="")

    def tick(self, line: Mapping[str, Any]) -> None:
        """Show a sender's progress line."""
        elapsed_s, answered = line["elapsed_s"], line["answered"]
        rate = (answered - self._before[1]) / max(1e-9, elapsed_s - self._before[0])
        self._before = (elapsed_s, answered)
        shares = [answered / self.work.count] if self.work.count else []
        shares += [elapsed_s / self.work.duration] if self.work.duration else []
        self.progress.update(
            self._task,
            completed=min(1.0, max(shares, default=0.0)),
            answered=answered,
            rate=rate,
            wrong=f"{line['failed']:,} refused" if line["failed"] else "",
        )
