"""Keeps copies of damaged bytes for people to look at, in bounded space."""

from __future__ import annotations

import os
from pathlib import Path

from router.spool.disk import read_around
from router.spool.layout import private, sync_folder

QUARANTINE_BYTES_MAX = 4 << 30  # copies beyond this are not made: evidence must not fill the disk
QUARANTINE_FILES_MAX = 10_000
_COPY_BYTES = 1 << 20


class Quarantine:
    """The quarantine folder of one worker directory."""

    def __init__(
        self, folder: Path, bytes_max: int = QUARANTINE_BYTES_MAX, files_max: int = QUARANTINE_FILES_MAX
    ) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._held: tuple[int, int] | None = None

    def copy(self, source: Path, name: str, offset: int, length: int) -> bool:
        """Copy a range of a file, once for each name; False if there is no room. Raises OSError.

        What cannot be read is zeros in the copy.
        """
        target = self._folder / name
        if target.exists():
            return True
        files, size = self._holding()
        if size + length > self._bytes_max or files >= self._files_max:
            return False
        part = target.with_suffix(".part")
        with open(source, "rb", buffering=0) as reader, open(part, "wb", opener=private) as writer:
            end = offset + length
            while offset < end and (
                chunk := read_around(reader.fileno(), min(end - offset, _COPY_BYTES), offset)
            ):
                size += writer.write(chunk)
                offset += len(chunk)
            writer.flush()
            os.fsync(writer.fileno())
        part.rename(target)
        sync_folder(self._folder)
        self._held = (files + 1, size)
        return True

    def move(self, source: Path) -> None:
        """Take over a whole file. Raises OSError."""
        source.rename(self._folder / source.name)
        for folder in (self._folder, source.parent):
            sync_folder(folder)
        self._held = None

    def _holding(self) -> tuple[int, int]:
        """Return how many files there are and their bytes."""
        if self._held is None:
            sizes = [entry.stat().st_size for entry in os.scandir(self._folder)]
            self._held = (len(sizes), sum(sizes))
        return self._held
