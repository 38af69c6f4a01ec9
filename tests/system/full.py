"""The full tier: every scenario as often as the proof asks for, and its table of results in README.md.

`python -m tests.system.full` takes hours; `--minutes 20` shares that time out among the scenarios, which then
run as often as it allows, and the table says how often that was. `--only WORD,WORD` runs the scenarios whose
name has one of the words in it. Runs add up: each goes on where the last one ended, with the seeds that come
next, until all is done; `--again` begins anew. Exit status 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.peers.process import PeerFailed, find_program
from router.crash_points import POINTS
from tests.support.mounts import why_no_mounts
from tests.system import scarce_resources
from tests.system.bad_network import bad_network, bent_bits
from tests.system.canaries import plant_canaries
from tests.system.crash_points import KILL, PAUSE, POWER, crash_at_points
from tests.system.floods import many_associations, unknown_flood
from tests.system.power_loss import lose_power_at_random
from tests.system.random_kills import kill_at_random
from tests.system.soak import soak
from tests.system.stand import BrokenPromise, Outcome, shorter
from tests.system.syscall_faults import CUT_SHORT, every_fault, fail_syscalls

README = Path(__file__).with_name("README.md")
FRONT_PAGE = Path(__file__).parents[2] / "README.md"
RESULTS = Path(__file__).with_name("results.json")
BEGIN, END = "<!-- results -->", "<!-- /results -->"
PROOF_BEGIN, PROOF_END = "<!-- proof -->", "<!-- /proof -->"
COUNTED = ("faults", "acknowledged", "delivered", "lost", "altered", "extra", "repeated")
FOREVER_S = 1e9
PAUSES_AT_ONCE = 4
NOTE_CHARS = 160
LEAST_S = 20.0
"""Less than this is not worth another run of a scenario."""

Run = Callable[[Path, int, int, float], Outcome]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row. run(directory, runs, seed, deadline_s) does up to `batch` of the `wanted` runs.

    share: of the time, where it is limited. needs: "mounts", or the program it cannot do without.
    """

    name: str
    wanted: int
    batch: int
    share: float
    run: Run
    needs: str = ""


def syscalls(directory: Path, runs: int, seed: int, deadline_s: float) -> Outcome:
    """Fail every kind of call at every N that the load reaches."""
    injected: set[tuple[str, str, str]] = set()
    return fail_syscalls(directory, every_fault(injected), deadline_s, injected)


def each_point(action: str) -> Run:
    """Carry out an action at one crash point after the other, from the `seed`-th on."""

    def run(directory: Path, runs: int, seed: int, deadline_s: float) -> Outcome:
        return crash_at_points(directory, action, list(POINTS)[seed - 1 : seed - 1 + runs])

    return run


def pause_at_points(directory: Path, runs: int, seed: int, deadline_s: float) -> Outcome:
    """Pause at several points at once, on a stand for each: nearly all of it is waiting."""
    points = list(POINTS)[seed - 1 : seed - 1 + runs]
    with ThreadPoolExecutor(PAUSES_AT_ONCE) as pool:
        outcomes = pool.map(lambda point: crash_at_points(directory / point, PAUSE, [point]), points)
        total, *others = list(outcomes)
    for outcome in others:
        total.join(outcome)
    return total


SCENARIOS = (
    Scenario("kill -9 at random", 1000, 100, 5, kill_at_random),
    Scenario("kill at crash points", len(POINTS), 11, 1, each_point(KILL)),
    Scenario("pause of 60 s at crash points", len(POINTS), PAUSES_AT_ONCE, 3, pause_at_points),
    Scenario("power loss at crash points", len(POINTS), 11, 1, each_point(POWER), "mounts"),
    Scenario(
        "power loss on ext4",
        300,
        50,
        4,
        lambda d, n, s, t: lose_power_at_random(d, n, s, "ext4", t),
        "mounts",
    ),
    Scenario(
        "power loss on XFS",
        100,
        25,
        3,
        lambda d, n, s, t: lose_power_at_random(d, n, s, "xfs", t),
        "mkfs.xfs",
    ),
    Scenario("the Nth system call fails", 1, 1, 4, syscalls, "strace"),
    Scenario("disk full", 3, 1, 0.5, lambda d, n, s, t: scarce_resources.disk_full(d), "mounts"),
    Scenario("thin disk full", 3, 1, 0.5, lambda d, n, s, t: scarce_resources.thin_disk_full(d), "mounts"),
    Scenario("disk turns read-only", 3, 1, 0.5, lambda d, n, s, t: scarce_resources.read_only(d), "mounts"),
    Scenario("disk of 10 and 200 ms", 3, 1, 0.5, lambda d, n, s, t: scarce_resources.slow_disk(d), "strace"),
    Scenario("no descriptors left", 3, 1, 0.5, lambda d, n, s, t: scarce_resources.few_descriptors(d)),
    Scenario("no memory left", 3, 1, 0.5, lambda d, n, s, t: scarce_resources.little_memory(d)),
    Scenario("clock jumps", 3, 1, 0.5, lambda d, n, s, t: scarce_resources.clock_jumps(d), "faketime"),
    Scenario("bad networks", 20, 1, 1.5, lambda d, n, s, t: bad_network(d, s, 30)),
    Scenario("bent bits", 5, 1, 0.5, lambda d, n, s, t: bent_bits(d, s, 15)),
    Scenario(
        "2000 associations with 50 active", 1, 1, 0.5, lambda d, n, s, t: many_associations(d, 2000, 50, 20)
    ),
    Scenario("flood of 1000 connections a second", 1, 1, 0.5, lambda d, n, s, t: unknown_flood(d, 1000, 30)),
    Scenario("soak", 200, 200, 3, lambda d, n, s, t: soak(d, n, 3, t)),
    Scenario("canaries", 1, 1, 0.5, lambda d, n, s, t: plant_canaries(d)),
)


def carry_out(scenario: Scenario, directory: Path, deadline_s: float, total: Outcome) -> str:
    """Run one scenario as often as wanted, or as the deadline lets; return what broke.

    total: the row so far, to which this is added.
    """
    end = time.monotonic() + deadline_s
    has_begun = False
    while total.done < scenario.wanted:
        began = time.monotonic()
        if has_begun and end - began < LEAST_S:
            break
        has_begun = True
        place = directory / f"{scenario.name.replace(' ', '-')}-{total.done}"
        place.mkdir(parents=True)
        runs = min(scenario.batch, scenario.wanted - total.done)
        try:
            outcome = scenario.run(place, runs, total.done + 1, max(LEAST_S, end - began))
        except (BrokenPromise, PeerFailed) as error:
            if isinstance(error, BrokenPromise) and error.outcome is not None:
                total.join(replace(error.outcome, seconds=0.0))
            total.seconds += time.monotonic() - began
            total.note = f"BROKEN: {str(error).splitlines()[0][:NOTE_CHARS]}"
            return f"{scenario.name} ({place}): {error}"
        shutil.rmtree(place)
        total.join(replace(outcome, seconds=time.monotonic() - began))
        if CUT_SHORT in outcome.note:
            break
        total.done += max(1, outcome.runs) if scenario.batch > 1 else 1
    return ""


def missing(scenario: Scenario) -> str:
    """Return what a scenario needs and this machine does not have."""
    if scenario.needs == "mounts" or scenario.needs.startswith("mkfs"):
        reason = why_no_mounts()
        if reason or scenario.needs == "mounts":
            return reason
    return "" if not scenario.needs or find_program(scenario.needs) else f"{scenario.needs} is not installed"


def table(rows: Iterable[Outcome]) -> str:
    """Write the rows as a table. acknowledged, delivered: instances times destinations."""
    lines = [
        f"| scenario | done | {' | '.join(COUNTED)} | minutes | |",
        f"|---|{'--:|' * (2 + len(COUNTED))}---|",
    ]
    for row in rows:
        wanted = next(scenario.wanted for scenario in SCENARIOS if scenario.name == row.scenario)
        done = "a part" if CUT_SHORT in row.note else f"{row.done:,} of {wanted:,}"
        seeds = f"seeds {', '.join(map(str, row.seeds))}" if row.seeds else ""
        notes = "; ".join(filter(None, (row.note, shorter(row.counts), seeds)))
        counts = (row.runs, row.acknowledged, row.delivered, row.lost, row.altered, row.extra, row.repeated)
        figures = " | ".join(f"{count:,}" for count in counts)
        lines.append(f"| {row.scenario} | {done} | {figures} | {row.seconds / 60:.1f} | {notes} |")
    return "\n".join(lines)


PROVEN = (
    ("processes killed by `kill -9`", ("kill -9 at random", "kill at crash points")),
    (
        "power losses, on ext4 and XFS",
        ("power loss on ext4", "power loss on XFS", "power loss at crash points"),
    ),
    ("processes that stood still for 60 s", ("pause of 60 s at crash points",)),
    (
        "disks that were full, thin, read-only or slow; system calls that failed",
        (
            "disk full",
            "thin disk full",
            "disk turns read-only",
            "disk of 10 and 200 ms",
            "the Nth system call fails",
        ),
    ),
    (
        "descriptors or memory gone; clocks that jumped",
        ("no descriptors left", "no memory left", "clock jumps"),
    ),
    ("connections cut, slowed, corrupted", ("bad networks", "bent bits")),
)
"""Lines of the front page: which scenarios each of them adds up."""


def front_table(known: dict[str, Outcome]) -> str:
    """Write what was done to a running router, and what became of what it had acknowledged."""
    lines = ["| done to a running router | times | acknowledged | lost or altered |", "|---|--:|--:|--:|"]
    for text, names in PROVEN:
        total = Outcome(text)
        for name in names:
            total.join(known.get(name, Outcome(name)))
        if total.runs:
            lines.append(
                f"| {text} | {total.runs:,} | {total.acknowledged:,} | {total.lost + total.altered:,} |"
            )
    return "\n".join(lines)


def results() -> dict[str, Outcome]:
    """Return the rows of the runs so far, by scenario."""
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    return {row["scenario"]: Outcome(**row) for row in rows}


def write_results(row: Outcome) -> None:
    """Keep a row in place of the one before, and put the table into README.md."""
    known = {**results(), row.scenario: row}
    order = [scenario.name for scenario in SCENARIOS]
    kept = [known[name] for name in order if name in known]
    RESULTS.write_text(json.dumps([asdict(row) for row in kept], indent=1) + "\n")
    _replace(README, BEGIN, END, table(kept))
    _replace(FRONT_PAGE, PROOF_BEGIN, PROOF_END, front_table(known))


def _replace(page: Path, begin: str, end: str, text: str) -> None:
    """Put text between two marks of a page."""
    before, rest = page.read_text().split(begin)
    page.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}")


def main() -> int:
    """Run as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=0.0, help="for all of it; 0: as long as it takes")
    parser.add_argument(
        "--only", default="", help="words: scenarios whose name has one of them, joined by commas"
    )
    parser.add_argument("--again", action="store_true", help="forget the results of these so far")
    options = parser.parse_args()
    words = options.only.split(",")
    chosen = [scenario for scenario in SCENARIOS if any(word in scenario.name for word in words)]
    directory = Path(tempfile.mkdtemp(prefix="router-proof-"))
    broken = []
    end = time.monotonic() + options.minutes * 60
    for number, scenario in enumerate(chosen):
        reason = missing(scenario)
        if reason:
            print(f"{scenario.name}: not run, {reason}", flush=True)
            continue
        shares = sum(one.share for one in chosen[number:])
        deadline_s = (end - time.monotonic()) * scenario.share / shares if options.minutes else FOREVER_S
        row = Outcome(scenario.name) if options.again else results().get(scenario.name)
        row = row or Outcome(scenario.name)
        why = carry_out(scenario, directory, deadline_s, row)
        print(row, flush=True)
        if why:
            broken.append(why)
            print(f"BROKEN: {why}", flush=True)
        write_results(row)
    if not broken:
        shutil.rmtree(directory)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
