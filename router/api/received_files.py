"""Received datasets as DICOM files, written while they arrive: at constant memory, whatever their size.

A program names the place (AE.receive_to, Association.receive_to), or lets the library make a file of its own
that is gone after the handler (_config.STORE_RECV_CHUNKED_DATASET).
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from router.api.file_meta import file_head
from router.protocol.messages import CommandSet, DatasetSink, NullSink
from router.services.c_store import Refusal
from router.standard.dimse_fields import AFFECTED_SOP_CLASS_UID, AFFECTED_SOP_INSTANCE_UID
from router.standard.statuses import OUT_OF_RESOURCES

if TYPE_CHECKING:
    from router.api.association import Association
    from router.api.association_state import AssociationState

LOGGER = logging.getLogger("router.service_class")

FILE_BUFFER_BYTES = 1 << 18
"""Of a dataset that arrives, as much is held before it is written."""

STORE_FAILED = 0xC211

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Incoming:
    """What is known of an instance before its dataset comes: what its C-STORE request says.

    Nothing of it was checked: a peer may put anything into its UIDs. Do not name files by them unchanged.
    """

    assoc: Association
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str


ReceiveTo = str | os.PathLike[str] | Callable[[Incoming], str | os.PathLike[str] | None] | None
"""Where datasets of C-STORE requests go: memory (None), files with fresh names in a directory, or wherever a
function says: it returns the path of a file, or None for memory."""


class ReceivedFile:
    """A dataset in a DICOM file. keep(): it is the program's now; release() else removes it."""

    __slots__ = ("_is_kept", "is_temporary", "path")

    def __init__(self, path: Path, is_temporary: bool) -> None:
        self.path = path
        self.is_temporary = is_temporary
        self._is_kept = False

    def getvalue(self) -> bytes:
        """Return the encoded dataset; nothing for a temporary file, whose path is what programs want."""
        if self.is_temporary:
            return b""
        from router.api.instances import dataset_offset

        data = self.path.read_bytes()
        return data[dataset_offset(data) :]

    def keep(self) -> None:
        """Leave the file where it is, if the program has named the place."""
        self._is_kept = not self.is_temporary

    def release(self) -> None:
        """Remove the file unless it is kept; the program may have moved it."""
        if not self._is_kept:
            with contextlib.suppress(OSError):
                self.path.unlink()


class FileSink:
    """Write a dataset to a DICOM file as it arrives. The file has its name only when it is complete.

    An error of the file system lets the rest pass by, and is answered with A700H.
    """

    def __init__(self, path: Path, head: bytes, is_temporary: bool) -> None:
        self._path = path
        self._is_temporary = is_temporary
        self._partial = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}.part")
        self._buffer = memoryview(bytearray(FILE_BUFFER_BYTES))
        self._held = 0
        self._error: OSError | None = None
        self._file = self._partial.open("xb", buffering=0)
        self._write(head)

    def next_buffer(self) -> memoryview | None:
        if self._held == FILE_BUFFER_BYTES:
            self._flush()
        return self._buffer[self._held :]

    def filled(self, count: int) -> None:
        self._held += count

    def finish(self) -> object:
        self._flush()
        self._close()
        if self._error is None:
            try:
                self._partial.replace(self._path)
            except OSError as error:
                self._error = error
        if self._error is None:
            return ReceivedFile(self._path, self._is_temporary)
        LOGGER.error(f"a dataset could not be written to a file: {self._error.strerror or self._error}")
        self._remove()
        return Refusal(OUT_OF_RESOURCES, "the dataset could not be written")

    def discard(self) -> None:
        self._close()
        self._remove()

    def _flush(self) -> None:
        self._write(self._buffer[: self._held])
        self._held = 0

    def _write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        try:
            while view and self._error is None:
                view = view[self._file.write(view) :]
        except OSError as error:
            self._error = error

    def _close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            self._error = self._error or error

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._partial.unlink()


def open_file_sink(
    assoc: AssociationState, place: ReceiveTo, transfer_syntax: str, command: CommandSet
) -> DatasetSink | None:
    """Open the sink of a C-STORE request at the program's place, else in a temporary file.

    place: of the association; None: a temporary file. Returns None if the dataset shall go to memory.
    """
    incoming = Incoming(
        cast("Association", assoc),
        str(command.get(AFFECTED_SOP_CLASS_UID, "")),
        str(command.get(AFFECTED_SOP_INSTANCE_UID, "")),
        transfer_syntax,
    )
    try:
        path = _path_of(place, incoming)
        if path is None:
            return None
        head = file_head(incoming.sop_class_uid, incoming.sop_instance_uid, transfer_syntax)
        return FileSink(path, head, is_temporary=place is None)
    except OSError as error:
        LOGGER.error(f"no file for a dataset: {error.strerror or error}")
        return NullSink(Refusal(OUT_OF_RESOURCES, "no file for the dataset"))
    except Exception:
        # The program's own function: it may raise anything, and is answered as a handler that raises.
        LOGGER.exception("Exception in the function of 'receive_to'")
        return NullSink(Refusal(STORE_FAILED))


def _path_of(place: ReceiveTo, incoming: Incoming) -> Path | None:
    if callable(place):
        named = place(incoming)
        return None if named is None else Path(named)
    return Path(tempfile.gettempdir() if place is None else place) / f"{uuid4().hex}.dcm"


def check_place(place: Any) -> ReceiveTo:
    """Return the place if it may be one. Raises TypeError."""
    if place is None or callable(place) or isinstance(place, str | os.PathLike):
        found: ReceiveTo = place
        return found
    raise TypeError("'receive_to' must be a directory, a function, or None")
