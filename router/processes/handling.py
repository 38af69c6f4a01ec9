"""What becomes of one ticket: read its attributes, decide, store or deliver, answer.

Two promises (see ARCHITECTURE.md). `stored`: success is answered when dataset and decision are durable, and
delivery follows. `delivered`: success is answered when every chosen destination has answered success; what a
destination refuses or delays falls back to `stored`, or to failure where so configured.
Invariant: every ticket gets exactly one answer, and no success before what it promises is true.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from router import crash_points
from router.delivery.destination import Destination
from router.delivery.retry import ErrorClass, Failure
from router.delivery.sender import Item, Payload
from router.errors import SpoolError
from router.handoff.intake import Intake
from router.handoff.ticket import Ticket
from router.processes.hot_loans import HotLoans
from router.processes.instances import InstanceBytes, read_head, remove_file
from router.processes.logs import PeerLogLimit
from router.processes.structure_gate import refusal_of
from router.routing.attributes import read_attributes
from router.routing.facts import Decision, Facts
from router.spool.record import Entry, InstanceRecord
from router.spool.states import Selector
from router.standard.statuses import (
    CANNOT_UNDERSTAND,
    DATASET_MISMATCH,
    NOT_AUTHORISED,
    OUT_OF_RESOURCES,
    SUCCESS,
)
from router.wire.codec import StoredEntry

if TYPE_CHECKING:
    from router.processes.worker import Worker

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E

HEAD_BYTES = 4 << 20
"""How much of a spilled dataset is read for its attributes."""

HOT_QUEUE_MAX = 64
"""A destination with more than this many waiting gets its instances from the spool, not from the slab."""

DOWN = Failure(ErrorClass.CONNECT, None, "the destination is down")

logger = logging.getLogger(__name__)


Known = tuple[Decision, str, str]
"""The decision on a ticket, its Study Instance UID and its Series Instance UID."""


@dataclass(slots=True)
class Handled:
    """One ticket on its way through the worker."""

    intake: Intake
    ticket: Ticket
    instance: InstanceBytes
    decision: Decision
    study_uid: str = ""
    series_uid: str = ""
    began: float = 0.0
    seq: int = 0
    entry: Entry | None = None
    awaited: set[str] = field(default_factory=set)
    delivered: dict[str, int] = field(default_factory=dict)
    refused: dict[str, Failure] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    deadline: float = 0.0


@dataclass(slots=True)
class Adopted:
    """An entry on its way into the ledger that no ticket waits for (see adoption.py)."""

    seq: int
    entry: Entry
    settled: asyncio.Future[None]


class Handling:
    """Takes tickets one after the other; holds those that wait for the disk or for destinations."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.hot_loans = HotLoans(worker.config.router.workers)
        self._unsynced: deque[Handled | Adopted | StoredEntry] = deque()
        self._undelivered: dict[int, Handled] = {}
        self._wants_sync = False
        self._last_seq = 0
        self._log_limit = PeerLogLimit()

    @property
    def in_progress(self) -> int:
        """Tickets that have no answer yet."""
        return len(self._unsynced) + len(self._undelivered) + self._worker.forwarding.in_progress

    @crash_points.before("ticket.taken")
    def take(self, intake: Intake, ticket: Ticket, known: Known | None = None) -> None:
        """Handle one ticket; it is answered now or later, whatever happens. known: what the lane found."""
        try:
            if known is not None:
                instance = InstanceBytes.of_ticket(self._worker.spool.payloads, intake, ticket)
                self._act(Handled(intake, ticket, instance, *known, monotonic()))
            else:
                self._take(intake, ticket)
        except Exception:
            # Whatever it is (memory that ran out): this ticket is refused, those behind it are taken.
            logger.exception("association=%d refused=A700", ticket.association_id)
            if not self._waits(ticket):
                with suppress(ValueError):  # it was answered before the trouble began
                    intake.answer(ticket, OUT_OF_RESOURCES, "out of resources", release=True)

    def _waits(self, ticket: Ticket) -> bool:
        """Whether a ticket is on its way to an answer."""
        return any(
            isinstance(handled, Handled) and handled.ticket is ticket
            for handled in (*self._unsynced, *self._undelivered.values())
        )

    def _take(self, intake: Intake, ticket: Ticket) -> None:
        worker = self._worker
        if ticket.file and not os.path.exists(ticket.file):
            self._answer_adopted(intake, ticket)
            return
        instance = InstanceBytes.of_ticket(worker.spool.payloads, intake, ticket)
        try:
            fault, why = refusal_of(worker.config.limits.structure_scan, ticket, instance)
            if fault:
                worker.counters.structure_refused(fault)
                self._refuse_structure(intake, ticket, why)
                return
            attributes = self._attributes(instance, ticket)
        except ValueError as error:
            self._refuse_structure(intake, ticket, ", offset ".join(map(str, error.args)))
            return
        except SpoolError as error:
            logger.error('association=%d refused=A700 why="%s"', ticket.association_id, error)
            self._refuse(intake, ticket, OUT_OF_RESOURCES, "out of resources")
            return
        uid = attributes.get(SOP_INSTANCE_UID)
        if uid is not None and uid[0] != ticket.sop_instance:
            self._refuse(intake, ticket, DATASET_MISMATCH, "SOP Instance UID differs from the command's")
            return
        facts = Facts(
            ticket.calling_ae_title,
            ticket.called_ae_title,
            ticket.peer_address,
            ticket.sop_class,
            ticket.transfer_syntax,
            attributes,
        )
        decision = worker.rules.decide(facts)
        worker.forwarding.learn(ticket, decision)
        handled = Handled(
            intake,
            ticket,
            instance,
            decision,
            attributes.get(STUDY_INSTANCE_UID, ("",))[0],
            attributes.get(SERIES_INSTANCE_UID, ("",))[0],
            monotonic(),
        )
        self._act(handled)

    def sync(self) -> None:
        """Have what was appended made durable: once for all the tickets taken in one go."""
        if self._wants_sync:
            self._wants_sync = False
            self._worker.spool.writer.sync_soon()

    @crash_points.before("sync.after")
    def became_durable(self, up_to_seq: int) -> None:
        """Answer every ticket whose entry is durable now, and begin to deliver. Raises SpoolError."""
        unsynced = self._unsynced
        touched: dict[Destination, None] = {}
        while unsynced and unsynced[0].seq <= up_to_seq:
            first = unsynced[0]
            if isinstance(first, Handled | Adopted):
                assert first.entry is not None
                self._worker.spool.ledger.add([first.entry])  # if it cannot, everything stays queued
                unsynced.popleft()
                self._is_durable(first, touched)
            else:
                run = self._first_run(up_to_seq)
                self._worker.spool.ledger.add([stored.entry for stored in run])  # as above
                for _ in run:
                    unsynced.popleft()
                self._run_is_durable(run, touched)
        for destination in touched:
            destination.pump()

    def _is_durable(self, handled: Handled | Adopted, touched: dict[Destination, None]) -> None:
        if isinstance(handled, Adopted):
            handled.settled.set_result(None)
            return
        stays_hot = self._deliver_stored(handled, touched)
        release = not stays_hot and handled.instance.give_up()
        handled.intake.answer(handled.ticket, SUCCESS, release=release)
        if not stays_hot and not release:
            handled.instance.cool()
        self._worker.counters.stored(monotonic() - handled.began)

    def _first_run(self, up_to_seq: int) -> list[StoredEntry]:
        """Return the entries of the lane that are durable and stand before all others."""
        run: list[StoredEntry] = []
        for one in self._unsynced:
            if isinstance(one, Handled | Adopted) or one.seq > up_to_seq:
                break
            run.append(one)
        return run

    def _run_is_durable(self, run: list[StoredEntry], touched: dict[Destination, None]) -> None:
        """Have the lane answer entries and send what it can; the rest goes to its destinations from here."""
        entries = self._worker.forwarding.entries
        assert entries is not None
        for stored in entries.lane.deliver(run):
            handled = entries.handled_of(stored)
            if not self._deliver_stored(handled, touched):
                handled.instance.cool()

    def storing_failed(self, error: SpoolError) -> None:
        """Answer failure to every ticket that waits for a disk that said it failed."""
        while self._unsynced:
            first = self._unsynced.popleft()
            if isinstance(first, Adopted):
                first.settled.set_exception(error)
                continue
            if not isinstance(first, Handled):
                assert self._worker.forwarding.entries is not None
                first = self._worker.forwarding.entries.handled_of(first)
            self._answer(first, OUT_OF_RESOURCES, "storage failed")

    def adopt(self, entry: Entry) -> asyncio.Future[None]:
        """Queue an entry just appended; the future is done when it is durable and in the ledger."""
        adopted = Adopted(entry.seq, entry, asyncio.get_running_loop().create_future())
        self._unsynced.append(adopted)
        return adopted.settled

    def await_disk(self, run: list[StoredEntry]) -> None:
        """Let entries that the lane has appended wait until they are durable."""
        self._unsynced.extend(run)
        self._wants_sync = True

    def refuse_run(self, run: list[Handled], error: SpoolError) -> None:
        """Answer failure to tickets that could not be appended."""
        for handled in run:
            self._refuse_unstored(handled, error)

    def handled_of(
        self, intake: Intake, ticket: Ticket, decision: Decision, entry: Entry, began: float
    ) -> Handled:
        """Return a ticket that the lane has stored as one that was stored here."""
        instance = InstanceBytes.of_ticket(self._worker.spool.payloads, intake, ticket)
        instance.location = entry.location
        record = entry.record
        return Handled(
            intake, ticket, instance, decision, record.study_uid, record.series_uid, began, entry.seq, entry
        )

    def adopt_forward(self, intake: Intake, ticket: Ticket, decision: Decision, began: float) -> Handled:
        """Take over a ticket that the forward lane has begun; awaited_item() adds its destinations."""
        instance = InstanceBytes.of_ticket(self._worker.spool.payloads, intake, ticket)
        attributes = self._attributes(instance, ticket)
        study, series = (attributes.get(tag, ("",))[0] for tag in (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID))
        handled = Handled(intake, ticket, instance, decision, study, series, began)
        self._await_destinations(handled)
        return handled

    def awaited_item(self, handled: Handled, name: str) -> Item:
        """Return a new item of a ticket that waits for this destination's answer."""
        item = self.new_item(handled, self._last_seq)
        item.payload = self._guarded(handled, name)
        item.is_immediate = True
        item.tag = handled
        handled.items[name] = item
        handled.awaited.add(name)
        return item

    def go_on(self, handled: Handled) -> None:
        """Offer a ticket to those of its destinations that have it neither delivered nor under way."""
        known = handled.delivered.keys() | handled.awaited
        rest = [name for name in handled.decision.destinations if name not in known]
        self._offer_immediate(handled, rest)
        if not handled.awaited:
            self._settle_delivered(handled)

    def outcome(self, item: Item, destination: str, status: int | None, failure: Failure | None) -> bool:
        """Take the outcome of an item that a ticket waits for; False if no ticket does."""
        handled = item.tag
        if not isinstance(handled, Handled) or destination not in handled.awaited:
            return False
        handled.awaited.discard(destination)
        if failure is None:
            handled.delivered[destination] = status or 0
        else:
            handled.refused[destination] = failure
        if not handled.awaited:
            self._settle_delivered(handled)
            self.sync()
        return True

    def expire(self, now: float) -> None:
        """Fall back for tickets whose destinations take too long."""
        self._worker.forwarding.expire(now)
        late = [handled for handled in self._undelivered.values() if handled.deadline <= now]
        for handled in late:
            for name in handled.awaited:
                if (destination := self._worker.owing.destinations.get(name)) is not None:
                    destination.is_late = True
                    if destination.outlet is not None:
                        destination.outlet.is_ill = True
            self._settle_delivered(handled)

    # Deciding

    def _attributes(self, instance: InstanceBytes, ticket: Ticket) -> dict[int, tuple[str, ...]]:
        buffers = [read_head(ticket.file, HEAD_BYTES)] if ticket.file else instance.views()
        return read_attributes(buffers, ticket.transfer_syntax, self._worker.rules.wanted)

    def _act(self, handled: Handled) -> None:
        action = handled.decision.action
        intake, ticket = handled.intake, handled.ticket
        if action == "discard":
            self._worker.counters.unmatched("discard")
            intake.answer(ticket, SUCCESS, release=True)
            self._forget_file(ticket)
        elif action == "reject":
            self._worker.counters.unmatched("reject")
            self._refuse(intake, ticket, NOT_AUTHORISED, "no rule matches")
        elif action == "hold":
            self._worker.counters.unmatched("hold")
            self._store_unless_there(handled)
        elif ticket.ack == "delivered":
            self._deliver_first(handled)
        else:
            self._store_unless_there(handled)

    def _answer_adopted(self, intake: Intake, ticket: Ticket) -> None:
        """Answer a spilled instance whose file is gone: a predecessor that died may have made it durable."""
        found = self._worker.spool.ledger.find(Selector(sop_instance=ticket.sop_instance))
        if any(owed.entry.record.received_ns == ticket.received_ns for owed in found):
            intake.answer(ticket, SUCCESS, release=True)
        else:
            intake.answer(ticket, OUT_OF_RESOURCES, "spilled dataset lost", release=True)

    def _refuse_structure(self, intake: Intake, ticket: Ticket, why: str) -> None:
        """Refuse a dataset that cannot be parsed, or not safely; say so as often as its peer may have us."""
        suppressed = self._log_limit.admit(ticket.peer_address, monotonic())
        if suppressed is None:
            self._worker.counters.suppressed()
        else:
            tail = f" suppressed={suppressed}" if suppressed else ""
            logger.warning('association=%d refused=C000 why="%s"%s', ticket.association_id, why, tail)
        self._refuse(intake, ticket, CANNOT_UNDERSTAND, "dataset cannot be parsed")

    def _refuse(self, intake: Intake, ticket: Ticket, status: int, comment: str) -> None:
        intake.answer(ticket, status, comment, release=True)
        self._forget_file(ticket)

    @staticmethod
    def _forget_file(ticket: Ticket) -> None:
        if ticket.file:
            remove_file(ticket.file)

    # ack = "stored"

    def _store_unless_there(self, handled: Handled) -> None:
        """Store; or, where the policy says so, answer success for what the spool has byte for byte."""
        duplicates, ticket = self._worker.duplicates, handled.ticket
        if duplicates is None:
            self._store(handled)
        elif not ticket.file and duplicates.holds(ticket, handled.decision, handled.instance.views()):
            self._worker.counters.skipped()
            self._answer(handled, SUCCESS)
        else:
            self._store(handled)
            if handled.seq:
                duplicates.appended(ticket.sop_instance, handled.seq)

    def _store(self, handled: Handled) -> None:
        """Append to the spool; the answer follows when it is durable."""
        worker = self._worker
        ticket = handled.ticket
        record = InstanceRecord(
            ticket.sop_class,
            ticket.sop_instance,
            ticket.transfer_syntax,
            handled.study_uid,
            handled.series_uid,
            ticket.calling_ae_title,
            ticket.called_ae_title,
            ticket.peer_address,
            ticket.source,
            ticket.received_ns,
            handled.decision.destinations,
            "hold" if handled.decision.action == "hold" else "forward",
            handled.decision.rules,
        )
        try:
            if ticket.file:
                path = Path(ticket.file)
                size, crc = ticket.dataset_bytes, ticket.file_crc
                seq, location = worker.spool.writer.adopt_file(record, path, size, crc)
            else:
                seq, location = worker.spool.writer.append(record, handled.instance.views())
        except SpoolError as error:
            self._refuse_unstored(handled, error)
            return
        handled.seq = seq
        handled.instance.location = location
        handled.entry = Entry(seq, record, location)
        self._unsynced.append(handled)
        self._wants_sync = True

    def _refuse_unstored(self, handled: Handled, error: SpoolError) -> None:
        logger.error('association=%d spool=refused why="%s"', handled.ticket.association_id, error)
        self._worker.spool_trouble(error)
        self._leave(handled)
        self._answer(handled, OUT_OF_RESOURCES, "out of resources")

    def _deliver_stored(self, handled: Handled, touched: dict[Destination, None]) -> bool:
        """Hand a durable instance to its destinations; return whether some of them send it from the slab."""
        self._worker.contested.note(handled.ticket.sop_instance)
        hot: list[tuple[str, Item]] = []
        sent = 0
        intake, slots = handled.intake, len(handled.ticket.slots)
        may_keep = not handled.ticket.file and self.hot_loans.may_keep(intake, slots)
        entries = self._worker.forwarding.entries
        for name in handled.decision.destinations:
            if name in handled.delivered:
                self._worker.owing.mark_delivered(handled.seq, name, handled.delivered[name])
            elif name in handled.awaited:
                self._worker.owing.adopt(name, self._make_ordinary(handled, name))
            elif (destination := self._worker.owing.destinations.get(name)) is not None:
                backlog = self._worker.owing.backlogs[name]
                if backlog.must_wait:
                    backlog.leave((handled.ticket.calling_ae_title, handled.study_uid), handled.seq)
                    if destination.is_up and destination.is_idle:
                        touched[destination] = None
                    continue
                item = self.new_item(handled, handled.seq)
                item.payload = self._guarded(handled, name)
                item.entry_id = handled.seq
                if may_keep and entries is not None and entries.send(handled, destination, item):
                    backlog.adopt(handled.seq)
                    sent += 1
                elif backlog.offer(item):
                    touched[destination] = None
                    if destination.is_well and destination.queued <= HOT_QUEUE_MAX:
                        hot.append((name, item))
        if not may_keep or not (hot or sent):
            return False
        self.hot_loans.keep(intake, slots)
        handled.instance.keep_hot(len(hot) + sent, partial(self.hot_loans.give_back, intake, slots))
        for name, item in hot:
            self._worker.owing.keep_hot(name, item, handled.instance)
        return True

    @staticmethod
    def _make_ordinary(handled: Handled, name: str) -> Item:
        """Let an item that is still being sent since before the fall-back go on as one of the spool's."""
        handled.awaited.discard(name)
        item = handled.items[name]
        item.entry_id = handled.seq
        item.is_immediate = False
        item.tag = None
        return item

    def _guarded(self, handled: Handled, name: str) -> Payload:
        ticket = handled.ticket
        return self._worker.contested.guarded(handled.instance, ticket.sop_instance, name, ticket.received_ns)

    def new_item(self, handled: Handled, seq: int) -> Item:
        """Return a ticket as an item for one destination."""
        ticket = handled.ticket
        item = Item(
            seq,
            ticket.sop_class,
            ticket.sop_instance,
            ticket.transfer_syntax,
            ticket.dataset_bytes,
            handled.instance,
        )
        item.received_ns = ticket.received_ns
        item.flow = (ticket.calling_ae_title, handled.study_uid)
        return item

    # ack = "delivered"

    def _deliver_first(self, handled: Handled) -> None:
        """Hand the instance to its destinations; the answer follows when all of them have answered."""
        self._await_destinations(handled)
        self._offer_immediate(handled, handled.decision.destinations)
        if not handled.awaited:
            self._settle_delivered(handled)

    def _await_destinations(self, handled: Handled) -> None:
        handled.deadline = handled.began + self._worker.config.router.ack_wait_s
        self._undelivered[id(handled)] = handled
        self._last_seq = max(self._last_seq + 1, self._worker.spool.writer.appended_seq + 1)

    def _offer_immediate(self, handled: Handled, names: Sequence[str]) -> None:
        """Hand the instance to destinations; what they do not take now counts as refused."""
        offered = []
        for name in names:
            destination = self._worker.owing.destinations.get(name)
            item = self.awaited_item(handled, name)
            if destination is not None and destination.is_well and destination.offer(item):
                offered.append(destination)
                continue
            handled.awaited.discard(name)
            handled.items.pop(name)
            handled.refused[name] = DOWN
        for destination in offered:
            destination.pump()

    def _settle_delivered(self, handled: Handled) -> None:
        """Answer a ticket whose destinations have all answered, or took too long."""
        if self._undelivered.pop(id(handled), None) is None:
            return
        if not handled.awaited and not handled.refused:
            self._answer(handled, SUCCESS)
            self._worker.counters.stored(monotonic() - handled.began)
        elif self._worker.config.router.ack_fallback == "failure":
            statuses = [failure.status for failure in handled.refused.values() if failure.status]
            self._leave(handled)
            self._answer(handled, statuses[0] if statuses else OUT_OF_RESOURCES, "not delivered")
        else:
            self._store(handled)

    def _leave(self, handled: Handled) -> None:
        """Stop waiting for destinations: what is queued is taken back, what is being sent ends unheard."""
        for name in handled.awaited:
            item = handled.items[name]
            item.tag = None
            destination = self._worker.owing.destinations.get(name)
            if destination is not None:
                destination.recall(item)
        handled.awaited.clear()

    def _answer(self, handled: Handled, status: int, comment: str = "") -> None:
        """Answer for good a ticket that the spool does not have; its bytes go when nobody reads them."""
        release = handled.instance.give_up()
        handled.intake.answer(handled.ticket, status, comment, release=release)
        if not release:
            handled.instance.cool()
        self._forget_file(handled.ticket)
