"""C-STORE: store one composite instance at the peer (PS3.7 sections 9.1.1 and 9.3.1, PS3.4 Annex B)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from router.protocol.association import Association
from router.protocol.indications import MessageReceived
from router.protocol.messages import Buffer
from router.protocol.negotiation import AcceptedContext
from router.services.reply import Reply, lacks, refuse, send_reply
from router.services.response import check_response
from router.services.steps import Call, NextIndication, Procedure
from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    C_STORE_RQ,
    C_STORE_RSP,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    MESSAGE_ID,
    MOVE_ORIGINATOR_AE_TITLE,
    MOVE_ORIGINATOR_MESSAGE_ID,
    NO_DATASET,
    PRIORITY,
)
from router.standard.statuses import (
    CANNOT_UNDERSTAND,
    INVALID_OBJECT_INSTANCE,
    MISTYPED_ARGUMENT,
    PROCESSING_FAILURE,
    SOP_CLASS_NOT_SUPPORTED,
)
from router.standard.uids import is_valid_uid

DATASET_FOLLOWS = 0x0001
"""Any Command Data Set Type but 0101H says that a dataset follows (PS3.7 Annex E.1)."""

PRIORITY_MEDIUM = 0x0000


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a dataset sink gives as its result when it let the bytes pass by: the failure to answer."""

    status: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Instance:
    """What a storage SCU sends.

    dataset: the encoded dataset in the transfer syntax of the context it is sent in, as buffers that stay
    unchanged until the response is there (see Association.send_message). move_originator: AE title and
    Message ID of the C-MOVE this is a sub-operation of.
    """

    sop_class: str
    sop_instance: str
    dataset: Iterable[Buffer]
    priority: int = PRIORITY_MEDIUM
    move_originator: tuple[str, int] | None = None


def request(
    association: Association, context_id: int, message_id: int, instance: Instance, dimse_s: float | None
) -> Procedure[MessageReceived]:
    """Send C-STORE-RQ with its dataset and return the response.

    dimse_s: how long the response may take from the moment the request is queued.
    Raises AssociationAborted, DeadlineExceeded (the association is then unusable: abort it), PeerViolation
    (it is aborted).
    """
    command = {
        AFFECTED_SOP_CLASS_UID: instance.sop_class,
        COMMAND_FIELD: C_STORE_RQ,
        MESSAGE_ID: message_id,
        PRIORITY: instance.priority,
        COMMAND_DATA_SET_TYPE: DATASET_FOLLOWS,
        AFFECTED_SOP_INSTANCE_UID: instance.sop_instance,
    }
    if instance.move_originator is not None:
        command[MOVE_ORIGINATOR_AE_TITLE], command[MOVE_ORIGINATOR_MESSAGE_ID] = instance.move_originator
    association.send_message(context_id, command, instance.dataset)
    response: MessageReceived = yield NextIndication(dimse_s, message_id)
    return check_response(response, C_STORE_RSP, context_id)


def respond(
    association: Association, message: MessageReceived, on_store: Callable[[MessageReceived], Reply]
) -> Procedure[None]:
    """Answer one C-STORE-RQ with what on_store says; a request that cannot be meant is refused before."""
    refusal = check_request(association.contexts[message.context_id], message)
    if refusal is not None:
        refuse(association, message, refusal.status, refusal.comment)
        return
    try:
        reply = yield Call(on_store, message)
    except Exception:
        refuse(association, message, PROCESSING_FAILURE)
        raise
    send_reply(association, message, reply)


def check_request(context: AcceptedContext, message: MessageReceived) -> Refusal | None:
    """Return why a C-STORE-RQ cannot be served, or None (statuses: PS3.7 section 9.1.1.1.9 and Annex C)."""
    if isinstance(message.dataset, Refusal):
        return message.dataset
    if lacks(message, (MESSAGE_ID,), (AFFECTED_SOP_CLASS_UID,)):
        return Refusal(MISTYPED_ARGUMENT)
    if message.command[COMMAND_DATA_SET_TYPE] == NO_DATASET:
        return Refusal(CANNOT_UNDERSTAND, "C-STORE-RQ without a dataset")
    if message.command[AFFECTED_SOP_CLASS_UID] != context.abstract_syntax:
        return Refusal(SOP_CLASS_NOT_SUPPORTED, "not the abstract syntax of this presentation context")
    if not context.as_scp:
        return Refusal(SOP_CLASS_NOT_SUPPORTED, "not SCP in this presentation context")
    sop_instance = message.command.get(AFFECTED_SOP_INSTANCE_UID)
    if not isinstance(sop_instance, str) or not is_valid_uid(sop_instance):
        return Refusal(INVALID_OBJECT_INSTANCE, "invalid Affected SOP Instance UID")
    return None
