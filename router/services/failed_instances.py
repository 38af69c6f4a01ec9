"""The one dataset the exchanges make themselves: the Failed SOP Instance UID List of C-GET and C-MOVE.

PS3.4 sections C.4.2.1.4.2 and C.4.3.1.3.2: it goes with a final status of failure, refusal, warning or
cancel.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

from router.standard.transfer_syntaxes import encoding_of

GROUP, ELEMENT = 0x0008, 0x0058
"""Failed SOP Instance UID List."""

SHORT_VALUE_MAX = 0xFFFE
"""Longest even value of a VR with a 16-bit length, as UI has; longer ones are encoded as UN (PS3.5 6.2.2)."""


def encode_failed_instances(uids: Iterable[str], transfer_syntax: str) -> bytes:
    """Return the identifier that names these SOP Instances, encoded in the transfer syntax."""
    value = "\\".join(uids).encode("ascii", "replace")
    if len(value) % 2:
        value += b"\0"
    encoding = encoding_of(transfer_syntax)
    order = ">" if encoding.big_endian else "<"
    # 1-2 group, 3-4 element, then
    # implicit VR: 5-8 length; explicit UI: 5-6 VR, 7-8 length; explicit UN: 5-6 VR, 7-8 zero, 9-12 length
    if encoding.implicit_vr:
        head = struct.pack(order + "HHI", GROUP, ELEMENT, len(value))
    elif len(value) <= SHORT_VALUE_MAX:
        head = struct.pack(order + "HH2sH", GROUP, ELEMENT, b"UI", len(value))
    else:
        head = struct.pack(order + "HH2sHI", GROUP, ELEMENT, b"UN", 0, len(value))
    return _deflate(head + value) if encoding.deflated else head + value


def _deflate(data: bytes) -> bytes:
    """Return a raw deflate stream, padded to even length (PS3.5 section A.5)."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = compressor.compress(data) + compressor.flush()
    return deflated + b"\0" * (len(deflated) % 2)
