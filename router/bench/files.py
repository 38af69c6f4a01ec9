"""DICOM files as templates: their datasets as they are, but for the SOP Instance UID, which becomes the
tool's own.

Only top-level elements up to (0008,0018) are walked; PS3.10 section 7.1, PS3.5 section 7.1. What cannot be
patched (a deflated dataset, no SOP Instance UID, no file meta information) is told as ValueError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from router.bench.instances import PLACEHOLDER_UID, Template

PREAMBLE_BYTES = 128
IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
LONG_VRS = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"}
)
UNDEFINED_LENGTH = 0xFFFFFFFF
TRANSFER_SYNTAX_UID = 0x00020010
SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018


@dataclass(frozen=True, slots=True)
class Element:
    """One element: where it begins, where its value begins and ends, and how its length is written."""

    tag: int
    start: int
    value: int
    end: int
    length_format: str
    length_at: int


@lru_cache(maxsize=4)
def templates_of(paths: tuple[Path, ...]) -> tuple[list[Template], list[str]]:
    """Read files, and those in directories; return templates, and why others cannot be sent."""
    templates, left_out = [], []
    for path in _files(paths):
        try:
            templates.append(template_of(path))
        except (OSError, ValueError, struct.error, UnicodeDecodeError) as error:
            left_out.append(f"{path}: {error}")
    return templates, left_out


def template_of(path: Path) -> Template:
    """Read one DICOM file. Raises ValueError if its UID cannot be replaced."""
    data = path.read_bytes()
    if data[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] != b"DICM":
        raise ValueError("not a DICOM file: no DICM at octet 128")
    transfer_syntax, start = "", PREAMBLE_BYTES + 4
    for one in elements(data, start, "<", is_explicit=True):
        if one.tag >> 16 != 0x0002:
            break
        start = one.end
        if one.tag == TRANSFER_SYNTAX_UID:
            transfer_syntax = _text(data, one)
    if not transfer_syntax or transfer_syntax == DEFLATED:
        raise ValueError(f"cannot be patched in transfer syntax {transfer_syntax or 'unknown'}")
    return _patched(path.name, data[start:], transfer_syntax)


def _patched(name: str, dataset: bytes, transfer_syntax: str) -> Template:
    order = ">" if transfer_syntax == EXPLICIT_VR_BIG_ENDIAN else "<"
    sop_class = ""
    for one in elements(dataset, 0, order, is_explicit=transfer_syntax != IMPLICIT_VR_LITTLE_ENDIAN):
        if one.tag == SOP_CLASS_UID:
            sop_class = _text(dataset, one)
        elif one.tag == SOP_INSTANCE_UID and sop_class:
            length = struct.pack(order + one.length_format, len(PLACEHOLDER_UID))
            head = dataset[: one.length_at] + length
            whole = head + PLACEHOLDER_UID.encode() + dataset[one.end :]
            # fragments are even (PS3.8 Annex E.1)
            return Template(name, sop_class, transfer_syntax, whole + b"\0" * (len(whole) % 2), len(head))
        elif one.tag > SOP_INSTANCE_UID:
            break
    raise ValueError("no SOP Class UID and SOP Instance UID at the top of the dataset")


def elements(data: bytes, position: int, order: str, *, is_explicit: bool) -> Iterator[Element]:
    """Walk the elements of one level; ends before a value of undefined length."""
    while position + 8 <= len(data):
        group, number = struct.unpack_from(order + "HH", data, position)
        if not is_explicit:
            length_format, length_at = "I", position + 4
        elif data[position + 4 : position + 6] in LONG_VRS:
            length_format, length_at = "I", position + 8
        else:
            length_format, length_at = "H", position + 6
        (length,) = struct.unpack_from(order + length_format, data, length_at)
        value = length_at + struct.calcsize(length_format)
        if length == UNDEFINED_LENGTH or value + length > len(data):
            return
        yield Element(group << 16 | number, position, value, value + length, length_format, length_at)
        position = value + length


def _text(data: bytes, one: Element) -> str:
    return data[one.value : one.end].rstrip(b"\0 ").decode("ascii")


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (found for found in sorted(path.rglob("*")) if found.is_file())
        else:
            yield path
