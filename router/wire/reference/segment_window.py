"""Twin of _codec/segment_window.pyx: a segment's file on a RAM disk, mapped to be written."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

from crc32c import crc32c
from typing_extensions import Buffer


class SegmentWindow:
    """See _codec/segment_window.pyx. A page that is gone from the file is the end of the process here."""

    def __init__(self, descriptor: int, size: int) -> None:
        found = os.fstat(descriptor)
        if _file_system(found.st_dev) != "tmpfs":
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        if size == 0 or found.st_size < size:
            raise ValueError(f"a window of {size} octets on a file of {found.st_size}")
        self._memory: memoryview | None = memoryview(mmap.mmap(descriptor, size))

    def close(self) -> None:
        """Unmap; harmless twice."""
        self._memory = None

    def cut(self, length: int) -> None:
        """Take note that the file was truncated; its pages are reserved again before it is written again."""

    def write(self, offset: int, buffers: list[Buffer], crc: int = 0) -> int:
        """Write buffers one after another; return the CRC32C of them all, going on from `crc`.

        Raises ValueError for what is outside, and for a closed window.
        """
        size = sum(memoryview(buffer).nbytes for buffer in buffers)
        if self._memory is None:
            raise ValueError("the window is closed")
        if offset + size > len(self._memory):
            raise ValueError(f"{size} octets at {offset} of {len(self._memory)}")
        for buffer in buffers:
            octets = memoryview(buffer).cast("B")
            self._memory[offset : offset + len(octets)] = octets
            offset += len(octets)
            crc = crc32c(octets, crc)
        return crc


def _file_system(device: int) -> str:
    """Return the type of the file system with this st_dev."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[2] == number:
            return fields[fields.index("-") + 1]
    return ""
