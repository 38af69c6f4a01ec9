"""Real processes killed at any instruction: every ticket is answered once, every slot comes back, no byte
is mixed up."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

import pytest

from router.handoff.channel import RING_BYTES_MIN, Channel
from router.handoff.dispatch import Dispatcher
from router.handoff.intake import Intake
from router.handoff.slab import Slab, create_slab_fd
from router.handoff.ticket import Receipt, Ticket
from router.wire.codec import CODEC_NAME
from tests.support.forked import Forked, wait_for
from tests.support.handoff import SLOT, make_ticket

SLOTS = 64
TICKETS = 20_000
DEATHS = 12
LOOK_S = 0.05

pytestmark = pytest.mark.skipif(
    CODEC_NAME == "reference", reason="the twin's ring is for one process at a time"
)


class Shared:
    """What a supervisor would make and every child inherit."""

    def __init__(self) -> None:
        self.slab_fd = create_slab_fd(SLOTS * SLOT, SLOT)
        self.channel = Channel.create(RING_BYTES_MIN)

    def close(self) -> None:
        self.channel.close()
        os.close(self.slab_fd)


@pytest.fixture
def shared() -> Iterator[Shared]:
    shared = Shared()
    yield shared
    shared.close()


class Acceptor:
    """Submits a ticket for every free slot, marked with its id, and counts the answers."""

    def __init__(self, shared: Shared) -> None:
        self.slab = Slab.own(os.dup(shared.slab_fd))
        self.dispatcher = Dispatcher([shared.channel.acceptor_end()], self.slab)
        self.open: set[int] = set()
        self.answered = 0
        self.dispatcher.drain(0)

    def submit(self, tickets_max: int) -> int:
        count = 0
        while count < tickets_max and (slot := self.slab.allocate()) is not None:
            ticket = make_ticket(self.dispatcher.next_ticket_id(), (slot,))
            self.slab.view(slot)[:] = mark_of(ticket)
            self.open.add(ticket.ticket_id)
            assert self.dispatcher.submit(ticket, self.on_receipt)
            count += 1
        return count

    def on_receipt(self, receipt: Receipt) -> None:
        assert receipt.status == 0
        self.open.remove(receipt.ticket_id)
        self.answered += 1

    def wait(self) -> None:
        bell = self.dispatcher.fileno(0)
        if self.open:
            wait_for(bell)
        else:  # releases may come without a doorbell: the acceptor looks from time to time
            select.select([bell], [], [], LOOK_S)
        while not self.dispatcher.drain(0):
            pass


class Worker:
    """Checks each dataset's mark, and answers; every third ticket is released only with the next batch."""

    def __init__(self, shared: Shared) -> None:
        self.intake = Intake(shared.channel.worker_end(), Slab.attach(os.dup(shared.slab_fd)))
        self.intake.start()
        self.late: list[Ticket] = []
        self.taken = 0

    def work(self) -> int:
        tickets = self.intake.receive()
        for ticket in self.late:
            self.check(ticket)
            self.intake.release(ticket)
        self.late.clear()
        for ticket in tickets:
            self.check(ticket)
            is_late = ticket.ticket_id % 3 == 0
            self.intake.answer(ticket, 0, release=not is_late)
            if is_late:
                self.late.append(ticket)
        self.taken += len(tickets)
        return len(tickets)

    def check(self, ticket: Ticket) -> None:
        assert b"".join(self.intake.views(ticket)) == mark_of(ticket)

    def wait(self, *others: int) -> None:
        if not self.late and self.intake.sleep():
            wait_for(self.intake.fileno(), *others)


def mark_of(ticket: Ticket) -> bytes:
    return ticket.ticket_id.to_bytes(8, "big") * (SLOT // 8)


def work_for_ever(shared: Shared) -> None:
    worker = Worker(shared)
    while True:
        worker.work()
        worker.wait()


def accept_for_ever(shared: Shared) -> None:
    acceptor = Acceptor(shared)
    while True:
        acceptor.submit(SLOTS)
        acceptor.wait()


def test_every_ticket_is_answered_once_while_workers_are_killed(shared: Shared) -> None:
    acceptor, submitted = Acceptor(shared), 0
    worker = Forked(lambda: work_for_ever(shared))
    next_death = TICKETS // DEATHS
    while acceptor.answered < TICKETS:
        submitted += acceptor.submit(TICKETS - submitted)
        acceptor.wait()
        if acceptor.answered >= next_death:
            assert worker.kill() == -9
            worker = Forked(lambda: work_for_ever(shared))
            next_death += TICKETS // DEATHS
    while acceptor.slab.slots_used:
        acceptor.wait()
    assert not acceptor.open
    assert acceptor.dispatcher.loans_outstanding == 0
    assert worker.kill() == -9


def test_no_dataset_changes_under_a_worker_while_acceptors_are_killed(shared: Shared) -> None:
    worker = Worker(shared)

    def accept_some_and_leave_nothing() -> None:
        acceptor, submitted = Acceptor(shared), 0
        while acceptor.answered < 1000 or acceptor.slab.slots_used:
            submitted += acceptor.submit(1000 - submitted)
            acceptor.wait()
        assert acceptor.dispatcher.loans_outstanding == 0

    for _ in range(DEATHS):
        child = Forked(lambda: accept_for_ever(shared))
        enough = worker.taken + 500
        while worker.taken < enough:
            worker.work()
            worker.wait()
        assert child.kill() == -9
    last = Forked(accept_some_and_leave_nothing)
    while not last.has_ended:
        worker.work()
        worker.wait(last.fileno())
    assert last.join() == 0
