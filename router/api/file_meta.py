"""The beginning of a DICOM file (PS3.10 section 7.1), encoded without pydicom."""

from __future__ import annotations

import struct

from router.standard.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

PREAMBLE = bytes(128) + b"DICM"

_SHORT = struct.Struct("<HH2sH")
_VERSION = struct.pack("<HH2sHL", 0x0002, 0x0001, b"OB", 0, 2) + b"\x00\x01"


def file_head(sop_class: str, sop_instance: str, transfer_syntax: str) -> bytes:
    """Return preamble, prefix and File Meta Information for a dataset with these UIDs."""
    elements = b"".join(
        (
            _VERSION,
            _element(0x0002, b"UI", sop_class),
            _element(0x0003, b"UI", sop_instance),
            _element(0x0010, b"UI", transfer_syntax),
            _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
        )
    )
    return PREAMBLE + _SHORT.pack(0x0002, 0x0000, b"UL", 4) + struct.pack("<L", len(elements)) + elements


def _element(number: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return _SHORT.pack(0x0002, number, vr, len(value)) + value
