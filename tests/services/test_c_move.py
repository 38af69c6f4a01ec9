"""C-MOVE, both halves: the destination is the caller's, the counts are ours."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from router.protocol.indications import MessageReceived
from router.services import c_cancel, c_move, c_store
from router.services.c_store import Instance
from router.services.query import Query
from router.services.reply import RESPONDERS_OF_REFUSAL, Reply
from router.services.steps import Deferred
from router.services.sub_operations import FailedSubOperation, Retrieval
from router.standard.dimse_fields import (
    C_MOVE_RQ,
    C_STORE_RQ,
    COMMAND_DATA_SET_TYPE,
    DATASET_PRESENT,
    MESSAGE_ID,
    MOVE_DESTINATION,
    MOVE_ORIGINATOR_AE_TITLE,
    MOVE_ORIGINATOR_MESSAGE_ID,
    NUMBER_OF_COMPLETED_SUBOPERATIONS,
    NUMBER_OF_FAILED_SUBOPERATIONS,
    NUMBER_OF_REMAINING_SUBOPERATIONS,
    NUMBER_OF_WARNING_SUBOPERATIONS,
)
from router.standard.uids import CT_IMAGE_STORAGE
from tests.support.pair import Pair
from tests.support.services import MOVE, STORE, STUDY_ROOT_MOVE, SYNTAXES, command, status_of, store_service

COUNTS = (
    NUMBER_OF_REMAINING_SUBOPERATIONS,
    NUMBER_OF_COMPLETED_SUBOPERATIONS,
    NUMBER_OF_FAILED_SUBOPERATIONS,
    NUMBER_OF_WARNING_SUBOPERATIONS,
)


def instance(number: int) -> Instance:
    return Instance(CT_IMAGE_STORAGE, f"1.2.{number}", (b"pixels",), move_originator=("SCU", 1))


def opened(
    on_move: Callable[[MessageReceived], Any], store: Callable[[Any], Any], split: int = 1 << 20
) -> Pair:
    services = {
        **RESPONDERS_OF_REFUSAL,
        C_MOVE_RQ: lambda association, message: c_move.respond(association, message, on_move, store),
    }
    pair = Pair(acceptor_services=services, split=split)
    pair.establish(SYNTAXES)
    return pair


def move(pair: Pair, destination: str = "ARCHIVE") -> Iterator[MessageReceived]:
    query = Query(STUDY_ROOT_MOVE, (b"study!",), move_destination=destination)
    procedure = c_move.request(pair.requestor.association, MOVE, 1, query, 30)
    return pair.each(pair.start(pair.requestor, procedure, 1))


def counted(responses: Iterator[MessageReceived]) -> list[tuple[int, ...]]:
    return [(status_of(message), *(message.command.get(tag, -1) for tag in COUNTS)) for message in responses]


def test_the_instances_go_to_the_destination_over_an_association_of_its_own(split: int) -> None:
    arrived: list[MessageReceived] = []
    destinations: list[str] = []

    def keep(message: MessageReceived) -> Reply:
        arrived.append(message)
        return Reply(0)

    third = Pair(acceptor_services={**RESPONDERS_OF_REFUSAL, C_STORE_RQ: store_service(keep)})
    third.establish(SYNTAXES)
    closed: list[bool] = []

    def on_move(message: MessageReceived) -> Retrieval:
        destinations.append(message.command[MOVE_DESTINATION])
        return Retrieval(2, iter([instance(1), instance(2)]), lambda: closed.append(True))

    def store(item: Instance) -> int:
        request = c_store.request(third.requestor.association, STORE, 1, item, 30)
        return status_of(third.run(request, 1))

    pair = opened(on_move, store, split)
    assert counted(move(pair)) == [(0xFF00, 1, 1, 0, 0), (0xFF00, 0, 2, 0, 0), (0x0000, -1, 2, 0, 0)]
    assert destinations == ["ARCHIVE"]
    assert closed == [True]
    assert [message.command[MOVE_ORIGINATOR_AE_TITLE] for message in arrived] == ["SCU", "SCU"]
    assert [message.command[MOVE_ORIGINATOR_MESSAGE_ID] for message in arrived] == [1, 1]


def test_an_unknown_destination_is_answered_at_once() -> None:
    pair = opened(lambda message: Reply(0xA801), lambda item: 0)
    assert counted(move(pair)) == [(0xA801, -1, 0, 0, 0)]


def test_an_answer_that_takes_time_is_waited_for_and_none_counts_as_failed() -> None:
    answers = [Deferred(), Deferred()]
    given = iter(answers)
    items: list[Any] = [instance(1), instance(2), FailedSubOperation("1.2.3")]
    pair = opened(lambda message: Retrieval(3, iter(items)), lambda item: next(given))
    responses = move(pair)
    answers[0].settle(0xB000)
    assert counted(iter([next(responses)])) == [(0xFF00, 2, 0, 0, 1)]
    answers[1].settle(None)
    last = list(responses)[-1]
    assert counted(iter([last])) == [(0xB000, -1, 0, 2, 1)]
    assert last.dataset == b"\x08\x00\x58\x00\x0c\x00\x00\x001.2.2\\1.2.3\0"


def test_a_store_function_that_raises_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    def store(item: Instance) -> int:
        raise RuntimeError("broken")

    closed: list[bool] = []
    retrieval = Retrieval(3, iter([instance(1)]), lambda: closed.append(True))
    with caplog.at_level(logging.ERROR):
        assert counted(move(opened(lambda message: retrieval, store))) == [(0xC000, -1, 0, 3, 0)]
    assert closed == [True]
    assert "broken" in caplog.text


def test_the_final_response_waits_for_the_destination_to_be_closed() -> None:
    closing = Deferred()
    retrieval = Retrieval(1, iter([instance(1)]), lambda: closing)
    pair = opened(lambda message: retrieval, lambda item: 0)
    responses = move(pair)
    assert status_of(next(responses)) == 0xFF00
    with pytest.raises(AssertionError, match="still waits"):
        next(responses)


def test_a_cancel_closes_the_destination_and_tells_what_remains() -> None:
    given = [Deferred() for _ in range(3)]
    closed: list[bool] = []
    retrieval = Retrieval(3, iter(given), lambda: closed.append(True))
    pair = opened(lambda message: retrieval, lambda item: 0)
    responses = move(pair)
    c_cancel.cancel(pair.requestor.association, MOVE, 1)
    pair.pump()
    given[0].settle(instance(1))
    pair.pump()
    given[1].settle(instance(2))
    assert counted(responses) == [(0xFF00, 2, 1, 0, 0), (0xFE00, 2, 1, 0, 0)]
    assert closed == [True]


def test_the_end_of_the_association_closes_the_destination() -> None:
    answers = [Deferred()]
    closed: list[bool] = []
    retrieval = Retrieval(3, iter([instance(1), instance(2)]), lambda: closed.append(True))
    pair = opened(lambda message: retrieval, lambda item: answers[0])
    move(pair)
    pair.requestor.conversation.abort()
    pair.pump()
    assert closed == []
    answers[0].settle(0)
    assert closed == [True]
    assert not pair.acceptor.conversation.tasks


@pytest.mark.parametrize("changes", [{}, {MOVE_DESTINATION: ""}])
def test_a_request_without_a_destination_is_mistyped(changes: dict[int, Any]) -> None:
    pair = opened(lambda message: Reply(0), lambda item: 0)
    elements = command(C_MOVE_RQ, 4, sop_class=STUDY_ROOT_MOVE) | {COMMAND_DATA_SET_TYPE: DATASET_PRESENT}
    assert status_of(pair.answer_to(MOVE, elements | changes, (b"study!",))) == 0x0212


def test_a_request_without_an_identifier_is_mistyped() -> None:
    pair = opened(lambda message: Reply(0), lambda item: 0)
    elements = command(C_MOVE_RQ, 4, sop_class=STUDY_ROOT_MOVE) | {MOVE_DESTINATION: "A"}
    assert status_of(pair.answer_to(MOVE, elements)) == 0x0212


def test_a_request_in_a_context_of_another_class_is_refused() -> None:
    pair = opened(lambda message: Reply(0), lambda item: 0)
    elements = command(C_MOVE_RQ, 4) | {MOVE_DESTINATION: "A", COMMAND_DATA_SET_TYPE: 1, MESSAGE_ID: 3}
    assert status_of(pair.answer_to(MOVE, elements, (b"study!",))) == 0x0122
