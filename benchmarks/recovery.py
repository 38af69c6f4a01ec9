"""Question: how long is a start that finds 100,000 instances in the spool?

Unit: seconds, from opening the worker's directory to being ready to append and deliver. Method: a spool is
filled once; then each case starts from a copy of it, `--rounds` times, with the files' pages dropped from the
cache where the system allows it (root). Cases: `known`, the ledger knows everything (a restart); `behind`, it
knows nothing since its last checkpoint (killed right after it was made); `lost`, it is not there.
What would make it lie: a warm page cache, small instances (`--bytes`), a disk faster than a hospital's.

`python -m benchmarks.recovery --items 100000 --bytes 2048 --rounds 3`
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from router.spool.layout import WorkerDirectory, worker_directory
from router.spool.record import Entry, InstanceRecord
from router.spool.spool import Spool, SpoolSettings, open_spool
from router.spool.writer_settings import WriterSettings

CASES = ("known", "behind", "lost")
GROUP = 200  # instances made durable together
AIM_S = 30.0
SETTINGS = SpoolSettings(WriterSettings(fsync=False))


def main() -> int:
    """Measure; return 0 if every case is within AIM_S for 100,000 items."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=2048, help="of one dataset")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--path", help="where to make the spool (default: the temporary directory)")
    arguments = parser.parse_args()
    is_within = True
    with tempfile.TemporaryDirectory(dir=arguments.path) as folder:
        for case in CASES:
            seconds = list(measure(Path(folder), case, arguments.items, arguments.bytes, arguments.rounds))
            median = statistics.median(seconds)
            rate = arguments.items / median
            is_within &= median * 100_000 / arguments.items <= AIM_S
            spread = (max(seconds) - min(seconds)) / 2
            print(f"{case:8} {median:7.2f} s +- {spread:.2f}   {rate:9,.0f} instances/s", flush=True)
    print(f"aim: {AIM_S:.0f} s for 100,000: {'met' if is_within else 'missed'}")
    return 0 if is_within else 1


def measure(folder: Path, case: str, items: int, length: int, rounds: int) -> Iterator[float]:
    """Yield the seconds of each start."""
    for number in range(rounds):
        directory = worker_directory(folder / f"{case}-{number}", 0)
        fill(directory, items, length, is_known=case == "known")
        if case == "lost":
            for path in directory.root.glob("ledger*"):
                path.unlink()
        drop_caches(directory)
        began = time.perf_counter()
        spool = open_spool(directory, lambda: None, SETTINGS)
        yield time.perf_counter() - began
        check(spool, items)
        spool.close()
        shutil.rmtree(directory.root.parent)


def fill(directory: WorkerDirectory, items: int, length: int, *, is_known: bool) -> None:
    """Fill a spool and leave it; is_known: with a ledger that has every entry."""
    spool = open_spool(directory, lambda: None, SETTINGS)
    dataset = os.urandom(length)
    entries: list[Entry] = []
    for number in range(items):
        record = record_of(number)
        seq, location = spool.writer.append(record, [dataset])
        entries.append(Entry(seq, record, location))
        if len(entries) == GROUP or number == items - 1:
            spool.writer.flush()
            spool.writer.take_durable()
            if is_known:
                spool.ledger.add(entries)
                spool.ledger.flush()
            entries = []
    spool.close()


def record_of(number: int) -> InstanceRecord:
    """Return facts of a usual size."""
    return InstanceRecord(
        "1.2.840.10008.5.1.4.1.1.2",
        f"1.2.826.0.1.3680043.8.498.123456789012345678.{number}",
        "1.2.840.10008.1.2.1",
        f"1.2.826.0.1.3680043.8.498.987654321098765432.{number // 500}",
        "1.2.826.0.1.3680043.8.498.5555555555",
        "MODALITY",
        "ROUTER",
        "192.0.2.1",
        "ct",
        time.time_ns(),
        ("PACS",),
        "forward",
        ("rule",),
    )


def check(spool: Spool, items: int) -> None:
    """Insist that everything was found."""
    owed = sum(tally.count for tally in spool.ledger.counts().values())
    if owed != items or spool.report.damages:
        raise RuntimeError(f"{owed} of {items} owed, damages: {spool.report.damages[:3]}")


def drop_caches(directory: WorkerDirectory) -> None:
    """Let the next start read from the disk."""
    for path in directory.root.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
