"""A spool written in format version 1 is opened, delivered from and gone on with.

data/spool-v1.tar.gz is what a killed process of that version left: 22 instances that its ledger knows (the
first ten delivered to PACS, one dead and one waiting for AI, one large object, one held), and three more that
only the segment has.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from router.spool.layout import WorkerDirectory, worker_directory
from router.spool.ledger_schema import SCHEMA_VERSION
from router.spool.record import Entry
from router.spool.scan import SegmentScan
from router.spool.segment import NOWHERE, VERSION
from router.spool.spool import Spool, SpoolSettings, open_spool
from router.spool.states import DeliveryState, Selector
from router.spool.writer_settings import SEGMENT_BYTES_MIN, WriterSettings

from .spool_fixtures import DEADLINE_S, append, dataset_of, record_of

ARCHIVE = Path(__file__).parent / "data" / "spool-v1.tar.gz"
SETTINGS = SpoolSettings(WriterSettings(segment_bytes=SEGMENT_BYTES_MIN))
LENGTHS = {**dict.fromkeys(range(20), 20_000), 20: 70_000, **dict.fromkeys(range(21, 25), 304)}


@pytest.fixture
def directory(tmp_path: Path) -> WorkerDirectory:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return worker_directory(tmp_path, 0)


def opened(directory: WorkerDirectory) -> Spool:
    return open_spool(directory, lambda: None, SETTINGS)


def dataset_of_version_1(number: int) -> bytes:
    return b"%08d" % number * (LENGTHS[number] // 8)


def read(spool: Spool, entry: Entry) -> bytes:
    return b"".join(spool.payloads.open_payload(entry.location))


def owed(spool: Spool, destination: str) -> list[int]:
    """Return the numbers of the instances owed to a destination, every byte of them checked."""
    numbers = []
    for one in spool.ledger.due(destination, 2**62, 1000):
        number = one.seq - 1
        assert read(spool, one.entry) == dataset_of_version_1(number)
        assert one.entry.record == record_of(number, one.entry.record.destinations)
        numbers.append(number)
    return numbers


def test_the_archive_is_of_version_1_and_this_program_is_later(directory: WorkerDirectory) -> None:
    header = directory.segment_path(1).read_bytes()[:64]
    assert int.from_bytes(header[8:10], "little") == 1 < VERSION
    assert SCHEMA_VERSION >= 1


def test_everything_owed_is_owed_still_and_new_segments_are_of_this_version(
    directory: WorkerDirectory,
) -> None:
    spool = opened(directory)
    assert (spool.report.damages, spool.report.torn_records, spool.report.ledger_rebuilt) == ([], 0, False)
    assert spool.report.entries_restored == 3
    assert owed(spool, "PACS") == [*range(10, 21), 22, 23, 24]
    assert owed(spool, "AI") == [number for number in range(20) if number != 2]
    dead = spool.ledger.find(Selector(state=DeliveryState.DEAD))
    assert [(one.seq, one.mark.status, one.mark.attempts) for one in dead] == [(3, 0xA900, 3)]
    assert [one.seq for one in spool.ledger.find(Selector(state=DeliveryState.HELD))] == [22]
    entry = append(spool.writer, 100)
    assert entry.seq == 26
    assert spool.writer.flush(DEADLINE_S)
    spool.writer.take_durable()
    spool.ledger.add([entry])
    number = entry.location.segment
    assert int.from_bytes(directory.segment_path(number).read_bytes()[8:10], "little") == VERSION
    spool.close()
    again = opened(directory)
    assert read(again, entry) == dataset_of(100)
    assert [one.seq for one in again.ledger.due("PACS", 2**62, 100)][-1] == 26
    again.close()


def test_it_is_read_without_its_ledger_too(directory: WorkerDirectory) -> None:
    for path in directory.root.glob("ledger*"):
        path.unlink()
    spool = opened(directory)
    assert spool.report.damages == []
    assert owed(spool, "PACS") == [*range(21), 22, 23, 24]
    assert owed(spool, "AI") == [*range(20)]
    spool.close()


def test_version_1_says_nothing_of_the_segment_before(directory: WorkerDirectory) -> None:
    scan = SegmentScan(directory.segment_path(2), 2)
    assert len(list(scan)) > 5
    assert scan.header is not None
    assert (scan.header.version, scan.header.previous) == (1, NOWHERE)
