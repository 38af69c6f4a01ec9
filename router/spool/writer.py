"""Appends instances to segments and reports what has become durable.

`append` and `take_durable` belong to one thread (the worker's event loop); they write into the page cache
only. The commits run in `group_commit.py`'s thread. Invariant: a record counts as durable only after its
segment, its large object and every new name on the way to them have been synced; after one failed sync
nothing ever does again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from crc32c import crc32c

from router.errors import SpoolError
from router.spool.disk import Buffer, Disk, UnsyncedDisk
from router.spool.faults import NotYet, ObjectTooLarge, SpoolFailed, SpoolFull, spool_error
from router.spool.gathered import Gathered, sync_group
from router.spool.group_commit import GroupCommit
from router.spool.large import StagedFile, stage_buffers, stage_file
from router.spool.layout import WorkerDirectory
from router.spool.payload import ClosedSegment, PayloadStore
from router.spool.record import META_BYTES_MAX, InstanceRecord, Location, encode_record
from router.spool.recycled import RecycledSegments
from router.spool.segment import (
    HEAD_BYTES,
    MARKER_BYTES,
    NOWHERE,
    Kind,
    Marker,
    Position,
    encode_head,
    encode_marker,
    encode_reference,
    encode_trailer,
    record_bytes,
)
from router.spool.segment_file import SegmentFile, remove_segment
from router.spool.segment_supply import SegmentSupply
from router.spool.writer_settings import WriterSettings
from router.wire.codec import CommitLane, SegmentWindow

CLOSE_TIMEOUT_S = 60.0
FILL_TIMEOUT_S = 10.0
SYNC_AT_ONCE_BYTES = 256 << 10  # of a run: the disk begins with them while those after them are written,
SHORT_SYNC_S = 0.002  # if that is what syncs take; where they take longer, each should cover more
UNSYNCED_MARKER_S = 0.1  # between markers where nothing is synced: each group is durable at once there


class SpoolWriter:
    """The one writer of a worker directory.

    notify: called after each commit and after a failure, from the commit's thread; it must not raise or
    block, only make the owner call `take_durable` soon.
    next_seq, next_segment, previous (where the last segment ends): from recovery; a writer never appends to a
    segment it has not made.
    bell: an eventfd that does what notify does; with it most commits do without the interpreter's lock.
    """

    def __init__(
        self,
        directory: WorkerDirectory,
        store: PayloadStore,
        notify: Callable[[], None],
        settings: WriterSettings,
        *,
        next_seq: int = 1,
        next_segment: int = 1,
        previous: Position = NOWHERE,
        disk: Disk | None = None,
        recycled: RecycledSegments | None = None,
        bell: int | None = None,
    ) -> None:
        self._directory = directory
        self._store = store
        self._notify = notify
        self._settings = settings
        self._disk = disk or (Disk() if settings.fsync else UnsyncedDisk())
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._next_seq = next_seq
        self._segments = SegmentSupply(
            directory, self._disk, settings, store, recycled, next_segment, previous
        )
        self._gathered = Gathered()
        self._durable = (next_seq - 1, NOWHERE)
        self._marked_seq = next_seq - 1
        self._marked_at = 0.0
        self._marker_at = NOWHERE
        self._closed = False
        self.failure: SpoolError | None = None
        self.trouble: SpoolError | None = None  # why the newest commit waits; nothing is taken in meanwhile
        self.groups = 0  # commits that succeeded
        self.commit_seconds = 0.0  # spent in them
        self._lane = self._disk.commit_lane(bell) if bell is not None and settings.fsync else None
        self._lane_totals = (0, 0.0)
        self._group = GroupCommit(
            self._commit,
            self._marker_waits,
            threaded=settings.fsync,
            lane=self._lane,
            lane_failed=self._commit_failed,
        )

    @property
    def failed(self) -> bool:
        """Whether the volume has failed: nothing is accepted any more."""
        return self.failure is not None

    @property
    def large_from_bytes(self) -> int:
        """Return from which size datasets get a file of their own."""
        return self._settings.large_from_bytes

    @property
    def appended_seq(self) -> int:
        """Return the number of the newest entry, durable or not."""
        return self._next_seq - 1

    @property
    def used_bytes(self) -> int:
        """Return the bytes held on disk, preallocated space included."""
        return self._segments.used_bytes

    # -- appending (owner's thread)

    def append(self, record: InstanceRecord, buffers: Sequence[Buffer]) -> tuple[int, Location]:
        """Write one instance into the page cache; return (entry number, location). Not durable yet.

        buffers: the encoded dataset, contiguous octets in any number of parts; not kept.
        Raises SpoolFull if it has no room (nothing is kept, later calls may succeed), SpoolFailed otherwise.
        """
        self._check()
        length = crc = 0
        for buffer in buffers:
            length += len(buffer)
            crc = crc32c(buffer, crc)
        meta = _encoded(record)
        if length < self._settings.large_from_bytes:
            return self._append(Kind.INSTANCE, meta, buffers, length, crc)
        self._segments.check_quota(length, ObjectTooLarge)
        try:
            staged = stage_buffers(self._disk, self._directory, self._next_seq, buffers, length)
        except OSError as error:
            failure = self._broken("writing a large object", error)
            if isinstance(failure, SpoolFull):
                raise ObjectTooLarge(str(failure)) from error
            raise failure from error
        return self._append_reference(meta, staged, crc)

    def adopt_file(
        self, record: InstanceRecord, path: Path, length: int, crc: int | None = None
    ) -> tuple[int, Location]:
        """Take over an object that was spilled to `path` while it arrived; as `append`.

        path: on the spool's filesystem; removed once the entry is durable. length: its size, checked.
        crc: CRC32C of its content if the acceptor computed it; without, reading it back verifies nothing.
        """
        self._check()
        meta = _encoded(record)
        self._segments.check_quota(length, ObjectTooLarge)
        try:
            staged = stage_file(self._disk, self._directory, self._next_seq, path, length)
        except OSError as error:
            raise self._broken("adopting a spilled object", error) from error
        return self._append_reference(meta, staged, crc)

    def _append_reference(self, meta: bytes, staged: StagedFile, crc: int | None) -> tuple[int, Location]:
        payload = encode_reference(staged.length, crc)
        try:
            seq, place = self._append(Kind.REFERENCE, meta, [payload], len(payload), crc32c(payload), staged)
        except SpoolError:
            staged.discard(self._disk)
            raise
        self._store.add_file(staged.final.name, staged.length)
        return seq, Location(place.segment, place.offset, staged.length, crc, staged.final.name)

    def _append(
        self,
        kind: Kind,
        meta: bytes,
        buffers: Sequence[Buffer],
        length: int,
        crc: int,
        staged: StagedFile | None = None,
    ) -> tuple[int, Location]:
        size = record_bytes(len(meta), length)
        segment = self._segment_with_room(size)
        seq, offset = self._next_seq, segment.offset
        head = encode_head(kind, segment.number, segment.nonce, offset, seq, meta, length)
        trailer = encode_trailer(crc, HEAD_BYTES + len(meta) + length)
        self._write_records(segment, [head + meta, *buffers, trailer], size, 1, staged)
        return seq, Location(segment.number, offset + HEAD_BYTES + len(meta), length, crc)

    def begin_run(self, size: int) -> tuple[int, int, int, int, int, SegmentWindow | None]:
        """Return where records can be written, the first of them `size` long: segment, its nonce, from which
        offset up to which, the first one's entry number, and the window to write them through, if there is
        one. Nothing else may be appended before write_run.

        Raises as `append`.
        """
        self._check()
        segment = self._segment_with_room(size)
        end = min(segment.capacity - MARKER_BYTES, segment.filled)
        return segment.number, segment.nonce, segment.offset, end, self._next_seq, segment.window

    def drop_window(self) -> None:
        """Go on without the window of this segment: a page could not be had."""
        if self._segments.current is not None:
            self._segments.current.close_window()

    def write_run(self, buffers: Sequence[Buffer], size: int, count: int) -> None:
        """Write `count` whole INSTANCE records, `size` octets together, where begin_run said; as `append`.

        No buffers: they were written through the window, and count from now on.
        """
        self._check()
        assert self._segments.current is not None
        self._write_records(self._segments.current, buffers, size, count, None)
        if size >= SYNC_AT_ONCE_BYTES and self._lane is not None and self._lane.last_s < SHORT_SYNC_S:
            self._request_lane()

    def _write_records(
        self,
        segment: SegmentFile,
        buffers: Sequence[Buffer],
        size: int,
        count: int,
        staged: StagedFile | None,
    ) -> None:
        try:
            if buffers:
                self._disk.write(segment.descriptor, buffers, size, segment.offset)
        except OSError as error:
            raise self._broken("appending to a segment", error) from error
        with self._lock:
            self._next_seq += count
            segment.offset += size
            segment.last_seq = self._next_seq - 1
            self._gather(segment, staged)

    def _gather(self, segment: SegmentFile, staged: StagedFile | None) -> None:
        gathered = self._gathered
        gathered.add(segment)
        if staged is not None:
            gathered.files.append(staged)
        gathered.seq = self._next_seq - 1
        gathered.position = Position(segment.number, segment.offset)

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self.trouble is not None:
            raise self.trouble
        if self._closed:
            raise SpoolFailed("the spool is closed")

    def _broken(self, doing: str, error: OSError) -> SpoolError:
        """Return the error for a failed call; anything but "full" stops the volume."""
        failure = spool_error(doing, error)
        if isinstance(failure, SpoolFull):
            self._segments.give_space_back()
        else:
            self.give_up(failure)
        return failure

    def give_up(self, failure: SpoolError) -> None:
        """Accept nothing any more: the volume failed. Usable from any thread."""
        with self._changed:
            self.failure = self.failure or failure
            self._changed.notify_all()

    # -- segments

    def _segment_with_room(self, size: int) -> SegmentFile:
        segment = self._segments.current
        if segment is None or not segment.has_room(size, MARKER_BYTES):
            segment = self._rotate(segment)
        if segment.offset + size > segment.filled:
            self._await_filled(segment, segment.offset + size)
        return segment

    def _await_filled(self, segment: SegmentFile, end: int) -> None:
        """Let the next commit fill the segment up to `end` and more, and wait for it: at the first record, or
        when much comes at once."""
        with self._lock:
            segment.wanted = end
            self._gathered.add(segment)
        self._group.request()
        with self._changed:
            self._changed.wait_for(
                lambda: segment.filled >= end or self.failed or self.trouble is not None, FILL_TIMEOUT_S
            )
        self._check()
        if segment.filled < end:
            raise SpoolFull("the disk does not keep up")

    def _rotate(self, ended: SegmentFile | None) -> SegmentFile:
        try:
            fresh = self._segments.move_on()
        except OSError as error:
            raise self._broken("making a segment", error) from error
        if ended is not None:
            with self._lock:
                self._gathered.add_closing(ended)
        return fresh

    # -- durability

    def sync_soon(self) -> None:
        """Ask for a commit of everything appended so far; returns at once, however often it is called."""
        if self.failure is None and not self._request_lane():
            self._group.request()

    def _request_lane(self) -> bool:
        """Have the lane commit what has gathered; False if that takes more than the sync of a segment, or the
        segment needs something else soon."""
        lane, segment = self._lane, self._segments.current
        if lane is None or segment is None or self._group.is_busy or not segment.is_filled():
            return False
        if self._segments.spare is None and segment.is_half_full:
            return False
        with self._lock:  # with which a group is put back
            group = self._gathered
            if self.trouble is not None or not group.is_plain(segment):
                return False
            lane.request(segment.descriptor, segment.number, group.seq, group.position.offset)
        return True

    def take_durable(self) -> int:
        """Return the number up to which every entry is durable; owner's thread. Look at `failure` as well."""
        if self.trouble is not None:
            self.sync_soon()
        seq = self.durable_seq
        if self._settings.fsync or time.monotonic() >= self._marked_at + UNSYNCED_MARKER_S:
            self._mark_durable()
        return seq

    @property
    def durable_seq(self) -> int:
        """Return the number up to which every entry is durable; as take_durable, but for looking only."""
        if self._lane is not None and self._lane.synced_seq > self._durable[0]:
            self._take_from_lane(self._lane)
        return self._durable[0]

    def _take_from_lane(self, lane: CommitLane) -> None:
        segment, seq, offset, groups, seconds = lane.taken()
        with self._changed:
            if seq > self._durable[0]:
                self._durable = (seq, Position(segment, offset))
            self._changed.notify_all()
        self.groups += groups - self._lane_totals[0]
        self.commit_seconds += seconds - self._lane_totals[1]
        self._lane_totals = (groups, seconds)

    def _mark_durable(self) -> None:
        """Leave proof of the last commit, unless it has been left."""
        seq, position = self._durable
        if seq > self._marked_seq and self.failure is None:
            self._marked_at = time.monotonic()
            self._write_marker(seq, position)

    def wait_durable(self, seq: int, timeout_s: float) -> bool:
        """Block until entry `seq` is durable; False on failure or after timeout_s."""
        if self._lane is not None and self.failure is None:
            self._group.request()  # which wakes who waits here; the lane wakes the owner only
        with self._changed:
            self._changed.wait_for(lambda: self._durable[0] >= seq or self.failed, timeout_s)
            return self._durable[0] >= seq

    def _write_marker(self, seq: int, position: Position) -> None:
        """Write a marker, if there is room; the next commit takes it along."""
        segment = self._segments.current
        if segment is None or segment.offset + MARKER_BYTES > segment.filled:
            return
        marker = Marker(seq, position, self._marker_at)
        data = encode_marker(segment.number, segment.nonce, segment.offset, marker)
        try:
            self._disk.write(segment.descriptor, [data], len(data), segment.offset)
        except OSError as error:
            self._broken("appending a marker", error)
            return
        with self._lock:
            self._marked_seq = seq
            self._marker_at = Position(segment.number, segment.offset)
            segment.offset += len(data)
            self._gathered.add(segment)

    def _marker_waits(self) -> bool:
        return bool(self._gathered.segments) and self.failure is None and not self._closed

    def _commit(self) -> bool:
        """Make one group durable (commit thread); False after a failure."""
        with self._lock:
            group = self._gathered
            self._gathered = Gathered(seq=group.seq, position=group.position)
        started = time.perf_counter()
        try:
            self._sync_group(group)
        except NotYet as error:
            self._put_back(group, error)
            return True
        except OSError as error:
            self._commit_failed(error)
            return False
        self.commit_seconds += time.perf_counter() - started
        self.groups += 1
        self.trouble = None
        advanced = group.seq > self._durable[0]
        with self._changed:
            if advanced:
                self._durable = (group.seq, group.position)
            self._changed.notify_all()
        if advanced:
            self._notify()
        self._tidy(group)
        return not self.failed

    def _commit_failed(self, error: OSError) -> None:
        self.give_up(SpoolFailed(f"making a group durable: {error.strerror or error}"))
        self._notify()

    def _put_back(self, group: Gathered, error: NotYet) -> None:
        """Let a group wait for what it lacks; it is tried again whenever somebody looks."""
        with self._lock:
            later, self._gathered = self._gathered, group
            group.put_back(later)
        if self.trouble is None:
            self._segments.give_space_back()
            with self._changed:
                self.trouble = spool_error("making a group durable", error)
                self._changed.notify_all()
            self._notify()

    def _sync_group(self, group: Gathered) -> None:
        """Make a group durable, and let go of the segments that are full. Raises OSError, NotYet."""
        sync_group(group, self._disk, self._directory, self._segments.retire)
        for segment in group.closing:
            descriptor, segment.descriptor = segment.descriptor, -1
            self._disk.close(descriptor)
            self._store.add_closed(ClosedSegment(segment.number, segment.last_seq, segment.offset))

    def _tidy(self, group: Gathered) -> None:
        """After the good news: what nobody waits for."""
        for file in group.settled:
            if file.source is not None:
                with contextlib.suppress(OSError):  # an orphan in incoming/ goes at the next start
                    self._disk.unlink(file.source)
        if self._settings.fsync:
            try:
                self._segments.make_spare()
            except OSError as error:
                self.give_up(SpoolFailed(f"filling a segment: {error.strerror or error}"))
                self._notify()

    # -- the end

    def flush(self, timeout_s: float = CLOSE_TIMEOUT_S) -> bool:
        """Commit everything appended and wait for it; return whether it is durable."""
        if self._lane is None:
            self.sync_soon()
        return self.wait_durable(self.appended_seq, timeout_s)

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Commit what is left, prove it by a marker, close. Raises the failure if that is not possible."""
        if self._closed:
            return
        flushed = self.flush(timeout_s)
        self._mark_durable()
        segment, spare = self._segments.end()
        with self._lock:
            self._closed = True
            if segment is not None:
                self._gathered.add_closing(segment)
        if flushed:
            self._group.request()
        ended = self._group.stop(timeout_s)
        if spare is not None:
            remove_segment(self._disk, spare)
        if ended and segment is not None:
            segment.abandon(self._disk)
        if self.failure is not None:
            raise self.failure
        if not flushed or not ended:
            raise SpoolFailed(f"the last commit did not end within {timeout_s:g} s")


def _encoded(record: InstanceRecord) -> bytes:
    meta = encode_record(record)
    if len(meta) > META_BYTES_MAX:
        raise SpoolError(f"facts of an instance take {len(meta)} bytes, allowed {META_BYTES_MAX}")
    return meta
