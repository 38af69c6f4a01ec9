"""Decode and encode command sets: twin of _codec/command.pyx.

Always Implicit VR Little Endian (PS3.7 section 6.3.1). Value representations are those of PS3.7 Annex E;
retired elements count as unknown and stay bytes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Buffer

_HEAD_BYTES = 8  # group, element, length

# PS3.7 Table E.1-1, by VR.
_US = frozenset(
    {
        *(0x0100, 0x0110, 0x0120, 0x0700, 0x0800, 0x0900, 0x0903, 0x1002, 0x1008),
        *(0x1020, 0x1021, 0x1022, 0x1023, 0x1031),
    }
)
_UI = frozenset((0x0002, 0x0003, 0x1000, 0x1001))
_AE_LO = frozenset((0x0600, 0x0902, 0x1030))
_AT = frozenset((0x0901, 0x1005))
_GROUP_LENGTH = 0x0000


def decode_command(data: Buffer) -> dict[int, int | str | bytes | tuple[int, ...]]:
    """Return a command set's elements: tag to value; the group length is checked for shape and dropped.

    US: int, or a tuple if the multiplicity is not 1; UI, AE, LO: str (Latin-1) without trailing NULs and
    spaces; AT: tuple of tags as group << 16 | element; unknown elements: bytes.
    Raises ValueError(reason, offset): offset in bytes from the start of the data.
    """
    octets = bytes(memoryview(data).cast("B"))
    fields: dict[int, int | str | bytes | tuple[int, ...]] = {}
    at = 0
    previous = -1
    while at < len(octets):
        left = len(octets) - at
        if left < _HEAD_BYTES:
            raise ValueError(f"command element head takes 8 bytes, {left} left", at)
        # 1-2 group, 3-4 element, 5-8 value length
        group, element, length = struct.unpack_from("<HHI", octets, at)
        if group != 0:
            raise ValueError(f"group {group:04X} in a command set, allowed 0000", at)
        if element <= previous:
            raise ValueError(f"command element (0000,{element:04X}) is not in ascending order", at)
        previous = element
        left -= _HEAD_BYTES
        if length > left:
            raise ValueError(
                f"value of command element (0000,{element:04X}) takes {length} bytes, {left} left", at + 4
            )
        value = _value(element, octets[at + _HEAD_BYTES : at + _HEAD_BYTES + length], at + 4)
        if element != _GROUP_LENGTH:
            fields[element] = value
        at += _HEAD_BYTES + length
    return fields


def _value(element: int, data: bytes, length_offset: int) -> int | str | bytes | tuple[int, ...]:
    unit = 2 if element in _US else 4 if element in _AT or element == _GROUP_LENGTH else 1
    if len(data) % unit or (element == _GROUP_LENGTH and len(data) != unit):
        raise ValueError(
            f"value length {len(data)} does not fit the VR of command element (0000,{element:04X})",
            length_offset,
        )
    if element in _US:
        numbers = tuple(number for (number,) in struct.iter_unpack("<H", data))
        return numbers[0] if len(numbers) == 1 else numbers
    if element in _AT:
        return tuple(group << 16 | number for group, number in struct.iter_unpack("<HH", data))
    if element in _UI or element in _AE_LO:
        return data.rstrip(b"\0 ").decode("latin-1")
    return data


def encode_command(fields: Mapping[int, int | str | bytes | Sequence[int]]) -> bytes:
    """Return a command set: elements in ascending order after a computed (0000,0000).

    fields: tag to value as decode_command gives them; US takes an int or a sequence of ints, AT the same with
    tags, any element takes bytes. A (0000,0000) among them is ignored. Odd values are padded: UI and bytes
    with NUL, text with a space.
    Raises ValueError(reason, tag) for what the element cannot hold.
    """
    encoded = bytearray()
    for tag in sorted(fields):
        if not 0 <= tag <= 0xFFFF:
            raise ValueError("element outside group 0000 in a command set", tag)
        if tag == _GROUP_LENGTH:
            continue
        value = _encode_value(tag, fields[tag])
        encoded += struct.pack("<HHI", 0, tag, len(value)) + value
    if len(encoded) > 0xFFFFFFFF - 12:
        raise ValueError("command set of 4 GiB or more", len(encoded))
    return struct.pack("<HHII", 0, _GROUP_LENGTH, 4, len(encoded)) + encoded


def _encode_value(element: int, value: int | str | bytes | Sequence[int]) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return _padded(bytes(value), b"\0")
    if isinstance(value, str):
        if element in _US or element in _AT:
            raise ValueError("text for a command element of numbers", element)
        try:
            text = value.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError("text outside Latin-1 for a command element", element) from None
        return _padded(text, b"\0" if element in _UI else b" ")
    if element not in _US and element not in _AT:
        raise ValueError("numbers for a command element of text or of unknown VR", element)
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return _encode_us(element, numbers) if element in _US else _encode_at(element, numbers)


def _padded(value: bytes, padding: bytes) -> bytes:
    return value + padding if len(value) % 2 else value


def _encode_us(element: int, numbers: tuple[int, ...]) -> bytes:
    for number in numbers:
        if not 0 <= number <= 0xFFFF:
            raise ValueError("number outside 0..65535 for a command element", element)
    return struct.pack(f"<{len(numbers)}H", *numbers)


def _encode_at(element: int, tags: tuple[int, ...]) -> bytes:
    for tag in tags:
        if not 0 <= tag <= 0xFFFFFFFF:
            raise ValueError("tag outside 0..FFFFFFFF for a command element", element)
    return b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags)
