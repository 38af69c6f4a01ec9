"""A worker's spool as a whole: opening, delivering, reclaiming, closing, a ledger that is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from router.errors import SpoolError
from router.spool.faults import SpoolFailed, SpoolFull
from router.spool.layout import WorkerDirectory, worker_directory
from router.spool.ledger import LedgerSettings
from router.spool.ledger_verify import suspect
from router.spool.record import Entry
from router.spool.spool import Spool, SpoolSettings, open_spool
from router.spool.states import DeliveryState, Mark
from router.spool.writer_settings import SEGMENT_BYTES_MIN, WriterSettings

from .spool_fixtures import DEADLINE_S, FaultyDisk, append, dataset_of

SETTINGS = SpoolSettings(WriterSettings(segment_bytes=SEGMENT_BYTES_MIN), LedgerSettings())


def opened(directory: WorkerDirectory) -> Spool:
    return open_spool(directory, lambda: None, SETTINGS)


def store(spool: Spool, numbers: range, length: int = 20_000) -> list[Entry]:
    entries = [append(spool.writer, number, length) for number in numbers]
    assert spool.writer.flush(DEADLINE_S)
    spool.writer.take_durable()
    spool.ledger.add(entries)
    return entries


def deliver(spool: Spool, entries: list[Entry]) -> None:
    spool.ledger.mark([Mark(entry.seq, "PACS", DeliveryState.DELIVERED, 1) for entry in entries])
    spool.ledger.make_durable()


@pytest.fixture
def directory(tmp_path: Path) -> WorkerDirectory:
    return worker_directory(tmp_path, 0)


def test_data_goes_only_after_all_of_a_segment_is_delivered(directory: WorkerDirectory) -> None:
    spool = opened(directory)
    entries = store(spool, range(40))
    by_segment = {n: [e for e in entries if e.location.segment == n] for n in directory.segment_numbers()}
    deliver(spool, by_segment[1][:-1] + by_segment[2])
    assert spool.reclaim() == 1
    assert 2 not in directory.segment_numbers()
    assert 1 in directory.segment_numbers()
    deliver(spool, by_segment[1])
    assert spool.reclaim() == 1
    left = [e for e in entries if e.location.segment > 2]
    assert all(
        b"".join(spool.payloads.open_payload(e.location)) == dataset_of(e.seq - 1, 20_000) for e in left
    )
    spool.close()
    spool.close()


def test_large_objects_go_before_their_segment(directory: WorkerDirectory) -> None:
    spool = opened(directory)
    entries = store(spool, range(2), 200_000)
    assert len(os.listdir(directory.large)) == 2
    assert spool.usage().used_bytes >= 400_000
    deliver(spool, entries[:1])
    assert spool.reclaim() == 1
    assert os.listdir(directory.large) == [entries[1].location.file]
    assert b"".join(spool.payloads.open_payload(entries[1].location)) == dataset_of(1, 200_000)
    spool.close()


def test_a_spool_goes_on_where_it_was(directory: WorkerDirectory) -> None:
    spool = opened(directory)
    entries = store(spool, range(5))
    deliver(spool, entries[:2])
    spool.close()
    again = opened(directory)
    assert [one.entry for one in again.ledger.due("PACS", 2**62, 10)] == entries[2:]
    assert again.report.entries_restored == 0
    more = store(again, range(5, 6))
    assert more[0].seq == 6
    deliver(again, entries[2:])
    assert again.reclaim() == 1
    again.close()


def test_a_damaged_ledger_is_set_aside_and_rebuilt_from_the_segments(directory: WorkerDirectory) -> None:
    spool = opened(directory)
    entries = store(spool, range(5))
    deliver(spool, entries[:2])
    spool.close()
    directory.ledger.write_bytes(b"this was a database once" * 1000)
    again = opened(directory)
    assert again.report.ledger_rebuilt
    assert [one.entry for one in again.ledger.due("PACS", 2**62, 10)] == entries
    assert any(name.startswith("ledger") for name in os.listdir(directory.quarantine))
    again.close()


@pytest.mark.parametrize("way", ["structure", "suspicion"])
def test_a_ledger_damaged_inside_is_made_anew_once(directory: WorkerDirectory, way: str) -> None:
    spool = opened(directory)
    entries = store(spool, range(300), 300)
    spool.close()
    if way == "structure":
        with open(directory.ledger, "r+b") as file:
            for page in range(2, directory.ledger.stat().st_size // 4096):
                file.seek(page * 4096)
                file.write(b"\xff" * 16)
    else:
        suspect(directory.ledger)
    again = opened(directory)
    assert again.report.ledger_rebuilt
    assert [one.entry for one in again.ledger.due("PACS", 2**62, 1000)] == entries
    again.close()
    again = opened(directory)
    assert not again.report.ledger_rebuilt
    again.close()


def test_a_name_that_cannot_be_made_durable_stops_the_volume(directory: WorkerDirectory) -> None:
    disk = FaultyDisk()
    spool = open_spool(directory, lambda: None, SETTINGS, disk)
    deliver(spool, store(spool, range(40)))
    disk.kind = "sync_folder"
    with pytest.raises(SpoolFailed):
        spool.reclaim()
    with pytest.raises(SpoolFailed):
        append(spool.writer, 41)
    with pytest.raises(SpoolFailed):
        spool.close()


def test_one_directory_has_one_owner(directory: WorkerDirectory) -> None:
    spool = opened(directory)
    with pytest.raises(SpoolError, match="in use"):
        opened(directory)
    spool.close()
    opened(directory).close()


def fill(spool: Spool, entries: list[Entry]) -> None:
    """Append until it is refused."""
    for number in range(1000):
        entries.append(append(spool.writer, number, 20_000))
        spool.writer.sync_soon()


@pytest.mark.root
def test_a_full_file_system_refuses_then_recovers_and_loses_nothing(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "mounting needs root"
    mount = tmp_path / "small"
    mount.mkdir()
    assert os.system(f"mount -t tmpfs -o size=3200k tmpfs {mount}") == 0
    try:
        spool = opened(worker_directory(mount, 0))
        entries: list[Entry] = []
        with pytest.raises(SpoolFull):
            fill(spool, entries)
        with pytest.raises(SpoolFull):
            append(spool.writer, 0, 2_000_000)
        assert not spool.writer.failed
        assert spool.writer.flush(DEADLINE_S)
        spool.ledger.add(entries)
        first = [e for e in entries if e.location.segment <= 3]
        deliver(spool, first)
        assert spool.reclaim() == 3
        more = store(spool, range(2000, 2010))
        spool.close()
        again = opened(worker_directory(mount, 0))
        assert [one.entry for one in again.ledger.due("PACS", 2**62, 10_000)] == entries[len(first) :] + more
        again.close()
    finally:
        assert os.system(f"umount {mount}") == 0
