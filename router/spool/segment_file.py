"""One segment file while it is being written: made, preallocated, filled, closed."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from router import crash_points
from router.spool.disk import Disk
from router.spool.segment import HEADER_BYTES, Position, encode_header


@dataclass(slots=True, eq=False)
class SegmentFile:
    """The segment being appended to, or one waiting for its last sync.

    offset: where the next record goes. is_named: the folder has been synced since the file was made.
    """

    number: int
    path: Path
    descriptor: int
    nonce: int
    capacity: int
    offset: int = HEADER_BYTES
    last_seq: int = 0
    is_named: bool = False
    is_closing: bool = False

    def has_room(self, size: int, reserve: int) -> bool:
        return self.offset + size + reserve <= self.capacity

    def begin(self, disk: Disk, previous: Position) -> None:
        """Note in the header where the segment before this one ended. Raises OSError."""
        disk.write(self.descriptor, [encode_header(self.number, self.nonce, previous)], HEADER_BYTES, 0)

    def abandon(self, disk: Disk) -> None:
        """Close without a promise; used where nothing depends on it any more."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                disk.close(descriptor)


@crash_points.after("segment.rotate")
def create_segment(
    disk: Disk, path: Path, number: int, nonce: int, capacity: int, recycled: Path | None = None
) -> SegmentFile:
    """Make, preallocate and head a new segment. Raises OSError; then nothing is left.

    nonce: secret, and never used before (see segment.py). recycled: a file to write again instead of a fresh
    one (see recycled.py).
    """
    if recycled is not None:
        try:
            disk.rename(recycled, path)
        except OSError:
            with contextlib.suppress(OSError):
                disk.unlink(recycled)
            raise
    descriptor = disk.create(path) if recycled is None else disk.reopen(path)
    segment = SegmentFile(number, path, descriptor, nonce, capacity)
    try:
        disk.allocate(descriptor, capacity)
        disk.write(descriptor, [encode_header(number, segment.nonce)], HEADER_BYTES, 0)
    except OSError:
        remove_segment(disk, segment)
        raise
    return segment


def remove_segment(disk: Disk, segment: SegmentFile) -> None:
    """Remove a segment that holds nothing; if that fails, the next start removes it."""
    with contextlib.suppress(OSError):
        disk.unlink(segment.path)
    segment.abandon(disk)
