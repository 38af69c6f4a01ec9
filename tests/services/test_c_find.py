"""C-FIND, both halves: matches, cancel, leaving early, refusals."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from router.errors import AssociationAborted, DeadlineExceeded, PeerViolation
from router.protocol.indications import MessageReceived
from router.services import c_cancel, c_echo, c_find
from router.services.c_find import Matches
from router.services.query import Query
from router.services.reply import RESPONDERS_OF_REFUSAL, Reply
from router.services.steps import Deferred
from router.standard.dimse_fields import (
    C_ECHO_RQ,
    C_FIND_RQ,
    C_FIND_RSP,
    COMMAND_DATA_SET_TYPE,
    DATASET_PRESENT,
    ERROR_COMMENT,
    PRIORITY,
)
from tests.support.pair import Pair
from tests.support.services import (
    ECHO,
    FIND,
    REPOSITORY,
    REPOSITORY_QUERY,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    SYNTAXES,
    UPS,
    UPS_PUSH,
    command,
    echo_service,
    response,
    status_of,
)

IDENTIFIER = b"\x08\x00\x52\x00\x06\x00\x00\x00STUDY "

Find = Callable[[MessageReceived], Matches]


def pending(number: int) -> Reply:
    return Reply(0xFF00, dataset=(b"match %04d" % number,))


def matches(count: int, *last: Reply) -> Find:
    return lambda message: iter([*(pending(number) for number in range(count)), *last])


def opened(on_find: Find, split: int = 1 << 20) -> Pair:
    services = {
        **RESPONDERS_OF_REFUSAL,
        C_FIND_RQ: lambda association, message: c_find.respond(association, message, on_find),
        C_ECHO_RQ: echo_service(),
    }
    pair = Pair(acceptor_services=services, split=split)
    pair.establish(SYNTAXES)
    return pair


def find(
    pair: Pair, message_id: int = 1, context_id: int = FIND, sop_class: str = STUDY_ROOT_FIND
) -> Iterator[MessageReceived]:
    """Start a C-FIND; the request is out when this returns."""
    query = Query(sop_class, (IDENTIFIER,))
    procedure = c_find.request(pair.requestor.association, context_id, message_id, query, 30)
    return pair.each(pair.start(pair.requestor, procedure, message_id))


def found(responses: Iterator[MessageReceived]) -> list[tuple[int, object]]:
    return [(status_of(response), response.dataset) for response in responses]


def echo(pair: Pair, message_id: int = 1) -> int:
    return status_of(pair.run(c_echo.request(pair.requestor.association, ECHO, message_id, 30), message_id))


def test_every_match_comes_with_its_identifier_and_then_success(split: int) -> None:
    asked: list[MessageReceived] = []

    def on_find(message: MessageReceived) -> Matches:
        asked.append(message)
        return matches(3)(message)

    pair = opened(on_find, split)
    assert found(find(pair)) == [
        (0xFF00, b"match 0000"),
        (0xFF00, b"match 0001"),
        (0xFF00, b"match 0002"),
        (0x0000, None),
    ]
    assert asked[0].dataset == IDENTIFIER
    assert asked[0].command[PRIORITY] == 0


@pytest.mark.parametrize("status", [0x0000, 0xA700, 0xFE00, 0xC123, 0xB000])
def test_the_handler_may_say_how_it_ends_and_nothing_after_it_counts(status: int) -> None:
    on_find = matches(1, Reply(status, "why", dataset=(b"dropped!",)), pending(9))
    last = list(find(opened(on_find)))[-1]
    assert (status_of(last), last.dataset, last.command[ERROR_COMMENT]) == (status, None, "why")


def test_matches_that_come_later_are_waited_for() -> None:
    later = [Deferred(), Deferred()]
    pair = opened(lambda message: iter(later))
    responses = find(pair)
    later[0].settle(pending(0))
    assert status_of(next(responses)) == 0xFF00
    later[1].settle(None)
    assert found(responses) == [(0x0000, None)]


def test_more_matches_than_one_consumer_takes_wait_for_it() -> None:
    pair = opened(matches(3000))
    responses = list(find(pair))
    assert len(responses) == 3001
    assert responses[2999].dataset == b"match 2999"


def test_a_handler_that_raises_ends_in_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    def on_find(message: MessageReceived) -> Matches:
        yield pending(0)
        raise RuntimeError("broken")

    pair = opened(on_find)
    with caplog.at_level(logging.ERROR):
        assert [status for status, _ in found(find(pair))] == [0xFF00, 0xC000]
    assert "broken" in caplog.text
    assert echo(pair) == 0


class Cancellable:
    """Give matches until told to stop; `sees` says whether it looks for the cancel itself."""

    def __init__(self, sees: bool) -> None:
        self.sees = sees
        self.pair: Pair | None = None
        self.closed = False
        self.given: list[Deferred] = []

    def __call__(self, message: MessageReceived) -> Matches:
        assert self.pair is not None
        association = self.pair.acceptor.association
        try:
            while True:
                if self.sees and association.cancelled:
                    yield Reply(0xFE00, "stopped")
                    return
                self.given.append(Deferred())
                yield self.given[-1]
        finally:
            self.closed = True


@pytest.mark.parametrize(("sees", "comment"), [(True, "stopped"), (False, None)])
def test_a_cancel_ends_the_query(sees: bool, comment: str | None, split: int) -> None:
    on_find = Cancellable(sees)
    pair = on_find.pair = opened(on_find, split)
    responses = find(pair, 5)
    on_find.given[0].settle(pending(0))
    assert status_of(next(responses)) == 0xFF00
    c_cancel.cancel(pair.requestor.association, FIND, 5)
    pair.pump()
    on_find.given[1].settle(pending(1))
    if not sees:
        on_find.given[2].settle(pending(2))
    rest = list(responses)
    assert [status_of(response_) for response_ in rest[:-1]] == [0xFF00]
    assert status_of(rest[-1]) == 0xFE00
    assert rest[-1].command.get(ERROR_COMMENT) == comment
    assert on_find.closed
    assert pair.acceptor.association.cancelled == set()
    assert echo(pair, 5) == 0


def test_a_handler_may_take_note_of_a_cancel_and_go_on() -> None:
    given = [Deferred() for _ in range(3)]
    pair = opened(lambda message: iter(given))
    responses = find(pair)
    c_cancel.cancel(pair.requestor.association, FIND, 1)
    pair.pump()
    pair.acceptor.association.cancelled.discard(1)
    for deferred, reply in zip(given, (pending(0), pending(1), None), strict=True):
        deferred.settle(reply)
    assert [status for status, _ in found(responses)] == [0xFF00, 0xFF00, 0x0000]


def test_a_cancel_of_nothing_is_ignored() -> None:
    pair = opened(matches(1))
    c_cancel.cancel(pair.requestor.association, FIND, 99)
    pair.pump()
    assert pair.acceptor.association.cancelled == set()
    assert [status for status, _ in found(find(pair, 99))] == [0xFF00, 0x0000]


def test_leaving_early_drops_what_still_comes_and_the_next_operation_is_its_own(split: int) -> None:
    later = Deferred()
    pair = opened(lambda message: iter([pending(0), pending(1), later, pending(3)]), split)
    responses = find(pair, 1)
    next(responses)
    responses.close()  # type: ignore[attr-defined]
    conversation = pair.requestor.conversation
    assert conversation.free_message_id(1) == 2
    echoing = pair.start(pair.requestor, c_echo.request(pair.requestor.association, ECHO, 1, 30), 1)
    assert not echoing.done  # the peer still works on the query
    later.settle(pending(2))
    pair.pump()
    assert status_of(echoing.result) == 0
    assert conversation.free_message_id(1) == 1
    assert not conversation.is_busy


def test_leaving_at_the_last_response_leaves_nothing_to_drop() -> None:
    pair = opened(matches(2))
    responses = find(pair, 1)
    for response_ in responses:
        if status_of(response_) == 0:
            break
    responses.close()  # type: ignore[attr-defined]
    assert pair.requestor.conversation.free_message_id(1) == 1
    assert echo(pair, 1) == 0


def test_leaving_when_all_has_come_leaves_nothing_to_drop() -> None:
    pair = opened(matches(2))
    responses = find(pair, 1)
    next(responses)
    responses.close()  # type: ignore[attr-defined]
    assert pair.requestor.conversation.free_message_id(1) == 1
    assert len(list(find(pair, 1))) == 3


def test_a_repository_query_goes_on_after_its_limit_was_reached() -> None:
    pair = opened(matches(1, Reply(0xB001), Reply(0x0000)))
    responses = find(pair, 1, REPOSITORY, sop_class=REPOSITORY_QUERY)
    assert [status for status, _ in found(responses)] == [0xFF00, 0xB001, 0x0000]
    assert [status for status, _ in found(find(pair))] == [0xFF00, 0xB001]


def test_each_response_has_the_whole_time() -> None:
    later = [Deferred(), Deferred()]
    pair = opened(lambda message: iter(later))
    query = Query(STUDY_ROOT_FIND, (IDENTIFIER,))
    task = pair.start(pair.requestor, c_find.request(pair.requestor.association, FIND, 1, query, 30), 1)
    pair.pass_time(29)
    later[0].settle(pending(0))
    pair.pump()
    assert task.emitted is not None
    task.emitted.popleft()
    task.resume()
    pair.pass_time(29)
    assert not task.done
    pair.pass_time(2)
    assert isinstance(task.error, DeadlineExceeded)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"elements": {COMMAND_DATA_SET_TYPE: 0x0101}, "sop_class": STUDY_ROOT_FIND}, 0x0212),
        ({"elements": {0x00000002: ""}}, 0x0212),
        ({"sop_class": STUDY_ROOT_GET}, 0x0122),
    ],
)
def test_what_cannot_be_meant_is_refused(changes: dict[str, object], status: int) -> None:
    pair = opened(matches(1))
    elements = command(C_FIND_RQ, 3, **{"elements": {}, **changes})
    if changes.get("elements") != {COMMAND_DATA_SET_TYPE: 0x0101}:
        elements[COMMAND_DATA_SET_TYPE] = DATASET_PRESENT
    dataset = (IDENTIFIER,) if elements[COMMAND_DATA_SET_TYPE] == DATASET_PRESENT else None
    assert status_of(pair.answer_to(FIND, elements, dataset)) == status


def test_a_procedure_step_may_be_asked_for_in_a_context_of_its_sisters() -> None:
    pair = opened(matches(0))
    assert found(find(pair, 1, UPS, sop_class=UPS_PUSH)) == [(0x0000, None)]


def test_a_query_sent_to_an_scu_is_refused() -> None:
    services = {
        **RESPONDERS_OF_REFUSAL,
        C_FIND_RQ: lambda association, message: c_find.respond(association, message, matches(1)),
    }
    pair = Pair(requestor_services=services)
    pair.establish([STUDY_ROOT_FIND])
    query = Query(STUDY_ROOT_FIND, (IDENTIFIER,))
    procedure = c_find.request(pair.acceptor.association, 1, 1, query, 30)
    assert found(pair.each(pair.start(pair.acceptor, procedure, 1))) == [(0x0122, None)]


def test_a_count_that_is_no_number_aborts() -> None:
    pair = opened(lambda message: iter([Deferred()]))
    responses = find(pair)
    pair.acceptor.send(FIND, {**response(C_FIND_RSP, 1, 0xFF00), 0x00001020: (1, 2)})
    with pytest.raises(PeerViolation, match="0000,1020"):
        next(responses)
    assert not pair.acceptor.association.is_established


def test_the_end_of_the_association_ends_the_loop() -> None:
    pair = opened(lambda message: iter([pending(0), Deferred()]))
    responses = find(pair)
    next(responses)
    pair.acceptor.conversation.abort()
    with pytest.raises(AssociationAborted):
        next(responses)


def test_a_cancelled_association_closes_the_matches_of_its_handler() -> None:
    on_find = Cancellable(sees=False)
    pair = on_find.pair = opened(on_find)
    find(pair)
    pair.requestor.conversation.abort()
    pair.pump()
    on_find.given[0].settle(pending(0))
    assert on_find.closed
