"""One timer for all that a destination waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic


class Alarm:
    """Calls back at the earliest time asked for; whoever asked for a later one asks again then."""

    __slots__ = ("_due", "_is_closed", "_loop", "_on_time", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_time: Callable[[], None]) -> None:
        self._loop = loop
        self._on_time = on_time
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._is_closed = False

    def at(self, when: float) -> None:
        """Ask to be called at a monotonic time."""
        if self._timer is not None:
            if self._due <= when:
                return
            self._timer.cancel()
            self._timer = None
        if not self._is_closed:
            self._due = when
            self._timer = self._loop.call_later(max(0.0, when - monotonic()), self._ring)

    def close(self) -> None:
        """Never call again."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._on_time()
