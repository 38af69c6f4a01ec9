"""C-ECHO: verify that the peer answers (PS3.7 sections 9.1.5 and 9.3.5)."""

from __future__ import annotations

from collections.abc import Callable

from router.protocol.association import Association
from router.protocol.indications import MessageReceived
from router.services.reply import Reply, lacks, refuse, send_reply
from router.services.response import check_response
from router.services.steps import Call, NextIndication, Procedure
from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    C_ECHO_RQ,
    C_ECHO_RSP,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    MESSAGE_ID,
    NO_DATASET,
)
from router.standard.statuses import MISTYPED_ARGUMENT
from router.standard.uids import VERIFICATION


def request(
    association: Association, context_id: int, message_id: int, dimse_s: float | None
) -> Procedure[MessageReceived]:
    """Send C-ECHO-RQ and return the response.

    Raises AssociationAborted, DeadlineExceeded (abort then), PeerViolation (the association is aborted).
    """
    association.send_message(
        context_id,
        {
            COMMAND_FIELD: C_ECHO_RQ,
            MESSAGE_ID: message_id,
            COMMAND_DATA_SET_TYPE: NO_DATASET,
            AFFECTED_SOP_CLASS_UID: VERIFICATION,
        },
    )
    response: MessageReceived = yield NextIndication(dimse_s, message_id)
    return check_response(response, C_ECHO_RSP, context_id)


def respond(
    association: Association, message: MessageReceived, on_echo: Callable[[MessageReceived], Reply]
) -> Procedure[None]:
    """Answer one C-ECHO-RQ with what on_echo says."""
    if lacks(message, (MESSAGE_ID,), (AFFECTED_SOP_CLASS_UID,)):
        refuse(association, message, MISTYPED_ARGUMENT)
        return
    reply = yield Call(on_echo, message)
    send_reply(association, message, reply)
