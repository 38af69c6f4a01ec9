"""Question: has one of the hot functions become slower than the baseline in the repository says?

Unit: time of a call as a multiple of a calibration loop's, which runs right before and after it
(conftest.py): so a baseline holds, roughly, on a faster or busier machine too. Method: the hot benchmarks
run several times; of each run the fastest round counts, of the runs the median; noise is the largest
deviation of a run from that median. It fails if a figure exceeds the baseline's by more than twice the
noise (the larger of both, at least NOISE_LEAST). What would make it lie: another kind of processor (save a
baseline there), and a neighbour that takes the caches in only one of two runs. Run as `python -m
benchmarks.micro.compare`, with `--save` to make the baseline anew (`.ci/run bench-compare`).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from router.bench.rounds import machine

FOLDER = Path(__file__).parent
BASELINE = FOLDER / "baseline.json"
HOT = "not stream and not questions and not recovery and not two_processes and not checksum"
NOISE_LEAST = 0.10
RAM_DISK = "/dev/shm"  # a real disk's moods would hide what the functions cost
TWIN_LEAST = 2.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One benchmark. calls: its time as a multiple of the calibration loop's; noise: relative."""

    calls: float
    noise: float
    microseconds: float


def main() -> None:
    """Compare or save as the command line says; exit with 1 if something became slower."""
    options = arguments()
    console = Console(width=140, highlight=False)
    runs = []
    for number in range(options.runs):
        console.print(f"[dim]run {number + 1} of {options.runs}")
        runs.append(run_once(options.only))
    figures = {name: figure([run[name] for run in runs if name in run]) for name in runs[0]}
    console.print(twins(figures))
    if options.save:
        kept = {name: vars_of(one) for name, one in sorted(figures.items())}
        before = json.loads(BASELINE.read_text())["figures"] if options.only else {}
        kept = dict(sorted({**before, **kept}.items()))
        BASELINE.write_text(json.dumps({"machine": machine(), "figures": kept}, indent=1) + "\n")
        console.print(f"saved {len(kept)} figures")
        return
    baseline = {name: Figure(**one) for name, one in json.loads(BASELINE.read_text())["figures"].items()}
    console.print(compared(figures, baseline))
    slower = [name for name, one in figures.items() if name in baseline and is_slower(one, baseline[name])]
    if slower:
        raise SystemExit(f"slower than the baseline beyond twice the noise: {', '.join(slower)}")


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--save", action="store_true", help="make the baseline from this run")
    parser.add_argument("--only", default="", help="a pytest -k expression")
    return parser.parse_args()


def run_once(only: str) -> dict[str, tuple[float, float]]:
    """Run the hot benchmarks; return (multiple of the calibration loop, microseconds) by name."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "found.json"
        command = [
            sys.executable,
            "-m",
            "pytest",
            str(FOLDER),
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
        ]
        command += [
            "-k",
            f"({HOT}) and ({only})" if only else HOT,
            "--benchmark-only",
            "--benchmark-disable-gc",
        ]
        command += ["--benchmark-max-time=0.15", "--benchmark-min-rounds=5", f"--benchmark-json={path}"]
        environment = {**os.environ, "SPOOL_BENCH_PATH": RAM_DISK} if Path(RAM_DISK).is_dir() else None
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode != 0:
            raise SystemExit(f"the benchmarks failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
        found: list[dict[str, Any]] = json.loads(path.read_text())["benchmarks"]
    return {
        one["name"]: (one["stats"]["min"] / one["extra_info"]["calibration_s"], one["stats"]["min"] * 1e6)
        for one in found
    }


def figure(runs: list[tuple[float, float]]) -> Figure:
    """Return the median of the runs and their largest deviation from it."""
    calls = [one for one, _ in runs]
    middle = statistics.median(calls)
    noise = max(abs(one - middle) for one in calls) / middle
    return Figure(middle, noise, statistics.median(us for _, us in runs))


def is_slower(new: Figure, old: Figure) -> bool:
    """Tell whether the new figure exceeds the old one by more than twice the noise."""
    return new.calls / old.calls > 1 + 2 * allowed(new, old)


def allowed(new: Figure, old: Figure) -> float:
    """Return the noise that counts."""
    return max(new.noise, old.noise, NOISE_LEAST)


def compared(figures: dict[str, Figure], baseline: dict[str, Figure]) -> Table:
    """Lay figures out beside the baseline."""
    table = Table(title="against the baseline, normalised by the calibration loop")
    for column in ("benchmark", "us now", "us then", "new/old", "limit", ""):
        table.add_column(column, justify="left" if column in {"benchmark", ""} else "right")
    for name, one in figures.items():
        old = baseline.get(name)
        if old is None:
            table.add_row(escape(name), f"{one.microseconds:,.2f}", "-", "-", "-", "new")
            continue
        verdict = "[red]slower" if is_slower(one, old) else ""
        limit = f"{1 + 2 * allowed(one, old):.2f}"
        ratio = f"{one.calls / old.calls:.2f}"
        table.add_row(
            escape(name), f"{one.microseconds:,.2f}", f"{old.microseconds:,.2f}", ratio, limit, verdict
        )
    return table


def twins(figures: dict[str, Figure]) -> Table:
    """Lay the compiled functions out beside their twins: they stay while they are twice as fast."""
    table = Table(title=f"compiled beside its twin; it stays while it is {TWIN_LEAST:g} times as fast")
    for column in ("benchmark", "compiled us", "twin us", "times", ""):
        table.add_column(column, justify="left" if column in {"benchmark", ""} else "right")
    for name, one in figures.items():
        twin = figures.get(name.replace("compiled", "twin"))
        if "compiled" in name and twin is not None:
            times = twin.calls / one.calls
            mark = "" if times >= TWIN_LEAST else "[red]too little"
            cells = (f"{one.microseconds:,.2f}", f"{twin.microseconds:,.2f}", f"{times:.1f}", mark)
            table.add_row(escape(name), *cells)
    return table


def vars_of(one: Figure) -> dict[str, float]:
    """Return a figure for JSON, with as many digits as mean something."""
    return {
        "calls": float(f"{one.calls:.4g}"),
        "noise": round(one.noise, 3),
        "microseconds": float(f"{one.microseconds:.4g}"),
    }


if __name__ == "__main__":
    main()
