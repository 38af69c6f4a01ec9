"""Encode plain datasets several times as fast as pydicom's writer, to the very same octets (PS3.5 section 7).

Plain is what queries and images mostly are: little endian, values of the usual types, characters that one
codec encodes. Whatever else there is (ambiguous VRs, undefined lengths, code extensions, buffered values,
over-long ones) is refused as a whole, and left to pydicom, mistakes included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from struct import Struct, pack
from struct import error as StructError
from typing import Any

from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

Write = Callable[[Any, "Characters"], bytes]
"""Encode a value that is not empty, without padding. Raises NotPlain."""

UNDEFINED_LENGTH = 0xFFFFFFFF
SHORT_LENGTH_MAX = 0xFFFF
MAY_BE_EMPTY = (str, bytes, MultiValue, list, PersonName)
"""Kinds of values of which an empty one is none."""

ITEM = b"\xfe\xff\x00\xe0"

_TAG_LENGTH = Struct("<HHL").pack
_LENGTH = Struct("<L").pack
_SHORT = Struct("<HH2sH").pack
_LONG = Struct("<HH2s2xL").pack


class NotPlain(Exception):
    """Something that is left to pydicom."""


class Characters:
    """How text is encoded, as Specific Character Set (0008,0005) says. codec: None if there are several."""

    __slots__ = ("codec", "encodings")

    def __init__(self, encodings: tuple[str, ...]) -> None:
        self.encodings = encodings
        self.codec = encodings[0] if len(encodings) == 1 else None

    def encode(self, text: str) -> bytes:
        """Return the text in the one codec there is, or in ASCII, which all of them contain."""
        if text.isascii():
            return text.encode("ascii")
        if self.codec not in SAFE_CODECS:
            raise NotPlain
        try:
            return text.encode(self.codec)
        except UnicodeEncodeError:
            raise NotPlain from None


SAFE_CODECS = ("UTF8", "latin_1")
"""Codecs that pydicom too uses as they are: ISO_IR 192 and ISO_IR 100."""

REPERTOIRES = ("", "ISO_IR 6", "ISO_IR 100", "ISO_IR 192")
"""Values of Specific Character Set whose datasets may be plain; the first: none."""


@cache
def _characters_of(character_set: str) -> Characters:
    return Characters(tuple(convert_encodings([character_set] if character_set else ["iso8859"])))


def encode_plain(dataset: Dataset, implicit_vr: bool) -> list[bytes] | None:
    """Return the encoded dataset, little endian, in pieces; None if pydicom must encode it."""
    try:
        pieces: list[bytes] = []
        _write_dataset(dataset, implicit_vr, _characters_of(""), pieces)
    except (NotPlain, AttributeError, TypeError, ValueError, StructError):
        # A value that is not of its VR's kind: pydicom knows what becomes of it.
        return None
    return pieces


def _write_dataset(dataset: Dataset, implicit_vr: bool, inherited: Characters, pieces: list[bytes]) -> None:
    elements: dict[int, Any] = dict(dataset.items())
    characters = _characters(elements.get(0x00080005), inherited)
    may_copy: bool | None = None
    for tag in sorted(elements):
        group, number = tag >> 16, tag & 0xFFFF
        if number == 0 and group > 6:
            continue  # group lengths are retired
        element = elements[tag]
        if isinstance(element, RawDataElement):
            if may_copy is None:
                may_copy = _may_copy(dataset, implicit_vr)
            if not may_copy or element.length == UNDEFINED_LENGTH or element.value is None:
                raise NotPlain
            vr, value = element.VR, element.value
        else:
            vr, value = _value_of(element, implicit_vr, characters)
        length = len(value)
        if implicit_vr:
            pieces.append(_TAG_LENGTH(group, number, length))
        elif vr in LONG_VRS:
            pieces.append(_LONG(group, number, vr.encode(), length))
        elif vr is not None and length <= SHORT_LENGTH_MAX:
            pieces.append(_SHORT(group, number, vr.encode(), length))
        else:
            raise NotPlain
        pieces.append(value)


def _may_copy(dataset: Dataset, implicit_vr: bool) -> bool:
    """Whether elements that were not looked at since they were read are the same octets when written."""
    return (
        dataset.original_encoding == (implicit_vr, True)
        and dataset.original_character_set == dataset._character_set
    )


def _characters(element: Any, inherited: Characters) -> Characters:
    if element is None:
        return inherited
    value = element.value
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace").strip()
    if not isinstance(value, str) or value not in REPERTOIRES:
        raise NotPlain
    return _characters_of(value)


def _value_of(element: DataElement, implicit_vr: bool, characters: Characters) -> tuple[str, bytes]:
    """Return VR and encoded value, padded."""
    vr, value = element.VR, element.value
    if vr == "SQ":
        return vr, _sequence(element, implicit_vr, characters)
    write = WRITERS.get(vr)
    if write is None or element.is_undefined_length:
        raise NotPlain
    if value is None or (isinstance(value, MAY_BE_EMPTY) and not value):
        return vr, b""
    encoded = write(value, characters)
    if len(encoded) % 2:
        encoded += PADDING.get(vr, b" ")
    return vr, encoded


def _sequence(element: DataElement, implicit_vr: bool, characters: Characters) -> bytes:
    if element.is_undefined_length:
        raise NotPlain
    pieces: list[bytes] = []
    for item in element.value:
        if getattr(item, "is_undefined_length_sequence_item", False):
            raise NotPlain
        inside: list[bytes] = []
        _write_dataset(item, implicit_vr, characters, inside)
        pieces += (ITEM, _LENGTH(sum(map(len, inside))), *inside)
    return b"".join(pieces)


# Values


def _string(value: Any, characters: Characters) -> bytes:
    """Text of the default repertoire: codes, UIDs, dates."""
    if isinstance(value, MultiValue | list):
        value = "\\".join(value)
    if not isinstance(value, str) or not value.isascii():
        raise NotPlain
    return value.encode("ascii")


def _text(value: Any, characters: Characters) -> bytes:
    if isinstance(value, MultiValue | list):
        return b"\\".join(map(characters.encode, value))
    if not isinstance(value, str):
        raise NotPlain
    return characters.encode(value)


def _person_name(value: Any, characters: Characters) -> bytes:
    names = value if isinstance(value, MultiValue | list) else [value]
    if characters.codec is None or not all(isinstance(name, PersonName) for name in names):
        raise NotPlain
    return b"\\".join(name.encode(characters.encodings) for name in names)


def _number_string(value: Any, characters: Characters) -> bytes:
    values = value if isinstance(value, MultiValue | list) else [value]
    return "\\".join(map(_as_written, values)).encode("ascii")


def _as_written(value: Any) -> str:
    """Return a number as it was written where it was read from, if anywhere."""
    if hasattr(value, "original_string"):
        original: str = value.original_string
        return original
    return str(value)


def _octets(value: Any, characters: Characters) -> bytes:
    if not isinstance(value, bytes):
        raise NotPlain
    return value


def _numbers(form: str) -> Write:
    def write(value: Any, characters: Characters) -> bytes:
        if isinstance(value, MultiValue | list):
            return pack(f"<{len(value)}{form}", *value)
        return pack(f"<{form}", value)

    return write


def _each(vrs: Iterable[str], write: Write) -> dict[str, Write]:
    return dict.fromkeys(vrs, write)


WRITERS: dict[str, Write] = {
    **_each(("AE", "AS", "CS", "DA", "DT", "TM", "UI", "UR"), _string),
    **_each(("LO", "LT", "SH", "ST", "UC", "UT"), _text),
    **_each(("DS", "IS"), _number_string),
    **_each(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), _octets),
    "PN": _person_name,
    "US": _numbers("H"),
    "UL": _numbers("L"),
    "UV": _numbers("Q"),
    "SL": _numbers("l"),
    "SV": _numbers("q"),
    "FL": _numbers("f"),
    "FD": _numbers("d"),
}
"""VR -> how its values are written. Not here: AT, and SS, whose LUT descriptors are half US."""

PADDING = {
    "UI": b"\0",
    "OB": b"\0",
    "OD": b"\0",
    "OF": b"\0",
    "OL": b"\0",
    "OV": b"\0",
    "OW": b"\0",
    "UN": b"",
}
"""VR -> what makes a value even, where it is not a space (PS3.5 section 6.2)."""

LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
"""VRs with a length of 32 bits (PS3.5 Table 7.1-1)."""
