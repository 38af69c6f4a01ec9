"""Is a healthy destination slowed down by an ill one beside it? The same load, once alone, once with company.

Question: instances/s at the healthy sink while every instance is also owed to a destination that is dead,
slow, flapping, rejecting, busy, refusing, aborting, silent or takes no byte; as a share of its rate alone.
Method: each condition is measured in rounds of a pair, alone and with company, in turning order, each with a
router and a spool of its own; the share is the median of the pairs' ratios. The rate counts until the last
instance is at the healthy sink.
What would make it lie: other load on the machine (look at the spread of the pairs), and the ill peer's own
work, which has a machine of its own elsewhere: it runs at the lowest priority. A flapping one is a second
healthy one while it is well, so that a run shorter than its ups and downs shows how it happened to begin:
beside it a run lasts FLAPS_MIN of them at least, whatever the duration asked for.
Run as `python -m benchmarks.destinations --conditions dead silent --rounds 5 --duration 2`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.peers.process import HOST, free_port, peer_process
from benchmarks.peers.sick import FLAP_S, MANNERS
from router.bench.controls import ENVIRONMENT, SinkControl
from router.bench.measure import Measurement, measure
from router.bench.router_relay import RouterSetup, router_relay
from router.bench.work import Work

CONDITIONS = ("dead", *MANNERS)
BAR = 0.9
FLAPS_MIN = 4
TABLE = 'ae_title = "ILL"\nhost = "{host}"\nport = {port}\nassociations_max = 4'


def main() -> None:
    """Measure as the command line says; exit with 1 if a share is below the bar or an instance is missing."""
    options = arguments()
    console = Console(width=150)
    pairs: dict[str, list[tuple[Measurement, Measurement]]] = {name: [] for name in options.conditions}
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="destinations-") as directory:
        run = 0
        for round_number in range(options.rounds):
            for name in options.conditions:
                found: dict[str, Measurement] = {}
                order = ["", name] if round_number % 2 == 0 else [name, ""]
                for condition in order:
                    run += 1
                    seconds = duration_for(name, options.duration)
                    found[condition] = one(condition, run, Path(directory) / str(run), seconds, options)
                pairs[name].append((found[""], found[name]))
                console.print(
                    f"round {round_number} {name}: alone {found[''].line()}; beside {found[name].line()}",
                    highlight=False,
                )
    console.print(table(pairs, options))
    if options.json:
        options.json.write_text(
            json.dumps({name: [(a.rate, b.rate) for a, b in some] for name, some in pairs.items()}, indent=1)
        )
    bad = [name for name, some in pairs.items() if share(some) < BAR or any(b.faults() for _, b in some)]
    if bad:
        raise SystemExit(f"below the bar or with faults: {', '.join(bad)}")


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--conditions", nargs="+", default=list(CONDITIONS), choices=CONDITIONS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=float, default=2.0, help="seconds of sending in each measurement")
    parser.add_argument("--kind", default="small")
    parser.add_argument("--ack", default="stored", choices=("stored", "delivered"))
    parser.add_argument("--associations", type=int, default=4)
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--directory", type=Path, default=Path("/dev/shm"), help="for spools and logs")
    parser.add_argument("--json", type=Path, help="write the rates here")
    return parser.parse_args()


def duration_for(condition: str, seconds: float) -> float:
    """Return for how long to send, in seconds, alone and beside this condition."""
    return max(seconds, FLAPS_MIN * 2 * FLAP_S) if condition == "flapping" else seconds


def one(
    condition: str, run: int, directory: Path, seconds: float, options: argparse.Namespace
) -> Measurement:
    """Measure one router with a healthy sink, and beside it an ill destination unless condition is ""."""
    with ExitStack() as stack:
        work = Work(
            kind=(options.kind,),
            associations=options.associations,
            window=options.window,
            duration=seconds,
            called="ROUTER",
        )
        sink = stack.enter_context(SinkControl.start(work.kind_words(), directory))
        others = {}
        if condition:
            others["ILL"] = TABLE.format(host=HOST, port=stack.enter_context(ill(condition, directory)))
        setup = RouterSetup(options.ack, ram_disk=True, others=others)
        router = stack.enter_context(router_relay(setup, [sink.port], directory / "router"))
        return measure(router, [sink], work, run, directory)


@contextmanager
def ill(condition: str, directory: Path) -> Iterator[int]:
    """Run an ill destination; yield its port."""
    port = free_port()
    if condition == "dead":
        yield port
        return
    command = ["nice", "-n", "19", sys.executable, "-m", "benchmarks.peers.sick", condition, str(port)]
    with peer_process(condition, command, directory, environment=ENVIRONMENT) as peer:
        if condition != "flapping":
            peer.wait_listening(port)
        yield port


def share(pairs: list[tuple[Measurement, Measurement]]) -> float:
    """Return the median of what remains of the rate."""
    return statistics.median(beside.rate / alone.rate for alone, beside in pairs)


def table(pairs: dict[str, list[tuple[Measurement, Measurement]]], options: argparse.Namespace) -> Table:
    """Lay the shares out."""
    found = Table(
        title=f'{options.kind}, ack = "{options.ack}", {options.associations} associations, window '
        f"{options.window}, {options.rounds} rounds of {options.duration} s (flapping: "
        f"{duration_for('flapping', options.duration)} s); bar {BAR}"
    )
    for column in (
        "beside",
        "alone/s",
        "beside/s",
        "share",
        "lowest",
        "highest",
        "CPU us alone",
        "beside",
        "missing",
    ):
        found.add_column(column, justify="left" if column == "beside" else "right")
    for name, some in pairs.items():
        ratios = [beside.rate / alone.rate for alone, beside in some]
        found.add_row(
            name,
            f"{statistics.median(a.rate for a, _ in some):,.0f}",
            f"{statistics.median(b.rate for _, b in some):,.0f}",
            f"{share(some):.2f}",
            f"{min(ratios):.2f}",
            f"{max(ratios):.2f}",
            f"{statistics.median(a.cpu_us for a, _ in some):,.0f}",
            f"{statistics.median(b.cpu_us for _, b in some):,.0f}",
            str(sum(b.missing for _, b in some)),
        )
    return found


if __name__ == "__main__":
    main()
