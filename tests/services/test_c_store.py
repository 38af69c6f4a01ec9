"""C-STORE, both halves: the dataset's bytes, the originator, what is refused, pipelining within a window."""

from __future__ import annotations

import logging

import pytest

from router.protocol.indications import MessageReceived
from router.services import c_store
from router.services.c_store import Instance, Refusal
from router.services.reply import RESPONDERS_OF_REFUSAL, Reply
from router.services.steps import Deferred
from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    C_STORE_RQ,
    COMMAND_DATA_SET_TYPE,
    DATASET_PRESENT,
    ERROR_COMMENT,
    MESSAGE_ID_BEING_RESPONDED_TO,
    MOVE_ORIGINATOR_AE_TITLE,
    MOVE_ORIGINATOR_MESSAGE_ID,
    PRIORITY,
    STATUS,
)
from router.standard.uids import CT_IMAGE_STORAGE, VERIFICATION
from tests.support.pair import Pair
from tests.support.services import STORE, SYNTAXES, command, status_of, store_service

DATASET = bytes(range(256)) * 200


class Archive:
    """Keep what is stored; answer with the status set."""

    def __init__(self) -> None:
        self.messages: list[MessageReceived] = []
        self.status = 0

    def __call__(self, message: MessageReceived) -> Reply:
        self.messages.append(message)
        return Reply(self.status)


def opened(archive: object, split: int = 1 << 20, operations_max: int = 1) -> Pair:
    services = {**RESPONDERS_OF_REFUSAL, C_STORE_RQ: store_service(archive)}  # type: ignore[arg-type]
    pair = Pair(acceptor_services=services, split=split, operations_max=operations_max)
    pair.establish(SYNTAXES)
    return pair


def instance(number: int = 1, **changes: object) -> Instance:
    return Instance(CT_IMAGE_STORAGE, f"1.2.{number}", (DATASET,), **changes)  # type: ignore[arg-type]


def raw() -> dict[int, object]:
    request = command(C_STORE_RQ, 1, sop_class=CT_IMAGE_STORAGE)
    request |= {COMMAND_DATA_SET_TYPE: DATASET_PRESENT, AFFECTED_SOP_INSTANCE_UID: "1.2.3"}
    return request


def test_an_instance_arrives_byte_by_byte_as_it_was(split: int) -> None:
    archive = Archive()
    pair = opened(archive, split)
    store = instance(priority=2, move_originator=("MOVER", 77))
    answer = pair.run(c_store.request(pair.requestor.association, STORE, 9, store, 30), 9)
    assert (answer.command[STATUS], answer.command[MESSAGE_ID_BEING_RESPONDED_TO]) == (0, 9)
    assert answer.command[AFFECTED_SOP_INSTANCE_UID] == "1.2.1"
    (message,) = archive.messages
    assert message.dataset == DATASET
    assert message.command[PRIORITY] == 2
    assert message.command[MOVE_ORIGINATOR_AE_TITLE] == "MOVER"
    assert message.command[MOVE_ORIGINATOR_MESSAGE_ID] == 77


def test_a_dataset_that_comes_from_a_generator_arrives_whole(split: int) -> None:
    archive = Archive()
    pair = opened(archive, split)
    pieces = (DATASET[start : start + 1000] for start in range(0, len(DATASET), 1000))
    store = Instance(CT_IMAGE_STORAGE, "1.2.3", pieces)
    pair.run(c_store.request(pair.requestor.association, STORE, 1, store, 30), 1)
    assert archive.messages[0].dataset == DATASET


def test_the_status_of_the_handler_reaches_the_caller() -> None:
    archive = Archive()
    archive.status = 0xB007
    pair = opened(archive)
    answer = pair.run(c_store.request(pair.requestor.association, STORE, 1, instance(), 30), 1)
    assert status_of(answer) == 0xB007


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({AFFECTED_SOP_CLASS_UID: None}, 0x0212),
        ({AFFECTED_SOP_CLASS_UID: VERIFICATION}, 0x0122),
        ({AFFECTED_SOP_INSTANCE_UID: "../../etc"}, 0x0117),
        ({AFFECTED_SOP_INSTANCE_UID: None}, 0x0117),
        ({AFFECTED_SOP_INSTANCE_UID: "1" * 65}, 0x0117),
        ({COMMAND_DATA_SET_TYPE: 0x0101}, 0xC000),
    ],
)
def test_what_cannot_be_meant_is_refused_unseen_and_the_next_is_stored(
    changes: dict[int, object], status: int
) -> None:
    archive = Archive()
    pair = opened(archive)
    elements = {tag: value for tag, value in (raw() | changes).items() if value is not None}
    dataset = (DATASET,) if elements[COMMAND_DATA_SET_TYPE] == DATASET_PRESENT else None
    assert status_of(pair.answer_to(STORE, elements, dataset)) == status
    assert archive.messages == []
    assert status_of(pair.answer_to(STORE, raw(), (DATASET,))) == 0
    assert len(archive.messages) == 1


def test_an_instance_sent_to_an_scu_is_refused() -> None:
    archive = Archive()
    pair = Pair(
        requestor_services={**RESPONDERS_OF_REFUSAL, C_STORE_RQ: store_service(archive)},
        acceptor_services=RESPONDERS_OF_REFUSAL,
    )
    pair.establish([CT_IMAGE_STORAGE])
    request = c_store.request(pair.acceptor.association, 1, 1, instance(), 30)
    answer = pair.run(request, 1, side=pair.acceptor)
    assert status_of(answer) == 0x0122
    assert archive.messages == []


def test_a_refusal_of_the_sink_is_what_is_answered() -> None:
    pair = opened(Archive())

    class Sink:
        def next_buffer(self) -> memoryview:
            return memoryview(bytearray(100_000))

        def filled(self, count: int) -> None:
            pass

        def finish(self) -> object:
            return Refusal(0xA700, "full")

        def discard(self) -> None:
            pass

    pair.acceptor.association._open_sink = lambda *arguments: Sink()
    answer = pair.run(c_store.request(pair.requestor.association, STORE, 1, instance(), 30), 1)
    assert (status_of(answer), answer.command[ERROR_COMMENT]) == (0xA700, "full")


def test_a_handler_that_raises_is_answered_with_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    def fail(message: MessageReceived) -> Reply:
        raise RuntimeError("broken")

    pair = opened(fail)
    with caplog.at_level(logging.ERROR):
        answer = pair.run(c_store.request(pair.requestor.association, STORE, 1, instance(), 30), 1)
    assert status_of(answer) == 0x0110
    assert "RuntimeError: broken" in caplog.text
    assert pair.requestor.association.is_established


def test_requests_within_the_window_are_in_progress_together_and_answered_in_any_order() -> None:
    waiting: list[Deferred] = []

    def defer(message: MessageReceived) -> Deferred:
        waiting.append(Deferred())
        return waiting[-1]

    pair = opened(defer, operations_max=3)
    association = pair.requestor.association
    tasks = [
        pair.start(pair.requestor, c_store.request(association, STORE, number, instance(number), 30), number)
        for number in range(1, 6)
    ]
    assert len(waiting) == 3
    waiting[2].settle(Reply(0xB000))
    pair.pump()
    assert len(waiting) == 4
    assert [task.done for task in tasks] == [False, False, True, False, False]
    assert status_of(tasks[2].result) == 0xB000
    for index in (3, 1, 0, 4):
        waiting[index].settle(Reply(index))
        pair.pump()
    assert [status_of(task.result) for task in tasks] == [0, 1, 0xB000, 3, 4]


def test_without_a_window_the_second_request_waits_for_the_first() -> None:
    waiting: list[Deferred] = []

    def defer(message: MessageReceived) -> Deferred:
        waiting.append(Deferred())
        return waiting[-1]

    pair = opened(defer)
    association = pair.requestor.association
    for number in (1, 2):
        pair.start(pair.requestor, c_store.request(association, STORE, number, instance(number), 30), number)
    assert len(waiting) == 1
    waiting[0].settle(Reply(0))
    pair.pump()
    assert len(waiting) == 2
