"""The system calls that decide whether bytes are kept, each checked; the one seam for faults and delays in
tests.

Everything raises OSError; who calls decides whether that is "full" or "failed" (`faults.py`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from router import crash_points
from router.spool.layout import FILE_MODE, open_patiently, sync_folder
from router.wire.codec import CommitLane, SegmentWindow

Buffer: TypeAlias = bytes | bytearray | memoryview

IOV_MAX = 1024  # Linux UIO_MAXIOV
PAGE_BYTES = 4096  # what is given up around a bad sector
_ZEROS = bytes(1 << 20)


def _write_half(_: object, descriptor: int, buffers: Sequence[Buffer], length: int, offset: int) -> None:
    """Write about the first half of the buffers, for a crash in the middle."""
    whole = b"".join(buffers)
    os.pwrite(descriptor, whole[: length // 2], offset)


class Disk:
    """The real disk. Replace `sync` to inject delays and errors; subclass for anything else."""

    needs_filling = True  # whether space must be written before it is relied upon (see segment_file.py)

    def __init__(self, sync: Callable[[int], None] = os.fdatasync) -> None:
        self._sync = sync

    def create(self, path: Path) -> int:
        """Create a file that must not exist; return its descriptor."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)

    def reopen(self, path: Path) -> int:
        """Open a file that exists, to write it again."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def open(self, path: Path) -> int:
        """Open for reading and syncing; blocks as open_patiently does."""
        return open_patiently(path)

    def allocate(self, descriptor: int, length: int, start: int = 0) -> None:
        """Reserve space from start, so that a later write within it needs no room and a sync no size
        update."""
        os.posix_fallocate(descriptor, start, length)

    def window(self, descriptor: int, length: int) -> SegmentWindow | None:
        """Return a window to write the first `length` octets through, past write(); they are allocated.

        None where errors of the medium have to be told.
        """
        return None

    def commit_lane(self, bell: int) -> CommitLane | None:
        """Return a lane that syncs as sync() does, past it, and rings the eventfd `bell`; None if there is
        none, or sync() is not the real one."""
        if type(self) is not Disk or self._sync is not os.fdatasync or CommitLane is None:
            return None
        return CommitLane(bell, crash_points.armed("sync.before"))

    @crash_points.before("append.middle", _write_half)
    def write(self, descriptor: int, buffers: Sequence[Buffer], length: int, offset: int) -> None:
        """Write all of the buffers (length bytes together) at offset without joining them."""
        written = os.pwritev(descriptor, buffers[:IOV_MAX], offset)
        if written != length:
            self._write_rest(descriptor, buffers, written, length, offset)

    def _write_rest(
        self, descriptor: int, buffers: Sequence[Buffer], written: int, length: int, offset: int
    ) -> None:
        while written < length:
            rest = _skip(buffers, written)
            step = os.pwritev(descriptor, rest[:IOV_MAX], offset + written)
            if step <= 0:
                raise OSError(errno.EIO, "a write made no progress")
            written += step

    def fill(self, descriptor: int, start: int, end: int) -> None:
        """Write zeros from start up to end."""
        while start < end:
            written = os.pwrite(descriptor, memoryview(_ZEROS)[: end - start], start)
            if written <= 0:
                raise OSError(errno.EIO, "a write made no progress")
            start += written

    def truncate(self, descriptor: int, length: int) -> None:
        os.ftruncate(descriptor, length)

    @crash_points.before("sync.before")
    def sync(self, descriptor: int) -> None:
        """fdatasync. A failure is final: the kernel forgets it, a second try would lie."""
        self._sync(descriptor)

    def confirm(self, descriptor: int) -> None:
        """Let the file system write one more transaction of its log, after syncs that relied on one.

        The last transaction before the log fails may be lost although its sync returned success (see
        segment_file.py); where one more can be written, those before it are there.
        """
        os.utime(descriptor)
        os.fsync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """fsync of a directory (fdatasync would skip new names that leave its size alone)."""
        sync_folder(folder)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def link(self, source: Path, target: Path) -> None:
        os.link(source, target)

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def unlink(self, path: Path) -> None:
        """Remove a name; one that is already gone is no error."""
        path.unlink(missing_ok=True)


class UnsyncedDisk(Disk):
    """The same without syncs: for RAM disks and tests, where durability is not promised."""

    needs_filling = False

    def sync(self, descriptor: int) -> None:
        pass

    def confirm(self, descriptor: int) -> None:
        pass

    def fill(self, descriptor: int, start: int, end: int) -> None:
        pass

    def sync_folder(self, folder: Path) -> None:
        pass

    def window(self, descriptor: int, length: int) -> SegmentWindow | None:
        """Return a window if the file lies on a RAM disk."""
        if crash_points.armed("append.middle"):
            return None
        try:
            return SegmentWindow(descriptor, length)
        except OSError:
            return None


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of a few octets. Raises OSError, also for a write cut short."""
    if os.pwrite(descriptor, data, offset) != len(data):
        raise OSError(errno.EIO, "a write was cut short")


def read_around(descriptor: int, length: int, offset: int) -> bytes:
    """Read as pread does, with zeros where the disk cannot read: what is behind a bad sector is still wanted.

    Raises OSError for anything but EIO.
    """
    try:
        return os.pread(descriptor, length, offset)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    length = max(0, min(length, os.fstat(descriptor).st_size - offset))
    parts = []
    end = offset + length
    while offset < end:
        step = min(end, (offset // PAGE_BYTES + 1) * PAGE_BYTES) - offset
        try:
            part = os.pread(descriptor, step, offset)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            part = b""
        parts.append(part.ljust(step, b"\0"))
        offset += step
    return b"".join(parts)


def _skip(buffers: Sequence[Buffer], written: int) -> list[Buffer]:
    """Return what remains of the buffers after their first `written` bytes."""
    rest: list[Buffer] = []
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        if written < view.nbytes:
            rest.append(view[written:])
            written = 0
        else:
            written -= view.nbytes
    return rest
