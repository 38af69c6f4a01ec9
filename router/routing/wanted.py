"""The elements that are read from each dataset: what rules name, and what identifies the instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SPECIFIC_CHARACTER_SET = 0x00080005
SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
ALWAYS_WANTED = {
    SPECIFIC_CHARACTER_SET: "CS",
    SOP_CLASS_UID: "UI",
    SOP_INSTANCE_UID: "UI",
    STUDY_INSTANCE_UID: "UI",
    SERIES_INSTANCE_UID: "UI",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The elements to read. tags: ascending. vrs: tag -> VR where the encoding does not say it."""

    tags: tuple[int, ...]
    vrs: Mapping[int, str]

    @classmethod
    def of(cls, vrs: Mapping[int, str]) -> Wanted:
        """Return the given elements and the identifying ones."""
        known = {**vrs, **ALWAYS_WANTED}
        return cls(tuple(sorted(known)), known)
