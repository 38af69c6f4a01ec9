"""Statuses as programs see them: the tables of the services, and what a code means (PS3.7 Annex C)."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from router._globals import (
    STATUS_CANCEL,
    STATUS_FAILURE,
    STATUS_PENDING,
    STATUS_SUCCESS,
    STATUS_UNKNOWN,
    STATUS_WARNING,
)
from router.standard.dimse_fields import VRS
from router.standard.statuses import status_class, status_table

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

StatusDictType = dict[int, tuple[str, str]]
"""Code -> (category, text)."""

_TABLES: dict[str, str] = {
    "GENERAL_STATUS": "general",
    "VERIFICATION_SERVICE_CLASS_STATUS": "general",
    "STORAGE_COMMITMENT_SERVICE_CLASS_STATUS": "general",
    "STORAGE_SERVICE_CLASS_STATUS": "storage",
    "NON_PATIENT_SERVICE_CLASS_STATUS": "non-patient-object-storage",
    "QR_FIND_SERVICE_CLASS_STATUS": "query-retrieve-find",
    "QR_GET_SERVICE_CLASS_STATUS": "query-retrieve-get",
    "QR_MOVE_SERVICE_CLASS_STATUS": "query-retrieve-move",
    "MODALITY_WORKLIST_SERVICE_CLASS_STATUS": "worklist",
    "RELEVANT_PATIENT_SERVICE_CLASS_STATUS": "relevant-patient-information-query",
    "SUBSTANCE_ADMINISTRATION_SERVICE_CLASS_STATUS": "substance-administration-query",
    "APPLICATION_EVENT_LOGGING_SERVICE_CLASS_STATUS": "application-event-logging",
    "MEDIA_CREATION_MANAGEMENT_SERVICE_CLASS_STATUS": "media-creation-management",
    "PRINT_JOB_MANAGEMENT_SERVICE_CLASS_STATUS": "print-management",
    "PROCEDURE_STEP_STATUS": "procedure-step",
    "RT_MACHINE_VERIFICATION_SERVICE_CLASS_STATUS": "rt-machine-verification",
    "STORAGE_MANAGEMENT_SERVICE_CLASS_STATUS": "storage-management",
    "UNIFIED_PROCEDURE_STEP_SERVICE_CLASS_STATUS": "unified-procedure-step",
}

_FAILURES_IN_GENERAL = frozenset(
    {0x0105, 0x0106, *range(0x0110, 0x0116), *range(0x0117, 0x011A), *range(0x0120, 0x0125)}
    | set(range(0x0210, 0x0214))
)
_KNOWN_LOW = frozenset({0x0000, 0x0001, 0x0107, 0x0116, 0xFE00, 0xFF00, 0xFF01})


def __getattr__(name: str) -> StatusDictType:
    """Expand a table when it is first asked for: some hold thousands of codes."""
    if name not in _TABLES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    table = status_table(_TABLES[name]).expand()
    globals()[name] = table
    return table


def __dir__() -> list[str]:
    return sorted({*globals(), *_TABLES})


def code_to_category(code: int) -> str:
    """Return "Success", "Failure", "Warning", "Cancel", "Pending" or, for what nobody defined, "Unknown".

    Raises ValueError if the code is not an int, or is negative.
    """
    if isinstance(code, bool) or not isinstance(code, int) or code < 0:
        raise ValueError("'code' must be a non-negative integer")
    if code in _KNOWN_LOW or code in _FAILURES_IN_GENERAL or code >> 12 in (0xA, 0xB, 0xC):
        return status_class(code).value
    return STATUS_UNKNOWN


def code_to_status(code: int) -> Dataset:
    """Return a Dataset with this (0000,0900) Status. Raises ValueError as code_to_category()."""
    code_to_category(code)
    return status_dataset({0x0900: code}, ())


def status_dataset(command: Any, optional_tags: tuple[int, ...]) -> Dataset:
    """Return the status of a response: Status, and those of the optional elements that it has."""
    dataset = _status_maker()(command[0x0900])
    for tag in optional_tags:
        value = command.get(tag)
        if value is not None:
            dataset.add_new(tag, VRS[tag], list(value) if isinstance(value, tuple) else value)
    return dataset


@cache
def _status_maker() -> Callable[[int], Dataset]:
    """Return a function that makes a Dataset of nothing but a Status.

    It copies the state of one that pydicom has made, which costs a tenth: every exchange ends with one.
    """
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

    model = Dataset()
    model.add_new(0x0900, "US", 0)
    element = model["Status"]
    tag, of_dataset, of_element = element.tag, vars(model), vars(element)
    containers = [name for name, value in of_dataset.items() if isinstance(value, dict | list | set)]

    def make(code: int) -> Dataset:
        made_element, made = object.__new__(DataElement), object.__new__(Dataset)
        made_element.__dict__.update(of_element, _value=code)
        state = vars(made)
        state.update(of_dataset)
        for name in containers:
            state[name] = state[name].copy()
        state["_dict"][tag] = made_element
        return made

    return make


class Status(IntEnum):
    """Names for codes; add() gives further codes a name."""

    SUCCESS = 0x0000
    CANCEL = 0xFE00
    PENDING = 0xFF00
    MOVE_DESTINATION_UNKNOWN = 0xA801

    @classmethod
    def add(cls, name: str, code: int) -> None:
        """Give a code a name: a plain int, as an attribute of the class."""
        setattr(cls, name, code)


__all__ = [
    "STATUS_CANCEL",
    "STATUS_FAILURE",
    "STATUS_PENDING",
    "STATUS_SUCCESS",
    "STATUS_UNKNOWN",
    "STATUS_WARNING",
    "Status",
    "StatusDictType",
    "code_to_category",
    "code_to_status",
    "status_dataset",
]
