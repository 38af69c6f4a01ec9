"""The six N-services, both halves, driven by the same table as the code; and what each message may lack."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from router.errors import DeadlineExceeded, LocalMisuse, PeerViolation
from router.protocol.indications import MessageReceived
from router.services import c_echo, n_services
from router.services.n_services import SERVICES, Operation
from router.services.reply import RESPONDERS_OF_REFUSAL, Reply
from router.services.steps import Deferred
from router.standard.dimse_fields import (
    ACTION_TYPE_ID,
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    ATTRIBUTE_IDENTIFIER_LIST,
    C_ECHO_RQ,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    DATASET_PRESENT,
    ERROR_COMMENT,
    ERROR_ID,
    EVENT_TYPE_ID,
    MESSAGE_ID,
    MESSAGE_NAMES,
    N_ACTION_RQ,
    N_CREATE_RQ,
    N_DELETE_RQ,
    N_EVENT_REPORT_RQ,
    N_GET_RQ,
    N_GET_RSP,
    N_SET_RQ,
    NO_DATASET,
    REQUESTED_SOP_CLASS_UID,
    REQUESTED_SOP_INSTANCE_UID,
)
from tests.support.pair import Pair
from tests.support.services import (
    ECHO,
    MPPS,
    STEP,
    SYNTAXES,
    UPS,
    UPS_PUSH,
    echo_service,
    response,
    status_of,
)

INSTANCE = "1.2.3.4"

OPERATIONS = {
    N_EVENT_REPORT_RQ: Operation(MPPS, INSTANCE, 2, dataset=(b"event!",)),
    N_GET_RQ: Operation(MPPS, INSTANCE, elements={ATTRIBUTE_IDENTIFIER_LIST: (0x00100010, 0x7FE00010)}),
    N_SET_RQ: Operation(MPPS, INSTANCE, dataset=(b"change",)),
    N_ACTION_RQ: Operation(MPPS, INSTANCE, 3, dataset=(b"action",)),
    N_CREATE_RQ: Operation(MPPS, INSTANCE, dataset=(b"create",)),
    N_DELETE_RQ: Operation(MPPS, INSTANCE),
}

MANDATORY = {
    N_EVENT_REPORT_RQ: (AFFECTED_SOP_CLASS_UID, AFFECTED_SOP_INSTANCE_UID, EVENT_TYPE_ID),
    N_GET_RQ: (REQUESTED_SOP_CLASS_UID, REQUESTED_SOP_INSTANCE_UID),
    N_SET_RQ: (REQUESTED_SOP_CLASS_UID, REQUESTED_SOP_INSTANCE_UID),
    N_ACTION_RQ: (REQUESTED_SOP_CLASS_UID, REQUESTED_SOP_INSTANCE_UID, ACTION_TYPE_ID),
    N_CREATE_RQ: (AFFECTED_SOP_CLASS_UID,),
    N_DELETE_RQ: (REQUESTED_SOP_CLASS_UID, REQUESTED_SOP_INSTANCE_UID),
}
"""What PS3.7 Tables 10.3-1 to 10.3-11 ask of each request, written down once more."""

Handler = Callable[[MessageReceived], Any]


def opened(handler: Handler, split: int = 1 << 20, requestor_handler: Handler | None = None) -> Pair:
    def services(handle: Handler) -> dict[int, Any]:
        return {
            **RESPONDERS_OF_REFUSAL,
            **dict.fromkeys(
                SERVICES, lambda association, message: n_services.respond(association, message, handle)
            ),
            C_ECHO_RQ: echo_service(),
        }

    pair = Pair(services(requestor_handler or handler), services(handler), split=split)
    pair.establish(SYNTAXES)
    return pair


def ask(pair: Pair, field: int, operation: Operation, context_id: int = STEP) -> MessageReceived:
    request = n_services.request(pair.requestor.association, context_id, 4, field, operation, 30)
    answer: MessageReceived = pair.run(request, 4)
    return answer


def raw(field: int) -> tuple[dict[int, Any], tuple[bytes, ...] | None]:
    """Return a correct request's command set and dataset, made by hand."""
    values = {
        AFFECTED_SOP_CLASS_UID: MPPS,
        REQUESTED_SOP_CLASS_UID: MPPS,
        AFFECTED_SOP_INSTANCE_UID: INSTANCE,
        REQUESTED_SOP_INSTANCE_UID: INSTANCE,
        EVENT_TYPE_ID: 1,
        ACTION_TYPE_ID: 1,
    }
    dataset = (b"change",) if field == N_SET_RQ else None
    elements = {tag: values[tag] for tag in MANDATORY[field]} | {
        COMMAND_FIELD: field,
        MESSAGE_ID: 4,
        COMMAND_DATA_SET_TYPE: NO_DATASET if dataset is None else DATASET_PRESENT,
    }
    return elements, dataset


@pytest.mark.parametrize("field", SERVICES, ids=MESSAGE_NAMES.__getitem__)
def test_what_is_asked_arrives_and_what_is_replied_comes_back(field: int, split: int) -> None:
    asked: list[MessageReceived] = []

    def handler(message: MessageReceived) -> Reply:
        asked.append(message)
        return Reply(0x0000, dataset=(b"reply!",))

    operation = OPERATIONS[field]
    answer = ask(opened(handler, split), field, operation)
    (message,) = asked
    assert set(MANDATORY[field]) <= set(message.command)
    assert message.command.get(ATTRIBUTE_IDENTIFIER_LIST) == operation.elements.get(ATTRIBUTE_IDENTIFIER_LIST)
    assert message.dataset == (b"".join(operation.dataset) if operation.dataset else None)
    assert status_of(answer) == 0
    assert answer.command[AFFECTED_SOP_CLASS_UID] == MPPS
    assert answer.command[AFFECTED_SOP_INSTANCE_UID] == INSTANCE
    assert REQUESTED_SOP_CLASS_UID not in answer.command
    assert answer.dataset == (None if field == N_DELETE_RQ else b"reply!")
    for tag in (EVENT_TYPE_ID, ACTION_TYPE_ID):
        assert answer.command.get(tag) == message.command.get(tag)


@pytest.mark.parametrize("field", SERVICES, ids=MESSAGE_NAMES.__getitem__)
def test_each_mandatory_element_is_missed(field: int) -> None:
    elements, dataset = raw(field)
    for tag in MANDATORY[field]:
        pair = opened(lambda message: Reply(0))
        without = {key: value for key, value in elements.items() if key != tag}
        assert status_of(pair.answer_to(STEP, without, dataset)) == 0x0212
        assert status_of(pair.answer_to(STEP, elements, dataset)) == 0


@pytest.mark.parametrize(
    ("field", "tag"), [(N_EVENT_REPORT_RQ, EVENT_TYPE_ID), (N_ACTION_RQ, ACTION_TYPE_ID)]
)
def test_two_type_ids_are_mistyped(field: int, tag: int) -> None:
    elements, dataset = raw(field)
    answer = opened(lambda message: Reply(0)).answer_to(STEP, elements | {tag: (1, 2)}, dataset)
    assert status_of(answer) == 0x0212


def test_a_set_without_a_modification_list_is_mistyped() -> None:
    elements, _ = raw(N_SET_RQ)
    answer = opened(lambda message: Reply(0)).answer_to(STEP, elements | {COMMAND_DATA_SET_TYPE: NO_DATASET})
    assert (status_of(answer), answer.command[ERROR_COMMENT]) == (0x0212, "no Modification List")


def test_the_scp_may_name_the_instance_it_created() -> None:
    def handler(message: MessageReceived) -> Reply:
        assert AFFECTED_SOP_INSTANCE_UID not in message.command
        return Reply(0, elements={AFFECTED_SOP_INSTANCE_UID: "1.9.9"})

    answer = ask(opened(handler), N_CREATE_RQ, Operation(MPPS))
    assert answer.command[AFFECTED_SOP_INSTANCE_UID] == "1.9.9"


def test_optional_elements_of_a_failure_come_back() -> None:
    reply = Reply(0x0107, "some are wrong", {ERROR_ID: 7, ATTRIBUTE_IDENTIFIER_LIST: (0x00100010,)})
    answer = ask(opened(lambda message: reply), N_SET_RQ, OPERATIONS[N_SET_RQ])
    assert status_of(answer) == 0x0107
    assert answer.command[ERROR_COMMENT] == "some are wrong"
    assert answer.command[ERROR_ID] == 7
    assert answer.command[ATTRIBUTE_IDENTIFIER_LIST] == (0x00100010,)


def test_a_sop_class_of_another_context_is_for_the_handler_to_judge() -> None:
    operation = Operation(UPS_PUSH, INSTANCE, dataset=(b"create",))
    assert status_of(ask(opened(lambda message: Reply(0)), N_CREATE_RQ, operation, UPS)) == 0


@pytest.mark.parametrize("field", SERVICES, ids=MESSAGE_NAMES.__getitem__)
def test_a_handler_that_raises_is_answered_with_a_failure(
    field: int, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(message: MessageReceived) -> Reply:
        raise RuntimeError("broken")

    with caplog.at_level(logging.ERROR):
        assert status_of(ask(opened(handler), field, OPERATIONS[field])) == 0x0110
    assert "broken" in caplog.text


@pytest.mark.parametrize(
    ("field", "operation", "what"),
    [
        (N_SET_RQ, Operation(MPPS, dataset=(b"x!",)), "needs a SOP Instance UID"),
        (N_SET_RQ, Operation(MPPS, INSTANCE), "needs a Modification List"),
        (N_DELETE_RQ, Operation(MPPS, INSTANCE, dataset=(b"x!",)), "has no dataset"),
        (N_GET_RQ, Operation(MPPS, INSTANCE, dataset=(b"x!",)), "has no dataset"),
        (N_ACTION_RQ, Operation(MPPS, INSTANCE), "needs its type ID"),
        (N_GET_RQ, Operation(MPPS, INSTANCE, 1), "has no type ID"),
        (N_SET_RQ, Operation(MPPS, INSTANCE, elements={ERROR_ID: 1}, dataset=(b"x!",)), "optional element"),
    ],
)
def test_what_the_messages_cannot_carry_is_the_callers_mistake(
    field: int, operation: Operation, what: str
) -> None:
    pair = opened(lambda message: Reply(0))
    with pytest.raises(LocalMisuse, match=what):
        ask(pair, field, operation)
    assert pair.requestor.association.is_established
    assert not pair.requestor.conversation.is_busy


def test_an_answer_that_takes_too_long_ends_in_its_deadline() -> None:
    pair = opened(lambda message: Deferred())
    request = n_services.request(pair.requestor.association, STEP, 1, N_GET_RQ, OPERATIONS[N_GET_RQ], 30)
    task = pair.start(pair.requestor, request, 1)
    pair.pass_time(31)
    assert isinstance(task.error, DeadlineExceeded)


def test_an_event_report_is_served_while_an_answer_is_waited_for() -> None:
    """Storage commitment on one association: the report comes before the N-ACTION's own answer is there."""
    acting = Deferred()
    reports: list[MessageReceived] = []

    def on_report(message: MessageReceived) -> Reply:
        reports.append(message)
        return Reply(0)

    pair = opened(lambda message: acting, requestor_handler=on_report)
    request = n_services.request(
        pair.requestor.association, STEP, 1, N_ACTION_RQ, OPERATIONS[N_ACTION_RQ], 30
    )
    task = pair.start(pair.requestor, request, 1)
    report = n_services.request(
        pair.acceptor.association, STEP, 1, N_EVENT_REPORT_RQ, OPERATIONS[N_EVENT_REPORT_RQ], 30
    )
    assert status_of(pair.run(report, 1, side=pair.acceptor)) == 0
    assert reports[0].dataset == b"event!"
    assert not task.done
    acting.settle(Reply(0x0000))
    pair.pump()
    assert status_of(task.result) == 0


def test_a_handler_may_itself_ask_the_peer_something() -> None:
    """A nested request: the responder waits for an answer of its own before it answers."""
    pair = opened(lambda message: Reply(0))

    def echo_first(association: Any, message: MessageReceived) -> Any:
        yield from c_echo.request(association, ECHO, 77, 30)
        yield from n_services.respond(association, message, lambda message: Reply(0x0001))

    pair.acceptor.conversation.services = {**pair.acceptor.conversation.services, N_GET_RQ: echo_first}
    assert status_of(ask(pair, N_GET_RQ, OPERATIONS[N_GET_RQ])) == 0x0001
    assert not pair.acceptor.conversation.is_busy


@pytest.mark.parametrize(
    ("context_id", "elements"),
    [
        (ECHO, response(N_GET_RSP, 1)),
        (STEP, response(0x8120, 1)),
        (STEP, response(N_GET_RSP, 1, None)),
    ],
    ids=["another context", "another kind", "no status"],
)
def test_a_response_that_was_not_asked_for_aborts(context_id: int, elements: dict[int, Any]) -> None:
    pair = opened(lambda message: Deferred())
    request = n_services.request(pair.requestor.association, STEP, 1, N_GET_RQ, OPERATIONS[N_GET_RQ], 30)
    task = pair.start(pair.requestor, request, 1)
    pair.acceptor.send(context_id, elements)
    pair.pump()
    assert isinstance(task.error, PeerViolation)
    assert not pair.acceptor.association.is_established
