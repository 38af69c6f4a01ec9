"""What send_c_store sends: a Dataset that is encoded, or a file that is passed through as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from router.api.presentation import PresentationContext
from router.protocol.messages import Buffer
from router.services.c_store import Instance
from router.standard.transfer_syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    encoding_of,
)
from router.wire import codec

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LOGGER = logging.getLogger("router.association")

WHOLE_MAX_BYTES = 4 << 20
"""A file up to this size is read at once; a larger one in pieces, while it is sent."""

HEAD_BYTES = 65536
PIECE_BYTES = 1 << 20
PREAMBLE_BYTES = 132

GROUP_LENGTH, MEDIA_SOP_CLASS, MEDIA_SOP_INSTANCE, TRANSFER_SYNTAX = 0x20000, 0x20002, 0x20003, 0x20010
SOP_CLASS, SOP_INSTANCE = 0x00080016, 0x00080018

Choose = Callable[[str, str], PresentationContext]
"""Find the presentation context for a SOP class and a transfer syntax; ValueError if there is none."""


@dataclass(slots=True)
class Prepared:
    """An instance ready to be sent in a presentation context. close(): after it was sent."""

    context_id: int
    instance: Instance
    file: BinaryIO | None = None

    def close(self) -> None:
        """Close the file, if there is one."""
        if self.file is not None:
            self.file.close()


class FileHead(NamedTuple):
    """What the beginning of a DICOM file says. offset: where the dataset begins."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    offset: int


def prepare(
    dataset: Dataset | str | Path,
    priority: int,
    move_originator: tuple[str, int] | None,
    choose: Choose,
) -> Prepared:
    """Make an instance ready; see Association.send_c_store() for what it raises."""
    if isinstance(dataset, str | Path):
        return _prepare_path(Path(dataset), priority, move_originator, choose)
    return _prepare_dataset(dataset, priority, move_originator, choose)


def _prepare_path(
    path: Path, priority: int, move_originator: tuple[str, int] | None, choose: Choose
) -> Prepared:
    file = path.open("rb", buffering=0)
    try:
        size = file.seek(0, 2)
        file.seek(0)
        is_whole = size <= WHOLE_MAX_BYTES
        data = file.read(size if is_whole else HEAD_BYTES)
        head = read_head(data)
        if head is not None:
            context = choose(head.sop_class, head.transfer_syntax)
            if context.transfer_uids[0] == head.transfer_syntax:
                pieces: Iterable[Buffer] = (memoryview(data)[head.offset :],)
                if not is_whole:
                    pieces = _pieces(file, head.offset)
                assert context.context_id is not None
                instance = Instance(head.sop_class, head.sop_instance, pieces, priority, move_originator)
                return Prepared(context.context_id, instance, file)
    except BaseException:
        file.close()
        raise
    file.close()
    from pydicom import dcmread

    return _prepare_dataset(dcmread(path), priority, move_originator, choose)


def read_head(data: bytes) -> FileHead | None:
    """Read the beginning of a DICOM file (PS3.10 section 7.1); None if it takes pydicom to read it.

    Raises AttributeError if a UID that C-STORE needs is missing.
    """
    if data[128:PREAMBLE_BYTES] != b"DICM":
        return None
    wanted = (GROUP_LENGTH, MEDIA_SOP_CLASS, MEDIA_SOP_INSTANCE, TRANSFER_SYNTAX)
    try:
        meta, _, _ = codec.scan_attributes(data, PREAMBLE_BYTES, False, False, wanted)
        length = meta[GROUP_LENGTH][1]
    except (ValueError, KeyError):
        return None
    # The group length element is 12 bytes long and counts what follows it.
    offset = PREAMBLE_BYTES + 12 + int.from_bytes(length, "little")
    if offset > len(data):
        return None
    transfer_syntax = _text(meta, TRANSFER_SYNTAX)
    if not transfer_syntax:
        raise AttributeError("Unable to send the dataset: its file meta has no 'Transfer Syntax UID'")
    encoding = encoding_of(transfer_syntax)
    sop_class, sop_instance = _text(meta, MEDIA_SOP_CLASS), _text(meta, MEDIA_SOP_INSTANCE)
    if not encoding.deflated:
        try:
            found, _, _ = codec.scan_attributes(
                data, offset, encoding.implicit_vr, encoding.big_endian, (SOP_CLASS, SOP_INSTANCE)
            )
        except ValueError:
            return None
        sop_class, sop_instance = _text(found, SOP_CLASS), _text(found, SOP_INSTANCE)
    if not sop_class or not sop_instance:
        raise AttributeError("Unable to send the dataset: it has no 'SOP Class UID' or 'SOP Instance UID'")
    return FileHead(sop_class, sop_instance, transfer_syntax, offset)


def dataset_offset(data: bytes) -> int:
    """Return where the dataset begins in a file that file_meta.file_head() begins."""
    # The group length element is 12 bytes long and counts what follows it.
    return PREAMBLE_BYTES + 12 + int.from_bytes(data[PREAMBLE_BYTES + 8 : PREAMBLE_BYTES + 12], "little")


def _text(found: dict[int, tuple[str, bytes]], tag: int) -> str:
    value = found.get(tag)
    return "" if value is None else value[1].rstrip(b"\0 ").decode("ascii", "replace")


def _pieces(file: BinaryIO, offset: int) -> Iterator[Buffer]:
    file.seek(offset)
    while piece := _read_piece(file):
        yield piece


def _read_piece(file: BinaryIO) -> bytes:
    """Read a whole piece: only the last one may be of odd length, and an unbuffered read may be short."""
    piece = file.read(PIECE_BYTES)
    while piece and len(piece) < PIECE_BYTES:
        more = file.read(PIECE_BYTES - len(piece))
        if not more:
            break
        piece += more
    return piece


def _prepare_dataset(
    dataset: Dataset, priority: int, move_originator: tuple[str, int] | None, choose: Choose
) -> Prepared:
    from router.api.dsutils import encode_as

    sop_class, sop_instance, transfer_syntax = _identify(dataset)
    context = choose(sop_class, transfer_syntax)
    encoded = encode_as(dataset, context.transfer_uids[0])
    if encoded is None:
        raise ValueError("Failed to encode the supplied dataset")
    assert context.context_id is not None
    return Prepared(
        context.context_id, Instance(sop_class, sop_instance, (encoded,), priority, move_originator)
    )


def _identify(dataset: Dataset) -> tuple[str, str, str]:
    """Return SOP Class, SOP Instance and Transfer Syntax UID. Raises AttributeError if one is missing."""
    missing = [name for name in ("SOPClassUID", "SOPInstanceUID") if not dataset.get(name)]
    meta = getattr(dataset, "file_meta", None)
    if meta is None or not meta.get("TransferSyntaxUID"):
        missing.append("file_meta.TransferSyntaxUID")
    if missing or meta is None:
        raise AttributeError(f"Unable to send the dataset: it has no {', '.join(missing)}")
    transfer_syntax = str(meta.TransferSyntaxUID)
    transfer_syntax = _true_syntax(dataset, transfer_syntax)
    return str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), transfer_syntax


def _true_syntax(dataset: Dataset, named: str) -> str:
    """Return the transfer syntax a dataset was read in, where its file meta names another VR encoding.

    Raises AttributeError for a contradiction that cannot be settled.
    """
    encoding = encoding_of(named)
    is_implicit, is_little = getattr(dataset, "original_encoding", (None, None))
    if is_implicit is None or (is_implicit, is_little) == (encoding.implicit_vr, not encoding.big_endian):
        return named
    natives = (IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN)
    if not is_little or named not in natives:
        raise AttributeError(
            "Unable to send the dataset: the Transfer Syntax UID in its file meta contradicts its encoding"
        )
    actual = natives[not is_implicit]
    LOGGER.warning(f"the dataset is encoded in '{actual}', not in '{named}' as its file meta says")
    return actual
