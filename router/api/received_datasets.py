"""Where received datasets go: memory, joined when somebody looks, or a file as they arrive."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from router import _config
from router.errors import LimitReached
from router.protocol.association import Association as ProtocolAssociation
from router.protocol.messages import CommandSet, DatasetSink, OpenSink
from router.protocol.negotiation import AcceptedContext
from router.standard.dimse_fields import C_STORE_RQ, COMMAND_FIELD

if TYPE_CHECKING:
    from router.api.association_state import AssociationState

FIRST_CHUNK_BYTES = 1 << 14
CHUNK_SIZES = (1 << 18, 1 << 20)
"""The chunk after the first one, and all that follow."""

SPARE_MAX = 16
"""Chunks of each size that are kept for the next dataset: fresh memory costs more than receiving into it."""

DATASET_MAX_BYTES = 4 << 30
"""Largest dataset taken into memory; a file may be larger."""

_spare: dict[int, deque[bytearray]] = {size: deque(maxlen=SPARE_MAX) for size in CHUNK_SIZES}


def _take_chunk(size: int) -> bytearray:
    spare = _spare.get(size)
    try:
        return spare.pop() if spare else bytearray(size)
    except IndexError:  # another thread took the last one
        return bytearray(size)


class ReceivedDataset:
    """A dataset in memory, in the pieces it arrived in. Its chunks serve again once nobody has it."""

    __slots__ = ("_pieces",)

    def __init__(self, pieces: list[memoryview]) -> None:
        self._pieces = pieces

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def getvalue(self) -> bytes:
        """Return the encoded dataset."""
        if len(self._pieces) != 1 or not _is_whole(self._pieces[0]):
            joined_now = b"".join(self._pieces)
            pieces, self._pieces = self._pieces, [memoryview(joined_now)]
            _give_back(pieces)
        joined: bytes = self._pieces[0].obj  # type: ignore[assignment]
        return joined

    def __del__(self) -> None:
        _give_back(self._pieces)


def _is_whole(piece: memoryview) -> bool:
    return isinstance(piece.obj, bytes) and len(piece.obj) == len(piece)


def _give_back(pieces: list[memoryview]) -> None:
    for piece in pieces:
        chunk = piece.obj
        if isinstance(chunk, bytearray) and (spare := _spare.get(len(chunk))) is not None:
            spare.append(chunk)


class MemorySink:
    """Collect a dataset in chunks that grow with it."""

    __slots__ = ("_pieces", "_total")

    def __init__(self, pieces: Iterable[bytes] = ()) -> None:
        self._pieces = [memoryview(piece) for piece in pieces]
        self._total = sum(map(len, self._pieces))

    def next_buffer(self) -> memoryview | None:
        if self._total >= DATASET_MAX_BYTES:
            raise LimitReached("dataset_bytes", self._total, DATASET_MAX_BYTES)
        pieces = self._pieces
        if pieces:
            buffer = memoryview(_take_chunk(CHUNK_SIZES[len(pieces) > 1]))
        else:
            buffer = memoryview(bytearray(FIRST_CHUNK_BYTES))
        pieces.append(buffer)
        return buffer

    def filled(self, count: int) -> None:
        self._total += count
        self._pieces[-1] = self._pieces[-1][:count]

    def finish(self) -> object:
        return ReceivedDataset(self._pieces)

    def discard(self) -> None:
        self._pieces.clear()


def adopt_pieces(pieces: list[bytes], last: bytes) -> MemorySink:
    """Return a sink that goes on with what a lane has received; last: the buffer that is being filled."""
    sink = MemorySink(pieces)
    sink._pieces.append(memoryview(last))
    return sink


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
