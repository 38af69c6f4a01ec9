"""Dispatcher: the acceptor's book of loans; what was sent to which worker and is not yet given back.

A loan is WAITING (its worker's ring is full), SENT, ANSWERED (receipt arrived, slots still lent) or
EXPIRED (the receipt is overdue and the association was told so). It leaves the book when its slots come back.
Invariants: a continuation runs at most once; a slot is freed only when no living worker can read it.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass, field
from enum import Enum
from zlib import crc32

from router.handoff.channel import ChannelEnd
from router.handoff.slab import WORKERS_MAX, Slab
from router.handoff.ticket import (
    TICKET_SLOTS_MAX,
    Hello,
    Holding,
    MalformedRecord,
    Offer,
    Receipt,
    Recount,
    Release,
    Ticket,
    WorkerStage,
    WorkerState,
    decode_record,
    encode_record,
)
from router.wire.codec import ReceiptBell, StoreInlet

LOANS_MAX = 65536
OFFER_CONTEXTS_MAX = 128  # in one record
BATCHES_MAX = 16  # of receive_many in one drain, so that one busy worker does not stall the sockets
RECEIPT_S = 60.0
GENERATION_SHIFT = 40  # ticket ids: the owner's generation above, a count below; stays under 2**63
LANE_SHIFT = 39  # set in the ids of tickets that the store lane sends

_log = logging.getLogger(__name__)

OnReceipt = Callable[[Receipt], None]


class LoanState(Enum):
    WAITING = "waiting"
    SENT = "sent"
    ANSWERED = "answered"
    EXPIRED = "expired"


@dataclass(slots=True, eq=False)
class Loan:
    """One ticket out with a worker. position: of its record in the ring, meaningful once SENT."""

    ticket: Ticket
    record: bytes
    on_receipt: OnReceipt
    deadline: float
    state: LoanState = LoanState.WAITING
    position: int = -1


@dataclass(slots=True)
class Counts:
    """What happened since the dispatcher was made; all only grow."""

    sent: int = 0
    resent: int = 0
    expired: int = 0
    stray_records: int = 0
    malformed_records: int = 0


@dataclass(slots=True)
class _Link:
    """One worker as this acceptor sees it."""

    index: int
    end: ChannelEnd
    loans: dict[int, Loan] = field(default_factory=dict)
    backlog: deque[Loan] = field(default_factory=deque)
    inherited: set[int] = field(default_factory=set)  # slots a predecessor of this acceptor lent
    recount_position: int | None = None  # where Recount stands in the ring; None: not sent (yet)
    holding: set[int] = field(default_factory=set)  # parts of the answer to it, until the last one
    epoch: int = 0
    stage: WorkerStage = WorkerStage.ACCEPTING


class Dispatcher:
    """Lends datasets of one slab to the workers behind `ends` (in order of worker index).

    receipt_s: how long an association waits for its receipt. clock: monotonic seconds.
    An instance always goes to the same worker, chosen by its SOP Instance UID, so that two versions of one
    instance keep their order.
    """

    def __init__(
        self,
        ends: Sequence[ChannelEnd],
        slab: Slab,
        *,
        receipt_s: float = RECEIPT_S,
        loans_max: int = LOANS_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 1 <= len(ends) <= WORKERS_MAX:
            raise ValueError(f"{len(ends)} workers, allowed 1 to {WORKERS_MAX}")
        self.counts = Counts()
        self.on_stage: Callable[[], None] = lambda: None  # called when a worker says what it can take
        self._slab = slab
        self._receipt_s = receipt_s
        self._loans_max = loans_max
        self._clock = clock
        self._last_ticket_id = slab.generation << GENERATION_SHIFT
        self._inlet: StoreInlet | None = None
        self._unanswered: dict[int, Loan] = {}  # oldest deadline first: every loan gets the same receipt_s
        self._links = [_Link(index, end) for index, end in enumerate(ends)]
        for link in self._links:
            # What waits from a predecessor's time concerns loans nobody keeps; Recount asks for what matters.
            link.end.start_over()
            link.inherited = set(slab.lent_to(link.index))
            self._flush(link)

    def next_ticket_id(self) -> int:
        """Return an id no ticket of this acceptor or its predecessors had."""
        self._last_ticket_id += 1
        return self._last_ticket_id

    def submit(self, ticket: Ticket, on_receipt: OnReceipt) -> bool:
        """Lend a dataset; `on_receipt` runs once, from `drain`, unless the loan expires first.

        False: the worker cannot store, or loans_max is reached; nothing was lent, answer A700H. The
        ticket's id comes from `next_ticket_id`, its slots are allocated ones. After True they belong to
        the loan.
        """
        link = self._links[self._worker_of(ticket.sop_instance)]
        if not link.stage.stores or len(link.loans) >= self._loans_max:
            return False
        if len(ticket.slots) > TICKET_SLOTS_MAX:
            _log.error("dataset in %d slots, allowed %d: spill earlier", len(ticket.slots), TICKET_SLOTS_MAX)
            return False
        loan = Loan(ticket, encode_record(ticket), on_receipt, self._clock() + self._receipt_s)
        link.loans[ticket.ticket_id] = loan
        self._unanswered[ticket.ticket_id] = loan
        if link.backlog or not self._send(link, loan):
            link.backlog.append(loan)
        return True

    def announce(self, contexts: Iterable[tuple[str, str]]) -> None:
        """Tell every worker what a sender negotiated; where there is no room now, the hint is left out."""
        offered = tuple(contexts)
        for start in range(0, len(offered), OFFER_CONTEXTS_MAX):
            record = encode_record(Offer(offered[start : start + OFFER_CONTEXTS_MAX]))
            for link in self._links:
                if not link.backlog:
                    link.end.send(record)

    def open_inlet(self, spill_bytes: int) -> StoreInlet | None:
        """Make what the store lanes of this process share; None where the codec has none.

        spill_bytes: what a lane leaves to the general way because it may become longer. The lanes' loans
        stand in the same book, so that every repair after a restart sees them.
        """
        if StoreInlet is None:
            return None
        self._inlet = StoreInlet(
            self._slab,
            self._unanswered,
            first_ticket_id=self._last_ticket_id | 1 << LANE_SHIFT,
            spill_bytes=spill_bytes,
            receipt_s=self._receipt_s,
            loans_max=self._loans_max,
            decode=decode_record,
            choose=self._worker_of,
            sent=LoanState.SENT,
            answered=LoanState.ANSWERED,
            accepting=WorkerStage.ACCEPTING,
        )
        for link in self._links:
            self._inlet.add_worker(link, *link.end.rings())
        return self._inlet

    def open_bell(
        self, worker: int, go_on: Callable[[bytes | None], None], waiting: Iterable[Sized]
    ) -> ReceiptBell | None:
        """Make what answers a worker's doorbell past Python; None where there are no lanes.

        go_on(record): everything else; record: for drain(), or None. waiting: while one of them is not empty,
        nothing passes go_on by.
        """
        if self._inlet is None or ReceiptBell is None:
            return None
        link = self._links[worker]
        return ReceiptBell(*link.end.bell(), go_on, self._inlet, link, tuple(waiting))

    def drain(self, worker: int, record: bytes | None = None) -> bool:
        """Take in what a worker sent; call when `fileno(worker)` is readable, and once at the start.

        record: one that open_bell()'s has taken already. True: all is done and the doorbell will ring for
        more. False: more waits, call again soon.
        """
        link = self._links[worker]
        if record is not None:
            self._take(link, record)
        link.end.clear()
        for _ in range(BATCHES_MAX):
            self._receive(link)
            self._flush(link)
            if link.end.sleep():
                self._flush(link)
                return True
        return False

    def _receive(self, link: _Link) -> None:
        inlet = self._inlet
        if inlet is None:
            for record in link.end.receive_many():
                self._take(link, record)
            return
        while (other := inlet.take(link.index)) is not None:
            self._take(link, other)
        try:
            inlet.flush()
        except Exception:
            # The doorbell must be announced all the same, or it would never ring again.
            _log.exception("a response of the store lane was not sent")
        link.end.tell_room()

    def expire(self, now: float) -> list[Loan]:
        """Return the loans whose receipt is overdue at `now`; their continuations will not run.

        The slots stay out until the worker gives them back or is replaced. A loan that was still WAITING
        for its ring is over at once: its slots are freed and a spilled file is deleted.
        """
        overdue: list[Loan] = []
        for loan in self._unanswered.values():
            if loan.deadline > now:
                break
            overdue.append(loan)
        for loan in overdue:
            link = self._links[self._worker_of(loan.ticket.sop_instance)]
            del self._unanswered[loan.ticket.ticket_id]
            was_waiting = loan.state is LoanState.WAITING
            loan.state = LoanState.EXPIRED
            if was_waiting:
                link.backlog.remove(loan)
                self._settle(link, loan, is_file_ours=True)
        self.counts.expired += len(overdue)
        return overdue

    def fileno(self, worker: int) -> int:
        """Return the doorbell to watch for a worker's records."""
        return self._links[worker].end.fileno()

    @property
    def workers(self) -> range:
        return range(len(self._links))

    @property
    def loans_outstanding(self) -> int:
        return sum(len(link.loans) for link in self._links)

    @property
    def tickets_sent(self) -> int:
        """Tickets that went to workers, those sent again included."""
        return self.counts.sent + (self._inlet.instances if self._inlet is not None else 0)

    @property
    def worker_stages(self) -> list[WorkerStage]:
        """What each worker last said of itself: input of `pressure`."""
        return [link.stage for link in self._links]

    @property
    def ring_used_bytes(self) -> int:
        """Bytes of tickets no worker has taken yet, over all rings."""
        return sum(link.end.send_used_bytes for link in self._links)

    @property
    def ring_capacity_bytes(self) -> int:
        """Bytes of tickets the rings have room for, together."""
        return sum(link.end.send_capacity_bytes for link in self._links)

    @property
    def ring_used_fraction(self) -> float:
        """How full the fullest ring is; 1 while a ticket waits for room."""
        return max(_used_fraction(link) for link in self._links)

    def _worker_of(self, sop_instance: str) -> int:
        return worker_of(sop_instance, len(self._links))

    def _send(self, link: _Link, loan: Loan) -> bool:
        # Lent before sent: a death in between leaves a slot to recount, never one that is written while read.
        self._slab.lend(loan.ticket.slots, link.index)
        position = link.end.send_position
        if not link.end.send(loan.record):
            return False
        loan.position = position
        loan.state = LoanState.SENT
        self.counts.sent += 1
        return True

    def _flush(self, link: _Link) -> None:
        if link.recount_position is None:
            position = link.end.send_position
            if not link.end.send(encode_record(Recount(self._slab.generation))):
                return
            link.recount_position = position
        backlog = link.backlog
        while backlog and self._send(link, backlog[0]):
            backlog.popleft()

    def _take(self, link: _Link, data: bytes) -> None:
        try:
            record = decode_record(data)
        except MalformedRecord as error:
            self.counts.malformed_records += 1
            _log.error("worker=%d malformed record: %s", link.index, error)
            return
        match record:
            case Receipt():
                self._on_receipt(link, record)
            case Release():
                self._on_release(link, record.ticket_id, record.slots)
            case Hello():
                self._on_hello(link, record)
            case Holding():
                self._on_holding(link, record)
            case WorkerState():
                self._on_state(link, record)
            case _:
                self.counts.stray_records += 1

    def _on_receipt(self, link: _Link, receipt: Receipt) -> None:
        loan = link.loans.get(receipt.ticket_id)
        is_awaited = loan is not None and self._unanswered.pop(receipt.ticket_id, None) is not None
        if loan is not None and loan.state is LoanState.SENT:
            loan.state = LoanState.ANSWERED
        if receipt.is_released:
            self._on_release(link, receipt.ticket_id, receipt.slots)
        if loan is None or not is_awaited:
            return
        try:
            loan.on_receipt(receipt)
        except Exception:
            # The other associations' receipts of this batch must still be taken.
            _log.exception("ticket=%d the continuation failed", receipt.ticket_id)

    def _on_release(self, link: _Link, ticket_id: int, slots: tuple[int, ...]) -> None:
        loan = link.loans.get(ticket_id)
        if loan is None:
            self._free_inherited(link, slots)
        elif loan.state in (LoanState.ANSWERED, LoanState.EXPIRED):
            self._settle(link, loan)
        else:
            # Released but not answered: it could not be sent again, so it stays lent until it is answered.
            self.counts.stray_records += 1

    def _on_hello(self, link: _Link, hello: Hello) -> None:
        """Repair after a worker's restart: what it had not answered is sent again, all else comes back."""
        link.epoch = hello.epoch
        link.stage = WorkerStage.ACCEPTING
        again: list[Loan] = []
        for loan in list(link.loans.values()):
            if loan.state is LoanState.WAITING or loan.position >= hello.position:
                continue
            if loan.state is LoanState.SENT:
                loan.state = LoanState.WAITING
                again.append(loan)
            else:
                self._settle(link, loan, is_file_ours=loan.state is LoanState.EXPIRED)
        if link.recount_position is not None and link.recount_position < hello.position:
            self._free_inherited(link, tuple(link.inherited))
            link.holding.clear()
        self.counts.resent += len(again)
        link.backlog.extendleft(reversed(again))
        _log.info("worker=%d epoch=%d started, %d tickets to send again", link.index, hello.epoch, len(again))

    def _on_holding(self, link: _Link, holding: Holding) -> None:
        if holding.generation != self._slab.generation:
            return
        link.holding.update(holding.slots)
        if holding.is_last:
            self._free_inherited(link, tuple(link.inherited - link.holding))
            link.holding.clear()

    def _on_state(self, link: _Link, state: WorkerState) -> None:
        try:
            link.stage = WorkerStage(state.stage)
        except ValueError:
            self.counts.malformed_records += 1
            return
        _log.info("worker=%d stage=%s reason=%s", link.index, link.stage.name.lower(), state.reason)
        self.on_stage()

    def _free_inherited(self, link: _Link, slots: tuple[int, ...]) -> None:
        for slot in slots:
            if slot in link.inherited:
                link.inherited.remove(slot)
                self._slab.free(slot)
            else:
                self.counts.stray_records += 1

    def _settle(self, link: _Link, loan: Loan, is_file_ours: bool = False) -> None:
        del link.loans[loan.ticket.ticket_id]
        for slot in loan.ticket.slots:
            self._slab.free(slot)
        if is_file_ours and loan.ticket.file:
            _delete(loan.ticket.file)


def worker_of(sop_instance: str, workers: int) -> int:
    """Return the worker that all versions of an instance go to."""
    # Not hash(): it is salted per process, and a restarted acceptor must choose alike.
    return crc32(sop_instance.encode("latin-1", "replace")) % workers


def _used_fraction(link: _Link) -> float:
    return 1.0 if link.backlog else link.end.send_used_bytes / link.end.send_capacity_bytes


def _delete(file: str) -> None:
    try:
        os.unlink(file)
    except FileNotFoundError:
        return  # the worker had moved it before it died
    except OSError as error:
        _log.warning("a spilled file was not deleted: %s", error.strerror)
