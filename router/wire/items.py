"""Items and sub-items: the type-length-value parts inside an associate PDU, cut and joined.

PS3.8 section 9.3.2 (items), Annex D.1 (sub-items). Offsets are absolute: bytes from the start of the PDU.
Invariant: nothing is read beyond the `end` a caller gives, which is the end of the parent item.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple, NoReturn

from router.errors import LocalMisuse, PeerViolation
from router.standard.reasons import ABORT_REASON_INVALID_PARAMETER

ITEM_HEAD_BYTES = 4
ITEM_VALUE_MAX_BYTES = 0xFFFF
AE_TITLE_BYTES = 16

UINT16 = Struct(">H")
UINT32 = Struct(">I")
_ITEM_HEAD = Struct(">BxH")


class Item(NamedTuple):
    """One item found in a PDU: its type, where its head begins, and where its value begins and ends."""

    item_type: int
    offset: int
    start: int
    end: int


def violate(text: str, offset: int, reason: int = ABORT_REASON_INVALID_PARAMETER) -> NoReturn:
    """Raise PeerViolation; offset is where the fault begins, in bytes from the start of the PDU."""
    raise PeerViolation(text, reason=reason, offset=offset)


def misuse(text: str) -> NoReturn:
    """Raise LocalMisuse: our own caller gave a value that the Standard cannot encode."""
    raise LocalMisuse(text)


def take_items(data: bytes, start: int, end: int, parent: str) -> Iterator[Item]:
    """Yield the items from start to end in order; raise PeerViolation at the first that leaves its parent."""
    while start < end:
        if end - start < ITEM_HEAD_BYTES:
            violate(f"{parent} ends with {end - start} bytes, an item head needs {ITEM_HEAD_BYTES}", start)
        # 1 item-type, 2 reserved, 3-4 item-length: bytes that follow it (PS3.8 Tables 9-12 to 9-18)
        item_type, length = _ITEM_HEAD.unpack_from(data, start)
        value_start = start + ITEM_HEAD_BYTES
        value_end = value_start + length
        if value_end > end:
            violate(
                f"item {item_type:02X}H of {length} bytes leaves {parent}: {end - value_start} bytes left",
                start,
            )
        yield Item(item_type, start, value_start, value_end)
        start = value_end


def take_prefixed(data: bytes, start: int, end: int, what: str) -> tuple[bytes, int]:
    """Return the value behind a 2-byte length at start, and the index after it; check both against end."""
    if end - start < UINT16.size:
        violate(f"{what} length needs 2 bytes, {end - start} left", start)
    length: int = UINT16.unpack_from(data, start)[0]
    start += UINT16.size
    if length > end - start:
        violate(f"{what} of {length} bytes leaves its item: {end - start} bytes left", start - UINT16.size)
    return data[start : start + length], start + length


def require_length(item: Item, allowed: int, what: str) -> None:
    """Raise PeerViolation unless the value has exactly the allowed number of bytes."""
    if item.end - item.start != allowed:
        violate(f"{what} has {item.end - item.start} bytes, allowed {allowed}", item.offset)


def decode_text(value: bytes) -> str:
    """Return UID or name text without its padding; any byte is kept, as latin-1, for the caller to judge."""
    return value.decode("latin-1").rstrip("\0 ")


def decode_ae_title(value: bytes) -> str:
    """Return an AE title without leading and trailing spaces (not significant, PS3.8 Table 9-11)."""
    return decode_text(value).lstrip(" ")


def encode_item(item_type: int, value: bytes) -> bytes:
    """Return one item, head included; raise LocalMisuse when its value is too long for the length field."""
    if len(value) > ITEM_VALUE_MAX_BYTES:
        misuse(f"item {item_type:02X}H of {len(value)} bytes, allowed {ITEM_VALUE_MAX_BYTES}")
    return _ITEM_HEAD.pack(item_type, len(value)) + value


def encode_prefixed(value: bytes, what: str) -> bytes:
    """Return value behind its 2-byte length."""
    if len(value) > ITEM_VALUE_MAX_BYTES:
        misuse(f"{what} has {len(value)} bytes, allowed {ITEM_VALUE_MAX_BYTES}")
    return UINT16.pack(len(value)) + value


def encode_uid(uid: str, what: str) -> bytes:
    """Return a UID as it stands in a PDU: ASCII, no padding (PS3.8 Annex F)."""
    if not uid or len(uid) > 64 or not uid.isascii() or not uid.isprintable() or " " in uid:
        misuse(f"{what} is not a UID of 1-64 characters")
    return uid.encode("ascii")


def encode_ae_title(title: str, what: str) -> bytes:
    """Return an AE title padded to 16 bytes; as latin-1, so that an acceptor can repeat what it received."""
    try:
        encoded = title.encode("latin-1")
    except UnicodeEncodeError:
        misuse(f"{what} has a character outside ISO 8859-1")
    if len(encoded) > AE_TITLE_BYTES:
        misuse(f"{what} has {len(encoded)} characters, allowed {AE_TITLE_BYTES}")
    return encoded.ljust(AE_TITLE_BYTES, b" ")


def encode_uint16(value: int, what: str) -> bytes:
    """Return value as two bytes, most significant first; raise LocalMisuse if it does not fit."""
    if not 0 <= value <= 0xFFFF:
        misuse(f"{what} is {value}, allowed 0 to {0xFFFF}")
    return UINT16.pack(value)
