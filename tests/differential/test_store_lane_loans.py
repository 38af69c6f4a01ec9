"""The store lane's loans: full rings and slabs, workers and acceptors that restart, late receipts."""

from __future__ import annotations

import tempfile
from typing import Any

import pytest

from router.handoff.ticket import Receipt, pack_constant_parts
from router.standard.statuses import OUT_OF_RESOURCES
from router.standard.uids import CT_IMAGE_STORAGE
from router.wire import codec
from router.wire.codec import CODEC_NAME, StoreLane
from tests.support.handoff import SLOT
from tests.support.raw_peer import (
    STORE_CONTEXT,
)
from tests.support.store_receiver import Play, Receiver, _pdus, usual

pytestmark = pytest.mark.skipif(CODEC_NAME == "reference", reason="there is no lane")


def test_a_slab_that_is_exhausted_makes_both_wait(tmp_path: Any) -> None:
    many = b"".join(usual(number, f"1.2.{number}", size=3 * SLOT) for number in range(1, 6))
    Play(5, [("feed", many, 1 << 20), ("work", 0, True, 1), ("work", 0, True, 1), ("work",)]).check()


def test_a_ring_that_is_full_makes_both_wait() -> None:
    for use_lane in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            receiver = Receiver(use_lane, 4, folder)
            link = receiver.pair.dispatcher._links[0]
            for size in (2000, 8):
                while link.end.send(bytes(size)):
                    pass
            receiver.feed(usual(1) + usual(2), 1 << 20)
            assert len(link.backlog) == 2
            assert receiver.pair.slab.slots_used == 2
            receiver.settle()
            assert len(_pdus(receiver.out)) == 3
            assert receiver.pair.slab.slots_used == 0
            receiver.inlet = receiver.lane = None  # type: ignore[assignment]
            receiver.pair.close()


@pytest.mark.parametrize("status", [0, 0xA700])
def test_a_worker_that_restarts_gets_again_what_it_had_not_answered(status: int) -> None:
    results = []
    for use_lane in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            receiver = Receiver(use_lane, 4, folder)
            receiver.feed(usual(1) + usual(2, "1.2.9", size=2 * SLOT) + usual(3, "1.2.10"), 1 << 20)
            receiver.work(answers=1)
            receiver.unanswered.clear()
            receiver.pair.intakes[0] = receiver.pair.start_worker(0)
            receiver.drain()
            assert receiver.pair.dispatcher.counts.resent == 2
            receiver.work(status)
            receiver.settle()
            results.append(receiver.result())
            assert receiver.pair.slab.slots_used == 0
            receiver.inlet = receiver.lane = None  # type: ignore[assignment]
            receiver.pair.close()
    assert results[0] == results[1]
    assert len(results[0]["tickets"]) == 5


def test_overdue_loans_are_answered_once_and_give_their_slots_back_late() -> None:
    results = []
    for use_lane in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            receiver = Receiver(use_lane, 4, folder, receipt_s=30.0)
            receiver.feed(usual(1) + usual(2, "1.2.9", size=2 * SLOT), 1 << 20)
            receiver.work(answers=0)
            late = receiver.pair.dispatcher.expire(1e12)
            assert len(late) == 2
            for loan in late:
                loan.on_receipt(Receipt(loan.ticket.ticket_id, OUT_OF_RESOURCES, "late"))
            receiver.advance()
            assert receiver.pair.slab.slots_used == 3
            receiver.feed(usual(1, "1.2.11"), 1 << 20)  # its Message ID is free again
            receiver.settle()
            results.append(receiver.result())
            assert results[-1]["slots"] == 0
            receiver.inlet = receiver.lane = None  # type: ignore[assignment]
            receiver.pair.close()
    assert results[0] == results[1]


def test_loans_of_the_lane_outlive_its_acceptor() -> None:
    for use_lane in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            receiver = Receiver(use_lane, 4, folder)
            receiver.feed(usual(1) + usual(2, "1.2.9", size=2 * SLOT), 1 << 20)
            receiver.work(answers=0)
            receiver.inlet = receiver.lane = None  # type: ignore[assignment]
            pair = receiver.pair
            pair.start_acceptor()
            assert pair.slab.slots_used == 3
            pair.intakes[0].receive()  # Recount
            pair.dispatcher.drain(0)
            assert pair.slab.slots_used == 3
            for _, ticket in receiver.unanswered:
                pair.intakes[0].answer(ticket, 0, release=True)
            pair.dispatcher.drain(0)
            assert pair.slab.slots_used == 0
            pair.close()


def test_several_workers_get_the_same_instances_either_way() -> None:
    results = []
    for use_lane in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            receiver = Receiver(use_lane, 5, folder, workers=3)
            for number in range(20):
                receiver.feed(usual(1 + number % 5, f"1.2.{number}"), 1 << 20)
                if number % 5 == 4:
                    receiver.work()
            receiver.settle()
            results.append(receiver.result())
            receiver.inlet = receiver.lane = None  # type: ignore[assignment]
            receiver.pair.close()
    assert results[0] == results[1]
    assert {index for index, *_ in results[0]["tickets"]} == {0, 1, 2}


def test_a_failure_of_one_association_leaves_the_responses_of_others() -> None:
    with tempfile.TemporaryDirectory() as folder:
        receiver = Receiver(True, 4, folder)
        inlet = receiver.inlet

        def broken(_: bytes) -> None:
            raise MemoryError

        model = receiver.ticket(0, (), "", 0, CT_IMAGE_STORAGE, "")
        other = StoreLane(inlet, 43, 4, lambda *_: None, broken, receiver.otherwise)
        other.set_context(STORE_CONTEXT, CT_IMAGE_STORAGE.encode(), *pack_constant_parts(model))
        reader = codec.PduReader(0)
        reader.set_contexts((STORE_CONTEXT,))
        reader.use_lane(other)
        first = usual(1)
        assert reader.feed(first, 0, len(first)) == codec.NEED_DATA
        receiver.feed(usual(2), 1 << 20)
        receiver.settle()
        assert len(_pdus(receiver.out)) == 2
        reader.use_lane(None)
        del inlet, other, reader
        receiver.inlet = receiver.lane = None  # type: ignore[assignment]
        receiver.pair.close()
