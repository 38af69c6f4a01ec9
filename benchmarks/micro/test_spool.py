"""Question: what does keeping one instance cost, how many a second at a slow disk, how long is a start?

Unit: time per call for single steps; for streams instances per second, in `extra_info`. Method:
pytest-benchmark on a spool below SPOOL_BENCH_PATH (default: the temporary directory; set it to /dev/shm for
a RAM disk). The slow disks are the real one plus an injected wait in each sync; several producers are
simulated by how many instances may be undurable at once (one association has one, 200 associations have 200).
What would make it lie: a disk whose fdatasync does nothing (a RAM disk), a page cache too small for the
run, a busy neighbour on the second core (the sync and ledger threads need one).
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crc32c import crc32c

from router.spool.disk import Disk
from router.spool.layout import WorkerDirectory
from router.spool.ledger import Ledger, LedgerSettings
from router.spool.payload import PayloadStore
from router.spool.record import Entry, InstanceRecord, Location
from router.spool.recover import recover
from router.spool.states import DeliveryState, Mark, Selector
from router.spool.writer import SpoolWriter
from router.spool.writer_settings import WriterSettings

SMALL_BYTES = 2048
CT_BYTES = 526 * 1024
SLOT_BYTES = 256 * 1024
BACKLOG = 1_000_000
RECORDS = 100_000


@pytest.fixture
def directory() -> Iterator[WorkerDirectory]:
    with tempfile.TemporaryDirectory(dir=os.environ.get("SPOOL_BENCH_PATH")) as path:
        directory = WorkerDirectory(Path(path) / "worker-0")
        directory.create()
        yield directory


def record_of(number: int, destinations: tuple[str, ...] = ("PACS",)) -> InstanceRecord:
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
        destinations,
        "forward",
        ("rule",),
    )


def buffers_of(length: int) -> list[memoryview]:
    """Return a dataset as a chain of slots would give it."""
    data = memoryview(os.urandom(length))
    return [data[start : start + SLOT_BYTES] for start in range(0, length, SLOT_BYTES)]


@pytest.fixture(params=["lane", "general"])
def told(request: pytest.FixtureRequest, directory: WorkerDirectory) -> Iterator[tuple[SpoolWriter, int]]:
    """A writer that syncs by its lane, or on the general way, and the eventfd that it rings."""
    bell = os.eventfd(0, os.EFD_CLOEXEC)
    store, settings, lane = PayloadStore(directory), WriterSettings(), request.param == "lane"
    writer = SpoolWriter(
        directory, store, lambda: os.eventfd_write(bell, 1), settings, bell=bell if lane else None
    )
    yield writer, bell
    writer.close()
    os.close(bell)


@pytest.mark.parametrize("owner", ["waits", "is_busy"])
def test_one_group_until_its_owner_is_told(benchmark: Any, told: tuple[SpoolWriter, int], owner: str) -> None:
    writer, bell = told
    record, buffers, waits = record_of(1), buffers_of(SMALL_BYTES), owner == "waits"

    def commit() -> None:
        seq, _ = writer.append(record, buffers)
        writer.sync_soon()
        while writer.durable_seq < seq:
            if waits:
                os.eventfd_read(bell)
        writer.take_durable()

    benchmark.pedantic(commit, rounds=200, warmup_rounds=20)


def writer_at(directory: WorkerDirectory, wait_s: float = 0.0, *, fsync: bool = True) -> SpoolWriter:
    def sync(descriptor: int) -> None:
        os.fdatasync(descriptor)
        if wait_s:
            time.sleep(wait_s)

    settings = WriterSettings(fsync=fsync)
    return SpoolWriter(directory, PayloadStore(directory), lambda: None, settings, disk=Disk(sync))


@pytest.mark.parametrize("length", [SMALL_BYTES, CT_BYTES])
def test_checksum(benchmark: Any, length: int) -> None:
    data = memoryview(os.urandom(length))
    benchmark(lambda: crc32c(data))


@pytest.mark.parametrize("length", [SMALL_BYTES, CT_BYTES])
def test_append_one_instance_without_syncs(benchmark: Any, directory: WorkerDirectory, length: int) -> None:
    writer = writer_at(directory, fsync=False)
    record, buffers = record_of(1), buffers_of(length)
    benchmark.pedantic(writer.append, (record, buffers), rounds=1000, warmup_rounds=50)
    writer.sync_soon()
    writer.close()


@pytest.mark.parametrize("undurable_max", [1, 16, 200])
@pytest.mark.parametrize("wait_ms", [0.0, 0.2, 2.0, 10.0, 20.0])
def test_stream_of_small_instances_until_durable(
    benchmark: Any, directory: WorkerDirectory, wait_ms: float, undurable_max: int
) -> None:
    writer = writer_at(directory, wait_ms / 1000)
    record, buffers = record_of(1), buffers_of(SMALL_BYTES)
    count = min(2000, max(20, int(undurable_max * 400 / (wait_ms + 0.5))))

    def stream() -> None:
        for _ in range(count):
            seq, _ = writer.append(record, buffers)
            writer.sync_soon()
            assert writer.wait_durable(seq - undurable_max + 1, 60)
            writer.take_durable()
        assert writer.wait_durable(writer.appended_seq, 60)

    benchmark.pedantic(stream, rounds=3, warmup_rounds=1)
    benchmark.extra_info["instances_per_s"] = round(count / benchmark.stats["min"])
    benchmark.extra_info["instances_per_group"] = round(writer.appended_seq / writer.groups, 1)
    writer.close()


def test_stream_of_ct_images_until_durable(benchmark: Any, directory: WorkerDirectory) -> None:
    writer = writer_at(directory)
    record, buffers = record_of(1), buffers_of(CT_BYTES)

    def stream() -> None:
        for _ in range(200):
            seq, _ = writer.append(record, buffers)
            writer.sync_soon()
            assert writer.wait_durable(seq - 32, 60)
            writer.take_durable()
        assert writer.wait_durable(writer.appended_seq, 60)

    benchmark.pedantic(stream, rounds=5, warmup_rounds=1)
    benchmark.extra_info["instances_per_s"] = round(200 / benchmark.stats["min"])
    writer.close()


def entries_from(first: int, count: int, destinations: tuple[str, ...] = ("PACS",)) -> list[Entry]:
    return [
        Entry(seq, record_of(seq, destinations), Location(seq // 20_000 + 1, seq * 64, SMALL_BYTES, 1))
        for seq in range(first, first + count)
    ]


@pytest.mark.parametrize("is_quick", [True, False], ids=["delivered-at-once", "delivered-later"])
def test_ledger_from_add_to_delivered(benchmark: Any, directory: WorkerDirectory, is_quick: bool) -> None:
    ledger = Ledger(directory.ledger)
    count = 2000

    def setup() -> tuple[tuple[list[Entry]], dict[str, object]]:
        return (entries_from(ledger.last_seq + 1, count),), {}

    def once(entries: list[Entry]) -> None:
        ledger.add(entries)
        if not is_quick:
            ledger.flush()
        ledger.mark([Mark(entry.seq, "PACS", DeliveryState.DELIVERED, 1) for entry in entries])
        ledger.flush()

    benchmark.pedantic(once, setup=setup, rounds=10, warmup_rounds=1)
    benchmark.extra_info["instances_per_s"] = round(count / benchmark.stats["min"])
    ledger.close()


@pytest.fixture(scope="module")
def backlog() -> Iterator[Ledger]:
    """A ledger with a million deliveries owed."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("SPOOL_BENCH_PATH")) as path:
        ledger = Ledger(Path(path) / "ledger.sqlite", LedgerSettings(fsync=False))
        for first in range(1, BACKLOG, 10_000):
            ledger.restore(entries_from(first, 10_000))
        yield ledger
        ledger.close()


def _question(ledger: Ledger, name: str) -> Callable[[], object]:
    study = Selector(study_uid=record_of(BACKLOG // 2).study_uid)
    questions: dict[str, Callable[[], object]] = {
        "due-256-oldest": lambda: ledger.due("PACS", 2**62, 256),
        "due-256-in-the-middle": lambda: ledger.due("PACS", 2**62, 256, BACKLOG // 2),
        "counts": ledger.counts,
        "oldest": lambda: ledger.oldest("PACS"),
        "next-due": lambda: ledger.next_due_ns("PACS"),
        "find-a-study": lambda: ledger.find(study, 500),
        "find-a-page-by-state": lambda: ledger.find(Selector(state=DeliveryState.DEAD), 100),
    }
    return questions[name]


@pytest.mark.parametrize(
    "name",
    [
        "due-256-oldest", "due-256-in-the-middle", "counts", "oldest", "next-due", "find-a-study",
        "find-a-page-by-state",
    ],
)  # fmt: skip
def test_questions_with_a_million_owed(benchmark: Any, backlog: Ledger, name: str) -> None:
    benchmark(_question(backlog, name))


@pytest.mark.parametrize("has_ledger", [True, False], ids=["ledger-behind", "ledger-lost"])
def test_recovery_of_100000_records(benchmark: Any, directory: WorkerDirectory, has_ledger: bool) -> None:
    writer = writer_at(directory, fsync=False)
    buffers = buffers_of(SMALL_BYTES)
    for number in range(RECORDS):
        writer.append(record_of(number), buffers)
        if number % 100 == 0:
            writer.sync_soon()
            writer.take_durable()
    writer.close()
    if has_ledger:
        Ledger(directory.ledger).close()

    def setup() -> None:
        for path in directory.root.glob("ledger*"):
            path.unlink()

    def once() -> None:
        ledger = Ledger(directory.ledger)
        report = recover(directory, ledger, PayloadStore(directory), rebuilt=not has_ledger)
        assert report.entries_restored == RECORDS
        ledger.close()

    benchmark.pedantic(once, setup=setup, rounds=2)
