"""One segment file while it is being written: made, preallocated, filled with zeros, written, closed.

Space that is only preallocated is not relied upon. A record there outlives a crash only if the file system's
log says that the extent was written, and a sync that waits for the log may return success although that
transaction is lost: seen on ext4 (Linux 6.18) when the medium ran out beneath it, and with the shutdown
ioctl, in one of five to ten tries. So zeros are written and synced ahead of the records; a sync of records
needs no log then.
Invariant: a record is only written where a sync of zeros, or of a former life of the file, has succeeded.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from router import crash_points
from router.spool.disk import Disk
from router.spool.faults import FULL_ERRNOS, NotYet
from router.spool.segment import HEADER_BYTES, Position, encode_header
from router.wire.codec import SegmentWindow

FILL_AHEAD_BYTES = 8 << 20
"""Zeros ahead of the records, at most; or four times what the last commit held, where that is more."""

CUT_SHARE_MIN = 0.75
"""Share of its capacity that a file written again has to have where a full disk does not let it grow: the
largest record still fits into it."""


@dataclass(slots=True, eq=False)
class SegmentFile:
    """The segment being appended to, or one waiting for its last sync.

    offset: where the next record goes. is_named: the folder has been synced since the file was made.
    zeroed: up to where zeros, or records of a former life, are written; filled: and synced. wanted: up to
    where the owner waits for that. window: to write through, on a RAM disk.
    """

    number: int
    path: Path
    descriptor: int
    nonce: int
    capacity: int
    offset: int = HEADER_BYTES
    filled: int = HEADER_BYTES
    zeroed: int = HEADER_BYTES
    wanted: int = 0
    last_seq: int = 0
    _offset_before: int = HEADER_BYTES
    is_named: bool = False
    is_closing: bool = False
    window: SegmentWindow | None = None

    def has_room(self, size: int, reserve: int) -> bool:
        return self.offset + size + reserve <= self.capacity

    def begin(self, disk: Disk, previous: Position) -> None:
        """Note in the header where the segment before this one ended. Raises OSError."""
        disk.write(self.descriptor, [encode_header(self.number, self.nonce, previous)], HEADER_BYTES, 0)

    @property
    def is_half_full(self) -> bool:
        """Whether it is time to make the next one."""
        return self.offset * 2 >= self.capacity

    def is_filled(self, ahead: int = FILL_AHEAD_BYTES) -> bool:
        """Whether there are zeros for half of `ahead` behind what is written, or up to the end."""
        return self.zeroed == self.capacity or self.zeroed - max(self.offset, self.wanted) >= ahead // 2

    def fill_ahead(self, disk: Disk) -> None:
        """Write zeros ahead of the records if few are left; they count once they are synced.

        Raises OSError, NotYet. Called by whoever syncs the segment, by nobody else.
        """
        ahead = max(FILL_AHEAD_BYTES, 4 * (self.offset - self._offset_before))
        self._offset_before = self.offset
        end = max(self.offset, self.wanted)
        if self.is_filled(ahead):
            return
        end = min(self.capacity, end + ahead)
        try:
            disk.fill(self.descriptor, self.zeroed, end)
        except OSError as error:
            if error.errno not in FULL_ERRNOS:
                raise
            raise NotYet(error.errno, error.strerror) from error
        self.zeroed = end

    def sync(self, disk: Disk) -> None:
        """Make all durable that was written before this call. Raises OSError."""
        zeroed = self.zeroed
        disk.sync(self.descriptor)
        self.filled = zeroed

    def close_window(self) -> None:
        """Write through the window no more."""
        window, self.window = self.window, None
        if window is not None:
            window.close()

    def abandon(self, disk: Disk) -> None:
        """Close without a promise; used where nothing depends on it any more."""
        self.close_window()
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                disk.close(descriptor)


@crash_points.after("segment.rotate")
def create_segment(
    disk: Disk,
    path: Path,
    number: int,
    nonce: int,
    capacity: int,
    recycled: Path | None = None,
    window: SegmentWindow | None = None,
) -> SegmentFile:
    """Make, preallocate and head a new segment. Raises OSError; then nothing is left.

    nonce: secret, and never used before (see segment.py). recycled: a file to write again instead of a fresh
    one (see recycled.py); on a full disk the segment may become as short as that is. window: that it was
    written through then, of the same capacity.
    """
    descriptor = disk.create(path) if recycled is None else _reopen(disk, path, recycled)
    segment = SegmentFile(number, path, descriptor, nonce, capacity, window=window)
    there = 0 if recycled is None else min(os.fstat(descriptor).st_size, capacity)
    try:
        if there < capacity:  # what is there need not be looked at again, page by page
            _grow(disk, segment, there)
        segment.filled = segment.zeroed = max(HEADER_BYTES, there) if disk.needs_filling else segment.capacity
        disk.write(descriptor, [encode_header(number, segment.nonce)], HEADER_BYTES, 0)
        segment.window = segment.window or disk.window(descriptor, segment.capacity)
    except OSError:
        remove_segment(disk, segment)
        raise
    return segment


def _reopen(disk: Disk, path: Path, recycled: Path) -> int:
    """Give a file to be written again its new name, and open it. Raises OSError; then it is gone."""
    try:
        disk.rename(recycled, path)
        return disk.reopen(path)
    except OSError:
        for name in (recycled, path):
            with contextlib.suppress(OSError):
                disk.unlink(name)
        raise


def _grow(disk: Disk, segment: SegmentFile, there: int) -> None:
    """Let a file grow to the segment's capacity; if the disk is full, and most is there, that has to do.

    Raises OSError.
    """
    try:
        disk.allocate(segment.descriptor, segment.capacity - there, there)
    except OSError as error:
        if error.errno not in FULL_ERRNOS or there < segment.capacity * CUT_SHARE_MIN:
            raise
        segment.close_window()
        segment.capacity = there


def remove_segment(disk: Disk, segment: SegmentFile) -> None:
    """Remove a segment that holds nothing; if that fails, the next start removes it."""
    with contextlib.suppress(OSError):
        disk.unlink(segment.path)
    segment.abandon(disk)
