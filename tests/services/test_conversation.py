"""Routing of indications: whose a message is, what nobody asked for, ends, deadlines, late responses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from router.errors import AssociationAborted, DeadlineExceeded, LocalMisuse, PeerViolation
from router.protocol.association import Association
from router.protocol.indications import MessageReceived
from router.services import c_echo, conversation, release
from router.services.conversation import ABANDONED_MAX, Task
from router.services.reply import RESPONDERS_OF_REFUSAL, Reply, send_reply
from router.services.steps import Call, Deferred, Emit, NextIndication, Procedure
from router.standard.dimse_fields import C_ECHO_RQ, C_ECHO_RSP, ERROR_COMMENT
from tests.support.pair import Pair
from tests.support.services import ECHO, SYNTAXES, command, echo_service, response, status_of


def opened(operations_max: int = 1, split: int = 1 << 20) -> tuple[Pair, list[Deferred]]:
    """Return a pair whose acceptor answers each C-ECHO when its Deferred is settled."""
    waiting: list[Deferred] = []

    def on_echo(message: MessageReceived) -> Deferred:
        waiting.append(Deferred())
        return waiting[-1]

    services = {**RESPONDERS_OF_REFUSAL, C_ECHO_RQ: echo_service(on_echo)}
    pair = Pair(acceptor_services=services, operations_max=operations_max, split=split)
    pair.establish(SYNTAXES)
    return pair, waiting


def start_echo(pair: Pair, message_id: int, dimse_s: float | None = 30) -> Task:
    request = c_echo.request(pair.requestor.association, ECHO, message_id, dimse_s)
    return pair.start(pair.requestor, request, message_id)


def test_responses_in_another_order_reach_those_who_asked(split: int) -> None:
    pair, waiting = opened(operations_max=4, split=split)
    tasks = [start_echo(pair, number) for number in (1, 2, 3, 4)]
    for index in (2, 0, 3, 1):
        waiting[index].settle(Reply(index))
        pair.pump()
    assert [status_of(task.result) for task in tasks] == [0, 1, 2, 3]


def test_a_response_to_nothing_is_a_violation(split: int) -> None:
    pair, _ = opened(split=split)
    task = start_echo(pair, 1)
    pair.acceptor.send(ECHO, response(C_ECHO_RSP, 2))
    pair.pump()
    violation = pair.requestor.association.violation
    assert isinstance(violation, PeerViolation)
    assert "C-ECHO-RSP to message 2" in str(violation)
    assert isinstance(task.error, AssociationAborted)
    assert not pair.acceptor.association.is_established


@pytest.mark.parametrize("message_id", [None, (1, 2), b"??"])
def test_a_response_without_one_message_id_is_a_violation(message_id: object) -> None:
    pair, _ = opened()
    elements = response(C_ECHO_RSP, 1)
    if message_id is None:
        del elements[0x00000120]
    else:
        elements[0x00000120] = message_id
    pair.acceptor.send(ECHO, elements)
    pair.pump()
    assert pair.requestor.association.violation is not None


def test_a_command_that_is_not_served_is_unrecognised_and_the_association_lives(split: int) -> None:
    pair, _ = opened(split=split)
    answer = pair.answer_to(ECHO, command(0x0055, 3))
    assert status_of(answer) == 0x0211
    answer = pair.answer_to(ECHO, command(0x0020, 3))
    assert status_of(answer) == 0x0211
    assert pair.acceptor.association.is_established
    assert not pair.acceptor.conversation.is_busy


def test_a_message_id_in_progress_is_a_duplicate_and_the_first_is_still_answered() -> None:
    pair, waiting = opened(operations_max=2)
    pair.requestor.record = True
    pair.requestor.send(ECHO, command(C_ECHO_RQ, 3))
    pair.requestor.send(ECHO, command(C_ECHO_RQ, 3))
    pair.pump()
    assert [status_of(message) for message in pair.requestor.recorded] == [0x0210]
    waiting[0].settle(Reply(0, "first"))
    pair.pump()
    assert pair.requestor.recorded[1].command[ERROR_COMMENT] == "first"
    assert len(waiting) == 1


def test_a_message_id_may_be_used_again_when_it_was_answered() -> None:
    pair, waiting = opened(operations_max=2)
    for _ in range(2):
        task = start_echo(pair, 3)
        waiting.pop().settle(Reply(0))
        pair.pump()
        assert status_of(task.result) == 0


def test_our_own_message_id_in_progress_is_refused_to_the_caller() -> None:
    pair, waiting = opened()
    first = start_echo(pair, 3)
    with pytest.raises(LocalMisuse, match="Message ID 3"):
        start_echo(pair, 3)
    assert pair.requestor.conversation.free_message_id(3) == 4
    waiting[0].settle(Reply(0))
    pair.pump()
    assert status_of(first.result) == 0
    assert pair.requestor.conversation.free_message_id(3) == 3


def test_a_free_message_id_wraps_past_65535() -> None:
    pair, _ = opened()
    start_echo(pair, 65535)
    start_echo(pair, 1)
    assert pair.requestor.conversation.free_message_id(65535) == 2


def test_late_responses_of_abandoned_operations_are_dropped_in_any_order() -> None:
    pair, waiting = opened(operations_max=4)
    tasks = [start_echo(pair, number) for number in (1, 2, 3)]
    for task in tasks[:2]:
        pair.requestor.conversation.abandon(task)
    for index in (1, 2, 0):
        waiting[index].settle(Reply(0))
        pair.pump()
    assert [task.done for task in tasks] == [True, True, True]
    assert (tasks[0].result, status_of(tasks[2].result)) == (None, 0)
    assert pair.requestor.association.is_established
    assert pair.requestor.conversation.free_message_id(1) == 1


def test_a_second_response_to_an_abandoned_operation_is_a_violation() -> None:
    pair, _ = opened()
    pair.requestor.conversation.abandon(start_echo(pair, 1))
    for _ in range(2):
        pair.acceptor.send(ECHO, response(C_ECHO_RSP, 1))
    pair.pump()
    assert pair.requestor.association.violation is not None


def test_only_so_many_abandoned_operations_are_remembered() -> None:
    pair, _ = opened()
    for number in range(1, ABANDONED_MAX + 3):
        pair.requestor.conversation.abandon(start_echo(pair, number))
    assert pair.requestor.conversation.free_message_id(1) == 1
    assert pair.requestor.conversation.free_message_id(3) == ABANDONED_MAX + 3


def test_abandoning_what_is_done_does_nothing() -> None:
    pair, waiting = opened()
    task = start_echo(pair, 1)
    waiting[0].settle(Reply(0))
    pair.pump()
    pair.requestor.conversation.abandon(task)
    assert status_of(task.result) == 0
    assert pair.requestor.conversation.free_message_id(1) == 1


def test_a_consumer_that_never_takes_what_comes_ends_the_association(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "INBOX_MAX", 8)
    pair, _ = opened()

    def greedy(association: Association) -> Procedure[None]:
        association.send_message(ECHO, command(C_ECHO_RQ, 1))
        while True:
            yield Emit((yield NextIndication(30, 1)))

    pair.start(pair.requestor, greedy(pair.requestor.association), 1)
    for _ in range(12):
        pair.acceptor.send(ECHO, response(C_ECHO_RSP, 1, 0xFF00))
    pair.pump()
    assert "more than 8" in str(pair.requestor.association.violation)


def test_the_end_reaches_every_procedure_once() -> None:
    pair, _ = opened(operations_max=4)
    tasks = [start_echo(pair, number, None) for number in (1, 2, 3)]
    main = pair.start(pair.requestor, release.respond(pair.requestor.association))
    pair.acceptor.conversation.abort(0, 0)
    pair.pump()
    for task in (*tasks, main):
        assert isinstance(task.error, AssociationAborted)
    assert not pair.requestor.conversation.tasks
    late = start_echo_on_ended(pair)
    assert isinstance(late.error, AssociationAborted)


def start_echo_on_ended(pair: Pair) -> Task:
    return pair.requestor.conversation.start(c_echo.request(pair.requestor.association, ECHO, 9, 30), None, 9)


def test_what_arrived_before_the_end_is_still_given() -> None:
    pair, _ = opened()

    def patient(association: Association) -> Procedure[list[int]]:
        statuses = []
        association.send_message(ECHO, command(C_ECHO_RQ, 1))
        for _ in range(3):
            message = yield NextIndication(30, 1)
            statuses.append(status_of(message))
            yield Emit(message)
        return statuses

    task = pair.start(pair.requestor, patient(pair.requestor.association), 1)
    for _ in range(3):
        pair.acceptor.send(ECHO, response(C_ECHO_RSP, 1, 0xFF00))
    pair.pump()
    pair.acceptor.conversation.abort()
    pair.pump()
    assert pair.requestor.conversation.ended is not None
    while not task.done:
        task.resume()
    assert task.result == [0xFF00] * 3


def test_deadlines_are_found_and_kept_apart() -> None:
    pair, waiting = opened(operations_max=3)
    short, long, endless = start_echo(pair, 1, 5), start_echo(pair, 2, 50), start_echo(pair, 3, None)
    requestor = pair.requestor.conversation
    assert requestor.next_deadline() == 5
    pair.pass_time(6)
    assert isinstance(short.error, DeadlineExceeded)
    assert (short.error.deadline, short.error.seconds) == ("dimse_s", 5)
    assert requestor.next_deadline() == 50
    waiting[1].settle(Reply(0))
    pair.pump()
    assert long.done
    assert requestor.next_deadline() is None
    assert not endless.done


def test_a_request_of_the_peer_holds_our_deadlines_until_it_is_answered() -> None:
    answering: list[Deferred] = []

    def slow(message: MessageReceived) -> Deferred:
        answering.append(Deferred())
        return answering[-1]

    pair, _ = opened()
    pair.requestor.conversation.services = {**RESPONDERS_OF_REFUSAL, C_ECHO_RQ: echo_service(slow)}
    task = start_echo(pair, 1, 30)
    back = pair.start(pair.acceptor, c_echo.request(pair.acceptor.association, ECHO, 1, None), 1)
    pair.pass_time(100)
    assert not task.done
    assert pair.requestor.conversation.next_deadline() is None
    answering[0].settle(Reply(0))
    pair.pump()
    assert back.done
    assert pair.requestor.conversation.next_deadline() == 130
    pair.pass_time(31)
    assert isinstance(task.error, DeadlineExceeded)


def test_a_request_made_inside_a_responder_keeps_its_own_deadline() -> None:
    pair, _ = opened()

    def ask_back(association: Association, message: MessageReceived) -> Procedure[None]:
        try:
            yield from c_echo.request(association, ECHO, 50, 10)
        except DeadlineExceeded:
            send_reply(association, message, Reply(0x0110, "no answer"))

    pair.acceptor.conversation.services = {**RESPONDERS_OF_REFUSAL, C_ECHO_RQ: ask_back}
    pair.requestor.conversation.services = {
        **RESPONDERS_OF_REFUSAL,
        C_ECHO_RQ: echo_service(lambda message: Deferred()),
    }
    task = start_echo(pair, 1, 30)
    pair.pass_time(11)
    assert status_of(task.result) == 0x0110


def test_a_responder_waits_for_one_message_id_after_the_other() -> None:
    pair, _ = opened()
    pair.requestor.conversation.services = {**RESPONDERS_OF_REFUSAL, C_ECHO_RQ: echo_service()}

    def ask_thrice(association: Association, message: MessageReceived) -> Procedure[None]:
        for message_id in (7, 8, 7):
            yield from c_echo.request(association, ECHO, message_id, 30)
        send_reply(association, message, Reply(0x0001))

    pair.acceptor.conversation.services = {**RESPONDERS_OF_REFUSAL, C_ECHO_RQ: ask_thrice}
    assert status_of(start_echo(pair, 1).result) == 0x0001
    assert not pair.acceptor.conversation.is_busy


def test_a_call_may_raise_return_or_settle_later() -> None:
    pair, _ = opened()
    later = Deferred()
    seen: list[object] = []

    def fail() -> None:
        raise KeyError("x")

    def procedure() -> Procedure[str]:
        seen.append((yield Call(int, "5")))
        try:
            yield Call(fail)
        except KeyError:
            seen.append("raised")
        seen.append((yield Call(lambda: later)))
        try:
            yield Call(lambda: failing)
        except ValueError:
            seen.append("settled with an error")
        return "done"

    failing = Deferred()
    failing.settle(ValueError())
    settled: list[bool] = []
    pair.requestor.conversation.on_settled = lambda: settled.append(True)
    task = pair.start(pair.requestor, procedure())
    assert seen == [5, "raised"]
    later.settle("late")
    assert seen == [5, "raised", "late", "settled with an error"]
    assert task.result == "done"
    assert settled == [True]


def test_thousands_of_settled_values_in_a_row_are_taken_one_after_the_other() -> None:
    pair, _ = opened()
    deferreds = [Deferred() for _ in range(5000)]
    for number, deferred in enumerate(deferreds):
        deferred.settle(number)

    def add_up() -> Procedure[int]:
        total = 0
        for deferred in deferreds:
            total += yield Call(lambda taken=deferred: taken)
        return total

    assert pair.start(pair.requestor, add_up()).result == sum(range(5000))


def test_an_emitted_value_waits_until_it_is_taken_and_who_watches_is_told() -> None:
    pair, _ = opened()
    changes: list[bool] = []

    def count() -> Iterator[Emit]:
        yield Emit(1)
        yield Emit(2)

    task = pair.requestor.conversation.start(count(), lambda task: changes.append(task.done))  # type: ignore[arg-type]
    assert task.emitted is not None
    assert list(task.emitted) == [1]
    task.resume()
    assert list(task.emitted) == [1, 2]
    task.resume()
    assert changes == [False, False, True]
