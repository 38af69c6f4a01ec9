"""Large objects: datasets that get a file of their own beside the segments.

The temporary name exists as soon as the bytes are in the page cache; the final name only after they are
synced. So a final name always means a whole object, which a file's mere presence would not prove.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from router.errors import SpoolError
from router.spool.disk import Buffer, Disk
from router.spool.faults import FULL_ERRNOS, NotYet
from router.spool.layout import TEMPORARY_SUFFIX, WorkerDirectory, large_name


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A large object on its way. source: the spilled file in incoming/ to remove once all is durable."""

    temporary: Path
    final: Path
    length: int
    source: Path | None = None

    def settle(self, disk: Disk) -> None:
        """Sync the content, then give it its final name; the caller syncs the folder.

        Raises OSError; NotYet if there is no room for the name, or no descriptor: call it again.
        """
        descriptor = disk.open(self.temporary)
        try:
            disk.sync(descriptor)
        finally:
            disk.close(descriptor)
        try:
            disk.rename(self.temporary, self.final)
        except OSError as error:
            if error.errno not in FULL_ERRNOS:
                raise
            raise NotYet(error.errno, error.strerror) from error

    def discard(self, disk: Disk) -> None:
        """Remove the temporary name after a refusal; what cannot be removed now goes at the next start."""
        with contextlib.suppress(OSError):
            disk.unlink(self.temporary)


def stage_buffers(
    disk: Disk, directory: WorkerDirectory, seq: int, buffers: Sequence[Buffer], length: int
) -> StagedFile:
    """Write a dataset of `length` bytes to a new temporary file. Raises OSError; then nothing is left."""
    staged = _staged(directory, seq, length, None)
    staged.discard(disk)  # of an earlier refusal that could not be cleaned up
    try:
        descriptor = disk.create(staged.temporary)
        try:
            disk.allocate(descriptor, length)
            disk.write(descriptor, buffers, length, 0)
        finally:
            disk.close(descriptor)
    except OSError:
        staged.discard(disk)
        raise
    return staged


def stage_file(disk: Disk, directory: WorkerDirectory, seq: int, source: Path, length: int) -> StagedFile:
    """Give a spilled file a second name in our folder (same filesystem).

    A second name, not a move: until the group is durable the acceptor may still have to hand the object to a
    restarted worker. Raises SpoolError if it is not there in its full length, OSError if linking fails.
    """
    try:
        found = os.stat(source).st_size
    except FileNotFoundError:
        raise SpoolError(f"spilled object of entry {seq} is gone") from None
    if found != length:
        raise SpoolError(f"spilled object of entry {seq} has {found} bytes, expected {length}")
    staged = _staged(directory, seq, length, source)
    staged.discard(disk)  # of an earlier refusal that could not be cleaned up
    disk.link(source, staged.temporary)
    return staged


def _staged(directory: WorkerDirectory, seq: int, length: int, source: Path | None) -> StagedFile:
    name = large_name(seq)
    return StagedFile(
        directory.large_path(name + TEMPORARY_SUFFIX), directory.large_path(name), length, source
    )
