"""Open a DICOM file (PS3.10) without reading it whole: transfer syntax, and the encoded dataset in place."""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from router.standard.uids import is_valid_uid

PREAMBLE_BYTES = 128
META_MAX_BYTES = 1 << 20

TRANSFER_SYNTAX_UID = 0x00020010
MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003

_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT"})


class NotPart10(ValueError):
    """The file is not what PS3.10 section 7.1 describes; the text says where."""


@dataclass(frozen=True, slots=True)
class Part10File:
    """A mapped file. dataset: the bytes behind the file meta information, a view of the mapping."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    dataset: memoryview


def open_part10(path: str | os.PathLike[str]) -> Part10File:
    """Map a file. Raises OSError, and NotPart10 for other files; the view keeps the mapping alive."""
    with Path(path).open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise NotPart10("the file is empty")
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    if bytes(data[PREAMBLE_BYTES : PREAMBLE_BYTES + 4]) != b"DICM":
        raise NotPart10(f'not a DICOM file: no "DICM" at byte {PREAMBLE_BYTES} (PS3.10 section 7.1)')
    uids, start = _read_meta(data[: PREAMBLE_BYTES + META_MAX_BYTES], PREAMBLE_BYTES + 4)
    transfer_syntax = uids.get(TRANSFER_SYNTAX_UID, "")
    if not is_valid_uid(transfer_syntax):
        raise NotPart10("the file meta information has no valid TransferSyntaxUID (PS3.10 Table 7.1-1)")
    return Part10File(
        uids.get(MEDIA_STORAGE_SOP_CLASS_UID, ""),
        uids.get(MEDIA_STORAGE_SOP_INSTANCE_UID, ""),
        transfer_syntax,
        data[start:],
    )


def _read_meta(data: memoryview, offset: int) -> tuple[dict[int, str], int]:
    """Walk the elements of group 0002, Explicit VR Little Endian; return their text and where they end.

    The group length is not trusted: files with a wrong one are common.
    """
    found: dict[int, str] = {}
    while offset + 8 <= len(data):
        group, element, vr, length = struct.unpack_from("<HH2sH", data, offset)
        if group != 0x0002:
            return found, offset
        value = offset + 8
        if vr in _LONG_VRS:
            if value + 4 > len(data):
                break
            (length,) = struct.unpack_from("<I", data, value)
            value += 4
        offset = value + length
        if offset <= len(data):
            found[group << 16 | element] = bytes(data[value:offset]).rstrip(b"\x00 ").decode("latin-1")
    if offset > len(data):
        raise NotPart10("the file meta information is longer than the file, or than 1 MiB")
    return found, offset
