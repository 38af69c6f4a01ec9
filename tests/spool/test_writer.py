"""Appending, group commit, rotation and every way a disk can fail in between."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from router.errors import SpoolError
from router.spool.disk import Buffer, Disk
from router.spool.faults import SpoolFailed
from router.spool.payload import PayloadStore
from router.spool.recycled import RecycledSegments
from router.spool.scan import SegmentScan, Sound
from router.spool.segment import HEADER_BYTES
from router.spool.segment_file import FILL_AHEAD_BYTES
from router.spool.writer_settings import SEGMENT_BYTES_MIN, WriterSettings

from .spool_fixtures import (
    DEADLINE_S,
    SMALL,
    append,
    dataset_of,
    directory_at,
    record_of,
    recovered,
    spilled,
    waiting,
    writer_at,
)


class HeldSync:
    """A sync that blocks until it is let go, one at a time; the first, of the segment's zeros, does not."""

    def __init__(self) -> None:
        self.is_first = True
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.count = 0

    def __call__(self, descriptor: int) -> None:
        if self.is_first:
            self.is_first = False
            return
        self.count += 1
        self.begun.release()
        assert self.go.acquire(timeout=DEADLINE_S)
        os.fdatasync(descriptor)


@pytest.mark.parametrize("lengths", [(), (0,), (1,), (300,), (7, 0, 4096, 1), (1,) * 2500])
def test_a_dataset_of_any_number_of_parts_is_read_back(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    directory = directory_at(tmp_path)
    store = PayloadStore(directory)
    writer = writer_at(directory, store)
    parts = [memoryview(dataset_of(n, length)) for n, length in enumerate(lengths)]
    seq, location = writer.append(record_of(1), parts)
    assert writer.flush(DEADLINE_S)
    assert (seq, writer.take_durable()) == (1, 1)
    assert location.length == sum(lengths)
    assert b"".join(store.open_payload(location)) == b"".join(parts)
    writer.close()


def test_nothing_is_durable_before_its_sync_has_returned(tmp_path: Path) -> None:
    sync = HeldSync()
    writer = writer_at(directory_at(tmp_path), settings=SMALL, disk=Disk(sync))
    append(writer, 1)
    assert writer.take_durable() == 0
    writer.sync_soon()
    waiting(sync.begun)
    append(writer, 2)
    assert writer.take_durable() == 0
    sync.go.release()
    assert writer.wait_durable(1, DEADLINE_S)
    assert writer.take_durable() == 1
    sync.go.release(10)
    writer.close()


def test_what_arrives_during_a_sync_shares_the_next_one(tmp_path: Path) -> None:
    sync = HeldSync()
    notified = threading.Semaphore(0)
    seen: list[int] = []

    def notify() -> None:
        seen.append(writer._durable[0])
        notified.release()

    writer = writer_at(directory_at(tmp_path), settings=SMALL, disk=Disk(sync), notify=notify)
    append(writer, 0)
    writer.sync_soon()
    waiting(sync.begun)
    for number in range(1, 101):
        append(writer, number)
        writer.sync_soon()
    sync.go.release(2)
    waiting(notified)
    waiting(notified)
    assert seen == [1, 101]
    assert sync.count == 2
    assert writer.groups == 3
    sync.go.release(10)
    writer.close()


class StrictDisk(Disk):
    """Knows which stretch of each file was synced; nothing but that may be relied upon."""

    def __init__(self) -> None:
        super().__init__()
        self.zeroed: dict[int, int] = {}
        self.synced: dict[int, int] = {}
        self.fills = 0

    def create(self, path: Path) -> int:
        descriptor = super().create(path)
        self.zeroed[descriptor] = self.synced[descriptor] = HEADER_BYTES
        return descriptor

    def reopen(self, path: Path) -> int:
        descriptor = super().reopen(path)
        self.zeroed[descriptor] = self.synced[descriptor] = os.fstat(descriptor).st_size
        return descriptor

    def fill(self, descriptor: int, start: int, end: int) -> None:
        assert start == self.zeroed[descriptor]
        super().fill(descriptor, start, end)
        self.zeroed[descriptor] = end
        self.fills += 1

    def sync(self, descriptor: int) -> None:
        zeroed = self.zeroed[descriptor]
        super().sync(descriptor)
        self.synced[descriptor] = zeroed

    def write(self, descriptor: int, buffers: Sequence[Buffer], length: int, offset: int) -> None:
        assert offset + length <= self.synced[descriptor]
        super().write(descriptor, buffers, length, offset)


@pytest.mark.parametrize("ahead", [FILL_AHEAD_BYTES, 10_000])
def test_records_are_written_only_where_zeros_have_been_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    monkeypatch.setattr("router.spool.segment_file.FILL_AHEAD_BYTES", ahead)
    directory, disk = directory_at(tmp_path), StrictDisk()
    recycled = RecycledSegments(directory, disk)
    writer = writer_at(directory, settings=SMALL, disk=disk, recycled=recycled)
    for number in range(60):
        append(writer, number, 20_000)
        if number % 7 == 0:
            writer.sync_soon()
            writer.take_durable()
        if number == 20:
            assert writer.flush(DEADLINE_S)
            recycled.keep(directory.segment_path(1))
            recycled.settle()
    writer.close()
    assert disk.fills >= (8 if ahead == 10_000 else 3)
    found, report, _ = recovered(directory)
    assert set(found) >= {f"1.2.3.{number}" for number in range(21, 60)}
    assert report.torn_records == 0


def test_segments_rotate_and_close_at_their_used_length(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    store = PayloadStore(directory)
    writer = writer_at(directory, store, settings=SMALL)
    entries = [append(writer, number, 20_000) for number in range(40)]
    assert writer.flush(DEADLINE_S)
    closed = store.closed_segments()
    assert [segment.number for segment in closed] == sorted({e.location.segment for e in entries})[:-1]
    for segment in closed:
        assert (
            directory.segment_path(segment.number).stat().st_size == segment.size_bytes <= SEGMENT_BYTES_MIN
        )
        last = max(entry.seq for entry in entries if entry.location.segment == segment.number)
        assert segment.last_seq == last
    assert all(
        b"".join(store.open_payload(entry.location)) == dataset_of(number, 20_000)
        for number, entry in enumerate(entries)
    )
    numbers = [entry.location.segment for entry in entries]
    assert numbers == sorted(numbers)
    writer.close()


class SlowSpareDisk(Disk):
    """Holds the making of a segment on the commit's thread until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def allocate(self, descriptor: int, length: int, start: int = 0) -> None:
        if threading.current_thread().name == "spool-sync":
            self.begun.release()
            waiting(self.go)
        super().allocate(descriptor, length, start)


def test_segments_are_used_in_order_when_both_threads_make_one(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    disk = SlowSpareDisk()
    writer = writer_at(directory, settings=SMALL, disk=disk)
    entries = [append(writer, number, 30_000) for number in range(7)]
    writer.sync_soon()
    waiting(disk.begun)
    owner = threading.Thread(target=lambda: entries.extend(append(writer, n, 30_000) for n in range(7, 40)))
    owner.start()
    disk.go.release(100)
    owner.join(DEADLINE_S)
    assert len(entries) == 40
    writer.close()
    numbers = [entry.location.segment for entry in entries]
    assert numbers == sorted(numbers)
    assert set(directory.segment_numbers()) == set(numbers)


def test_a_marker_follows_every_commit_that_was_taken(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    writer = writer_at(directory, settings=WriterSettings(SEGMENT_BYTES_MIN))
    for number in range(3):
        append(writer, number)
        assert writer.flush()
        writer.take_durable()
    writer.close()
    markers = [
        f.marker for f in SegmentScan(directory.segment_path(1), 1) if isinstance(f, Sound) and f.marker
    ]
    assert [marker.seq for marker in markers] == [1, 2, 3]
    assert markers[2].previous.offset > markers[1].previous.offset > markers[0].previous.offset == 0


def test_an_idle_spool_syncs_its_last_marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.spool.group_commit.IDLE_S", 0.01)
    sync = HeldSync()
    writer = writer_at(directory_at(tmp_path), settings=SMALL, disk=Disk(sync))
    append(writer, 1)
    sync.go.release()
    assert writer.flush(DEADLINE_S)
    waiting(sync.begun)
    writer.take_durable()
    waiting(sync.begun)  # nobody asked for it
    sync.go.release(10)
    writer.close()


def test_a_large_object_gets_its_final_name_only_when_it_is_durable(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    store = PayloadStore(directory)
    sync = HeldSync()
    writer = writer_at(directory, store, settings=SMALL, disk=Disk(sync))
    data = dataset_of(1, 3 << 20)
    _, location = writer.append(record_of(1), [data[:1000], data[1000:]])
    assert location.file == "0000000000000001.dcmds"
    assert os.listdir(directory.large) == ["0000000000000001.dcmds.tmp"]
    writer.sync_soon()
    waiting(sync.begun)
    assert os.listdir(directory.large) == ["0000000000000001.dcmds.tmp"]
    sync.go.release(10)
    assert writer.wait_durable(1, DEADLINE_S)
    assert os.listdir(directory.large) == [location.file]
    assert b"".join(store.open_payload(location)) == data
    assert max(len(chunk) for chunk in store.open_payload(location)) == 1 << 20
    writer.close()


def test_a_spilled_object_is_adopted_and_leaves_incoming_when_durable(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    store = PayloadStore(directory)
    writer = writer_at(directory, store, settings=SMALL)
    data = dataset_of(1, 100_000)
    path = spilled(tmp_path, data)
    _, location = writer.adopt_file(record_of(1), path, len(data))
    assert path.exists()
    assert writer.flush(DEADLINE_S)
    writer.close()
    assert not path.exists()
    assert location.crc is None
    assert b"".join(store.open_payload(location)) == data
    assert recovered(directory)[0] == {"1.2.3.1": data}


@pytest.mark.parametrize("length", [99, 101])
def test_a_spilled_object_of_another_length_is_refused(tmp_path: Path, length: int) -> None:
    directory = directory_at(tmp_path)
    writer = writer_at(directory)
    with pytest.raises(SpoolError, match=f"has 100 bytes, expected {length}"):
        writer.adopt_file(record_of(1), spilled(tmp_path, bytes(100)), length)
    with pytest.raises(SpoolError, match="is gone"):
        writer.adopt_file(record_of(1), tmp_path / "nothing", length)
    assert not writer.failed
    assert os.listdir(directory.large) == []
    assert append(writer, 1).seq == 1
    writer.close()


def test_facts_that_are_too_long_are_refused_alone(tmp_path: Path) -> None:
    writer = writer_at(directory_at(tmp_path))
    with pytest.raises(SpoolError, match="allowed 65536"):
        append(writer, 1, source="x" * 70_000)
    assert append(writer, 2, source="x" * 60_000, length=SEGMENT_BYTES_MIN // 4 - 1).seq == 1
    writer.close()


def test_a_segment_size_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="segment_bytes"):
        WriterSettings(segment_bytes=1000)


def test_a_closed_writer_takes_nothing(tmp_path: Path) -> None:
    writer = writer_at(directory_at(tmp_path), settings=SMALL)
    append(writer, 1)
    writer.close()
    writer.close()
    with pytest.raises(SpoolFailed, match="closed"):
        append(writer, 2)
