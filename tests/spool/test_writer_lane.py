"""Group commit by the compiled lane: what it takes, what goes the general way, the bell that tells."""

from __future__ import annotations

import contextlib
import os
import random
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.errors import SpoolError
from router.spool.disk import Buffer, Disk, UnsyncedDisk
from router.spool.faults import SpoolFailed
from router.spool.record import encode_record
from router.spool.scan import SegmentScan, Sound
from router.spool.segment import Kind, encode_head, encode_trailer, record_bytes
from router.spool.writer import SYNC_AT_ONCE_BYTES
from router.spool.writer_settings import SEGMENT_BYTES_MIN, WriterSettings
from router.wire.codec import CommitLane

from .spool_fixtures import (
    DEADLINE_S,
    SMALL,
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
    while bell.writer._segments.current is not None and bell.writer._segments.current.number == 1:
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
@pytest.mark.parametrize(
    ("length", "short_sync_s", "is_synced"),
    [(SYNC_AT_ONCE_BYTES, DEADLINE_S, True), (1000, DEADLINE_S, False), (SYNC_AT_ONCE_BYTES, 0.0, False)],
)
def test_the_disk_begins_with_a_long_run_before_it_is_asked_to_unless_syncs_take_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, short_sync_s: float, is_synced: bool
) -> None:
    monkeypatch.setattr("router.spool.writer.SHORT_SYNC_S", short_sync_s)
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
def test_a_failed_sync_of_the_lane_stops_the_volume(bell: Bell) -> None:
    bell.begin()
    segment = bell.writer._segments.current
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
