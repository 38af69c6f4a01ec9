"""Wakes a worker's event loop when its spool has something to tell: a commit that ended, or failed."""

from __future__ import annotations

import asyncio
import threading


class SpoolBell:
    """Made on the loop's thread. is_expected: this thread is about to look anyway and need not be woken."""

    def __init__(self) -> None:
        self.is_expected = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake the loop; from any thread. Without syncs commits run on the loop's own."""
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self._rung.set)
        elif not self.is_expected:
            self._rung.set()

    async def wait(self) -> None:
        """Wait until it has rung since the last time."""
        await self._rung.wait()
        self._rung.clear()
