"""Where dataset bytes go while a message arrives: the sink's shape, and the two sinks that need no outside.

A message is a command set and, if its Command Data Set Type says so, a dataset (PS3.7 section 6.3). The
command set is held whole (it is small and bounded); the dataset's bytes are copied straight into buffers
that a sink lends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from router.errors import LimitReached

if TYPE_CHECKING:
    from router.protocol.association import Association
    from router.protocol.indications import MessageReceived
    from router.protocol.negotiation import AcceptedContext

Buffer = bytes | bytearray | memoryview
"""Contiguous bytes."""

CommandSet = Mapping[int, Any]
"""A decoded command set: element tag to value (PS3.7 section 6.3.1); values as router.wire.codec gives
them."""

CHUNK_BYTES = 65536
DATASET_IN_MEMORY_MAX_BYTES = 4 << 30


class DatasetSink(Protocol):
    """Receive one dataset. Called only from the thread that drives the association."""

    def next_buffer(self) -> memoryview | None:
        """Lend the next writable buffer; None: wait, reading stops until Association.resume()."""

    def filled(self, count: int) -> None:
        """Take note that count bytes of the buffer lent last were written."""

    def finish(self) -> object:
        """Return what MessageReceived.dataset shall be; the last byte has arrived."""

    def discard(self) -> None:
        """Forget everything; the association ended in the middle of the message."""


OpenSink = Callable[["Association", "AcceptedContext", CommandSet], DatasetSink]


class MemorySink:
    """Collect a dataset as one bytes object: commands with identifiers, and instances for the library."""

    def __init__(self, bytes_max: int = DATASET_IN_MEMORY_MAX_BYTES) -> None:
        self._chunks: list[memoryview] = []
        self._size = CHUNK_BYTES
        self._total = 0
        self._bytes_max = bytes_max

    def next_buffer(self) -> memoryview | None:
        if self._total >= self._bytes_max:
            raise LimitReached("dataset_bytes", self._total, self._bytes_max)
        buffer = memoryview(bytearray(self._size))
        self._size = min(self._size * 2, CHUNK_BYTES * 64)
        self._chunks.append(buffer)
        return buffer

    def filled(self, count: int) -> None:
        self._total += count
        self._chunks[-1] = self._chunks[-1][:count]

    def finish(self) -> object:
        return b"".join(self._chunks)

    def discard(self) -> None:
        self._chunks.clear()


class NullSink:
    """Let a dataset pass by that nobody will look at; finish() returns the given answer."""

    _scratch = memoryview(bytearray(CHUNK_BYTES))

    def __init__(self, answer: object = None) -> None:
        self._answer = answer

    def next_buffer(self) -> memoryview | None:
        return self._scratch

    def filled(self, count: int) -> None:
        pass

    def finish(self) -> object:
        return self._answer

    def discard(self) -> None:
        pass


def open_memory_sink(association: Association, context: AcceptedContext, command: CommandSet) -> DatasetSink:
    """Open the sink for associations that want their datasets as bytes."""
    return MemorySink()


def release_dataset(message: MessageReceived) -> None:
    """Give back the dataset of a message nobody will read: shared memory and files know how; bytes need
    nothing."""
    release = getattr(message.dataset, "release", None)
    if release is not None:
        release()
