"""From the identifier of a C-FIND, C-GET or C-MOVE to a query of the database, and from rows to identifiers.

PS3.4 sections C.2.2.2 (matching) and C.4.1 to C.4.3 (what identifiers must hold).
"""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from sqlalchemy import ColumnElement, distinct, func, or_, select
from sqlalchemy.engine import RowMapping

from router.apps.qr_attributes import (
    ATTRIBUTES,
    BY_KEYWORD,
    COUNTS,
    MODALITIES_IN_STUDY,
    UNIQUE_KEYS,
    Attribute,
    Level,
    Matching,
)
from router.apps.qr_database import INSTANCES

PATIENT_ROOT_LEVELS = tuple(Level)
STUDY_ROOT_LEVELS = tuple(Level)[1:]

LONGEST_SUFFIX = "\uffff"
"""Behind the end of a range: 1030 as an end takes in 103059."""

UTF_8 = "ISO_IR 192"
_NO_KEYS = frozenset({"SpecificCharacterSet", "QueryRetrieveLevel", "TimezoneOffsetFromUTC"})
_NO_KEYS |= {"RetrieveAETitle"}


class BadIdentifier(ValueError):
    """An identifier that the model does not allow (status A900H); the text says why, without its values."""


class Identifier:
    """A checked identifier. level: what it asks for; levels: those of its model, top down."""

    def __init__(self, dataset: Dataset, levels: tuple[Level, ...], is_relational: bool) -> None:
        """Check an identifier. is_relational: keys of higher levels may be missing. Raises BadIdentifier."""
        self._dataset = dataset
        self._levels = levels
        text = str(dataset.get("QueryRetrieveLevel") or "").strip()
        if not text:
            raise BadIdentifier("there is no Query/Retrieve Level")
        if text not in {level.value for level in levels}:
            raise BadIdentifier("the Query/Retrieve Level is not one of this model")
        self.level = Level(text)
        if not is_relational:
            for level in levels[: levels.index(self.level)]:
                values = self.values(UNIQUE_KEYS[level])
                if len(values) != 1 or set(values[0]) & set("*?"):
                    raise BadIdentifier(f"{UNIQUE_KEYS[level]} must have one value at this level")

    def require_unique_key(self) -> None:
        """For a retrieval: raise BadIdentifier unless the level's own unique key has a value."""
        keyword = UNIQUE_KEYS[self.level]
        values = self.values(keyword)
        if not values or any(set(value) & set("*?") for value in values):
            raise BadIdentifier(f"{keyword} must have a value")

    def values(self, keyword: str) -> list[str]:
        """Return the values of a key as text; none if it is missing or empty."""
        value = self._dataset.get(keyword)
        items = value if isinstance(value, MultiValue | list) else [value]
        return [text for item in items if item is not None and (text := str(item).strip())]

    def is_in_model(self, attribute: Attribute) -> bool:
        """Whether an attribute is one of the level asked for, or of those above."""
        level = attribute.level
        if level not in self._levels:
            level = self._levels[0]  # of the patient, who belongs to the study here
        return self._levels.index(level) <= self._levels.index(self.level)

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return what the keys of this level and those above demand; empty ones and * match all."""
        found = []
        for attribute in ATTRIBUTES:
            values = self.values(attribute.keyword) if self.is_in_model(attribute) else []
            if values and all(value.strip("*") for value in values):
                found.append(_condition(attribute, values))
        modalities = self.values(MODALITIES_IN_STUDY)
        if modalities and self.level is Level.STUDY:
            with_modality = select(INSTANCES.c.StudyInstanceUID).where(
                _condition(BY_KEYWORD["Modality"], modalities)
            )
            found.append(INSTANCES.c.StudyInstanceUID.in_(with_modality))
        return found

    def asks_for(self, keyword: str) -> bool:
        """Whether the identifier has the key, with or without a value."""
        return keyword in self._dataset

    def unsupported(self) -> bool:
        """Whether there is a key that is not answered."""
        known = {attribute.keyword for attribute in ATTRIBUTES if self.is_in_model(attribute)} | _NO_KEYS
        known |= {keyword for keyword, (level, _) in COUNTS.items() if level is self.level}
        if self.level is Level.STUDY:
            known.add(MODALITIES_IN_STUDY)
        return any(element.keyword not in known and element.tag.element for element in self._dataset)


def find_query(identifier: Identifier) -> Any:
    """Return the SELECT of a C-FIND: one row for each entity of the level."""
    unique = INSTANCES.c[UNIQUE_KEYS[identifier.level]]
    columns: list[Any] = []
    for attribute in ATTRIBUTES:
        column = INSTANCES.c[attribute.keyword]
        if identifier.is_in_model(attribute):
            # Instances of one entity should agree; where they do not, any value is as good.
            columns.append(column if column is unique else func.max(column).label(attribute.keyword))
    for keyword, (level, counted) in COUNTS.items():
        if level is identifier.level and identifier.asks_for(keyword):
            columns.append(func.count(distinct(INSTANCES.c[counted])).label(keyword))
    if identifier.level is Level.STUDY and identifier.asks_for(MODALITIES_IN_STUDY):
        columns.append(func.group_concat(distinct(INSTANCES.c.Modality)).label(MODALITIES_IN_STUDY))
    return select(*columns).where(*identifier.conditions()).group_by(unique).order_by(unique)


def retrieve_query(identifier: Identifier) -> Any:
    """Return the SELECT of a C-GET or C-MOVE: one row for each instance."""
    return select(INSTANCES).where(*identifier.conditions()).order_by(INSTANCES.c.SOPInstanceUID)


def match_of(row: RowMapping, identifier: Identifier, retrieve_ae_title: str) -> Dataset:
    """Return the identifier of one match: the keys that were asked for, and what tells the entity apart."""
    match = Dataset()
    match.QueryRetrieveLevel = identifier.level.value
    match.RetrieveAETitle = retrieve_ae_title
    unique = UNIQUE_KEYS[identifier.level]
    for keyword, value in row.items():
        if keyword == unique or identifier.asks_for(keyword):
            text = "" if value is None else str(value)
            if keyword == MODALITIES_IN_STUDY:
                text = text.replace(",", "\\")
            _set(match, keyword, text.split("\\") if "\\" in text else text or None)
    if not all(value is None or str(value).isascii() for value in row.values()):
        match.SpecificCharacterSet = UTF_8
    return match


def _set(match: Dataset, keyword: str, value: Any) -> None:
    try:
        setattr(match, keyword, value)
    except (ValueError, TypeError, OverflowError):
        setattr(match, keyword, None)  # what was stored is not of the attribute's VR


def _condition(attribute: Attribute, values: list[str]) -> ColumnElement[bool]:
    """Return what one key demands; of several values, any one."""
    column = INSTANCES.c[attribute.keyword]
    if attribute.matching is Matching.UID:
        return column.in_(values)
    return or_(*(_CONDITIONS[attribute.matching](column, value) for value in values))


def _range(column: Any, value: str) -> ColumnElement[bool]:
    first, dash, last = value.partition("-")
    if not dash:
        found: ColumnElement[bool] = column == value
        return found
    if not first and not last:
        raise BadIdentifier(f"{column.name}: a range needs a beginning or an end")
    demands = column.is_not(None)
    if first:
        demands &= column >= first.strip()
    if last:
        demands &= column <= last.strip() + LONGEST_SUFFIX
    return demands  # type: ignore[no-any-return]


def _text(column: Any, value: str) -> ColumnElement[bool]:
    if not set(value) & set("*?"):
        found: ColumnElement[bool] = column == value
        return found
    # GLOB has the same * and ?, and a [ that DICOM has not.
    return column.op("GLOB", is_comparison=True)(value.replace("[", "[[]"))  # type: ignore[no-any-return]


def _name(column: Any, value: str) -> ColumnElement[bool]:
    for character in "\\%_":
        value = value.replace(character, f"\\{character}")
    pattern = value.replace("*", "%").replace("?", "_")
    return column.like(pattern, escape="\\")  # type: ignore[no-any-return]


def _number(column: Any, value: str) -> ColumnElement[bool]:
    return column == integer_text(value)  # type: ignore[no-any-return]


def integer_text(value: str) -> str:
    """Return an Integer String in one spelling: 007 as 7; what is no number stays."""
    try:
        return str(int(value))
    except ValueError:
        return value


_CONDITIONS = {
    Matching.RANGE: _range,
    Matching.TEXT: _text,
    Matching.NAME: _name,
    Matching.NUMBER: _number,
}
