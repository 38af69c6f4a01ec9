"""Read the attributes that rules want from an encoded dataset, in place, over a chain of buffers.

Top-level elements only. What is read is bounded: values per element, characters per value, bytes joined where
an element lies across buffers, bytes inflated of a deflated dataset. An element behind such a bound counts as
missing.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from router.config.subjects import UNKNOWN_VR
from router.routing.facts import Values
from router.routing.text import LATIN_1, codec_of, decode_text
from router.routing.wanted import SPECIFIC_CHARACTER_SET, Wanted
from router.standard.transfer_syntaxes import encoding_of
from router.wire import codec

__all__ = ["Buffer", "Wanted", "decode_values", "is_implicit_after_all", "read_attributes"]

Buffer = bytes | bytearray | memoryview

SCAN_JOIN_MAX_BYTES = 4 << 20  # longest piece joined: beyond it lies only a sequence of undefined length
INFLATE_HEAD_MAX_BYTES = 256 << 10  # inflated, of one deflated dataset
INFLATE_INPUT_MAX_BYTES = 1 << 20  # read for it: blocks that inflate to nothing end here
FIRST_ELEMENT_MAX_BYTES = 1024  # of a dataset taken for Implicit VR against its transfer syntax
VALUES_MAX = 256  # of one element
VALUE_MAX_CHARACTERS = 1024  # of one value; the rest is cut off

# VR -> struct code and size of one value (PS3.5 Table 6.2-1)
_NUMBER_CODES = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
_CHARACTER_SET_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT", UNKNOWN_VR})
_SINGLE_VALUE_VRS = frozenset({"LT", "ST", "UT", "UR"})


def read_attributes(buffers: Sequence[Buffer], transfer_syntax: str, wanted: Wanted) -> dict[int, Values]:
    """Return tag -> values of the wanted elements that are there; an empty element has the one value "".

    buffers: the encoded dataset in order, without file head. Numbers become decimal text.
    Raises ValueError(reason, offset) for a dataset that cannot be parsed (offset: in the piece being read).
    """
    encoding = encoding_of(transfer_syntax)
    if encoding.deflated:
        buffers = [_inflate_head(buffers)]
    implicit_vr = encoding.implicit_vr or (
        not encoding.big_endian and bool(buffers) and is_implicit_after_all(buffers[0])
    )
    raw = _scan_chain(buffers, implicit_vr, encoding.big_endian, wanted.tags)
    character_sets = _text_values(*raw.get(SPECIFIC_CHARACTER_SET, ("CS", b"")), LATIN_1)
    text_codec = codec_of(character_sets)
    order = ">" if encoding.big_endian else "<"
    attributes = {}
    for tag, (vr, value) in raw.items():
        known_vr, byte_order = vr, order
        if vr == "UN":  # not said, or written as unknown: then little endian (PS3.5 section 6.2.2, note 2)
            known_vr = wanted.vrs.get(tag, UNKNOWN_VR)
            byte_order = "<"
        attributes[tag] = decode_values(known_vr, value, byte_order, text_codec)
    return attributes


def decode_values(vr: str, raw: bytes, byte_order: str, text_codec: str) -> Values:
    """Return the values of one element as text. byte_order: < or >. Never raises; never empty."""
    code = _NUMBER_CODES.get(vr)
    if code is not None:
        return _number_values(code, raw, byte_order)
    if vr == "AT":
        return _tag_values(raw, byte_order)
    return _text_values(vr, raw, text_codec if vr in _CHARACTER_SET_VRS else LATIN_1)


def _number_values(code: str, raw: bytes, byte_order: str) -> Values:
    count = min(len(raw) // struct.calcsize(code), VALUES_MAX)
    if count == 0:
        return ("",)
    numbers = struct.unpack_from(f"{byte_order}{count}{code}", raw)
    return tuple(map(_single_text if code == "f" else str, numbers))


def _single_text(number: float) -> str:
    """Return the shortest text that is this 32-bit number, so that a rule's 0.1 equals an FL of 0.1."""
    for digits in (7, 8):
        text = f"{number:.{digits}g}"
        try:
            if struct.unpack("f", struct.pack("f", float(text)))[0] == number:
                return text
        except OverflowError:  # rounded up beyond the largest one
            continue
    return f"{number:.9g}"


def _tag_values(raw: bytes, byte_order: str) -> Values:
    count = min(len(raw) // 4, VALUES_MAX)
    if count == 0:
        return ("",)
    words = struct.unpack_from(f"{byte_order}{count * 2}H", raw)
    return tuple(f"{group:04X}{element:04X}" for group, element in zip(words[::2], words[1::2], strict=True))


def _text_values(vr: str, raw: bytes, text_codec: str) -> Values:
    text = raw.decode() if raw.isascii() else ""  # far faster than a named codec, and the common case
    if not text or "\x1b" in text:
        text = decode_text(raw, text_codec)
    if vr in _SINGLE_VALUE_VRS:
        return (text.rstrip("\x00 ")[:VALUE_MAX_CHARACTERS],)
    if "\\" not in text:
        return (text.strip("\x00 ")[:VALUE_MAX_CHARACTERS],)
    values = text.split("\\", VALUES_MAX)[:VALUES_MAX]
    return tuple(value.strip("\x00 ")[:VALUE_MAX_CHARACTERS] for value in values)


def is_implicit_after_all(first: Buffer) -> bool:
    """Return whether a dataset said to have Explicit VR begins with a plausible element without VR.

    Devices in the field send Implicit VR under compressed syntaxes. The dataset passes unchanged either way,
    so rules may as well see it. first: its first buffer.
    """
    head = bytes(memoryview(first)[:8])
    if len(head) < 8 or (head[4:6].isalpha() and head[4:6].isupper()):
        return False
    group = int.from_bytes(head[:2], "little")
    length = int.from_bytes(head[4:], "little")
    return group == 0x0008 and length <= FIRST_ELEMENT_MAX_BYTES


def _scan_chain(
    buffers: Sequence[Buffer], implicit_vr: bool, big_endian: bool, tags: tuple[int, ...]
) -> dict[int, tuple[str, bytes]]:
    """Scan piece by piece: a piece is a buffer, or joined buffers where an element lies across them."""
    found: dict[int, tuple[str, bytes]] = {}
    following = 0  # index of the first buffer not in the piece
    piece: Buffer = b""
    start = 0
    while True:
        if start >= len(piece):  # a skipped value may end several buffers further on
            start -= len(piece)
            if following == len(buffers):
                return found
            piece = buffers[following]
            following += 1
            continue
        here, resume, done = codec.scan_attributes(piece, start, implicit_vr, big_endian, tags)
        found.update(here)
        if resume < len(piece):
            if done or following == len(buffers):
                return found
            joined = len(piece) - resume + len(buffers[following])
            if joined > SCAN_JOIN_MAX_BYTES:
                return found
            piece = b"".join((memoryview(piece)[resume:], buffers[following]))
            following += 1
            resume = 0
        start = resume


def _inflate_head(buffers: Sequence[Buffer]) -> bytes:
    """Inflate the first INFLATE_HEAD_MAX_BYTES of a deflated dataset (RFC 1951, PS3.5 section A.5)."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    parts: list[bytes] = []
    room, readable = INFLATE_HEAD_MAX_BYTES, INFLATE_INPUT_MAX_BYTES
    try:
        for buffer in buffers:
            piece = memoryview(buffer)[:readable]
            readable -= len(piece)
            parts.append(inflater.decompress(piece, room))
            room -= len(parts[-1])
            if room <= 0 or readable <= 0 or inflater.eof:
                break
    except zlib.error:
        if not any(parts):
            raise ValueError("the deflated dataset does not inflate", 0) from None
    return b"".join(parts)
