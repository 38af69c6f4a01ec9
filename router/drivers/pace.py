"""Whether a peer gets on with what it has begun: a dribble of single bytes is no progress.

Looked at by tickers and timers only; no message costs anything.
"""

from __future__ import annotations

PROGRESS_MIN_BYTES = 4096
"""Fewer bytes than this within a deadline count as none: a peer that sends or takes one byte a minute would
hold its connection, and the memory of its dataset, for ever."""


class Pace:
    """How far one direction of a connection has come since a mark."""

    __slots__ = ("_bytes", "_since")

    def __init__(self) -> None:
        self._bytes = 0
        self._since: float | None = None

    def rest(self) -> None:
        """Take note that nothing is due from the peer now."""
        self._since = None

    def began_at(self, now: float, total_bytes: int) -> float:
        """Return the time of the mark, made now if there is none."""
        if self._since is None:
            self._since = now
            self._bytes = total_bytes
        return self._since

    def is_too_slow(self, now: float, total_bytes: int, within_s: float) -> bool:
        """Return whether less than PROGRESS_MIN_BYTES were added to total_bytes within so many seconds."""
        if self._since is None or total_bytes - self._bytes >= PROGRESS_MIN_BYTES:
            self._since = now
            self._bytes = total_bytes
            return False
        return now - self._since >= within_s
