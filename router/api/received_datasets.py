"""Where received datasets go: memory, joined when somebody looks, or a file as they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router import _config
from router.errors import LimitReached
from router.protocol.association import Association as ProtocolAssociation
from router.protocol.messages import CommandSet, DatasetSink, OpenSink
from router.protocol.negotiation import AcceptedContext
from router.standard.dimse_fields import C_STORE_RQ, COMMAND_FIELD

if TYPE_CHECKING:
    from router.api.association_state import AssociationState

FIRST_CHUNK_BYTES = 16384
CHUNK_MAX_BYTES = 4 << 20
DATASET_MAX_BYTES = 4 << 30
"""Largest dataset taken into memory; a file may be larger."""


class ReceivedDataset:
    """A dataset in memory, in the pieces it arrived in."""

    __slots__ = ("_pieces",)

    def __init__(self, pieces: list[memoryview]) -> None:
        self._pieces = pieces

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def getvalue(self) -> bytes:
        """Return the encoded dataset."""
        if len(self._pieces) != 1 or not isinstance(self._pieces[0].obj, bytes):
            self._pieces = [memoryview(b"".join(self._pieces))]
        joined: bytes = self._pieces[0].obj  # type: ignore[assignment]
        return joined


class MemorySink:
    """Collect a dataset in chunks that grow with it."""

    __slots__ = ("_next_bytes", "_pieces", "_total")

    def __init__(self) -> None:
        self._pieces: list[memoryview] = []
        self._next_bytes = FIRST_CHUNK_BYTES
        self._total = 0

    def next_buffer(self) -> memoryview | None:
        if self._total >= DATASET_MAX_BYTES:
            raise LimitReached("dataset_bytes", self._total, DATASET_MAX_BYTES)
        buffer = memoryview(bytearray(self._next_bytes))
        self._next_bytes = min(self._next_bytes * 4, CHUNK_MAX_BYTES)
        self._pieces.append(buffer)
        return buffer

    def filled(self, count: int) -> None:
        self._total += count
        self._pieces[-1] = self._pieces[-1][:count]

    def finish(self) -> object:
        return ReceivedDataset(self._pieces)

    def discard(self) -> None:
        self._pieces.clear()


def sink_opener(assoc: AssociationState) -> OpenSink:
    """Return what opens the sink of each message of an association: a file for some C-STOREs, else memory."""

    def open_sink(_: ProtocolAssociation, context: AcceptedContext, command: CommandSet) -> DatasetSink:
        place = assoc.receive_to
        is_wanted = place is not None or _config.STORE_RECV_CHUNKED_DATASET
        if not is_wanted or command[COMMAND_FIELD] != C_STORE_RQ:
            return MemorySink()
        from router.api.received_files import open_file_sink

        return open_file_sink(assoc, place, context.transfer_syntax, command) or MemorySink()

    return open_sink
