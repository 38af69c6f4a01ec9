"""Segments on a RAM disk: written through a window, with the same promises as through the system calls."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from router import crash_points
from router.spool.disk import Disk, UnsyncedDisk
from router.spool.faults import SpoolFull
from router.spool.layout import worker_directory
from router.spool.payload import PayloadStore
from router.spool.record import Location, encode_record
from router.spool.recycled import RECYCLED_MAX, WINDOWS_MAX, RecycledSegments
from router.spool.segment import HEAD_BYTES, Kind, encode_head, encode_trailer, record_bytes
from router.spool.segment_file import create_segment
from router.spool.writer import SpoolWriter
from router.spool.writer_settings import SEGMENT_BYTES_MIN, WriterSettings
from router.wire.codec import SegmentWindow
from tests.spool.spool_fixtures import (
    UNSYNCED,
    append,
    crash,
    crc_of,
    dataset_of,
    directory_at,
    record_of,
    recovered,
    writer_at,
)
from tests.support.mounts import small_tmpfs
from tests.support.ram_disk import ram_folder

CAPACITY = 1 << 16
PARTS = 3  # of a dataset


@pytest.fixture(name="ram")
def _ram() -> Iterator[Path]:
    with ram_folder() as folder:
        yield folder


def write_through(writer: SpoolWriter, numbers: list[int], length: int = 300) -> None:
    """Append instances as one run, through the window."""
    size = begun = 0
    for number in numbers:
        meta, data = encode_record(record_of(number)), dataset_of(number, length)
        record_size = record_bytes(len(meta), length)
        if not size:
            segment, nonce, begun, end, seq, window = writer.begin_run(record_size)
            assert window is not None
        offset = begun + size
        assert offset + record_size <= end
        head = encode_head(Kind.INSTANCE, segment, nonce, offset, seq, meta, length)
        step = -(-length // PARTS)
        parts = [memoryview(data)[at : at + step] for at in range(0, length, step)]
        crc = window.write(offset + len(head) + len(meta), parts)
        assert crc == crc_of(data)
        trailer = encode_trailer(crc, len(head) + len(meta) + length)
        window.write(offset + len(head) + len(meta) + length, [trailer])
        window.write(offset, [head + meta])
        size += record_size
        seq += 1
    writer.write_run([], size, len(numbers))


def test_a_segment_has_a_window_on_a_ram_disk_without_syncs_only(ram: Path) -> None:
    path = ram / "file"
    path.write_bytes(bytes(CAPACITY))
    with path.open("r+b") as file:
        window = UnsyncedDisk().window(file.fileno(), CAPACITY)
        assert window is not None
        window.close()
        assert Disk().window(file.fileno(), CAPACITY) is None
    with open("/proc/self/status", "rb") as file:
        assert UnsyncedDisk().window(file.fileno(), 1) is None


def test_no_segment_has_a_window_where_a_crash_is_ordered_in_the_middle_of_a_write(
    ram: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crash_points, "_order", crash_points.read_order("append.middle kill"))
    writer = writer_at(directory_at(ram))
    assert writer.begin_run(1000)[5] is None
    writer.close()


def test_what_is_written_through_the_window_stands_among_the_rest(ram: Path) -> None:
    directory = directory_at(ram)
    writer = writer_at(directory)
    append(writer, 1)
    write_through(writer, [2, 3, 4])
    append(writer, 5, 20_000)
    write_through(writer, [6], 20_000)
    assert writer.flush()
    assert writer.take_durable() == 6
    writer.close()
    found, report, entries = recovered(directory)
    lengths = {5: 20_000, 6: 20_000}
    assert found == {f"1.2.3.{n}": dataset_of(n, lengths.get(n, 300)) for n in range(1, 7)}
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert not report.damages


def test_it_is_read_back_while_the_window_is_open(ram: Path) -> None:
    directory = directory_at(ram)
    store = PayloadStore(directory)
    writer = writer_at(directory, store)
    segment, _, offset, *_ = writer.begin_run(60_000)
    write_through(writer, [1], 50_000)
    place = offset + HEAD_BYTES + len(encode_record(record_of(1)))
    location = Location(segment, place, 50_000, crc_of(dataset_of(1, 50_000)))
    assert b"".join(store.open_payload(location)) == dataset_of(1, 50_000)
    store.close()
    writer.close()


def test_a_process_that_dies_leaves_what_it_wrote_through_the_window(ram: Path) -> None:
    directory = directory_at(ram)
    writer = writer_at(directory)
    write_through(writer, [1, 2], 30_000)
    crash(writer)
    found, report, _ = recovered(directory)
    assert found == {f"1.2.3.{n}": dataset_of(n, 30_000) for n in (1, 2)}
    assert not report.damages


def test_a_record_without_its_head_is_none(ram: Path) -> None:
    directory = directory_at(ram)
    writer = writer_at(directory)
    write_through(writer, [1])
    _, _, offset, _, _, window = writer.begin_run(1000)
    assert window is not None
    window.write(offset + 60, [dataset_of(2)])  # and the process dies
    crash(writer)
    found, report, _ = recovered(directory)
    assert found == {"1.2.3.1": dataset_of(1)}
    assert not report.damages


def fill_segments(writer: SpoolWriter, numbers: range) -> list[SegmentWindow]:
    """Append instances; return the windows they were written through."""
    windows: list[SegmentWindow] = []
    for number in numbers:
        window = writer.begin_run(40_000)[5]
        assert window is not None
        windows = [*windows, window] if window not in windows else windows
        write_through(writer, [number], 30_000)
        writer.sync_soon()
    return windows


def is_closed(window: SegmentWindow) -> bool:
    try:
        window.write(0, [])
    except ValueError:
        return True
    return False


def test_where_no_file_is_written_again_a_window_ends_with_its_segment(ram: Path) -> None:
    writer = writer_at(directory_at(ram))
    windows = fill_segments(writer, range(20))
    assert [is_closed(window) for window in windows] == [True, True, False]
    writer.close()
    assert is_closed(windows[-1])


def test_a_file_that_is_written_again_keeps_its_window_and_takes_its_records_whole(ram: Path) -> None:
    directory = directory_at(ram)
    recycled = RecycledSegments(directory, UnsyncedDisk())
    store = PayloadStore(directory)
    writer = writer_at(directory, store, recycled=recycled)
    first, second, _ = fill_segments(writer, range(20))
    store.delete_segments([1], recycled)
    following = fill_segments(writer, range(20, 33))
    assert first in following
    assert not is_closed(second)
    writer.close()
    found, report, _ = recovered(directory)
    assert not report.damages
    names = {int(uid.rpartition(".")[2]) for uid in found}
    assert names == set(range(min(names), 33))
    assert all(found[f"1.2.3.{number}"] == dataset_of(number, 30_000) for number in names)


def test_the_window_of_a_file_that_is_deleted_is_closed(ram: Path) -> None:
    directory = directory_at(ram)
    recycled = RecycledSegments(directory, UnsyncedDisk())
    store = PayloadStore(directory)
    writer = writer_at(directory, store, recycled=recycled)
    windows = fill_segments(writer, range(8 * (RECYCLED_MAX + 4)))
    count = len(windows) - 1
    assert [is_closed(window) for window in windows[:-1]] == [True] * (count - WINDOWS_MAX) + [
        False
    ] * WINDOWS_MAX
    recycled.forget(directory.segment_path(count))
    assert is_closed(windows[count - 1])
    store.delete_segments(range(1, count + 1), recycled)
    recycled.clear()
    assert all(map(is_closed, windows[:-1]))
    writer.close()


def test_without_its_window_a_segment_is_written_by_system_calls(ram: Path) -> None:
    directory = directory_at(ram)
    writer = writer_at(directory)
    write_through(writer, [1])
    writer.drop_window()
    assert writer.begin_run(1000)[5] is None
    append(writer, 2)
    append(writer, 3, 30_000)
    for number in range(4, 12):  # the next segment has one again
        append(writer, number, 30_000)
    write_through(writer, [12])
    writer.close()
    assert len(recovered(directory)[0]) == 12


@pytest.mark.root
def test_a_full_ram_disk_refuses_a_segment_and_whatever_has_a_window_is_written_whole(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "mounting needs root"
    with small_tmpfs(tmp_path, 1) as disk:
        directory = worker_directory(disk.place, 0)
        directory.create()
        writer = writer_at(
            directory, settings=WriterSettings(segment_bytes=2 * SEGMENT_BYTES_MIN, fsync=False)
        )
        write_through(writer, list(range(4)), 60_000)
        rest = disk.place / "rest"
        with pytest.raises(OSError, match="No space left"):
            rest.write_bytes(bytes(1 << 20))
        assert disk.free_bytes() == 0
        write_through(writer, list(range(4, 8)), 60_000)  # its pages were reserved
        with pytest.raises(SpoolFull):
            write_through(writer, [8], 60_000)
        assert not writer.failed
        rest.unlink()
        writer.close()
        found, report, _ = recovered(directory)
        assert found == {f"1.2.3.{n}": dataset_of(n, 60_000) for n in range(8)}
        assert not report.damages


def test_of_a_file_that_is_written_again_only_what_was_cut_off_is_allocated(ram: Path) -> None:
    class Counting(UnsyncedDisk):
        def allocate(self, descriptor: int, length: int, start: int = 0) -> None:
            allocated.append((start, length))
            super().allocate(descriptor, length, start)

    allocated: list[tuple[int, int]] = []
    disk, directory = Counting(), directory_at(ram)
    recycled = RecycledSegments(directory, disk)
    segment = create_segment(disk, directory.segment_path(1), 1, 1, CAPACITY)
    segment.close_window()
    disk.truncate(segment.descriptor, CAPACITY - 10_000)
    segment.abandon(disk)
    for number, length in ((2, CAPACITY), (3, CAPACITY)):
        assert recycled.keep(directory.segment_path(number - 1))
        recycled.settle()
        segment = create_segment(
            disk, directory.segment_path(number), number, number, CAPACITY, recycled.take()
        )
        found = os.fstat(segment.descriptor)
        assert found.st_size == length
        assert found.st_blocks * 512 >= length
        segment.abandon(disk)
    assert allocated == [(0, CAPACITY), (CAPACITY - 10_000, 10_000)]


def test_on_a_full_ram_disk_a_settled_file_is_written_at_the_length_it_has(ram: Path) -> None:
    class Full(UnsyncedDisk):
        def allocate(self, descriptor: int, length: int, start: int = 0) -> None:
            if start:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super().allocate(descriptor, length, start)

    directory = directory_at(ram)
    recycled = RecycledSegments(directory, UnsyncedDisk())
    store = PayloadStore(directory)
    writer = writer_at(directory, store, settings=UNSYNCED, disk=Full(), recycled=recycled)
    for number in range(8):
        write_through(writer, [number], 60_000)
        writer.sync_soon()
    store.delete_segments([1], recycled)
    assert recycled.held_bytes < SEGMENT_BYTES_MIN
    for number in range(8, 16):
        write_through(writer, [number], 60_000)
        writer.sync_soon()
    assert recycled.held_bytes == 0
    crash(writer)
    found, report, _ = recovered(directory)
    assert all(found[f"1.2.3.{n}"] == dataset_of(n, 60_000) for n in range(8, 16))
    assert not report.damages


def test_the_writer_of_a_ram_disk_takes_files_that_were_settled(ram: Path) -> None:
    directory = directory_at(ram)
    recycled = RecycledSegments(directory, UnsyncedDisk())
    store = PayloadStore(directory)
    writer = writer_at(directory, store, settings=UNSYNCED, recycled=recycled)
    for number in range(8):
        write_through(writer, [number], 60_000)
        writer.sync_soon()
    inodes = {directory.segment_path(1).stat().st_ino}
    store.delete_segments([1], recycled)
    for number in range(8, 16):
        write_through(writer, [number], 60_000)
        writer.sync_soon()
    assert inodes <= {path.stat().st_ino for path in directory.segments.iterdir()}
    crash(writer)
    found, report, _ = recovered(directory)
    assert all(found[f"1.2.3.{n}"] == dataset_of(n, 60_000) for n in range(8, 16))
    assert not report.damages
