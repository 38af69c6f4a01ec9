"""Where received datasets go: memory, joined when somebody looks, or a file as they arrive."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from router import _config
from router.errors import LimitReached
from router.protocol.association import Association
from router.protocol.messages import CommandSet, DatasetSink
from router.protocol.negotiation import AcceptedContext
from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    C_STORE_RQ,
    COMMAND_FIELD,
)

FIRST_CHUNK_BYTES = 16384
CHUNK_MAX_BYTES = 4 << 20
DATASET_MAX_BYTES = 4 << 30
"""Largest dataset taken into memory; a file may be larger."""

FILE_BUFFER_BYTES = 1 << 20


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


class ReceivedFile:
    """A dataset in a DICOM file of ours; release() removes it."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path

    def getvalue(self) -> bytes:
        """Return nothing: who wants the dataset reads the file."""
        return b""

    def release(self) -> None:
        """Remove the file."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()


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


class FileSink:
    """Write a dataset to a temporary DICOM file as it arrives."""

    def __init__(self, head: bytes) -> None:
        file = NamedTemporaryFile(mode="wb", suffix=".dcm", delete=False)  # noqa: SIM115 - closed in finish
        self._file = file
        self._path = Path(file.name)
        self._buffer = memoryview(bytearray(FILE_BUFFER_BYTES))
        file.write(head)

    def next_buffer(self) -> memoryview | None:
        return self._buffer

    def filled(self, count: int) -> None:
        self._file.write(self._buffer[:count])

    def finish(self) -> object:
        self._file.close()
        return ReceivedFile(self._path)

    def discard(self) -> None:
        self._file.close()
        os.unlink(self._path)


def open_sink(association: Association, context: AcceptedContext, command: CommandSet) -> DatasetSink:
    """Open the sink of one message: a file for a C-STORE if _config says so, else memory."""
    if not _config.STORE_RECV_CHUNKED_DATASET or command[COMMAND_FIELD] != C_STORE_RQ:
        return MemorySink()
    from router.api.dsutils import PREAMBLE, create_file_meta, encode_file_meta

    meta = create_file_meta(
        sop_class_uid=str(command.get(AFFECTED_SOP_CLASS_UID, "")),
        sop_instance_uid=str(command.get(AFFECTED_SOP_INSTANCE_UID, "")),
        transfer_syntax=context.transfer_syntax,
    )
    return FileSink(PREAMBLE + encode_file_meta(meta))
