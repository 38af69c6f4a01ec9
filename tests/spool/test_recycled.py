"""Settled segment files that are written again: never too early, and nothing from before comes back."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

import pytest

from router.spool.disk import Disk
from router.spool.faults import SpoolFull
from router.spool.layout import WorkerDirectory, worker_directory
from router.spool.record import META_BYTES_MAX, Entry
from router.spool.recycled import RECYCLED_MAX, RecycledSegments, remove_recycled
from router.spool.segment_file import create_segment
from router.spool.spool import Spool, SpoolSettings, open_spool
from router.spool.states import DeliveryState, Mark
from router.spool.writer_settings import SEGMENT_BYTES_MIN, WriterSettings
from tests.spool.spool_fixtures import (
    SMALL,
    FaultyDisk,
    append,
    crash,
    dataset_of,
    directory_at,
    recovered,
    writer_at,
)

CAPACITY = 1 << 16


class FolderFails(Disk):
    """A disk on which names cannot be made durable."""

    def sync_folder(self, folder: Path) -> None:
        raise OSError(5, os.strerror(5))


def segment_of(tmp_path: Path, number: int = 1) -> Path:
    directory = worker_directory(tmp_path, 0)
    directory.create()
    path = directory.segment_path(number)
    segment = create_segment(Disk(), path, number, secrets.randbits(64), CAPACITY)
    segment.abandon(Disk())
    return path


def test_a_kept_file_is_written_again_under_a_new_number_and_nonce(tmp_path: Path) -> None:
    path = segment_of(tmp_path)
    inode, head = path.stat().st_ino, path.read_bytes()[:64]
    directory = worker_directory(tmp_path, 0)
    recycled = RecycledSegments(directory, Disk())
    assert recycled.keep(path)
    recycled.settle()
    again = create_segment(
        Disk(), directory.segment_path(2), 2, secrets.randbits(64), CAPACITY, recycled.take()
    )
    again.abandon(Disk())
    assert directory.segment_numbers() == [2]
    assert directory.segment_path(2).stat().st_ino == inode
    assert directory.segment_path(2).read_bytes()[:64] != head


def test_a_file_is_not_written_again_before_its_old_name_is_durably_gone(tmp_path: Path) -> None:
    recycled = RecycledSegments(worker_directory(tmp_path, 0), FolderFails())
    assert recycled.keep(segment_of(tmp_path))
    with pytest.raises(OSError, match="Input/output error"):
        recycled.settle()
    recycled.settle()
    assert recycled.take() is None


def test_a_file_whose_new_header_was_never_synced_is_not_taken_for_a_segment(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    writer = writer_at(directory)
    append(writer, 1)
    assert writer.flush()
    writer.take_durable()
    crash(writer)
    recovered(directory)
    for header in (True, False):
        image = directory.segment_path(1).read_bytes()
        directory.segment_path(2).write_bytes(image if header else bytes(64) + image[64:])
        for path in directory.root.glob("ledger*"):
            path.unlink()
        found, report, _ = recovered(directory)
        assert list(found) == ["1.2.3.1"]
        assert (report.damages, report.torn_records, report.entries_read) == ([], 0, 1)
        assert directory.segment_numbers() == [1]


def test_kept_files_count_and_go_when_the_space_is_needed(tmp_path: Path) -> None:
    recycled = RecycledSegments(worker_directory(tmp_path, 0), Disk())
    assert recycled.keep(segment_of(tmp_path))
    assert recycled.held_bytes == CAPACITY
    recycled.settle()
    assert recycled.held_bytes == CAPACITY
    recycled.clear()
    assert recycled.held_bytes == 0
    assert os.listdir(worker_directory(tmp_path, 0).segments) == []


def test_a_file_that_cannot_be_renamed_is_deleted_and_not_forgotten(tmp_path: Path) -> None:
    disk = FaultyDisk(kind="rename", error=errno.ENOSPC)
    recycled = RecycledSegments(worker_directory(tmp_path, 0), disk)
    path = segment_of(tmp_path)
    assert not recycled.keep(path)
    disk.kind = ""
    assert recycled.keep(path)
    recycled.settle()
    disk.kind = "rename"
    kept = recycled.take()
    with pytest.raises(OSError, match="No space"):
        create_segment(disk, worker_directory(tmp_path, 0).segment_path(2), 2, 1, CAPACITY, kept)
    assert not list(worker_directory(tmp_path, 0).segments.glob("*.free"))


class FullDisk(FaultyDisk):
    """A disk with room for so many bytes more, and what is deleted."""

    def __init__(self, free_bytes: int) -> None:
        super().__init__()
        self.free_bytes = free_bytes

    def allocate(self, descriptor: int, length: int, start: int = 0) -> None:
        self.calls.append("allocate")
        if length > self.free_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.free_bytes -= length
        super().allocate(descriptor, length, start)

    def unlink(self, path: Path) -> None:
        if path.exists():
            self.free_bytes += path.stat().st_size
        super().unlink(path)


def kept_files(directory: WorkerDirectory, disk: Disk, *lengths: int) -> RecycledSegments:
    """Return settled files of these lengths, the last of which is taken first."""
    recycled = RecycledSegments(directory, disk)
    for number, length in enumerate(lengths, 900):
        path = directory.segment_path(number)
        path.write_bytes(bytes(length))
        assert recycled.keep(path)
    recycled.settle()
    return recycled


NEARLY = SEGMENT_BYTES_MIN - 4096


@pytest.mark.parametrize(
    "lengths",
    [
        (NEARLY,),  # used as it is
        (NEARLY, 4096),  # dropped with the other: a fresh one fits
    ],
)
def test_a_full_disk_that_lets_no_kept_file_grow_refuses_nothing(
    tmp_path: Path, lengths: tuple[int, ...]
) -> None:
    directory, disk = directory_at(tmp_path), FullDisk(0)
    recycled = kept_files(directory, disk, *lengths)
    writer = writer_at(directory, settings=SMALL, disk=disk, recycled=recycled)
    length = 50_000
    entries = [append(writer, number, length) for number in range(4)]
    disk.free_bytes = 2 * SEGMENT_BYTES_MIN
    entries += [append(writer, number, length) for number in range(4, 8)]
    assert entries[-1].location.segment > entries[0].location.segment
    writer.close()
    found, report, _ = recovered(directory)
    assert found == {f"1.2.3.{number}": dataset_of(number, length) for number in range(8)}
    assert (report.damages, report.torn_records) == ([], 0)


def test_a_segment_that_stayed_short_takes_the_largest_record(tmp_path: Path) -> None:
    directory, disk = directory_at(tmp_path), FullDisk(0)
    short = SEGMENT_BYTES_MIN * 3 // 4
    writer = writer_at(directory, settings=SMALL, disk=disk, recycled=kept_files(directory, disk, short))
    length = SMALL.large_from_bytes - 1
    append(writer, 1, length, rules=("r" * (META_BYTES_MAX - 1000),))
    writer.close()
    assert directory.segment_path(directory.segment_numbers()[0]).stat().st_size <= short
    found, _, _ = recovered(directory)
    assert found == {"1.2.3.1": dataset_of(1, length)}


def test_a_kept_file_that_is_too_short_is_no_segment_on_a_full_disk(tmp_path: Path) -> None:
    directory, disk = directory_at(tmp_path), FullDisk(0)
    recycled = kept_files(directory, disk, SEGMENT_BYTES_MIN // 2)
    writer = writer_at(directory, settings=SMALL, disk=disk, recycled=recycled)
    with pytest.raises(SpoolFull):
        append(writer, 1)
    assert os.listdir(directory.segments) == []
    disk.free_bytes = SEGMENT_BYTES_MIN
    append(writer, 2)
    writer.close()
    assert list(recovered(directory)[0]) == ["1.2.3.2"]


def test_a_file_that_cannot_be_opened_again_leaves_nothing(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    disk = FaultyDisk(kind="reopen", error=errno.EMFILE)
    recycled = kept_files(directory, disk, SEGMENT_BYTES_MIN)
    writer = writer_at(directory, settings=SMALL, disk=disk, recycled=recycled)
    append(writer, 1)
    assert len(directory.segment_numbers()) == 1
    writer.close()
    assert list(recovered(directory)[0]) == ["1.2.3.1"]


def test_only_so_many_files_are_kept(tmp_path: Path) -> None:
    recycled = RecycledSegments(worker_directory(tmp_path, 0), Disk())
    kept = [recycled.keep(segment_of(tmp_path, number)) for number in range(1, RECYCLED_MAX + 2)]
    assert kept == [True] * RECYCLED_MAX + [False]


def test_a_start_deletes_what_was_kept(tmp_path: Path) -> None:
    directory = worker_directory(tmp_path, 0)
    assert RecycledSegments(directory, Disk()).keep(segment_of(tmp_path))
    remove_recycled(directory)
    assert os.listdir(directory.segments) == []


def test_records_of_a_files_former_life_never_come_back(tmp_path: Path) -> None:
    directory = worker_directory(tmp_path, 0)
    settings = SpoolSettings(WriterSettings(segment_bytes=SEGMENT_BYTES_MIN))
    spool = open_spool(directory, lambda: None, settings)
    number = 0
    while len(spool.payloads.closed_segments()) < 2:
        number += 1
        deliver(spool, append(spool.writer, number, 3000))
    spool.ledger.make_durable()
    assert spool.reclaim() == 2
    assert list(directory.segments.glob("*.free"))
    inodes = {path.stat().st_ino for path in directory.segments.glob("*.free")}
    while not inodes & {path.stat().st_ino for path in directory.segments.glob("*.seg")}:
        number += 1
        deliver(spool, append(spool.writer, number, 3000))
    last = append(spool.writer, number + 1, 3000)
    assert spool.writer.flush()
    crash(spool.writer)
    spool.ledger.close()
    found, report, _ = recovered(directory)
    assert report.damages == []
    assert list(found.values()) == [dataset_of(number + 1, 3000)]
    assert report.next_seq == last.seq + 1


def deliver(spool: Spool, entry: Entry) -> None:
    assert spool.writer.flush()
    spool.writer.take_durable()
    spool.ledger.add([entry])
    spool.ledger.mark([Mark(entry.seq, "PACS", DeliveryState.DELIVERED, 1)])
