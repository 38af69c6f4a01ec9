"""What a `when` table can say, as a tree of conditions, and what it means.

    literal            Modality = "CT"                equal text, or equal number
    pattern            StudyDescription = "*KNEE*"    * any characters, ? one
    list               Modality = ["CT", "MR"]        any of them
    table              SliceThickness = { ge = 1, lt = 5 }
                       regex, ge, gt, le, lt, not, exists; all that are given must hold
    any, all           lists of tables; not: a table

Meaning. An attribute with several values matches if any one value passes all of regex, ge, gt, le and lt.
A missing attribute passes nothing but `exists = false` and what `not` turns around. `exists` asks for a
value: an element that is there but empty has none; the literal "" matches that element. Text is compared with
its case, person names too; numbers (VR IS, DS, US ...; or a number in the file) by value; dates and times as
text of digits.
"""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from typing import Any, Literal

from router.config.subjects import Subject

REGEX_MEMORY_MAX_BYTES = 1 << 20  # of one compiled expression; beyond it the expression is refused

Comparison = Literal["equal", "pattern", "regex", "ge", "gt", "le", "lt", "network"]


@dataclass(frozen=True, slots=True)
class ValueTest:
    """One comparison with one value. operand: float compares by value, str as text."""

    comparison: Comparison
    operand: str | float


@dataclass(frozen=True, slots=True)
class AnyValue:
    """True if one value of the subject passes all tests of one of the alternatives."""

    subject: Subject
    alternatives: tuple[tuple[ValueTest, ...], ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """True if the attribute has a value (or has none, with wanted False)."""

    subject: Subject
    wanted: bool


@dataclass(frozen=True, slots=True)
class All:
    """True if every condition is; true if there is none."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True if one condition is."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True if the condition is not."""

    condition: Condition


Condition = AnyValue | Exists | All | AnyOf | Not


def compile_regex(expression: str) -> Any:
    """Compile for matching in linear time (RE2). Raises ValueError with the engine's reason."""
    import re2  # only files with a regex pay for it

    options = re2.Options()
    options.log_errors = False
    options.max_mem = REGEX_MEMORY_MAX_BYTES
    options.never_capture = True
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        reason = error.args[0]
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from None


def number_of(text: str) -> float | None:
    """Read the text of an IS or DS value (PS3.5 section 6.2); None if it is no finite number."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def digits_of(text: str) -> str:
    """Return a date or time without the separators of old or human writing: 2024-05-01, 10:15:00."""
    date = text[:10]
    if len(date) == 10 and date[4] in "-." and date[7] == date[4]:
        text = date.replace(date[4], "") + text[10:].lstrip("T ")
    return text.replace(":", "")


def moment_text(value: Any) -> str:
    """Return a TOML date, time or date-time as DICOM text; "" for anything else."""
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y%m%d%H%M%S")
    if isinstance(value, datetime.date):
        return value.strftime("%Y%m%d")
    if isinstance(value, datetime.time):
        return value.strftime("%H%M%S")
    return ""
