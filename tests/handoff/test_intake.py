"""A worker answers every ticket once, gives every slot back once, and takes no more than it may hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from router.handoff.intake import Intake
from router.handoff.ticket import Offer, Receipt, WorkerStage
from tests.support.handoff import SLOT, Pair, make_ticket


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


def ignore(_: Receipt) -> None:
    pass


def take_one(pair: Pair, intake: Intake) -> object:
    pair.dispatcher.submit(pair.ticket(), ignore)
    (ticket,) = intake.receive()
    return ticket


def test_the_worker_reads_the_dataset_where_it_lies(pair: Pair) -> None:
    ticket = pair.ticket(slots=2)._replace(dataset_bytes=SLOT + 5)
    pair.slab.view(ticket.slots[0])[:] = b"a" * SLOT
    pair.slab.view(ticket.slots[1])[:5] = b"bytes"
    pair.dispatcher.submit(ticket, ignore)
    (received,) = pair.intakes[0].receive()
    assert received == ticket
    assert b"".join(pair.intakes[0].views(received)) == b"a" * SLOT + b"bytes"


def test_a_spilled_or_empty_dataset_has_no_views(pair: Pair) -> None:
    assert pair.intakes[0].views(make_ticket(1, (), file="/spool/incoming/7.part")) == []
    assert pair.intakes[0].views(make_ticket(1, ())) == []


def test_slots_outside_the_slab_are_refused(pair: Pair) -> None:
    with pytest.raises(ValueError, match="slot 99"):
        pair.intakes[0].views(make_ticket(1, (99,)))


def test_a_ticket_gets_one_receipt(pair: Pair) -> None:
    intake = pair.intakes[0]
    ticket = take_one(pair, intake)
    intake.answer(ticket, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has its receipt"):
        intake.answer(ticket, 0)  # type: ignore[arg-type]


def test_a_ticket_is_released_once_and_after_its_answer(pair: Pair) -> None:
    intake = pair.intakes[0]
    ticket = take_one(pair, intake)
    with pytest.raises(ValueError, match="not answered"):
        intake.release(ticket)  # type: ignore[arg-type]
    intake.answer(ticket, 0)  # type: ignore[arg-type]
    assert intake.tickets_held == 1
    intake.release(ticket)  # type: ignore[arg-type]
    assert intake.tickets_held == 0
    with pytest.raises(ValueError, match="released already"):
        intake.release(ticket)  # type: ignore[arg-type]


def test_no_more_tickets_are_taken_than_may_be_held(pair: Pair) -> None:
    intake = pair.start_worker(0, tickets_max=2)
    pair.dispatcher.drain(0)
    for _ in range(3):
        pair.dispatcher.submit(pair.ticket(), ignore)
    taken = intake.receive()
    assert len(taken) == 2
    assert intake.is_full
    assert intake.receive() == []
    assert intake.sleep()
    intake.answer(taken[0], 0, release=True)
    assert len(intake.receive()) == 1


def test_no_tickets_are_taken_while_the_acceptor_does_not_read(pair: Pair) -> None:
    intake = pair.start_worker(0, tickets_max=4)
    while not intake.is_full:
        intake.report_state(WorkerStage.SPOOL_FULL, "x" * 200)
    pair.dispatcher.submit(pair.ticket(uid="1.2.4"), ignore)
    assert intake.receive() == []
    pair.dispatcher.drain(0)
    assert intake.receive() != []


def test_a_malformed_record_is_counted_and_the_next_one_taken(pair: Pair) -> None:
    intake = pair.intakes[0]
    end = pair.channels[0].acceptor_end()
    end.send(b"\xc1")
    end.send(b"\x92\x03\x01")  # a Hello, which only goes up, and short at that
    pair.dispatcher.submit(pair.ticket(), ignore)
    assert len(intake.receive()) == 1
    assert intake.malformed_records == 2


def test_a_comment_is_cut_to_what_the_standard_allows(pair: Pair) -> None:
    receipts: list[Receipt] = []
    pair.dispatcher.submit(pair.ticket(), receipts.append)
    (ticket,) = pair.intakes[0].receive()
    pair.intakes[0].answer(ticket, 0xA700, "y" * 100)
    pair.dispatcher.drain(0)
    assert receipts[0].comment == "y" * 64


def test_a_worker_does_not_sleep_over_a_waiting_ticket(pair: Pair) -> None:
    intake = pair.intakes[0]
    intake.receive()
    pair.dispatcher.submit(pair.ticket(), ignore)
    assert not intake.sleep()
    intake.receive()
    assert intake.sleep()


def test_what_a_sender_negotiated_reaches_the_worker_as_a_hint(pair: Pair) -> None:
    heard: list[Offer] = []
    intake = pair.intakes[0]
    intake.on_offer = heard.append
    pair.dispatcher.announce([("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")])
    assert intake.receive() == []
    assert heard == [Offer((("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"),))]
    assert intake.malformed_records == 0
