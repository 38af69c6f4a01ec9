"""What C-FIND, C-GET and C-MOVE have in common: a request with an identifier, and several responses.

PS3.7 sections 9.1.2-9.1.4 and 9.3.2-9.3.4; PS3.4 Annex C. Identifiers are encoded datasets: bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from router.protocol.association import Association
from router.protocol.indications import MessageReceived
from router.protocol.messages import Buffer
from router.services.c_store import Refusal
from router.services.reply import lacks
from router.services.response import check_numbers, check_response, is_last
from router.services.steps import Emit, NextIndication, Procedure
from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    DATASET_PRESENT,
    MESSAGE_ID,
    MOVE_DESTINATION,
    NO_DATASET,
    NUMBER_OF_COMPLETED_SUBOPERATIONS,
    NUMBER_OF_FAILED_SUBOPERATIONS,
    NUMBER_OF_REMAINING_SUBOPERATIONS,
    NUMBER_OF_WARNING_SUBOPERATIONS,
    PRIORITY,
    PRIORITY_MEDIUM,
    RESPONSE_BIT,
)
from router.standard.sop_classes import service_of
from router.standard.statuses import MISTYPED_ARGUMENT, SOP_CLASS_NOT_SUPPORTED

SUBOPERATION_COUNTS = (
    NUMBER_OF_REMAINING_SUBOPERATIONS,
    NUMBER_OF_COMPLETED_SUBOPERATIONS,
    NUMBER_OF_FAILED_SUBOPERATIONS,
    NUMBER_OF_WARNING_SUBOPERATIONS,
)

UNABLE_TO_PROCESS = 0xC000
"""First of the codes C000H-CFFFH of every query service (PS3.4 sections C.4.1.1.4, C.4.2.1.5, C.4.3.1.4)."""

UPS_SERVICE = "unified-procedure-step"


@dataclass(frozen=True, slots=True)
class Query:
    """What an SCU of C-FIND, C-GET or C-MOVE asks.

    identifier: the encoded dataset, in the transfer syntax of the context it is sent in. move_destination:
    the AE title that shall get the instances, of C-MOVE only.
    """

    sop_class: str
    identifier: Iterable[Buffer]
    priority: int = PRIORITY_MEDIUM
    move_destination: str | None = None


def exchange(
    association: Association,
    context_id: int,
    message_id: int,
    command_field: int,
    query: Query,
    dimse_s: float | None,
) -> Procedure[MessageReceived]:
    """Send a query and emit each response as it comes, the last one included, which is also the result.

    command_field: that of the request. dimse_s: how long each response may take.
    Raises AssociationAborted, DeadlineExceeded (abort then), PeerViolation (the association is aborted).
    """
    command: dict[int, Any] = {
        AFFECTED_SOP_CLASS_UID: query.sop_class,
        COMMAND_FIELD: command_field,
        MESSAGE_ID: message_id,
        PRIORITY: query.priority,
        COMMAND_DATA_SET_TYPE: DATASET_PRESENT,
    }
    if query.move_destination is not None:
        command[MOVE_DESTINATION] = query.move_destination
    association.send_message(context_id, command, query.identifier)
    while True:
        response: MessageReceived = yield NextIndication(dimse_s, message_id)
        check_response(response, command_field | RESPONSE_BIT, context_id)
        check_numbers(response, SUBOPERATION_COUNTS)
        if is_last(association, response):
            yield Emit(response, is_last=True)
            return response
        yield Emit(response)


def check_query(association: Association, message: MessageReceived) -> Refusal | None:
    """Return why a request with an identifier cannot be served, or None (statuses: PS3.7 Annex C)."""
    if lacks(message, (MESSAGE_ID,), (AFFECTED_SOP_CLASS_UID,)):
        return Refusal(MISTYPED_ARGUMENT)
    if isinstance(message.dataset, Refusal):
        return message.dataset
    if message.command[COMMAND_DATA_SET_TYPE] == NO_DATASET:
        return Refusal(MISTYPED_ARGUMENT, "no identifier")
    context = association.contexts[message.context_id]
    sop_class = message.command[AFFECTED_SOP_CLASS_UID]
    if sop_class != context.abstract_syntax and not (
        # A UPS may be asked for in a context of any of its SOP classes (PS3.4 section CC.3.1).
        service_of(sop_class) == service_of(context.abstract_syntax) == UPS_SERVICE
    ):
        return Refusal(SOP_CLASS_NOT_SUPPORTED, "not the abstract syntax of this presentation context")
    if not context.as_scp:
        return Refusal(SOP_CLASS_NOT_SUPPORTED, "not SCP in this presentation context")
    return None


def is_cancelled(association: Association, message: MessageReceived) -> bool:
    """Whether a C-CANCEL for this request has come that nobody has taken note of."""
    return message.command[MESSAGE_ID] in association.cancelled
