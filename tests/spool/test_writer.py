"""Appending, group commit, rotation and every way a disk can fail in between."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from router.errors import SpoolError
from router.spool.disk import Buffer, Disk, UnsyncedDisk
from router.spool.faults import NotYet, ObjectTooLarge, SpoolFailed, SpoolFull
from router.spool.layout import incoming_directory
from router.spool.payload import PayloadStore
from router.spool.record import encode_record
from router.spool.recycled import RecycledSegments
from router.spool.scan import SegmentScan, Sound
from router.spool.segment import HEADER_BYTES, Kind, encode_head, encode_trailer, record_bytes
from router.spool.segment_file import FILL_AHEAD_BYTES
from router.spool.writer import SEGMENT_BYTES_MIN, SYNC_AT_ONCE_BYTES, SpoolWriter, WriterSettings
from router.wire.codec import CommitLane

from .spool_fixtures import (
    DEADLINE_S,
    SMALL,
    UNSYNCED,
    FaultyDisk,
    append,
    crash,
    crc_of,
    dataset_of,
    directory_at,
    record_of,
    recovered,
    writer_at,
)

needs_lane = pytest.mark.skipif(CommitLane is None, reason="the reference codec has no lanes")


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


def waiting(semaphore: threading.Semaphore) -> None:
    assert semaphore.acquire(timeout=DEADLINE_S)


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


def test_a_failed_sync_stops_the_volume_and_is_never_tried_again(tmp_path: Path) -> None:
    calls: list[int] = []
    notified = threading.Event()

    def sync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")

    writer = writer_at(directory_at(tmp_path), settings=SMALL, disk=Disk(sync), notify=notified.set)
    append(writer, 1)
    writer.sync_soon()
    assert notified.wait(DEADLINE_S)
    assert writer.failed
    assert isinstance(writer.failure, SpoolFailed)
    assert writer.take_durable() == 0
    with pytest.raises(SpoolFailed, match="durable"):
        append(writer, 2)
    writer.sync_soon()
    assert not writer.flush(DEADLINE_S)
    with pytest.raises(SpoolFailed):
        writer.close()
    assert len(calls) == 2


def test_space_that_only_runs_out_at_the_sync_is_final_too(tmp_path: Path) -> None:
    disk = FaultyDisk(error=errno.ENOSPC)
    writer = writer_at(directory_at(tmp_path), settings=SMALL, disk=disk)
    append(writer, 1)
    disk.kind = "sync"
    assert not writer.flush(DEADLINE_S)
    assert isinstance(writer.failure, SpoolFailed)
    crash(writer)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EMFILE, errno.ENOMEM])
@pytest.mark.parametrize("kind", ["create", "allocate", "write"])
def test_a_full_disk_or_a_lack_of_descriptors_refuses_and_recovers(
    tmp_path: Path, kind: str, error: int
) -> None:
    directory = directory_at(tmp_path)
    disk = FaultyDisk(kind=kind, error=error)
    disk.is_partial = True
    writer = writer_at(directory, settings=SMALL, disk=disk)
    for number in range(3):
        with pytest.raises(SpoolFull):
            append(writer, number)
    assert not writer.failed
    assert os.listdir(directory.segments) == []
    disk.kind = ""
    append(writer, 3)
    disk.kind = kind
    for number in range(10, 13):
        with pytest.raises(ObjectTooLarge):
            append(writer, number, SEGMENT_BYTES_MIN // 2)
    if kind == "write":
        with pytest.raises(SpoolFull):
            append(writer, 13)
    disk.kind = ""
    append(writer, 4)
    writer.close()
    found, report, _ = recovered(directory)
    assert found == {"1.2.3.3": dataset_of(3), "1.2.3.4": dataset_of(4)}
    assert (report.damages, report.torn_records, report.orphans_removed) == ([], 0, 0)


def test_a_disk_that_takes_no_zeros_refuses_and_recovers(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    disk = FaultyDisk(kind="fill", error=errno.ENOSPC)
    writer = writer_at(directory, settings=SMALL, disk=disk)
    for number in range(3):
        with pytest.raises(SpoolFull):
            append(writer, number)
    assert (writer.failed, writer.take_durable()) == (False, 0)
    disk.kind = ""
    writer.take_durable()
    waited = threading.Event()
    while writer.trouble is not None:
        waited.wait(0.01)
    append(writer, 3)
    writer.close()
    found, report, _ = recovered(directory)
    assert found == {"1.2.3.3": dataset_of(3)}
    assert (report.damages, report.torn_records) == ([], 0)


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


def test_a_write_error_that_is_not_a_full_disk_stops_the_volume(tmp_path: Path) -> None:
    disk = FaultyDisk()
    writer = writer_at(directory_at(tmp_path), settings=SMALL, disk=disk)
    append(writer, 1)
    disk.kind = "write"
    with pytest.raises(SpoolFailed, match="appending"):
        append(writer, 2)
    disk.kind = ""
    with pytest.raises(SpoolFailed, match="appending"):
        append(writer, 3)
    crash(writer)


def test_short_writes_are_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = directory_at(tmp_path)
    store = PayloadStore(directory)
    writer = writer_at(directory, store)
    real: Callable[..., int] = os.pwritev

    def short(descriptor: int, buffers: list[bytes], offset: int) -> int:
        return real(descriptor, [memoryview(buffers[0])[:100]], offset)

    monkeypatch.setattr(os, "pwritev", short)
    _, location = writer.append(record_of(1), [dataset_of(1, 1000), dataset_of(2, 1000)])
    monkeypatch.undo()
    assert b"".join(store.open_payload(location)) == dataset_of(1, 1000) + dataset_of(2, 1000)
    writer.close()


def test_a_write_that_makes_no_progress_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = writer_at(directory_at(tmp_path))
    append(writer, 1)
    monkeypatch.setattr(os, "pwritev", lambda *_: 0)
    with pytest.raises(SpoolFailed, match="no progress"):
        append(writer, 2)


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


@pytest.mark.parametrize("settings", [SMALL, UNSYNCED])
def test_a_large_object_waits_while_there_is_no_room_for_its_name(
    tmp_path: Path, settings: WriterSettings
) -> None:
    directory = directory_at(tmp_path)
    disk = FaultyDisk(kind="rename", error=errno.ENOSPC)
    told = threading.Semaphore(0)
    writer = writer_at(directory, settings=settings, disk=disk, notify=told.release)
    append(writer, 1)
    append(writer, 2, SEGMENT_BYTES_MIN // 2)
    writer.sync_soon()
    waiting(told)
    assert isinstance(writer.trouble, SpoolFull)
    assert (writer.failed, writer.take_durable()) == (False, 0)
    with pytest.raises(SpoolFull, match="making a group durable"):
        append(writer, 3)
    disk.kind = ""
    assert writer.take_durable() in (0, 2)
    assert writer.wait_durable(2, DEADLINE_S)
    assert writer.trouble is None
    append(writer, 4)
    writer.close()
    found, report, _ = recovered(directory)
    assert set(found) == {"1.2.3.1", "1.2.3.2", "1.2.3.4"}
    assert (report.damages, report.torn_records, report.orphans_removed) == ([], 0, 0)


def test_a_folder_that_cannot_be_opened_for_its_sync_yet_is_synced_later(tmp_path: Path) -> None:
    class Busy(Disk):
        is_busy = False

        def sync_folder(self, folder: Path) -> None:
            if self.is_busy:
                raise NotYet(errno.EMFILE, "no descriptor")
            super().sync_folder(folder)

    directory, disk, told = directory_at(tmp_path), Busy(), threading.Semaphore(0)
    writer = writer_at(directory, settings=SMALL, disk=disk, notify=told.release)
    append(writer, 1)
    append(writer, 2, SEGMENT_BYTES_MIN // 2)
    disk.is_busy = True
    writer.sync_soon()
    waiting(told)
    disk.is_busy = False
    writer.take_durable()
    assert writer.wait_durable(2, DEADLINE_S)
    writer.close()
    assert set(recovered(directory)[0]) == {"1.2.3.1", "1.2.3.2"}


def spilled(tmp_path: Path, data: bytes) -> Path:
    incoming = incoming_directory(tmp_path)
    incoming.mkdir(exist_ok=True)
    path = incoming / "acceptor-0-1"
    path.write_bytes(data)
    return path


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


def fill(writer: SpoolWriter) -> None:
    """Append until it is refused."""
    for number in range(1000):
        append(writer, number, 20_000)
        writer.sync_soon()


def test_the_quota_refuses_what_would_exceed_it(tmp_path: Path) -> None:
    settings = WriterSettings(segment_bytes=SEGMENT_BYTES_MIN, quota_bytes=3 * SEGMENT_BYTES_MIN, fsync=False)
    writer = writer_at(directory_at(tmp_path), settings=settings)
    with pytest.raises(SpoolFull, match="quota"):
        fill(writer)
    assert writer.appended_seq >= 24
    assert writer.used_bytes <= 3 * SEGMENT_BYTES_MIN
    with pytest.raises(SpoolFull, match="quota"):
        append(writer, 0, SEGMENT_BYTES_MIN)
    assert not writer.failed
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


def scenario(writer: SpoolWriter, source: Path) -> list[tuple[int, int]]:
    """Append small, large and spilled instances with commits between; return (number, seq) of those kept."""
    accepted: list[tuple[int, int]] = []

    def attempt(number: int, length: int) -> None:
        try:
            accepted.append((number, append(writer, number, length).seq))
        except SpoolError:
            return

    for number in range(4):
        attempt(number, 50_000)
    writer.flush(DEADLINE_S)
    attempt(4, 100_000)
    with contextlib.suppress(SpoolError):
        accepted.append((5, writer.adopt_file(record_of(5), source, 1000)[0]))
    writer.flush(DEADLINE_S)
    for number in range(6, 12):
        attempt(number, 50_000)
    writer.flush(DEADLINE_S)
    writer.take_durable()
    with contextlib.suppress(SpoolError):
        writer.close()
    return accepted


def dataset_in_scenario(number: int) -> bytes:
    return dataset_of(number, {4: 100_000, 5: 1000}.get(number, 50_000))


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_whichever_call_fails_what_was_called_durable_is_there(tmp_path: Path, error: int) -> None:
    disk = FaultyDisk()
    first = directory_at(tmp_path / "first")
    scenario(writer_at(first, settings=SMALL, disk=disk), spilled(tmp_path / "first", dataset_of(5, 1000)))
    assert len(recovered(first)[0]) == 12
    for fail_at in range(len(disk.calls)):
        root = tmp_path / str(fail_at)
        directory = directory_at(root)
        faulty = FaultyDisk(fail_at, error)
        faulty.is_partial = True
        writer = writer_at(directory, settings=SMALL, disk=faulty)
        accepted = scenario(writer, spilled(root, dataset_of(5, 1000)))
        durable = writer.take_durable()
        found, report, _ = recovered(directory)
        assert all(
            found[f"1.2.3.{number}"] == dataset_in_scenario(number)
            for number, seq in accepted
            if seq <= durable
        )
        assert all(found[uid] == dataset_in_scenario(int(uid.rpartition(".")[2])) for uid in found)
        assert report.damages == []


class Bell:
    """The eventfd of an owner, and the writer that rings it by its lane."""

    def __init__(self, path: Path, settings: WriterSettings = SMALL, disk: Disk | None = None) -> None:
        self.directory = directory_at(path)
        self.fd = os.eventfd(0, os.EFD_CLOEXEC)
        self.writer = writer_at(
            self.directory, settings=settings, disk=disk, bell=self.fd, notify=self.ring, recycled=None
        )

    def ring(self) -> None:
        os.eventfd_write(self.fd, 1)

    def wait(self) -> None:
        """Block until it rings."""
        assert select.select([self.fd], [], [], DEADLINE_S)[0]
        os.eventfd_read(self.fd)

    def wait_durable(self, seq: int) -> None:
        """Wait as the owner does: told by the bell alone."""
        while self.writer.take_durable() < seq and not self.writer.failed:
            self.wait()

    @property
    def lane_groups(self) -> int:
        assert self.writer._lane is not None
        return self.writer._lane.taken()[3]

    def begin(self) -> None:
        """Append and commit a first entry; the segment is named and filled then."""
        append(self.writer, 0)
        assert self.writer.flush(DEADLINE_S)
        assert self.lane_groups == 0
        while self.writer._group.is_busy:
            time.sleep(0)  # the thread says so a moment after the good news


@pytest.fixture
def bell(tmp_path: Path) -> Iterator[Bell]:
    bell = Bell(tmp_path)
    yield bell
    with contextlib.suppress(SpoolError):
        bell.writer.close()
    os.close(bell.fd)


@needs_lane
def test_plain_groups_become_durable_by_the_lane(bell: Bell) -> None:
    bell.begin()
    for number in range(1, 21):
        append(bell.writer, number)
        bell.writer.sync_soon()
        bell.wait_durable(number + 1)
    assert bell.lane_groups == 20
    assert bell.writer.groups >= 21
    assert bell.writer.commit_seconds > 0
    bell.writer.close()
    found, report, _ = recovered(bell.directory)
    assert len(found) == 21
    assert report.next_seq == 22


@needs_lane
def test_what_the_lane_has_synced_is_proven_by_a_marker(bell: Bell) -> None:
    bell.begin()
    append(bell.writer, 1)
    bell.writer.sync_soon()
    bell.wait_durable(2)
    assert bell.writer._marked_seq == 2
    crash(bell.writer)
    scan = SegmentScan(bell.directory.segment_path(1), 1)
    markers = [found.marker for found in scan if isinstance(found, Sound) and found.marker is not None]
    assert [marker.seq for marker in markers] == [1, 2]


@needs_lane
def test_a_large_object_and_a_new_segment_take_the_general_way(bell: Bell) -> None:
    bell.begin()
    append(bell.writer, 1, SEGMENT_BYTES_MIN)
    bell.writer.sync_soon()
    bell.wait_durable(2)
    assert bell.lane_groups == 0
    while bell.writer._segment is not None and bell.writer._segment.number == 1:
        append(bell.writer, bell.writer.appended_seq, 30_000)
    bell.writer.sync_soon()
    bell.wait_durable(bell.writer.appended_seq)
    assert [closed.number for closed in bell.writer._store.closed_segments()] == [1]
    count = bell.writer.appended_seq
    bell.writer.close()
    assert len(recovered(bell.directory)[0]) == count


def run_of(bell: Bell, number: int, length: int) -> list[Buffer]:
    """Return the record that begin_run has room for next."""
    facts, data = encode_record(record_of(number)), dataset_of(number, length)
    size = record_bytes(len(facts), length)
    segment, nonce, offset, _, seq, _ = bell.writer.begin_run(size)
    head = encode_head(Kind.INSTANCE, segment, nonce, offset, seq, facts, length)
    return [head + facts, data, encode_trailer(crc_of(data), len(head) + len(facts) + length)]


@needs_lane
@pytest.mark.parametrize(("length", "is_synced"), [(SYNC_AT_ONCE_BYTES, True), (1000, False)])
def test_the_disk_begins_with_a_long_run_before_it_is_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, is_synced: bool
) -> None:
    monkeypatch.setattr("router.spool.writer.SHORT_SYNC_S", DEADLINE_S)
    bell = Bell(tmp_path, WriterSettings(segment_bytes=16 * SYNC_AT_ONCE_BYTES))
    bell.begin()
    run = run_of(bell, 1, length)
    bell.writer.write_run(run, sum(map(len, run)), 1)
    if is_synced:
        bell.wait_durable(2)
        assert bell.lane_groups == 1
        bell.writer.sync_soon()
    bell.writer.close()
    assert bell.lane_groups == is_synced
    os.close(bell.fd)
    assert recovered(bell.directory)[0]["1.2.3.1"] == dataset_of(1, length)


@needs_lane
def test_where_syncs_take_long_a_long_run_waits_for_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.spool.writer.SHORT_SYNC_S", 0.0)
    bell = Bell(tmp_path, WriterSettings(segment_bytes=16 * SYNC_AT_ONCE_BYTES))
    bell.begin()
    run = run_of(bell, 1, SYNC_AT_ONCE_BYTES)
    bell.writer.write_run(run, sum(map(len, run)), 1)
    bell.writer.close()
    assert bell.lane_groups == 0
    os.close(bell.fd)


@needs_lane
def test_a_failed_sync_of_the_lane_stops_the_volume(bell: Bell) -> None:
    bell.begin()
    segment = bell.writer._segment
    assert segment is not None
    zero = os.open("/dev/zero", os.O_RDWR)  # takes every write and refuses to be synced
    os.dup2(zero, segment.descriptor)
    os.close(zero)
    append(bell.writer, 1)
    bell.writer.sync_soon()
    bell.wait_durable(2)
    assert isinstance(bell.writer.failure, SpoolFailed)
    assert bell.writer.take_durable() == 1
    with pytest.raises(SpoolFailed, match="durable"):
        append(bell.writer, 2)
    bell.writer.sync_soon()
    assert not bell.writer.flush(DEADLINE_S)
    with pytest.raises(SpoolFailed):
        bell.writer.close()
    assert bell.lane_groups == 0


@needs_lane
def test_who_blocks_until_an_entry_is_durable_is_woken_with_a_lane_too(bell: Bell) -> None:
    bell.begin()
    append(bell.writer, 1)
    bell.writer.sync_soon()
    assert bell.writer.wait_durable(2, DEADLINE_S)
    append(bell.writer, 2)
    assert bell.writer.flush(DEADLINE_S)


@needs_lane
def test_entries_of_every_kind_survive_in_any_order_of_commits(tmp_path: Path) -> None:
    bell, chance = Bell(tmp_path), random.Random(7)
    lengths = [chance.choice((0, 1, 300, 5000, 60_000, SEGMENT_BYTES_MIN)) for _ in range(400)]
    durable = 0
    for number, length in enumerate(lengths):
        append(bell.writer, number, length)
        if chance.random() < 0.7:
            bell.writer.sync_soon()
        if chance.random() < 0.5:
            before, durable = durable, bell.writer.take_durable()
            assert before <= durable <= number + 1
        if chance.random() < 0.1:
            bell.writer.sync_soon()
            bell.wait_durable(number + 1)
    assert bell.lane_groups > 0
    bell.writer.close()
    os.close(bell.fd)
    found, _, entries = recovered(bell.directory)
    assert [entry.location.length for entry in entries] == lengths
    assert all(found[f"1.2.3.{n}"] == dataset_of(n, length) for n, length in enumerate(lengths))


@pytest.mark.parametrize("disk", [FaultyDisk(), Disk(os.fsync), UnsyncedDisk()])
def test_a_disk_whose_syncs_are_not_the_real_ones_has_no_lane(tmp_path: Path, disk: Disk) -> None:
    bell = Bell(tmp_path, disk=disk)
    assert bell.writer._lane is None
    append(bell.writer, 0)
    bell.writer.sync_soon()
    bell.wait_durable(1)
    bell.writer.close()
    os.close(bell.fd)
