"""Find attributes in an encoded dataset: twin of _codec/dataset.pyx.

PS3.5 section 7.1 (data element structure), 7.5 (sequences), A.4 (encapsulated pixel data). Only the top level
is looked at: sequences are stepped over by their length or, if that is undefined, by their delimiters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing_extensions import Buffer

NESTING_MAX = 64
VALUE_MAX_BYTES = 16384

_ITEM = 0xFFFEE000
_ITEM_DELIMITATION = 0xFFFEE00D
_SEQUENCE_DELIMITATION = 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
# PS3.5 Table 7.1-2; every other VR, those of the future included, has a 32-bit length.
_SHORT_LENGTH_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split(),
)


class _Encoding(NamedTuple):
    """How the elements of one level are encoded. fragments: items hold octets, not elements."""

    implicit: bool
    big: bool
    fragments: bool = False

    def u16(self, data: memoryview, at: int) -> int:
        return int.from_bytes(data[at : at + 2], "big" if self.big else "little")

    def u32(self, data: memoryview, at: int) -> int:
        return int.from_bytes(data[at : at + 4], "big" if self.big else "little")

    def tag(self, data: memoryview, at: int) -> int:
        return self.u16(data, at) << 16 | self.u16(data, at + 2)


class _Head(NamedTuple):
    """An element's head; size: its octets, 8 or 12."""

    tag: int
    vr: bytes
    length: int
    size: int


def scan_attributes(
    data: Buffer, start: int, implicit_vr: bool, big_endian: bool, wanted: tuple[int, ...]
) -> tuple[dict[int, tuple[str, bytes]], int, bool]:
    """Return (found, resume, done) for the wanted tags of a dataset's top level.

    data: the dataset or a part of it; start: index of an element's first octet.
    wanted: tags as group << 16 | element, ascending.
    found: tag to (VR, value octets as they are); VR is "UN" where it is implicit; a value is cut at
    VALUE_MAX_BYTES; of an element of undefined length, the octets before its delimiter; of a repeated tag,
    the first.
    done: past the last wanted tag, or at the end of the data exactly (then resume == len(data), and if more
    data follows it goes on there). Otherwise resume is the index of the first element not wholly inside the
    data, or behind the data if a value nobody wants ends there: go on from there with more data.
    Raises ValueError(reason, offset), offset from the start of data, for what cannot be parsed.
    """
    for index, tag in enumerate(wanted):
        if not 0 <= tag <= 0xFFFFFFFF or (index and tag <= wanted[index - 1]):
            raise ValueError("wanted tags are not ascending", index)
    if start < 0:
        raise ValueError("start is negative", start)
    with memoryview(data).cast("B") as view:
        return _scan(view, start, _Encoding(bool(implicit_vr), bool(big_endian)), wanted)


def _scan(
    data: memoryview, at: int, encoding: _Encoding, wanted: tuple[int, ...]
) -> tuple[dict[int, tuple[str, bytes]], int, bool]:
    found: dict[int, tuple[str, bytes]] = {}
    if not wanted:
        return found, at, True
    while at < len(data):
        if len(data) - at < 4:
            return found, at, False
        tag = encoding.tag(data, at)
        if tag > wanted[-1]:
            return found, at, True
        head = _read_head(data, at, encoding)
        if head is None:
            return found, at, False
        value_at = at + head.size
        if head.length == _UNDEFINED:
            delimiter_at = _find_delimiter(data, value_at, _nested_encoding(head, encoding, at))
            if delimiter_at is None:
                return found, at, False
            value_end, element_end = delimiter_at, delimiter_at + 8
        else:
            value_end = element_end = value_at + head.length
        if tag in wanted and tag not in found:
            kept_end = min(value_end, value_at + VALUE_MAX_BYTES)
            if kept_end > len(data):
                return found, at, False
            found[tag] = (head.vr.decode("ascii"), bytes(data[value_at:kept_end]))
        at = element_end
        if tag == wanted[-1]:
            return found, at, True
    return found, at, at == len(data)


def _read_head(data: memoryview, at: int, encoding: _Encoding) -> _Head | None:
    left = len(data) - at
    if left < 8:
        return None
    # 1-2 group, 3-4 element
    tag = encoding.tag(data, at)
    if tag >> 16 == 0xFFFE:
        raise ValueError(f"item or delimiter {_name(tag)} where a data element is due", at)
    if encoding.implicit:
        return _Head(tag, b"UN", encoding.u32(data, at + 4), 8)  # 5-8 value length
    vr = bytes(data[at + 4 : at + 6])  # 5-6 VR
    if vr in _SHORT_LENGTH_VRS:
        return _Head(tag, vr, encoding.u16(data, at + 6), 8)  # 7-8 value length
    if not all(65 <= octet <= 90 for octet in vr):
        raise ValueError(f"VR {vr[0]:02X}H {vr[1]:02X}H of {_name(tag)} is not two capital letters", at)
    if left < 12:
        return None
    return _Head(tag, vr, encoding.u32(data, at + 8), 12)  # 7-8 reserved, 9-12 value length


def _nested_encoding(head: _Head, encoding: _Encoding, at: int) -> _Encoding:
    if encoding.implicit or head.vr == b"SQ":
        return encoding
    if head.vr == b"UN":
        return _Encoding(implicit=True, big=False)  # whatever the transfer syntax (PS3.5 section 6.2.2)
    if head.vr in (b"OB", b"OW"):
        return encoding._replace(fragments=True)
    raise ValueError(f"undefined length of {_name(head.tag)} with VR {head.vr.decode('ascii')}", at)


def _find_delimiter(data: memoryview, at: int, encoding: _Encoding) -> int | None:
    outer: list[_Encoding] = []
    in_item = False
    while len(data) - at >= 8:
        tag = encoding.tag(data, at)
        if in_item and tag != _ITEM_DELIMITATION:
            head = _read_head(data, at, encoding)
            if head is None:
                return None
            if head.length == _UNDEFINED:
                if len(outer) == NESTING_MAX - 1:
                    raise ValueError("sequences nested deeper than 64", at)
                outer.append(encoding)
                encoding = _nested_encoding(head, encoding, at)
                in_item = False
                at += head.size
            else:
                at += head.size + head.length
        elif in_item:
            in_item = False
            at += 8
        elif tag == _SEQUENCE_DELIMITATION:
            if not outer:
                return at
            encoding = outer.pop()
            in_item = True
            at += 8
        elif tag == _ITEM:
            length = encoding.u32(data, at + 4)
            in_item = length == _UNDEFINED
            if in_item and encoding.fragments:
                raise ValueError("fragment of undefined length (PS3.5 section A.4)", at)
            at += 8 if in_item else 8 + length
        else:
            raise ValueError(f"{_name(tag)} where an item or a sequence delimiter is due", at)
    return None


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
