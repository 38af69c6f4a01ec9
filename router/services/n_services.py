"""The six services on normalised SOP Instances: one table of their elements, one request(), one respond().

N-EVENT-REPORT, N-GET, N-SET, N-ACTION, N-CREATE, N-DELETE (PS3.7 sections 10.1 and 10.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from router.errors import LocalMisuse
from router.protocol.association import Association
from router.protocol.indications import MessageReceived
from router.protocol.messages import Buffer
from router.services.c_store import Refusal
from router.services.reply import Reply, lacks, refuse, send_reply
from router.services.response import check_numbers, check_response
from router.services.steps import Call, Deferred, NextIndication, Procedure
from router.standard.dimse_fields import (
    ACTION_TYPE_ID,
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    ATTRIBUTE_IDENTIFIER_LIST,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    DATASET_PRESENT,
    EVENT_TYPE_ID,
    MESSAGE_ID,
    MESSAGE_NAMES,
    N_ACTION_RQ,
    N_CREATE_RQ,
    N_DELETE_RQ,
    N_EVENT_REPORT_RQ,
    N_GET_RQ,
    N_SET_RQ,
    NO_DATASET,
    REQUESTED_SOP_CLASS_UID,
    REQUESTED_SOP_INSTANCE_UID,
    RESPONSE_BIT,
)
from router.standard.statuses import MISTYPED_ARGUMENT, PROCESSING_FAILURE


@dataclass(frozen=True, slots=True)
class Service:
    """What one service's messages carry, by element tag.

    sop_class, sop_instance: those of the request; the response names the same as "affected". instance_given:
    the request may leave the SOP Instance UID to the SCP if False. number: an element of VR US that the
    request must have and the response repeats. optional: further elements of the request.
    request_dataset, response_dataset: what the datasets are called; empty: there is none.
    dataset_given: the request must have its dataset.
    """

    sop_class: int
    sop_instance: int
    instance_given: bool = True
    number: int | None = None
    optional: tuple[int, ...] = ()
    request_dataset: str = ""
    dataset_given: bool = False
    response_dataset: str = ""


_AFFECTED = (AFFECTED_SOP_CLASS_UID, AFFECTED_SOP_INSTANCE_UID)
_REQUESTED = (REQUESTED_SOP_CLASS_UID, REQUESTED_SOP_INSTANCE_UID)

SERVICES: dict[int, Service] = {
    N_EVENT_REPORT_RQ: Service(
        *_AFFECTED,
        number=EVENT_TYPE_ID,
        request_dataset="Event Information",
        response_dataset="Event Reply",
    ),
    N_GET_RQ: Service(*_REQUESTED, optional=(ATTRIBUTE_IDENTIFIER_LIST,), response_dataset="Attribute List"),
    N_SET_RQ: Service(
        *_REQUESTED,
        request_dataset="Modification List",
        dataset_given=True,
        response_dataset="Attribute List",
    ),
    N_ACTION_RQ: Service(
        *_REQUESTED,
        number=ACTION_TYPE_ID,
        request_dataset="Action Information",
        response_dataset="Action Reply",
    ),
    N_CREATE_RQ: Service(
        *_AFFECTED,
        instance_given=False,
        request_dataset="Attribute List",
        response_dataset="Attribute List",
    ),
    N_DELETE_RQ: Service(*_REQUESTED),
}
"""Command Field of the request -> its service (PS3.7 Tables 10.1-1 to 10.1-6)."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What the invoker of an N-service asks.

    sop_instance: None, for N-CREATE only, if the performer shall choose. number: Event Type ID or Action Type
    ID, of N-EVENT-REPORT and N-ACTION. elements: the optional ones, such as the Attribute Identifier List.
    dataset: encoded in the transfer syntax of the context it is sent in.
    """

    sop_class: str
    sop_instance: str | None = None
    number: int | None = None
    elements: Mapping[int, Any] = field(default_factory=dict)
    dataset: Iterable[Buffer] | None = None


def request(
    association: Association,
    context_id: int,
    message_id: int,
    command_field: int,
    operation: Operation,
    dimse_s: float | None,
) -> Procedure[MessageReceived]:
    """Send the request that command_field names and return the response.

    Raises LocalMisuse for an operation that the service's messages cannot carry; AssociationAborted,
    DeadlineExceeded (abort then), PeerViolation (the association is aborted).
    """
    service = SERVICES[command_field]
    _check_operation(command_field, service, operation)
    command: dict[int, Any] = {
        service.sop_class: operation.sop_class,
        COMMAND_FIELD: command_field,
        MESSAGE_ID: message_id,
        COMMAND_DATA_SET_TYPE: NO_DATASET if operation.dataset is None else DATASET_PRESENT,
        **operation.elements,
    }
    if operation.sop_instance is not None:
        command[service.sop_instance] = operation.sop_instance
    if service.number is not None:
        command[service.number] = operation.number
    association.send_message(context_id, command, operation.dataset)
    response: MessageReceived = yield NextIndication(dimse_s, message_id)
    check_response(response, command_field | RESPONSE_BIT, context_id)
    if service.number is not None:
        check_numbers(response, (service.number,))
    return response


def _check_operation(command_field: int, service: Service, operation: Operation) -> None:
    what = ""
    if operation.sop_instance is None and service.instance_given:
        what = "needs a SOP Instance UID"
    elif (operation.number is None) != (service.number is None):
        what = "needs its type ID" if service.number is not None else "has no type ID"
    elif operation.dataset is None and service.dataset_given:
        what = f"needs a {service.request_dataset}"
    elif operation.dataset is not None and not service.request_dataset:
        what = "has no dataset"
    elif not set(operation.elements) <= set(service.optional):
        what = "has no such optional element"
    if what:
        raise LocalMisuse(f"{MESSAGE_NAMES[command_field]} {what} (PS3.7 section 10.1)")


def respond(
    association: Association,
    message: MessageReceived,
    handler: Callable[[MessageReceived], Reply | Deferred],
) -> Procedure[None]:
    """Answer one request of any of the six services with what the handler says.

    A reply's dataset is sent only where the service has one. If the request left the SOP Instance UID out,
    the reply's elements name it.
    """
    service = SERVICES[message.command[COMMAND_FIELD]]
    refusal = _check_request(service, message)
    if refusal is not None:
        refuse(association, message, refusal.status, refusal.comment)
        return
    try:
        reply: Reply = yield Call(handler, message)
    except Exception:
        if association.is_established:
            refuse(association, message, PROCESSING_FAILURE)
        raise
    elements = dict(reply.elements)
    if service.number is not None:
        elements.setdefault(service.number, message.command[service.number])
    dataset = reply.dataset if service.response_dataset else None
    send_reply(association, message, replace(reply, elements=elements, dataset=dataset))


def _check_request(service: Service, message: MessageReceived) -> Refusal | None:
    """Return why a request cannot be served, or None.

    Its SOP class may differ from the context's abstract syntax: a meta SOP class has several (PS3.4 H.2.2),
    and so has the unified procedure step (PS3.4 CC.3.1).
    """
    if isinstance(message.dataset, Refusal):
        return message.dataset
    numbers = (MESSAGE_ID,) if service.number is None else (MESSAGE_ID, service.number)
    texts: tuple[int, ...] = (service.sop_class, service.sop_instance)
    if not service.instance_given:
        texts = (service.sop_class,)
    if lacks(message, numbers, texts):
        return Refusal(MISTYPED_ARGUMENT)
    identifiers = message.command.get(ATTRIBUTE_IDENTIFIER_LIST, ())
    if not isinstance(identifiers, tuple):
        return Refusal(MISTYPED_ARGUMENT)
    if service.dataset_given and message.command[COMMAND_DATA_SET_TYPE] == NO_DATASET:
        return Refusal(MISTYPED_ARGUMENT, f"no {service.request_dataset}")
    return None
