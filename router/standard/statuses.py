"""DIMSE statuses: what a code promises, its class, and its words in the table of a service.

PS3.7 Annex C (classes and general codes), PS3.4 (codes of each service; the tables are in status_tables.py).
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import NamedTuple

SUCCESS = 0x0000
REQUESTED_OPTIONAL_ATTRIBUTES_NOT_SUPPORTED = 0x0001

NO_SUCH_ATTRIBUTE = 0x0105
INVALID_ATTRIBUTE_VALUE = 0x0106
ATTRIBUTE_LIST_ERROR = 0x0107
PROCESSING_FAILURE = 0x0110
DUPLICATE_SOP_INSTANCE = 0x0111
NO_SUCH_SOP_INSTANCE = 0x0112
NO_SUCH_EVENT_TYPE = 0x0113
NO_SUCH_ARGUMENT = 0x0114
INVALID_ARGUMENT_VALUE = 0x0115
ATTRIBUTE_VALUE_OUT_OF_RANGE = 0x0116
INVALID_OBJECT_INSTANCE = 0x0117
NO_SUCH_SOP_CLASS = 0x0118
CLASS_INSTANCE_CONFLICT = 0x0119
MISSING_ATTRIBUTE = 0x0120
MISSING_ATTRIBUTE_VALUE = 0x0121
SOP_CLASS_NOT_SUPPORTED = 0x0122
NO_SUCH_ACTION = 0x0123
NOT_AUTHORISED = 0x0124
DUPLICATE_INVOCATION = 0x0210
UNRECOGNISED_OPERATION = 0x0211
MISTYPED_ARGUMENT = 0x0212
RESOURCE_LIMITATION = 0x0213

OUT_OF_RESOURCES = 0xA700
OUT_OF_RESOURCES_TO_COUNT_MATCHES = 0xA701
OUT_OF_RESOURCES_FOR_SUBOPERATIONS = 0xA702
MOVE_DESTINATION_UNKNOWN = 0xA801
DATASET_MISMATCH = 0xA900
COERCION_OF_DATA_ELEMENTS = 0xB000
SUBOPERATIONS_WITH_FAILURES = 0xB000
ELEMENTS_DISCARDED = 0xB006
DATASET_MISMATCH_WARNING = 0xB007
CANNOT_UNDERSTAND = 0xC000
CANCEL = 0xFE00
PENDING = 0xFF00
PENDING_WITH_WARNING = 0xFF01


class StatusClass(Enum):
    """What a status means for the exchange (PS3.7 Annex C); the value is its name for people."""

    SUCCESS = "Success"
    PENDING = "Pending"
    WARNING = "Warning"
    FAILURE = "Failure"
    CANCEL = "Cancel"


_BY_CODE: dict[int, StatusClass] = {
    SUCCESS: StatusClass.SUCCESS,
    REQUESTED_OPTIONAL_ATTRIBUTES_NOT_SUPPORTED: StatusClass.WARNING,
    ATTRIBUTE_LIST_ERROR: StatusClass.WARNING,
    ATTRIBUTE_VALUE_OUT_OF_RANGE: StatusClass.WARNING,
    CANCEL: StatusClass.CANCEL,
    PENDING: StatusClass.PENDING,
    PENDING_WITH_WARNING: StatusClass.PENDING,
}


def status_class(code: int) -> StatusClass:
    """Return the class of a status code.

    A code outside PS3.7 Annex C is a failure: what nobody defined promises nothing.
    """
    found = _BY_CODE.get(code)
    if found is not None:
        return found
    return StatusClass.WARNING if code >> 12 == 0xB else StatusClass.FAILURE


class StatusRule(NamedTuple):
    """One row of a table: the codes first to last, both included, share a class and a text."""

    first: int
    last: int
    status_class: StatusClass
    text: str


class StatusTable:
    """The statuses of one service, general ones included."""

    def __init__(self, rules: tuple[StatusRule, ...]) -> None:
        self.rules = rules
        """In ascending order of code."""

    def find(self, code: int) -> StatusRule | None:
        """Return the row that holds code, or None if the service does not define it."""
        return next((rule for rule in self.rules if rule.first <= code <= rule.last), None)

    def expand(self) -> dict[int, tuple[str, str]]:
        """Return {code: (class name, text)} with every range written out; up to 4,700 entries."""
        return {
            code: (rule.status_class.value, rule.text)
            for rule in self.rules
            for code in range(rule.first, rule.last + 1)
        }


@cache
def status_table(service: str = "general") -> StatusTable:
    """Return the table of one service; services without codes of their own have the general table.

    service: as in sop_classes.py; for query/retrieve "query-retrieve-find", "-get" or "-move".
    """
    from router.standard.status_tables import TABLES

    rows = TABLES["general"] + ("" if service == "general" else TABLES.get(service, ""))
    return StatusTable(tuple(sorted(map(_rule, filter(None, rows.splitlines())), key=_first_code)))


def describe_status(code: int, service: str = "general") -> str:
    """Return a status for people: `A700H Failure: Refused: Out of Resources`."""
    rule = status_table(service).find(code)
    if rule is None:
        return f"{code:04X}H {status_class(code).value}"
    return f"{code:04X}H {rule.status_class.value}" + (f": {rule.text}" if rule.text else "")


def _first_code(rule: StatusRule) -> int:
    return rule.first


def _rule(row: str) -> StatusRule:
    codes, _, meaning = row.partition(" ")
    class_name, _, text = meaning.partition(" ")
    first, _, last = codes.partition("-")
    return StatusRule(int(first, 16), int(last or first, 16), StatusClass(class_name), text)
