"""Question: does an instance cost more when there are many associations, rules, destinations, or a long
queue?

Method: routers with `ack = "delivered"` and 2 kB objects in paired rounds, few beside many: 1 and 256
associations, 1 and 200 rules (of three conditions, none of which matches), 1 and 50 destinations (49 of
them idle), an empty spool and one in which a million instances wait for a destination that nothing is sent
to. CPU of the process tree per instance is compared. What would make it lie: 256 associations at a closed
loop batch better than one, which wakes up for every instance.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.cases.case import Options, Row, compare, cpus_text, ratio, work_of
from router.bench.process import HOST, PeerProcess
from router.bench.relays import Relay, by_router
from router.bench.router_relay import RouterSetup, router_relay
from router.spool.layout import worker_directory
from router.spool.ledger import Ledger, LedgerSettings
from router.spool.payload import PayloadStore
from router.spool.record import Entry, InstanceRecord
from router.spool.writer import SpoolWriter
from router.spool.writer_settings import WriterSettings

NAME = "growth"
BAR = 1.5
ASSOCIATIONS = 256
RULES = 200
DESTINATIONS = 50
BACKLOG = int(os.environ.get("GROWTH_BACKLOG", "1000000"))
MADE = os.environ.get("GROWTH_SPOOL", "")
"""A spool that was made before, by `python -m benchmarks.cases.growth FOLDER`: making one takes minutes."""
CHUNK = 10_000
WAITING = f'ae_title = "AWAY"\nhost = "{HOST}"\nport = 9\nretry_first_s = 3600\nretry_max_s = 3600'


def run(options: Options) -> list[Row]:
    """Measure each growth."""
    return [
        _associations(options),
        _pair("1 to 200 rules", RouterSetup(), RouterSetup(rules=RULES), options),
        _pair(
            "1 to 50 destinations", RouterSetup(), RouterSetup(idle_destinations=DESTINATIONS - 1), options
        ),
        _backlog(options),
    ]


def _pair(title: str, few: RouterSetup, many: RouterSetup, options: Options) -> Row:
    return _row(title, {"few": by_router(few), "many": by_router(many)}, options)


def _row(title: str, relays: dict[str, Relay], options: Options) -> Row:
    results = compare(relays, work_of("small", options), options)
    value, noise = ratio(results, "many", "few", "cpu_all_us")
    return Row(f"{title}, CPU per instance", value, "x", ("<=", BAR), noise, cpus_text(results))


def _associations(options: Options) -> Row:
    """Compare one association with many."""
    relays = {name: by_router(RouterSetup()) for name in ("few", "many")}
    few, many = (work_of("small", options, associations=count) for count in (1, ASSOCIATIONS))
    results = compare(relays, few, options, works={"many": many})
    value, noise = ratio(results, "many", "few", "cpu_all_us")
    detail = cpus_text(results)
    return Row("1 to 256 associations, CPU per instance", value, "x", ("<=", BAR), noise, detail)


def _backlog(options: Options) -> Row:
    """Compare an empty spool with one that holds a million entries."""

    @contextmanager
    def full(sink_ports: list[int], directory: Path) -> Iterator[PeerProcess]:
        spool = directory / "spool"
        began = time.monotonic()
        if MADE:
            shutil.copytree(MADE, spool)
        else:
            fill(spool, BACKLOG)
        options.say(f"  a spool of {BACKLOG:,} entries made in {time.monotonic() - began:.0f} s")
        with router_relay(_WITH_AWAY, sink_ports, directory) as peer:
            yield peer

    relays: dict[str, Relay] = {"few": by_router(_WITH_AWAY), "many": full}
    return _row(f"backlog 0 to {BACKLOG:,}", relays, options)


_WITH_AWAY = RouterSetup(idle_tables={"AWAY": WAITING})


def fill(spool: Path, count: int) -> None:
    """Make the spool of a worker that owes so many small instances to the destination AWAY."""
    directory = worker_directory(spool, 0)
    spool.mkdir(parents=True, exist_ok=True)
    directory.create()
    ledger = Ledger(directory.ledger, LedgerSettings(fsync=False))
    writer = SpoolWriter(directory, PayloadStore(directory), lambda: None, WriterSettings(fsync=False))
    data = [memoryview(bytes(64))]
    entries = []
    for number in range(1, count + 1):
        record = _record(number)
        seq, location = writer.append(record, data)
        entries.append(Entry(seq, record, location))
        if number % CHUNK == 0 or number == count:
            writer.sync_soon()
            writer.wait_durable(seq, 600)
            writer.take_durable()
            ledger.restore(entries)
            entries = []
    writer.close()
    ledger.close()


def _record(number: int) -> InstanceRecord:
    return InstanceRecord(
        "1.2.840.10008.5.1.4.1.1.7",
        f"2.25.7{number:012d}",
        "1.2.840.10008.1.2.1",
        f"2.25.8{number // 500}",
        "2.25.9",
        "MODALITY",
        "ROUTER",
        "192.0.2.1",
        "",
        time.time_ns(),
        ("AWAY",),
        "forward",
        ("away",),
    )


if __name__ == "__main__":
    fill(Path(sys.argv[1]), BACKLOG)
