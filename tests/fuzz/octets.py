"""Read choices off the front of a fuzzer's input, so that what remains is the octets under test."""

from __future__ import annotations

import itertools


class Octets:
    """An input, read from its front; beyond its end everything is zero."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, below: int) -> int:
        """Return a number from 0 to below - 1; one octet if below is at most 256, else two."""
        return int.from_bytes(self.take(1 if below <= 256 else 2).ljust(1, b"\0"), "big") % below

    def take(self, count: int) -> bytes:
        """Return the next octets, fewer at the end."""
        taken = self._data[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(len(self._data))

    def pieces(self, data: bytes) -> list[bytes]:
        """Cut data in up to five pieces, at places read from the input."""
        cuts = sorted(self.number(len(data) + 1) if data else 0 for _ in range(4))
        edges = [0, *cuts, len(data)]
        return [data[start:end] for start, end in itertools.pairwise(edges)]
