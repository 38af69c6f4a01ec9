"""Wakes a worker's event loop when its spool has something to tell: a commit that ended, or failed.

An eventfd of its own, because a write to it leaves the interpreter's lock to the loop that it wakes;
asyncio's own way wakes it while the lock is held.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress


class SpoolBell:
    """Made on the loop's thread. is_expected: this thread is about to look anyway and need not be woken."""

    def __init__(self) -> None:
        self.is_expected = False
        self._thread = threading.get_ident()
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def ring(self) -> None:
        """Wake the loop; from any thread. Without syncs commits run on the loop's own."""
        if not self.is_expected or threading.get_ident() != self._thread:
            with suppress(OSError):  # closed, at the end; or it rings already
                os.eventfd_write(self._fd, 1)

    def fileno(self) -> int:
        """Return the eventfd, for who rings it by himself."""
        return self._fd

    def answer(self, look: Callable[[], None]) -> None:
        """Call look() on the loop each time it has rung."""

        def heard() -> None:
            os.eventfd_read(self._fd)
            look()

        asyncio.get_running_loop().add_reader(self._fd, heard)

    def close(self) -> None:
        """Ring no more; on the loop's thread."""
        fd, self._fd = self._fd, -1
        asyncio.get_running_loop().remove_reader(fd)
        os.close(fd)
