"""C-GET, both halves: C-STOREs inside it on the same association, counts, cancel, deadlines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from router.errors import AssociationAborted, DeadlineExceeded
from router.protocol.indications import MessageReceived
from router.services import c_cancel, c_echo, c_get, n_services
from router.services.c_get import GetSubOperation
from router.services.c_store import Instance
from router.services.n_services import Operation
from router.services.query import Query
from router.services.reply import RESPONDERS_OF_REFUSAL, Reply
from router.services.steps import Deferred
from router.services.sub_operations import FailedSubOperation, Retrieval
from router.standard.dimse_fields import (
    C_ECHO_RQ,
    C_GET_RQ,
    C_STORE_RQ,
    C_STORE_RSP,
    MESSAGE_ID,
    N_EVENT_REPORT_RQ,
    NUMBER_OF_COMPLETED_SUBOPERATIONS,
    NUMBER_OF_FAILED_SUBOPERATIONS,
    NUMBER_OF_REMAINING_SUBOPERATIONS,
    NUMBER_OF_WARNING_SUBOPERATIONS,
)
from router.standard.uids import CT_IMAGE_STORAGE
from tests.support.pair import Pair
from tests.support.services import (
    ECHO,
    GET,
    MPPS,
    STEP,
    STORE,
    STUDY_ROOT_GET,
    SYNTAXES,
    echo_service,
    response,
    status_of,
    store_service,
)

COUNTS = (
    NUMBER_OF_REMAINING_SUBOPERATIONS,
    NUMBER_OF_COMPLETED_SUBOPERATIONS,
    NUMBER_OF_FAILED_SUBOPERATIONS,
    NUMBER_OF_WARNING_SUBOPERATIONS,
)
DATASET = b"\x10\x00\x20\x00\x02\x00\x00\x00ab"
FAILED_LIST_HEAD = b"\x08\x00\x58\x00"

OnGet = Callable[[MessageReceived], Any]
Store = Callable[[MessageReceived], Any]


def sub_operation(number: int, context_id: int = STORE) -> GetSubOperation:
    return GetSubOperation(context_id, Instance(CT_IMAGE_STORAGE, f"1.2.{number}", (DATASET * number,)))


def instances(count: int, *more: Any, total: int | None = None) -> OnGet:
    items = [*(sub_operation(number) for number in range(1, count + 1)), *more]
    return lambda message: Retrieval(count if total is None else total, iter(items))


def stored(message: MessageReceived) -> Reply:
    return Reply(0)


def opened(on_get: OnGet, on_store: Store = stored, split: int = 1 << 20, dimse_s: float = 30) -> Pair:
    """Return a pair whose acceptor answers C-GET and whose requestor stores."""
    pair = Pair(
        requestor_services={
            **RESPONDERS_OF_REFUSAL,
            C_STORE_RQ: store_service(on_store),
            C_ECHO_RQ: echo_service(),
            N_EVENT_REPORT_RQ: lambda association, message: n_services.respond(
                association, message, lambda message: Reply(0)
            ),
        },
        acceptor_services={
            **RESPONDERS_OF_REFUSAL,
            C_GET_RQ: lambda association, message: c_get.respond(association, message, on_get, dimse_s),
            C_ECHO_RQ: echo_service(),
        },
        split=split,
    )
    pair.establish(SYNTAXES)
    return pair


def get(pair: Pair, message_id: int = 1, dimse_s: float = 30) -> Iterator[MessageReceived]:
    """Start a C-GET; the request is out when this returns."""
    query = Query(STUDY_ROOT_GET, (b"study!",))
    procedure = c_get.request(pair.requestor.association, GET, message_id, query, dimse_s)
    return pair.each(pair.start(pair.requestor, procedure, message_id))


def counted(responses: Iterable[MessageReceived]) -> list[tuple[int, ...]]:
    """Return status, remaining (-1: not there), completed, failed and warning of each response."""
    return [
        (status_of(response_), *(response_.command.get(tag, -1) for tag in COUNTS)) for response_ in responses
    ]


def echo(pair: Pair, message_id: int = 1) -> int:
    return status_of(pair.run(c_echo.request(pair.requestor.association, ECHO, message_id, 30), message_id))


def test_the_instances_come_on_the_same_association_and_are_counted(split: int) -> None:
    arrived: list[tuple[int, object]] = []

    def on_store(message: MessageReceived) -> Reply:
        arrived.append((message.command[MESSAGE_ID], message.dataset))
        return Reply(0)

    pair = opened(instances(3), on_store, split)
    assert counted(get(pair, 7)) == [
        (0xFF00, 2, 1, 0, 0),
        (0xFF00, 1, 2, 0, 0),
        (0xFF00, 0, 3, 0, 0),
        (0x0000, -1, 3, 0, 0),
    ]
    assert arrived == [(8, DATASET), (9, DATASET * 2), (10, DATASET * 3)]
    assert echo(pair, 7) == 0


def test_message_ids_of_sub_operations_wrap_past_65535() -> None:
    ids: list[int] = []

    def on_store(message: MessageReceived) -> Reply:
        ids.append(message.command[MESSAGE_ID])
        return Reply(0)

    list(get(opened(instances(3), on_store), 65534))
    assert ids == [65535, 1, 2]


@pytest.mark.parametrize(
    ("statuses", "final"),
    [
        ((0x0000, 0x0000), (0x0000, -1, 2, 0, 0)),
        ((0x0000, 0xB000), (0xB000, -1, 1, 0, 1)),
        ((0xB006, 0xB007), (0xB000, -1, 0, 0, 2)),
        ((0x0000, 0xA700), (0xB000, -1, 1, 1, 0)),
        ((0xC001, 0x0122), (0xA702, -1, 0, 2, 0)),
    ],
)
def test_the_final_status_says_how_the_sub_operations_went(
    statuses: tuple[int, ...], final: tuple[int, ...]
) -> None:
    answers = iter(statuses)
    responses = list(get(opened(instances(2), lambda message: Reply(next(answers)))))
    assert counted(responses)[-1] == final
    names_failed = any(status in (0xA700, 0xC001, 0x0122) for status in statuses)
    assert (responses[-1].dataset is not None) is names_failed


def test_failed_instances_are_named_in_the_last_response() -> None:
    answers = iter([0xA700, 0, 0xA700])
    responses = list(get(opened(instances(3), lambda message: Reply(next(answers)))))
    assert responses[-1].dataset == FAILED_LIST_HEAD + b"\x0c\x00\x00\x00" + b"1.2.1\\1.2.3\0"
    assert all(response_.dataset is None for response_ in responses[:-1])


def test_what_cannot_be_sent_counts_as_failed() -> None:
    items: list[Any] = [FailedSubOperation("1.9"), sub_operation(1)]
    responses = list(get(opened(lambda message: Retrieval(2, iter(items)))))
    assert counted(responses)[-1] == (0xB000, -1, 1, 1, 0)
    assert responses[-1].dataset == FAILED_LIST_HEAD + b"\x04\x00\x00\x001.9\0"


def test_an_instance_the_scu_does_not_take_is_a_failure_of_that_instance_alone() -> None:
    items = [GetSubOperation(ECHO, sub_operation(1).instance), sub_operation(2)]
    responses = list(get(opened(lambda message: Retrieval(2, iter(items)))))
    assert counted(responses)[-1] == (0xB000, -1, 1, 1, 0)


@pytest.mark.parametrize(
    ("on_get", "final"),
    [
        (instances(0), (0x0000, -1, 0, 0, 0)),
        (instances(2, total=5), (0x0000, -1, 2, 0, 0)),
        (instances(3, total=2), (0x0000, -1, 2, 0, 0)),
        (instances(1, Reply(0x0000)), (0x0000, -1, 1, 0, 0)),
        (instances(1, Reply(0xB000)), (0xB000, -1, 1, 0, 0)),
        (instances(1, Reply(0xC123), total=4), (0xC123, -1, 1, 3, 0)),
        (instances(1, Reply(0xFE00), total=4), (0xFE00, 3, 1, 0, 0)),
        (instances(1, Reply(0xFF00), total=4), (0xC000, -1, 1, 3, 0)),
        (instances(1, total=65536), (0xA701, -1, 0, 0, 0)),
        (instances(1, total=-1), (0xA701, -1, 0, 0, 0)),
        (lambda message: Reply(0xA900), (0xA900, -1, 0, 0, 0)),
    ],
)
def test_the_handler_may_end_it_and_more_than_it_announced_is_not_sent(
    on_get: OnGet, final: tuple[int, ...]
) -> None:
    assert counted(get(opened(on_get)))[-1] == final


def test_65535_sub_operations_can_be_counted() -> None:
    items = (FailedSubOperation() for _ in range(65535))
    pair = opened(lambda message: Retrieval(65535, items))
    pair.requestor.record = True
    pair.requestor.send(
        GET,
        {0x0002: STUDY_ROOT_GET, 0x0100: C_GET_RQ, 0x0110: 1, 0x0700: 0, 0x0800: 1},
        (b"study!",),
    )
    pair.pump()
    assert counted(pair.requestor.recorded[:1]) == [(0xFF00, 65534, 0, 1, 0)]
    assert counted(pair.requestor.recorded[-1:]) == [(0xA702, -1, 0, 65535, 0)]


def test_a_handler_that_raises_leaves_the_rest_failed(caplog: pytest.LogCaptureFixture) -> None:
    def items() -> Iterator[GetSubOperation]:
        yield sub_operation(1)
        raise RuntimeError("broken")

    closed: list[bool] = []
    pair = opened(lambda message: Retrieval(5, items(), lambda: closed.append(True)))
    with caplog.at_level(logging.ERROR):
        assert counted(get(pair)) == [(0xFF00, 4, 1, 0, 0), (0xC000, -1, 1, 4, 0)]
    assert "broken" in caplog.text
    assert closed == [True]
    assert echo(pair) == 0


def test_a_handler_that_raises_at_once_is_a_failure() -> None:
    def on_get(message: MessageReceived) -> Retrieval:
        raise RuntimeError("broken")

    assert counted(get(opened(on_get))) == [(0xC000, -1, 0, 0, 0)]


def test_a_cancel_ends_it_with_what_remains(split: int) -> None:
    given = [Deferred() for _ in range(9)]
    pair = opened(lambda message: Retrieval(9, iter(given)), split=split)
    responses = get(pair, 3)
    given[0].settle(sub_operation(1))
    assert counted([next(responses)]) == [(0xFF00, 8, 1, 0, 0)]
    c_cancel.cancel(pair.requestor.association, GET, 3)
    pair.pump()
    given[1].settle(sub_operation(2))  # under way when the cancel came
    pair.pump()
    given[2].settle(sub_operation(3))
    assert counted(responses) == [(0xFF00, 7, 2, 0, 0), (0xFE00, 7, 2, 0, 0)]
    assert echo(pair, 3) == 0


def test_leaving_early_does_not_disturb_what_follows() -> None:
    given = [Deferred() for _ in range(3)]
    pair = opened(lambda message: Retrieval(2, iter(given)))
    responses = get(pair)
    given[0].settle(sub_operation(1))
    next(responses)
    responses.close()  # type: ignore[attr-defined]
    given[1].settle(sub_operation(2))
    given[2].settle(None)
    pair.pump()
    assert echo(pair, 1) == 0
    assert not pair.requestor.conversation.is_busy


def test_no_wait_runs_out_while_an_instance_is_being_stored() -> None:
    storing = [Deferred()]
    pair = opened(instances(1), lambda message: storing[0], dimse_s=1000)
    query = Query(STUDY_ROOT_GET, (b"study!",))
    task = pair.start(pair.requestor, c_get.request(pair.requestor.association, GET, 1, query, 30), 1)
    pair.pass_time(500)
    assert not task.done
    storing[0].settle(Reply(0))
    pair.pump()
    assert task.emitted is not None
    assert counted(task.emitted) == [(0xFF00, 0, 1, 0, 0)]


def test_after_a_sub_operation_the_whole_time_runs_again() -> None:
    given = [Deferred(), Deferred()]
    pair = opened(lambda message: Retrieval(2, iter(given)))
    query = Query(STUDY_ROOT_GET, (b"study!",))
    task = pair.start(pair.requestor, c_get.request(pair.requestor.association, GET, 1, query, 30), 1)
    pair.acceptor.send(STORE, {0x0002: CT_IMAGE_STORAGE, 0x0100: C_STORE_RQ, 0x0110: 9, 0x0800: 0x0101})
    pair.acceptor.conversation._abandoned[9] = None  # the acceptor does not care for the answer
    pair.pass_time(29)  # only now does it arrive
    pair.pass_time(29.9)
    assert not task.done
    pair.pass_time(0.2)
    assert isinstance(task.error, DeadlineExceeded)


def test_a_store_that_is_never_answered_aborts_the_association() -> None:
    pair = opened(instances(2), lambda message: Deferred(), dimse_s=30)
    responses = get(pair, dimse_s=1000)
    pair.pass_time(31)
    with pytest.raises(AssociationAborted):
        next(responses)
    assert not pair.acceptor.conversation.tasks


def test_a_request_of_the_scp_may_come_in_between() -> None:
    """N-EVENT-REPORT while a C-GET is under way: each gets its own answer."""
    given = [Deferred(), Deferred(), Deferred()]
    pair = opened(lambda message: Retrieval(2, iter(given)))
    responses = get(pair)
    given[0].settle(sub_operation(1))
    next(responses)
    operation = Operation(MPPS, "1.2.3", number=1)
    report = n_services.request(pair.acceptor.association, STEP, 500, N_EVENT_REPORT_RQ, operation, 30)
    answer = pair.run(report, 500, side=pair.acceptor)
    assert status_of(answer) == 0
    given[1].settle(sub_operation(2))
    given[2].settle(None)
    assert counted(responses)[-1] == (0x0000, -1, 2, 0, 0)


def test_message_ids_may_be_given_by_who_serves() -> None:
    taken: list[int] = []

    def on_store(message: MessageReceived) -> Reply:
        taken.append(message.command[MESSAGE_ID])
        return Reply(0)

    pair = opened(instances(2), on_store)
    conversation = pair.acceptor.conversation
    ids = iter((900, 901))
    pair.acceptor.conversation.services = {
        **conversation.services,
        C_GET_RQ: lambda association, message: c_get.respond(
            association, message, instances(2), 30, lambda: next(ids)
        ),
    }
    list(get(pair))
    assert taken == [900, 901]


def test_an_answer_to_a_store_that_was_not_sent_aborts() -> None:
    pair = opened(lambda message: Retrieval(1, iter([Deferred()])))
    responses = get(pair)
    pair.requestor.send(STORE, response(C_STORE_RSP, 2))
    pair.pump()
    with pytest.raises(AssociationAborted):
        next(responses)
