"""What makes a response the one that was asked for, and which response is the last of its operation.

PS3.7 sections 9.1 and 10.1 (pending responses), Annex E.1 (command fields). The Message ID is not looked at
here: router/services/conversation.py has matched it already.
"""

from __future__ import annotations

from router.errors import PeerViolation
from router.protocol.association import Association
from router.protocol.indications import MessageReceived
from router.standard.dimse_fields import (
    C_FIND_RSP,
    COMMAND_FIELD,
    MESSAGE_ID_BEING_RESPONDED_TO,
    MESSAGE_NAMES,
    STATUS,
    VRS,
)
from router.standard.statuses import PENDING, PENDING_WITH_WARNING

UNEXPECTED_PDU = 2
INVALID_PARAMETER = 6
"""Reasons of an A-ABORT from the service provider (PS3.8 Table 9-26)."""

PENDING_STATUSES = frozenset({PENDING, PENDING_WITH_WARNING})

REPOSITORY_QUERY = "1.2.840.10008.5.1.4.1.1.201.6"

RESPONSE_LIMIT_REACHED = 0xB001
"""Warning of a Repository Query that has found more than it gives (PS3.4 section C.4.1.1.4)."""


def check_response(response: MessageReceived, command_field: int, context_id: int) -> MessageReceived:
    """Return the response if it answers a request of this kind in this context.

    command_field: that of the response wanted. Raises PeerViolation; the association is then aborted.
    """
    command = response.command
    if command[COMMAND_FIELD] != command_field:
        raise PeerViolation(
            f"{_name(command[COMMAND_FIELD])} came in place of {_name(command_field)}", reason=UNEXPECTED_PDU
        )
    if response.context_id != context_id:
        raise PeerViolation(
            f"{_name(command_field)} came in presentation context {response.context_id}, "
            f"its request went out in {context_id}",
            reason=UNEXPECTED_PDU,
        )
    if type(command.get(STATUS)) is not int:
        raise PeerViolation(f"{_name(command_field)} without one Status", reason=INVALID_PARAMETER)
    return response


def check_numbers(response: MessageReceived, tags: tuple[int, ...]) -> None:
    """Raise PeerViolation if one of these optional elements is there with another multiplicity than one."""
    command = response.command
    for tag in tags:
        if tag in command and type(command[tag]) is not int:
            raise PeerViolation(
                f"{_name(command[COMMAND_FIELD])}: element (0000,{tag:04X}) is not one {VRS[tag]}",
                reason=INVALID_PARAMETER,
            )


def is_last(association: Association, response: MessageReceived) -> bool:
    """Whether no further response follows for the same Message ID.

    A Repository Query goes on after the warning that its limit is reached: a final status still follows.
    """
    command = response.command
    status = command.get(STATUS)
    if status in PENDING_STATUSES:
        return False
    if status != RESPONSE_LIMIT_REACHED or command[COMMAND_FIELD] != C_FIND_RSP:
        return True
    context = association.contexts.get(response.context_id)
    return context is None or context.abstract_syntax != REPOSITORY_QUERY


def unasked(response: MessageReceived) -> PeerViolation:
    """Return the violation that a response to nothing is."""
    message_id = response.command.get(MESSAGE_ID_BEING_RESPONDED_TO)
    return PeerViolation(
        f"{_name(response.command[COMMAND_FIELD])} to message {message_id}, which was not asked",
        reason=UNEXPECTED_PDU,
    )


def _name(command_field: int) -> str:
    return MESSAGE_NAMES.get(command_field, f"message {command_field:04X}H")
