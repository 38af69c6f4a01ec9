"""The parts that every DIMSE response shares: its command set, a handler's reply, the refusal of a request
(PS3.7).

A refusal is answered with the response of the request's own kind and a status of PS3.7 Annex C.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from router.errors import PeerViolation
from router.protocol.association import Association
from router.protocol.indications import MessageReceived
from router.protocol.messages import Buffer, release_dataset
from router.services.conversation import DUPLICATE, UNRECOGNISED
from router.services.steps import Procedure
from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    ERROR_COMMENT,
    MESSAGE_ID,
    MESSAGE_ID_BEING_RESPONDED_TO,
    NO_DATASET,
    REQUESTED_SOP_CLASS_UID,
    REQUESTED_SOP_INSTANCE_UID,
    RESPONSE_BIT,
    STATUS,
)
from router.standard.statuses import DUPLICATE_INVOCATION, SUCCESS, UNRECOGNISED_OPERATION

ERROR_COMMENT_MAX = 64
"""An Error Comment is of VR LO (PS3.7 Annex C)."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler answers: a status, further command elements, and a dataset where the service has one."""

    status: int
    comment: str = ""
    elements: Mapping[int, Any] = field(default_factory=dict)
    dataset: Iterable[Buffer] | None = None


PLAIN_SUCCESS = Reply(SUCCESS)
"""Success and nothing else."""


def send_reply(association: Association, request: MessageReceived, reply: Reply) -> None:
    """Send the response to a request: its Message ID and SOP UIDs are taken over (PS3.7 section 9.3,
    10.3)."""
    asked = request.command
    command: dict[int, Any] = {
        COMMAND_FIELD: asked[COMMAND_FIELD] | RESPONSE_BIT,
        MESSAGE_ID_BEING_RESPONDED_TO: asked[MESSAGE_ID],
        COMMAND_DATA_SET_TYPE: NO_DATASET if reply.dataset is None else 0x0001,
        STATUS: reply.status,
    }
    sop_class = asked.get(AFFECTED_SOP_CLASS_UID) or asked.get(REQUESTED_SOP_CLASS_UID)
    if sop_class:
        command[AFFECTED_SOP_CLASS_UID] = sop_class
    sop_instance = asked.get(AFFECTED_SOP_INSTANCE_UID) or asked.get(REQUESTED_SOP_INSTANCE_UID)
    if sop_instance:
        command[AFFECTED_SOP_INSTANCE_UID] = sop_instance
    if reply.comment:
        command[ERROR_COMMENT] = reply.comment[:ERROR_COMMENT_MAX]
    command.update(reply.elements)
    association.send_message(request.context_id, command, reply.dataset)


def refuse(association: Association, request: MessageReceived, status: int, comment: str = "") -> None:
    """Answer a request with a failure status; its dataset, if any, is given back unread."""
    release_dataset(request)
    if not isinstance(request.command.get(MESSAGE_ID), int):
        association.violate(PeerViolation("request without Message ID (PS3.7 section 6.3.1)", reason=6))
        return
    send_reply(association, request, Reply(status, comment))


def respond_unrecognised(association: Association, request: MessageReceived) -> Procedure[None]:
    """Answer a Command Field that is not served: 0211H, unrecognised operation."""
    refuse(association, request, UNRECOGNISED_OPERATION)
    return
    yield


def respond_duplicate(association: Association, request: MessageReceived) -> Procedure[None]:
    """Answer a request whose Message ID is still in progress: 0210H, duplicate invocation."""
    refuse(association, request, DUPLICATE_INVOCATION)
    return
    yield


def lacks(request: MessageReceived, numbers: tuple[int, ...], texts: tuple[int, ...]) -> bool:
    """Whether a request lacks a mandatory element, or one has the wrong type: it is then answered with
    0212H."""
    command = request.command
    return any(type(command.get(tag)) is not int for tag in numbers) or any(
        type(command.get(tag)) is not str or not command[tag] for tag in texts
    )


RESPONDERS_OF_REFUSAL = {UNRECOGNISED: respond_unrecognised, DUPLICATE: respond_duplicate}
"""The services of a side that serves nothing, and the answers that every other table of services includes."""
