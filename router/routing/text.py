"""Decode the values of text elements by Specific Character Set, for rules only.

PS3.3 section C.12.1.1.2 and PS3.5 section 6.1, Annexes H, I, J and K. Never raises: what is not valid in its
character set is read as Latin-1, so that a rule still sees its ASCII part.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LATIN_1 = "latin-1"

# Defined term, without "ISO_IR " or "ISO 2022 IR " -> Python's name for it.
_CODECS = {
    "6": LATIN_1,  # the default repertoire is ASCII; bytes above 127 are common errors, and mostly Latin-1
    "100": LATIN_1,
    "101": "iso8859-2",
    "109": "iso8859-3",
    "110": "iso8859-4",
    "144": "iso8859-5",
    "127": "iso8859-6",
    "126": "iso8859-7",
    "138": "iso8859-8",
    "148": "iso8859-9",
    "203": "iso8859-15",
    "13": "shift_jis",
    "166": "iso8859-11",
    "192": "utf-8",
}
_WHOLE_CODECS = {"GB18030": "gb18030", "GBK": "gb18030"}

# Escape sequence -> (codec, whether that codec itself needs to see it). PS3.3 Tables C.12-3 and C.12-4.
_ESCAPES: dict[bytes, tuple[str, bool]] = {
    b"\x1b(B": ("ascii", False),
    b"\x1b(J": ("shift_jis", False),
    b"\x1b)I": ("shift_jis", False),
    b"\x1b-A": (LATIN_1, False),
    b"\x1b-B": ("iso8859-2", False),
    b"\x1b-C": ("iso8859-3", False),
    b"\x1b-D": ("iso8859-4", False),
    b"\x1b-F": ("iso8859-7", False),
    b"\x1b-G": ("iso8859-6", False),
    b"\x1b-H": ("iso8859-8", False),
    b"\x1b-L": ("iso8859-5", False),
    b"\x1b-M": ("iso8859-9", False),
    b"\x1b-T": ("iso8859-11", False),
    b"\x1b-b": ("iso8859-15", False),
    b"\x1b$B": ("iso2022_jp", True),
    b"\x1b$(D": ("iso2022_jp_2", True),
    b"\x1b$)A": ("gb2312", False),
    b"\x1b$)C": ("euc_kr", False),
}
_ESCAPE = re.compile(b"(" + b"|".join(re.escape(one) for one in _ESCAPES) + b")")


def codec_of(character_sets: Sequence[str]) -> str:
    """Return the Python codec for text before any escape sequence; character_sets: values of (0008,0005)."""
    first = character_sets[0].strip() if character_sets else ""
    if first in _WHOLE_CODECS:
        return _WHOLE_CODECS[first]
    number = first.replace("_", " ").rpartition(" ")[2]
    return _CODECS.get(number, LATIN_1)


def decode_text(raw: bytes, codec: str) -> str:
    """Decode one element's value; codec: from `codec_of`."""
    if b"\x1b" not in raw:
        return _decode(raw, codec)
    first, *rest = _ESCAPE.split(raw)
    parts = [_decode(first, codec)]
    for escape, text in zip(rest[::2], rest[1::2], strict=True):
        name, sees_escape = _ESCAPES[escape]
        parts.append(_decode(escape + text if sees_escape else text, name))
    return "".join(parts)


def _decode(raw: bytes, codec: str) -> str:
    try:
        return raw.decode(codec)
    except UnicodeDecodeError:
        return raw.decode(LATIN_1)
