"""SOP classes and small answers that the tests of the services share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.protocol.indications import MessageReceived
from router.services import c_echo, c_store
from router.services.conversation import Respond
from router.services.reply import Reply
from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    MESSAGE_ID,
    MESSAGE_ID_BEING_RESPONDED_TO,
    NO_DATASET,
    STATUS,
)
from router.standard.uids import CT_IMAGE_STORAGE, VERIFICATION

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
REPOSITORY_QUERY = "1.2.840.10008.5.1.4.1.1.201.6"
MPPS = "1.2.840.10008.3.1.2.3.3"
UPS_PULL = "1.2.840.10008.5.1.4.34.6.3"
UPS_PUSH = "1.2.840.10008.5.1.4.34.6.1"

SYNTAXES = (
    VERIFICATION,
    CT_IMAGE_STORAGE,
    STUDY_ROOT_FIND,
    STUDY_ROOT_MOVE,
    STUDY_ROOT_GET,
    REPOSITORY_QUERY,
    MPPS,
    UPS_PULL,
)
ECHO, STORE, FIND, MOVE, GET, REPOSITORY, STEP, UPS = range(1, 2 * len(SYNTAXES), 2)
"""Presentation context IDs of SYNTAXES."""


def status_of(message: MessageReceived) -> int:
    """Return a response's status."""
    status: int = message.command[STATUS]
    return status


def echo_service(on_echo: Callable[[MessageReceived], Any] = lambda message: Reply(0)) -> Respond:
    """Return the service that answers C-ECHO."""
    return lambda association, message: c_echo.respond(association, message, on_echo)


def store_service(on_store: Callable[[MessageReceived], Any]) -> Respond:
    """Return the service that answers C-STORE."""
    return lambda association, message: c_store.respond(association, message, on_store)


def command(field: int, message_id: int | None, **changes: Any) -> dict[int, Any]:
    """Return a request's command set without a dataset; message_id None leaves it out."""
    elements: dict[int, Any] = {
        COMMAND_FIELD: field,
        COMMAND_DATA_SET_TYPE: NO_DATASET,
        AFFECTED_SOP_CLASS_UID: changes.pop("sop_class", VERIFICATION),
    }
    if message_id is not None:
        elements[MESSAGE_ID] = message_id
    elements.update(changes.pop("elements", {}))
    return elements


def response(field: int, message_id: int, status: int | None = 0) -> dict[int, Any]:
    """Return a response's command set without a dataset; status None leaves it out."""
    elements: dict[int, Any] = {
        COMMAND_FIELD: field,
        COMMAND_DATA_SET_TYPE: NO_DATASET,
        MESSAGE_ID_BEING_RESPONDED_TO: message_id,
    }
    if status is not None:
        elements[STATUS] = status
    return elements
