"""Whatever dies in whatever order: no slot is reused while a living worker reads it, no loan is answered
twice, and in the end every loan was answered and every slot is back.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from router.handoff.dispatch import LoanState
from router.handoff.ticket import Receipt, Ticket
from tests.support.handoff import SLOT, Pair

WORKERS = 2
SLOTS = 12
RECEIPT_S = 10.0
FILE = "/nowhere/" + "f" * 15_000  # tickets so long that a few fill a ring

some_worker = st.integers(0, WORKERS - 1)
some_number = st.integers(0, 1000)


class LoansModel(RuleBasedStateMachine):
    """One acceptor and two workers; each rule is one step of one process, or its death."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair(workers=WORKERS, slots=SLOTS, receipt_s=RECEIPT_S)
        self.outcomes: dict[int, list[str]] = {}  # of the tickets of the living acceptor
        self.unanswered: list[list[Ticket]] = [[] for _ in range(WORKERS)]
        self.answered: list[list[Ticket]] = [[] for _ in range(WORKERS)]

    @rule(slots=st.integers(1, 3), is_long=st.booleans(), uid=some_number)
    def submit(self, slots: int, is_long: bool, uid: int) -> None:
        if self.pair.slab.slots_free < slots:
            return
        ticket = self.pair.ticket(slots, f"1.2.{uid}", FILE if is_long else "")
        for slot in ticket.slots:
            self.pair.slab.view(slot)[:] = self.content(ticket)
        outcomes = self.outcomes[ticket.ticket_id] = []

        def on_receipt(receipt: Receipt) -> None:
            assert receipt.ticket_id == ticket.ticket_id
            outcomes.append("answered")

        assert self.pair.dispatcher.submit(ticket, on_receipt)

    @rule(worker=some_worker)
    def drain(self, worker: int) -> None:
        assert self.pair.dispatcher.drain(worker)

    @rule(seconds=st.floats(0, RECEIPT_S))
    def let_time_pass(self, seconds: float) -> None:
        self.pair.clock.now += seconds
        for loan in self.pair.dispatcher.expire(self.pair.clock.now):
            assert loan.state is LoanState.EXPIRED
            self.outcomes[loan.ticket.ticket_id].append("expired")

    @rule(worker=some_worker, tickets_max=st.integers(1, 5))
    def receive(self, worker: int, tickets_max: int) -> None:
        self.unanswered[worker] += self.pair.intakes[worker].receive(tickets_max)

    @precondition(lambda self: any(self.unanswered))
    @rule(worker=some_worker, which=some_number, release=st.booleans())
    def answer(self, worker: int, which: int, release: bool) -> None:
        if tickets := self.unanswered[worker]:
            ticket = tickets.pop(which % len(tickets))
            self.pair.intakes[worker].answer(ticket, 0, release=release)
            if not release:
                self.answered[worker].append(ticket)

    @precondition(lambda self: any(self.answered))
    @rule(worker=some_worker, which=some_number)
    def release(self, worker: int, which: int) -> None:
        if tickets := self.answered[worker]:
            self.pair.intakes[worker].release(tickets.pop(which % len(tickets)))

    @rule(worker=some_worker)
    def kill_worker(self, worker: int) -> None:
        self.unanswered[worker].clear()
        self.answered[worker].clear()
        self.pair.intakes[worker] = self.pair.start_worker(worker)

    @rule()
    def kill_acceptor(self) -> None:
        self.outcomes.clear()
        self.pair.start_acceptor()

    @invariant()
    def workers_read_what_was_received(self) -> None:
        for tickets in (*self.unanswered, *self.answered):
            for ticket in tickets:
                for slot in ticket.slots:
                    assert self.pair.slab.view(slot)[:16] == self.content(ticket)[:16]

    @invariant()
    def no_loan_has_two_outcomes(self) -> None:
        assert all(len(outcomes) <= 1 for outcomes in self.outcomes.values())

    def teardown(self) -> None:
        for _ in range(SLOTS + 2):
            for worker, intake in enumerate(self.pair.intakes):
                for ticket in self.unanswered[worker] + intake.receive():
                    intake.answer(ticket, 0, release=True)
                for ticket in self.answered[worker]:
                    intake.release(ticket)
                self.unanswered[worker].clear()
                self.answered[worker].clear()
                self.pair.dispatcher.drain(worker)
        assert self.pair.dispatcher.loans_outstanding == 0
        assert self.pair.slab.slots_used == 0
        assert all(len(outcomes) == 1 for outcomes in self.outcomes.values())
        self.pair.close()

    @staticmethod
    def content(ticket: Ticket) -> bytes:
        return ticket.ticket_id.to_bytes(8, "big") * (SLOT // 8)


TestLoansModel = LoansModel.TestCase
TestLoansModel.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
