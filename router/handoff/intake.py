"""Intake: the worker's side of one acceptor's channel; tickets in, receipts and releases out.

Invariant: every ticket taken gets one receipt and one release, in that order or as one record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from router.handoff.channel import RECEIVE_RECORDS_MAX, ChannelEnd, Outbox
from router.handoff.slab import Slab
from router.handoff.ticket import (
    COMMENT_CHARS_MAX,
    HOLDING_SLOTS_MAX,
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
from router.wire.codec import Forwarder, TicketBell, TicketPort

TICKETS_MAX = 65536
REASON_CHARS_MAX = 200
QUIET_SLOTS_MAX = 2  # a release of so few does not wake the acceptor: it looks often enough
_NOTICES_MAX = 1024  # Hello, Holding and WorkerState records in the outbox, beside the tickets' own

_log = logging.getLogger(__name__)


class Intake:
    """Takes tickets from one acceptor. Call `start` once, then `receive` whenever `fileno()` is readable.

    slab: the acceptor's arena, attached read-only. tickets_max: tickets held at most; `receive` stops
    there, and the ring and the acceptor's slab fill up behind it.
    """

    def __init__(self, end: ChannelEnd, slab: Slab, *, tickets_max: int = TICKETS_MAX) -> None:
        self.malformed_records = 0
        self.epoch = 0
        self.on_offer: Callable[[Offer], None] | None = None  # told what senders negotiate
        self._end = end
        self._slab = slab
        self._tickets_max = tickets_max
        # `receive` stops at tickets_max waiting records; each ticket held by then adds two at most.
        self._outbox = Outbox(end, 3 * tickets_max + _NOTICES_MAX)
        self._held: dict[int, tuple[int, ...]] = {}
        self._unanswered: set[int] = set()
        self._port: TicketPort | None = None
        self._state = WorkerState(WorkerStage.ACCEPTING, "")

    def start(self) -> None:
        """Drop what was sent to a predecessor and say Hello: what it had not answered is sent again."""
        self.epoch, position = self._end.start_over()
        self._outbox.send(encode_record(Hello(self.epoch, position)))

    def fileno(self) -> int:
        return self._end.fileno()

    @property
    def slots_total(self) -> int:
        """Slots of the acceptor's slab."""
        return self._slab.slots_total

    @property
    def tickets_held(self) -> int:
        """Tickets taken whose slots were not released yet."""
        return len(self._held)

    @property
    def ring_used_bytes(self) -> int:
        """Bytes of receipts the acceptor has not taken yet."""
        return self._end.send_used_bytes

    @property
    def ring_capacity_bytes(self) -> int:
        return self._end.send_capacity_bytes

    @property
    def outbox_records(self) -> int:
        return len(self._outbox)

    @property
    def is_full(self) -> bool:
        """True while `tickets_max` are held, or as many records wait for the acceptor: `receive` gives
        nothing.

        Call it again after a release; when it is the acceptor that lags, its room rings the doorbell.
        """
        return len(self._held) >= self._tickets_max or len(self._outbox) >= self._tickets_max

    def receive(self, tickets_max: int = RECEIVE_RECORDS_MAX) -> list[Ticket]:
        """Take the tickets that wait, oldest first, at most `tickets_max`; also send what waited for room."""
        self._outbox.flush()
        tickets: list[Ticket] = []
        if self.is_full:
            return tickets
        room = min(tickets_max, self._tickets_max - len(self._held))
        for data in self._end.receive_many(room):
            ticket = self.take_record(data)
            if ticket is not None:
                tickets.append(ticket)
        return tickets

    def receive_past(self, forwarder: Forwarder) -> Ticket | None:
        """Let the forward lane take the tickets it can; return the first that it cannot, or None."""
        if self._outbox:
            self._outbox.flush()
        port = self._open_port()
        while not self.is_full:
            data = forwarder.take(port)
            if data is None:
                break
            ticket = self.take_record(data)
            if ticket is not None:
                return ticket
        self._end.tell_room()
        return None

    def open_bell(self, go_on: Callable[[bytes | None], None], sync: Callable[[], None]) -> TicketBell | None:
        """Make what answers the doorbell past Python; None where the codec has none.

        go_on(record): everything else; record: for take_record, or None. sync(): has made durable what was
        appended.
        """
        if TicketBell is None:
            return None
        return TicketBell(*self._end.bell(), go_on, self._open_port(), self._tickets_max, sync)

    def _open_port(self) -> TicketPort:
        if self._port is None:
            receipts, tickets, bell = self._end.rings()
            books = (self._held, self._unanswered, self._outbox)
            self._port = TicketPort(self, tickets, receipts, bell, self._slab, *books)
        return self._port

    def take_record(self, data: bytes) -> Ticket | None:
        """Take one record that a lane has left; return it if it is a ticket."""
        try:
            record = decode_record(data)
        except MalformedRecord as error:
            self.malformed_records += 1
            _log.error("malformed record from the acceptor: %s", error)
            return None
        if type(record) is Ticket:
            self._held[record.ticket_id] = record.slots
            self._unanswered.add(record.ticket_id)
            return record
        if type(record) is Recount:
            self._answer_recount(record)
        elif type(record) is Offer:
            if self.on_offer is not None:
                self.on_offer(record)
        else:
            self.malformed_records += 1
        return None

    def views(self, ticket: Ticket) -> list[memoryview]:
        """Return the dataset where it lies, read-only, until the ticket is released; [] for a spilled one.

        Raises ValueError if the ticket names slots the slab does not have.
        """
        return [] if ticket.file else self._slab.chain(ticket.slots, ticket.dataset_bytes)

    def answer(self, ticket: Ticket, status: int, comment: str = "", *, release: bool = False) -> None:
        """Send the receipt; with `release` the slots go back in the same record. Once per ticket.

        comment: Error Comment, cut to COMMENT_CHARS_MAX. Raises ValueError if the ticket has a receipt
        already.
        """
        ticket_id = ticket.ticket_id
        if ticket_id not in self._unanswered:
            raise ValueError(f"ticket {ticket_id} has its receipt already")
        self._unanswered.remove(ticket_id)
        slots = self._held.pop(ticket_id) if release else ()
        self._outbox.send(
            encode_record(Receipt(ticket_id, status, comment[:COMMENT_CHARS_MAX], slots, is_released=release))
        )

    def release(self, ticket: Ticket) -> None:
        """Give the slots of an answered ticket back. Raises ValueError if it is unanswered or was
        released."""
        ticket_id = ticket.ticket_id
        if ticket_id in self._unanswered or ticket_id not in self._held:
            raise ValueError(f"ticket {ticket_id} is not answered, or released already")
        slots = self._held.pop(ticket_id)
        self._outbox.send(encode_record(Release(ticket_id, slots)), is_urgent=len(slots) > QUIET_SLOTS_MAX)

    def report_state(self, stage: WorkerStage, reason: str = "") -> None:
        """Tell the acceptor whether this worker can store, so that it refuses before it receives."""
        self._state = WorkerState(int(stage), reason[:REASON_CHARS_MAX])
        self._outbox.send(encode_record(self._state))

    def sleep(self) -> bool:
        """Clear the doorbell and announce sleep; False if records wait: `receive` first.

        While `is_full`, records that wait are left alone and the answer is True.
        """
        self._end.clear()
        is_asleep = self._end.sleep() or self.is_full
        if self._outbox:
            self._outbox.flush()
        return is_asleep

    def _answer_recount(self, recount: Recount) -> None:
        # Every ticket of the asking acceptor's predecessors came before its Recount, so none is missed.
        held = [slot for slots in self._held.values() for slot in slots]
        for start in range(0, max(len(held), 1), HOLDING_SLOTS_MAX):
            end = start + HOLDING_SLOTS_MAX
            part = Holding(recount.generation, tuple(held[start:end]), end >= len(held))
            self._outbox.send(encode_record(part))
        self._outbox.send(encode_record(self._state))
