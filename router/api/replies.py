"""What handlers return, made into what a response carries: statuses, optional elements, datasets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from router.api.dimse_primitives import PRIMITIVES, TAGS
from router.services.reply import Reply
from router.standard.dimse_fields import STATUS, VRS
from router.standard.statuses import SUCCESS, StatusTable

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LOGGER = logging.getLogger("router.service_class")

STATUS_MISSING = 0xC001
"""Answered when a handler returns a Dataset without Status."""
STATUS_INVALID = 0xC002
"""Answered when a handler returns neither an int nor a Dataset."""

_ERROR_COMMENT_TAG = 0x0902
_NEVER_FROM_HANDLERS = frozenset({0x0002, 0x0110, 0x0120})
"""Elements the library sets itself: Affected SOP Class UID and the Message IDs."""


def reply_of(value: Any, command_field: int, table: StatusTable) -> Reply:
    """Return the reply that a handler's status stands for.

    value: an int, or a Dataset with Status whose further elements go into the response where it has them.
    table: the statuses of the service; another one is sent all the same, and a warning logged.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        status, elements = int(value), dict[int, Any]()
    else:
        status, elements = _from_dataset(value, command_field)
    if not 0 <= status <= 0xFFFF:
        LOGGER.error("a handler returned the status %r, which no response can carry", status)
        return Reply(STATUS_INVALID)
    if status != SUCCESS and table.find(status) is None:
        LOGGER.warning("Unknown status value returned by callback - 0x%04X", status)
    return Reply(status, elements=elements) if elements else Reply(status)


def _from_dataset(value: Any, command_field: int) -> tuple[int, dict[int, Any]]:
    from pydicom.dataset import Dataset

    if not isinstance(value, Dataset):
        LOGGER.error("a handler returned a status of type %s", type(value).__name__)
        return STATUS_INVALID, {}
    if "Status" not in value:
        LOGGER.error("a handler returned a status Dataset without Status")
        return STATUS_MISSING, {}
    allowed = {TAGS[keyword] for keyword in PRIMITIVES[command_field].keywords()} - _NEVER_FROM_HANDLERS
    elements: dict[int, Any] = {}
    for element in value:
        tag = int(element.tag)
        if tag == STATUS:
            continue
        if tag not in allowed:
            LOGGER.warning("a handler's status has an element that the response has not: %s", element.tag)
        elif element.value not in (None, ""):
            elements[tag] = _plain(element.value, VRS[tag])
    return int(value.Status), elements


def _plain(value: Any, vr: str) -> Any:
    if vr == "AT":
        values = value if isinstance(value, list | tuple) or hasattr(value, "__iter__") else [value]
        return tuple(int(item) for item in values)
    return int(value) if vr == "US" else str(value)


def encode_or_none(dataset: Dataset | None, transfer_syntax: str) -> bytes | None:
    """Return the encoded dataset; None for none or an empty one. Raises ValueError."""
    from router.api.dsutils import encode_as

    if dataset is None or not len(dataset):
        return None
    encoded = encode_as(dataset, transfer_syntax)
    if encoded is None:
        raise ValueError("the dataset cannot be encoded in the transfer syntax of its context")
    return encoded
