"""Every loan is answered at most once and comes back exactly once, whoever dies in between."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.handoff.dispatch import LoanState
from router.handoff.intake import Intake
from router.handoff.ticket import (
    TICKET_SLOTS_MAX,
    Hello,
    Receipt,
    Release,
    Ticket,
    WorkerStage,
    encode_record,
)
from tests.support.handoff import SLOT, Pair


@pytest.fixture(autouse=True)
def closing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close every pair a test made."""
    pairs: list[Pair] = []
    begin = Pair.__init__

    def remember(self: Pair, workers: int = 1, slots: int = 8, **options: float) -> None:
        begin(self, workers, slots, **options)
        pairs.append(self)

    monkeypatch.setattr(Pair, "__init__", remember)
    yield
    for pair in pairs:
        pair.close()


def settle(pair: Pair, intake: Intake, status: int = 0) -> list[Ticket]:
    """Let a worker answer and release all it can get."""
    tickets = intake.receive()
    for ticket in tickets:
        intake.answer(ticket, status, release=True)
    pair.dispatcher.drain(0)
    return tickets


def test_a_loan_is_answered_and_comes_back() -> None:
    pair = Pair()
    receipts: list[Receipt] = []
    ticket = pair.ticket(slots=3)
    assert pair.dispatcher.submit(ticket, receipts.append)
    assert pair.slab.lent_to(0) == sorted(ticket.slots)
    (taken,) = pair.intakes[0].receive()
    pair.intakes[0].answer(taken, 0xB000, "coerced")
    assert pair.dispatcher.drain(0)
    assert [(receipt.status, receipt.comment) for receipt in receipts] == [(0xB000, "coerced")]
    assert pair.slab.slots_used == 3
    pair.intakes[0].release(taken)
    pair.dispatcher.drain(0)
    assert (pair.slab.slots_used, pair.dispatcher.loans_outstanding) == (0, 0)
    assert pair.slab.lent_to(0) == []


def test_answer_and_release_fit_into_one_record() -> None:
    pair = Pair()
    receipts: list[Receipt] = []
    pair.dispatcher.submit(pair.ticket(slots=2), receipts.append)
    settle(pair, pair.intakes[0])
    assert len(receipts) == 1
    assert (pair.slab.slots_used, pair.dispatcher.loans_outstanding) == (0, 0)


def test_an_instance_always_goes_to_the_same_worker_and_all_workers_get_some() -> None:
    pair = Pair(workers=3, slots=200)
    uids = [f"1.2.{number}" for number in range(60)]
    for uid in uids + uids:
        pair.dispatcher.submit(pair.ticket(uid=uid), lambda _: None)
    taken = [{ticket.sop_instance for ticket in intake.receive()} for intake in pair.intakes]
    assert all(taken)
    assert sum(map(len, taken)) == len(uids)


def test_a_worker_that_cannot_store_gets_nothing_and_others_go_on() -> None:
    pair = Pair()
    pair.intakes[0].report_state(WorkerStage.SPOOL_FULL, "no space")
    pair.dispatcher.drain(0)
    ticket = pair.ticket()
    assert pair.dispatcher.worker_stages == [WorkerStage.SPOOL_FULL]
    assert not pair.dispatcher.submit(ticket, lambda _: None)
    assert pair.slab.lent_to(0) == []
    pair.intakes[0].report_state(WorkerStage.ACCEPTING)
    pair.dispatcher.drain(0)
    assert pair.dispatcher.submit(ticket, lambda _: None)


def test_loans_are_bounded() -> None:
    pair = Pair(loans_max=2)
    assert pair.dispatcher.submit(pair.ticket(), lambda _: None)
    assert pair.dispatcher.submit(pair.ticket(), lambda _: None)
    assert not pair.dispatcher.submit(pair.ticket(), lambda _: None)


def test_a_dataset_in_more_slots_than_a_ticket_names_is_refused() -> None:
    pair = Pair(slots=TICKET_SLOTS_MAX + 1)
    ticket = pair.ticket(slots=TICKET_SLOTS_MAX + 1)
    assert not pair.dispatcher.submit(ticket, lambda _: None)
    assert pair.slab.lent_to(0) == []
    assert pair.dispatcher.submit(ticket._replace(slots=ticket.slots[:-1]), lambda _: None)


def test_tickets_that_find_no_room_wait_in_order() -> None:
    pair = Pair(slots=40)
    receipts: list[Receipt] = []
    tickets = [pair.ticket(file="/" + "f" * 20_000) for _ in range(30)]
    for ticket in tickets:
        assert pair.dispatcher.submit(ticket, receipts.append)
    assert pair.dispatcher.ring_used_fraction == 1.0
    order: list[Ticket] = []
    while len(order) < len(tickets):
        taken = settle(pair, pair.intakes[0])
        assert taken
        order += taken
    assert order == tickets
    assert [receipt.ticket_id for receipt in receipts] == [ticket.ticket_id for ticket in tickets]
    assert pair.dispatcher.ring_used_fraction < 1


def test_a_new_worker_gets_what_the_dead_one_had_not_answered() -> None:
    pair = Pair()
    receipts: list[Receipt] = []
    tickets = [pair.ticket(uid=f"1.{number}") for number in range(4)]
    for ticket in tickets[:3]:
        pair.dispatcher.submit(ticket, receipts.append)
    answered, unanswered = pair.intakes[0].receive(3)[:2]
    assert unanswered == tickets[1]
    pair.intakes[0].answer(answered, 0)
    successor = pair.start_worker(0)
    pair.dispatcher.submit(tickets[3], receipts.append)  # after the Hello was written, before it is read
    pair.dispatcher.drain(0)
    assert [receipt.ticket_id for receipt in receipts] == [answered.ticket_id]
    assert pair.slab.slots_used == 3  # the answered loan came back: the dead cannot be sending from it
    assert sorted(settle(pair, successor)) == sorted(tickets[1:])
    assert len(receipts) == 4
    assert pair.slab.slots_used == 0
    assert pair.dispatcher.counts.resent == 2


def test_a_second_death_before_the_first_hello_is_read_changes_nothing() -> None:
    pair = Pair()
    receipts: list[Receipt] = []
    pair.dispatcher.submit(pair.ticket(), receipts.append)
    pair.start_worker(0).receive()
    third = pair.start_worker(0)
    pair.dispatcher.drain(0)
    assert len(settle(pair, third)) == 1
    assert len(receipts) == 1
    assert pair.slab.slots_used == 0


def test_an_overdue_loan_is_reported_once_and_its_late_receipt_only_frees() -> None:
    pair = Pair(receipt_s=10)
    receipts: list[Receipt] = []
    ticket = pair.ticket()
    pair.dispatcher.submit(ticket, receipts.append)
    (taken,) = pair.intakes[0].receive()
    assert pair.dispatcher.expire(pair.clock.now + 9.9) == []
    (loan,) = pair.dispatcher.expire(pair.clock.now + 10)
    assert (loan.ticket, loan.state) == (ticket, LoanState.EXPIRED)
    assert pair.dispatcher.expire(pair.clock.now + 99) == []
    assert pair.slab.slots_used == 1
    pair.intakes[0].answer(taken, 0, release=True)
    pair.dispatcher.drain(0)
    assert receipts == []
    assert pair.slab.slots_used == 0


def test_only_what_is_overdue_expires() -> None:
    pair = Pair(receipt_s=10)
    pair.dispatcher.submit(pair.ticket(), lambda _: None)
    pair.clock.now += 5
    pair.dispatcher.submit(pair.ticket(), lambda _: None)
    assert len(pair.dispatcher.expire(pair.clock.now + 5)) == 1


def test_an_expired_loan_is_not_sent_again_and_its_file_goes(tmp_path: Path) -> None:
    pair, file = Pair(receipt_s=10), tmp_path / "7.part"
    file.write_bytes(b"dataset")
    pair.dispatcher.submit(pair.ticket(slots=0, file=str(file)), lambda _: None)
    pair.intakes[0].receive()
    pair.dispatcher.expire(pair.clock.now + 10)
    assert file.exists()  # the worker may still be reading it
    successor = pair.start_worker(0)
    pair.dispatcher.drain(0)
    assert successor.receive() == []
    assert not file.exists()
    assert pair.dispatcher.loans_outstanding == 0


def test_a_file_that_the_dead_worker_took_is_not_missed(tmp_path: Path) -> None:
    pair = Pair(receipt_s=10)
    pair.dispatcher.submit(pair.ticket(slots=0, file=str(tmp_path / "gone.part")), lambda _: None)
    pair.dispatcher.expire(pair.clock.now + 10)
    pair.start_worker(0)
    pair.dispatcher.drain(0)
    assert pair.dispatcher.loans_outstanding == 0


def test_a_loan_that_expires_while_it_waits_for_room_is_over(caplog: pytest.LogCaptureFixture) -> None:
    pair = Pair(slots=40, receipt_s=10)
    for _ in range(30):
        pair.dispatcher.submit(pair.ticket(file="/" + "f" * 20_000), lambda _: None)
    sent = pair.dispatcher.counts.sent
    assert 0 < sent < 30
    assert len(pair.dispatcher.expire(pair.clock.now + 10)) == 30
    assert pair.slab.slots_used == pair.dispatcher.loans_outstanding == sent
    assert "was not deleted: File name too long" in caplog.text
    taken: list[Ticket] = []
    while len(taken) < sent:
        taken += settle(pair, pair.intakes[0])
    assert pair.slab.slots_used == 0
    assert settle(pair, pair.intakes[0]) == []


def test_a_failing_continuation_does_not_keep_the_next_one(caplog: pytest.LogCaptureFixture) -> None:
    pair = Pair()
    receipts: list[Receipt] = []

    def fail(_: Receipt) -> None:
        raise RuntimeError("association is gone")

    pair.dispatcher.submit(pair.ticket(), fail)
    pair.dispatcher.submit(pair.ticket(), receipts.append)
    with caplog.at_level(logging.ERROR):
        settle(pair, pair.intakes[0])
    assert len(receipts) == 1
    assert "the continuation failed" in caplog.text
    assert pair.slab.slots_used == 0


def test_malformed_and_stray_records_are_counted_and_harmless() -> None:
    pair = Pair()
    receipts: list[Receipt] = []
    ticket = pair.ticket()
    pair.dispatcher.submit(ticket, receipts.append)
    end = pair.channels[0].worker_end()
    for record in (
        b"\xc1 not msgpack",
        encode_record(Release(ticket.ticket_id, ticket.slots)),  # before its answer
        encode_record(Release(999, (0, 5))),  # nobody's
        encode_record(Receipt(999, 0, "", (0, 1), is_released=True)),
        encode_record(ticket),  # tickets only go down
    ):
        end.send(record)
    pair.dispatcher.drain(0)
    assert receipts == []
    assert pair.slab.slots_used == 1
    assert pair.dispatcher.counts.malformed_records == 1
    assert pair.dispatcher.counts.stray_records == 6
    settle(pair, pair.intakes[0])
    assert len(receipts) == 1


def test_an_acceptors_successor_gets_back_what_workers_no_longer_hold() -> None:
    pair = Pair()
    for _ in range(3):
        pair.dispatcher.submit(pair.ticket(), lambda _: None)
    unsent = pair.ticket()
    pair.slab.lend(unsent.slots, 0)  # the acceptor dies between lending and sending
    half_received = pair.slab.allocate()
    assert half_received is not None
    first, second, third = pair.intakes[0].receive()
    pair.intakes[0].answer(first, 0, release=True)  # never read by the dead acceptor
    pair.intakes[0].answer(second, 0)
    pair.start_acceptor()
    assert pair.slab.slots_used == 4
    pair.intakes[0].receive()
    pair.dispatcher.drain(0)
    assert set(pair.slab.lent_to(0)) == {*second.slots, *third.slots}
    assert pair.slab.slots_used == 2
    pair.intakes[0].release(second)
    pair.intakes[0].answer(third, 0, release=True)
    pair.dispatcher.drain(0)
    assert pair.slab.slots_used == 0


def test_a_successor_never_reuses_a_ticket_id() -> None:
    pair = Pair()
    first = pair.dispatcher.next_ticket_id()
    pair.start_acceptor()
    assert pair.dispatcher.next_ticket_id() > first


def test_a_worker_tells_an_acceptors_successor_that_it_cannot_store() -> None:
    pair = Pair()
    pair.intakes[0].report_state(WorkerStage.SPOOL_FAILED, "EIO")
    pair.start_acceptor()
    pair.intakes[0].receive()
    pair.dispatcher.drain(0)
    assert pair.dispatcher.worker_stages == [WorkerStage.SPOOL_FAILED]


def test_both_dying_leaves_no_slot_behind() -> None:
    pair = Pair()
    pair.dispatcher.submit(pair.ticket(slots=4), lambda _: None)
    pair.intakes[0].receive()
    pair.start_acceptor()
    assert pair.slab.slots_used == 4
    successor = pair.start_worker(0)
    pair.dispatcher.drain(0)
    assert pair.slab.slots_used == 0
    assert successor.receive() == []


def test_a_hello_from_before_the_acceptors_start_frees_nothing_it_may_not() -> None:
    pair = Pair()
    pair.dispatcher.submit(pair.ticket(), lambda _: None)
    (held,) = pair.intakes[0].receive()
    pair.start_acceptor()
    pair.channels[0].worker_end().send(encode_record(Hello(1, 0)))
    pair.dispatcher.drain(0)
    assert pair.slab.lent_to(0) == list(held.slots)


def test_the_dataset_is_not_overwritten_while_a_worker_holds_it() -> None:
    pair = Pair(slots=2)
    ticket = pair.ticket()
    pair.slab.view(ticket.slots[0])[:] = b"k" * SLOT
    pair.dispatcher.submit(ticket, lambda _: None)
    (held,) = pair.intakes[0].receive()
    views = pair.intakes[0].views(held)
    pair.start_acceptor()
    other = pair.slab.allocate()
    assert other is not None
    pair.slab.view(other)[:] = b"n" * SLOT
    assert pair.slab.allocate() is None
    assert b"".join(views) == b"k" * SLOT
