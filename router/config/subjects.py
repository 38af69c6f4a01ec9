"""What a condition of a rule is about: an attribute by keyword or tag, or a fact of the association.

Keys: `Modality`, `"0008,0060"`, `"(0008,0060)"`, private `"0009,1001"` or `"0009,xx01,CREATOR"` (the block is
found by its private creator, PS3.5 section 7.8.1), and the facts `calling_ae_title`, `called_ae_title`,
`peer_address`, `sop_class`, `transfer_syntax`.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

FACTS = ("calling_ae_title", "called_ae_title", "peer_address", "sop_class", "transfer_syntax")
NUMBER_VRS = frozenset({"IS", "DS", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"})
MOMENT_VRS = frozenset({"DA", "TM", "DT"})
UNREADABLE_VRS = frozenset({"SQ", "OB", "OW", "OD", "OF", "OL", "OV", "UN"})
UNKNOWN_VR = "UN"  # a private element: its VR is known only where the encoding is explicit

_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),\s?([0-9A-Fa-f]{4})\)?")
_PRIVATE = re.compile(r"\(?([0-9A-Fa-f]{4}),\s?[xX]{2}([0-9A-Fa-f]{2}),\s?([^\\)]{1,64})\)?")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is compared.

    key: as written in the file. fact: one of FACTS, or "" for an attribute.
    tag: of the attribute; for a private creator's element only the lowest byte of the element number counts.
    vr: from PS3.6; UNKNOWN_VR for elements that are not in it. creator: private creator, or "".
    """

    key: str
    fact: str = ""
    tag: int = 0
    vr: str = UNKNOWN_VR
    creator: str = ""

    @property
    def is_number(self) -> bool:
        """Whether the Standard says that the values are numbers."""
        return self.vr in NUMBER_VRS

    @property
    def is_moment(self) -> bool:
        """Whether the values are dates or times."""
        return self.vr in MOMENT_VRS


class KeyMistake(ValueError):
    """A key that names nothing; `hint` is a suggestion or empty."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.hint = hint


def parse_subject(key: str) -> Subject:
    """Read the key of a condition. Raises KeyMistake."""
    if key in FACTS:
        return Subject(key, fact=key)
    if match := _PRIVATE.fullmatch(key):
        return _private_subject(key, int(match[1], 16), int(match[2], 16), match[3].strip())
    from router.standard import attributes  # large; only files with rules pay for it

    if match := _TAG.fullmatch(key):
        tag = int(match[1] + match[2], 16)
    else:
        found = attributes.tag_of(key)
        if found is None:
            raise KeyMistake("is neither an attribute keyword, a tag nor a fact", _suggest(key))
        tag = found
    return _checked(Subject(key, tag=tag, vr=attributes.vr_of(tag) or UNKNOWN_VR))


def _private_subject(key: str, group: int, element: int, creator: str) -> Subject:
    if group % 2 == 0:
        raise KeyMistake("a private creator goes with an odd group number only (PS3.5 section 7.8.1)")
    return _checked(Subject(key, tag=group << 16 | element, creator=creator))


def _checked(subject: Subject) -> Subject:
    group = subject.tag >> 16
    if group < 0x0008 or group == 0xFFFE:
        raise KeyMistake("is not an element of a dataset; rules read groups 0008 and above")
    if subject.vr in UNREADABLE_VRS and group % 2 == 0 and subject.vr != UNKNOWN_VR:
        raise KeyMistake(f"has VR {subject.vr}; rules read elements with text or numbers at the top level")
    return subject


def _suggest(key: str) -> str:
    from router.standard import attributes

    keywords = [*FACTS, *attributes.by_keyword()]
    folded = {keyword.lower(): keyword for keyword in keywords}
    exact = folded.get(key.lower().replace(" ", ""))
    near = (
        [exact]
        if exact
        else [folded[k] for k in difflib.get_close_matches(key.lower(), folded, n=1, cutoff=0.7)]
    )
    return f"did you mean {near[0]}?" if near else 'keywords are those of PS3.6, tags look like "0008,0060"'
