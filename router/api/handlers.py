"""What the library logs of PDUs and messages, and two ready-made handlers for programs that look closer.

Nothing here is bound as a handler: association logging costs nothing unless the log's level asks for it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from router.api.presentation import name_of_uid
from router.api.utils import pretty_bytes
from router.standard.dimse_fields import (
    C_CANCEL_RQ,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    KEYWORDS,
    MESSAGE_ID,
    MESSAGE_ID_BEING_RESPONDED_TO,
    MESSAGE_NAMES,
    NO_DATASET,
    RESPONSE_BIT,
    STATUS,
    VRS,
)
from router.standard.reasons import CONTEXT_RESULTS, describe_abort, describe_rejection
from router.wire.pdus import Abort, AssociateAC, AssociateRJ, AssociateRQ
from router.wire.user_information import UserInformation

if TYPE_CHECKING:
    from router.api.event import Event

LOGGER = logging.getLogger("router._handlers")

_SERVICE_NAMES = {
    0x0001: "Store",
    0x0010: "Get",
    0x0020: "Find",
    0x0021: "Move",
    0x0030: "Echo",
    0x0100: "Event Report",
    0x0110: "Get",
    0x0120: "Set",
    0x0130: "Action",
    0x0140: "Create",
    0x0150: "Delete",
}
_WIDTH = 76


def service_name(command_field: int) -> str:
    """Return the service of a message in one or two words, for the log."""
    return _SERVICE_NAMES.get(command_field & ~RESPONSE_BIT, "Unknown")


def debug_fsm(event: Event) -> None:
    """Log a transition of the state machine; bind it to EVT_FSM_TRANSITION."""
    side = event.assoc.mode[0].upper()
    LOGGER.debug(f"{side}: {event.current_state} + {event.fsm_event} -> {event.action} -> {event.next_state}")


def debug_data(event: Event) -> None:
    """Log the octets of a PDU; bind it to EVT_DATA_RECV or EVT_DATA_SENT."""
    verb = "Sent" if "SENT" in event.event.name else "Received"
    LOGGER.debug(f"{verb} PDU of {len(event.data)} bytes")
    for line in pretty_bytes(event.data):
        LOGGER.debug(line)


def log_pdu(pdu: AssociateRQ | AssociateAC | AssociateRJ | Abort, is_sent: bool) -> None:
    """Log a PDU of the association's beginning or end at level DEBUG."""
    if not LOGGER.isEnabledFor(logging.DEBUG):
        return
    direction = "OUTGOING" if is_sent else "INCOMING"
    lines: Iterable[str]
    match pdu:
        case AssociateRQ():
            LOGGER.debug("Request Parameters:")
            name, lines = "A-ASSOCIATE-RQ", _request_lines(pdu, is_sent)
        case AssociateAC():
            LOGGER.debug("Accept Parameters:")
            name, lines = "A-ASSOCIATE-AC", _acceptance_lines(pdu, is_sent)
        case AssociateRJ():
            LOGGER.debug("Reject Parameters:")
            name, lines = "A-ASSOCIATE-RJ", [describe_rejection(pdu.result, pdu.source, pdu.reason)]
        case Abort():
            LOGGER.debug("Abort Parameters:")
            name, lines = "A-ABORT", [describe_abort(pdu.source, pdu.reason)]
    LOGGER.debug(f" {direction} {name} PDU ".center(_WIDTH, "="))
    for line in lines:
        LOGGER.debug(line)
    LOGGER.debug(f" END {name} PDU ".center(_WIDTH, "="))


def _request_lines(rq: AssociateRQ, is_sent: bool) -> Iterable[str]:
    yield from _user_lines(rq.user_information, is_sent)
    yield f"Application Context Name:    {rq.application_context_name}"
    yield f"Calling Application Name:    {rq.calling_ae_title}"
    yield f"Called Application Name:     {rq.called_ae_title}"
    roles = {role.sop_class_uid: role for role in rq.user_information.role_selections}
    yield "Presentation Contexts:"
    for context in rq.presentation_contexts:
        yield f"  Context ID:        {context.context_id} (Proposed)"
        yield f"    Abstract Syntax: ={name_of_uid(context.abstract_syntax)}"
        role = roles.get(context.abstract_syntax)
        said = "Default" if role is None else f"SCU {role.scu_role:d}, SCP {role.scp_role:d}"
        yield f"    Proposed SCP/SCU Role: {said}"
        yield "    Proposed Transfer Syntaxes:"
        yield from (f"      ={name_of_uid(uid)}" for uid in context.transfer_syntaxes)


def _acceptance_lines(ac: AssociateAC, is_sent: bool) -> Iterable[str]:
    yield from _user_lines(ac.user_information, is_sent)
    yield f"Application Context Name:    {ac.application_context_name}"
    yield "Presentation Contexts:"
    for result in ac.presentation_contexts:
        yield f"  Context ID:        {result.context_id} ({CONTEXT_RESULTS.get(result.result, 'unknown')})"
        if result.result == 0:
            yield f"    Accepted Transfer Syntax: ={name_of_uid(result.transfer_syntax)}"


def _user_lines(information: UserInformation, is_sent: bool) -> Iterable[str]:
    whose = "Our" if is_sent else "Their"
    yield f"{whose} Implementation Class UID:    {information.implementation_class_uid}"
    yield f"{whose} Implementation Version Name: {information.implementation_version_name}"
    yield f"{whose} Max PDU Receive Size:        {information.maximum_length}"
    window = information.asynchronous_operations
    if window is not None:
        yield f"{whose} Asynchronous Operations:     {window.invoked} invoked, {window.performed} performed"
    if information.user_identity is not None:
        yield f"{whose} User Identity Type:          {information.user_identity.identity_type}"


def log_message(command: Mapping[int, Any], is_sent: bool) -> None:
    """Log a DIMSE message: one line at level INFO, its command set at level DEBUG."""
    if not LOGGER.isEnabledFor(logging.INFO):
        return
    field = command[COMMAND_FIELD]
    LOGGER.info(_headline(command, field, is_sent))
    if not LOGGER.isEnabledFor(logging.DEBUG):
        return
    direction = "OUTGOING" if is_sent else "INCOMING"
    LOGGER.debug(f" {direction} DIMSE MESSAGE ".center(_WIDTH, "="))
    LOGGER.debug(f"{'Message Type':<36}: {MESSAGE_NAMES.get(field, 'unknown')}")
    for tag in sorted(command):
        if tag in KEYWORDS and tag not in (COMMAND_FIELD, COMMAND_DATA_SET_TYPE):
            value = command[tag]
            shown = f"0x{value:04X}" if tag == STATUS else name_of_uid(value) if VRS[tag] == "UI" else value
            LOGGER.debug(f"{KEYWORDS[tag]:<36}: {shown}")
    has_dataset = command.get(COMMAND_DATA_SET_TYPE) != NO_DATASET
    LOGGER.debug(f"{'Data Set':<36}: {'Present' if has_dataset else 'None'}")
    LOGGER.debug(" END DIMSE MESSAGE ".center(_WIDTH, "="))


def _headline(command: Mapping[int, Any], field: int, is_sent: bool) -> str:
    if field == C_CANCEL_RQ:
        number = command.get(MESSAGE_ID_BEING_RESPONDED_TO)
        return f"{'Sending' if is_sent else 'Received'} Cancel Request: MsgID {number}"
    name = service_name(field)
    if not field & RESPONSE_BIT:
        return f"{'Sending' if is_sent else 'Received'} {name} Request: MsgID {command.get(MESSAGE_ID)}"
    verb = "Sending" if is_sent else "Received"
    from router.api.status import code_to_category

    status = command.get(STATUS)
    if not isinstance(status, int):
        return f"{verb} {name} Response"
    return f"{verb} {name} Response (Status: 0x{status:04X} - {code_to_category(status)})"
