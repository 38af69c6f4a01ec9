"""Peer-controlled text made safe to print: in log lines, error texts and tables.

Control characters, line ends, terminal escapes, bidirectional overrides and quotes are escaped, and the
length is bounded (CWE-117).
"""

from __future__ import annotations

PRINTABLE_MAX = 64


def printable(text: str, length_max: int = PRINTABLE_MAX) -> str:
    """Return text with all but plain printable characters escaped; past length_max, an ellipsis."""
    cut = text[:length_max]
    safe = "".join(_escaped(character) for character in cut)
    return safe + "..." if len(text) > length_max else safe


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if " " <= character <= "~":
        return character
    if character.isprintable() and character.isalnum():
        return character
    return character.encode("unicode_escape").decode("ascii")
