"""Every bar, one after the other, each beside today's figure; and the results' part of README.md.

Run as `python -m benchmarks.all` (everything, some 20 minutes), `--cases start idle` for some,
`--write-readme` to put the tables into benchmarks/README.md, `--json FILE` to keep the figures. Each case
says its question, its method and what would make it lie at the top of its module in benchmarks/cases.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.cases import delivered, fanout, far, growth, idle, latency, receive, start, stored
from benchmarks.cases.case import Options, Row
from router.bench.hot import IS_COMPILED
from router.bench.rounds import machine

CASES = {
    module.NAME: module for module in (delivered, latency, stored, receive, fanout, far, growth, idle, start)
}
README = Path(__file__).with_name("README.md")
RESULTS = Path(__file__).with_name("results.json")
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def main() -> None:
    """Measure as the command line says."""
    options = arguments()
    console = Console(width=150, highlight=False)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in options.cases:
        console.rule(name)
        question = (CASES[name].__doc__ or "").split("\n\n")[0]
        console.print(f"[dim]{' '.join(question.split())}")
        cases = Options(options.rounds, options.duration, options.directory, console.print)
        rows = CASES[name].run(cases)
        console.print(table(name, rows))
        known[name] = {"machine": machine(), "at": time.strftime("%Y-%m-%d %H:%M"), **_kept(options, rows)}
    if options.json:
        options.json.write_text(json.dumps(known, indent=1) + "\n")
    if options.write_readme:
        RESULTS.write_text(json.dumps(known, indent=1) + "\n")
        README.write_text(with_results(README.read_text(), known))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--rounds", type=int, default=5, help="besides a first one that is not counted")
    parser.add_argument("--duration", type=float, default=3.0, help="seconds of sending in each measurement")
    parser.add_argument(
        "--directory", type=Path, default=Path(tempfile.gettempdir()), help="for spools; on a real disk"
    )
    parser.add_argument("--json", type=Path, help="write all known figures here")
    parser.add_argument("--write-readme", action="store_true", help="keep the figures, in README.md too")
    options = parser.parse_args()
    if not IS_COMPILED:
        parser.error("the load tool is not compiled; its own cost would be measured")
    return options


def _kept(options: argparse.Namespace, rows: list[Row]) -> dict[str, Any]:
    return {
        "rounds": options.rounds,
        "duration_s": options.duration,
        "rows": [{**asdict(row), "value_text": row.value_text, "bar_text": row.bar_text, "holds": row.holds}
                 for row in rows],
    }  # fmt: skip


def table(title: str, rows: list[Row]) -> Table:
    """Lay rows out beside their bars."""
    shown = Table(title=title)
    for column in ("", "today", "bar", "", "noise", "of which"):
        shown.add_column(column, justify="right" if column in {"today", "bar", "noise"} else "left")
    for row in rows:
        mark = {True: "[green]yes", False: "[red]no", None: ""}[row.holds]
        shown.add_row(row.what, row.value_text, row.bar_text, mark, f"{row.noise:.0%}", row.detail)
    return shown


def with_results(text: str, known: dict[str, Any]) -> str:
    """Put the figures between the marks of the page. Raises ValueError if there are none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README} has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{markdown(known)}\n{END}{after}"


def markdown(known: dict[str, Any]) -> str:
    """Lay the figures out as one table."""
    cases = [known[name] for name in CASES if name in known]
    where = cases[-1]["machine"]
    loads = [case["machine"]["load_1min"] for case in cases]
    lines = [
        f"{where['cpus']} cores ({where['model']}), {where['memory_gb']} GB, Linux {where['kernel']} (TCP: "
        f"{where['congestion_control']}), Python {where['python']}; sender, relay and sink share them. Load "
        f"average when each case ended: {min(loads):.1f} to {max(loads):.1f}. Medians over "
        f"{cases[0]['rounds']} paired rounds of {cases[0]['duration_s']:g} s; noise is the median absolute "
        "deviation over the median.",
        "",
        "| work | today | bar | reached | noise | of which |",
        "|---|--:|--:|---|--:|---|",
    ]
    for case in cases:
        for row in case["rows"]:
            mark = {True: "yes", False: "**no**", None: ""}[row["holds"]]
            cells = (
                row["what"],
                row["value_text"],
                row["bar_text"],
                mark,
                f"{row['noise']:.0%}",
                row["detail"],
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
