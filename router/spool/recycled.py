"""Settled segment files kept to be written again: their pages and disk blocks are there already.

Writing a fresh page costs two to three times what writing over an old one does, on a disk as on a RAM disk. A
segment's records carry its nonce, so what stands in a recycled file from before is never taken for a record.
Invariant: a file is written again only after its settled name is durably gone (`settle` syncs the folder).
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from pathlib import Path

from router import crash_points
from router.spool.disk import Disk
from router.spool.layout import RECYCLED_SUFFIX, WorkerDirectory
from router.wire.codec import SegmentWindow

RECYCLED_MAX = 6
"""Files kept; the rest is deleted."""

WINDOWS_MAX = 4
"""Files of a RAM disk that stay mapped between their last record and the first of their next life."""


class RecycledSegments:
    """The kept files of one worker directory. Thread-safe."""

    def __init__(self, directory: WorkerDirectory, disk: Disk) -> None:
        self._directory = directory
        self._disk = disk
        self._lock = threading.Lock()
        self._renamed: list[Path] = []
        self._ready: deque[Path] = deque()
        self._windows: dict[str, SegmentWindow] = {}  # by the name without its suffix, oldest first

    def keep_window(self, segment: Path, window: SegmentWindow) -> None:
        """Keep a segment's window for whoever writes the file again."""
        with self._lock:
            self._windows[segment.stem] = window
            if len(self._windows) > WINDOWS_MAX:
                self._drop_window(next(iter(self._windows)))

    def take_window(self, file: Path) -> SegmentWindow | None:
        """Return the window of a file that take() has returned, if it was kept."""
        with self._lock:
            return self._windows.pop(file.stem, None)

    def forget(self, segment: Path) -> None:
        """Take note that a segment is deleted; a window on it would keep its memory."""
        with self._lock:
            self._drop_window(segment.stem)

    def _drop_window(self, name: str) -> None:
        window = self._windows.pop(name, None)
        if window is not None:
            window.close()

    def keep(self, segment: Path) -> bool:
        """Take a settled segment's file out of use and keep it; False if there are enough, or it cannot be
        renamed."""
        with self._lock:
            if len(self._renamed) + len(self._ready) >= RECYCLED_MAX:
                return False
            kept = segment.with_suffix(RECYCLED_SUFFIX)
            try:
                self._disk.rename(segment, kept)
            except OSError:
                return False
            self._renamed.append(kept)
            return True

    def settle(self) -> None:
        """Make the new names durable; from now on the files may be written again.

        Raises OSError; these files stay unused until the next start then: a second sync would prove nothing.
        """
        with self._lock:
            renamed, self._renamed = self._renamed, []
            if renamed:
                crash_points.reached("reclaim.middle")
                self._disk.sync_folder(self._directory.segments)
                self._ready.extend(renamed)

    def take(self) -> Path | None:
        """Return a file to write again; it is the caller's now."""
        with self._lock:
            return self._ready.pop() if self._ready else None

    @property
    def held_bytes(self) -> int:
        """Return the bytes of the files kept."""
        with self._lock:
            return sum(_size_of(path) for path in (*self._renamed, *self._ready))

    def clear(self) -> None:
        """Delete the kept files: the space is needed for something else."""
        with self._lock:
            while self._ready:
                path = self._ready.pop()
                self._drop_window(path.stem)
                with contextlib.suppress(OSError):
                    self._disk.unlink(path)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def remove_recycled(directory: WorkerDirectory) -> None:
    """Delete what an earlier process kept: whether its names were durable is not known any more."""
    for path in directory.segments.glob(f"*{RECYCLED_SUFFIX}"):
        with contextlib.suppress(OSError):
            path.unlink()
