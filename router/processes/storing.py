"""ack = "stored": a ticket goes into the spool, is answered when that is durable, and goes on from there.

Invariant: nothing is answered before the disk has it, and everything in the order in which it was appended.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from router import crash_points
from router.delivery.destination import Destination
from router.delivery.sender import Item, Payload
from router.errors import SpoolError
from router.handoff.intake import Intake
from router.handoff.ticket import Ticket
from router.processes.handled import Adopted, Handled, answer, new_item
from router.processes.hot_loans import HotLoans
from router.processes.instances import InstanceBytes
from router.routing.facts import Decision
from router.spool.record import Entry, InstanceRecord
from router.standard.statuses import OUT_OF_RESOURCES, SUCCESS
from router.wire.codec import StoredEntry

if TYPE_CHECKING:
    from router.processes.worker import Worker

HOT_QUEUE_MAX = 64
"""A destination with more than this many waiting gets its instances from the spool, not from the slab."""

logger = logging.getLogger(__name__)


class Storing:
    """What waits for the disk, oldest first."""

    def __init__(self, worker: Worker) -> None:
        self.hot_loans = HotLoans(worker.config.router.workers)
        self._worker = worker
        self._unsynced: deque[Handled | Adopted | StoredEntry] = deque()
        self._wants_sync = False

    @property
    def in_progress(self) -> int:
        """Tickets, and adopted entries, that are not durable yet."""
        return len(self._unsynced)

    def holds(self, ticket: Ticket) -> bool:
        """Whether a ticket waits here."""
        return any(isinstance(one, Handled) and one.ticket is ticket for one in self._unsynced)

    def store_unless_there(self, handled: Handled) -> None:
        """Store; or, where the policy says so, answer success for what the spool has byte for byte."""
        duplicates, ticket = self._worker.duplicates, handled.ticket
        if duplicates is None:
            self.store(handled)
        elif not ticket.file and duplicates.holds(ticket, handled.decision, handled.instance.views()):
            self._worker.counters.skipped()
            answer(handled, SUCCESS)
        else:
            self.store(handled)
            if handled.seq:
                duplicates.appended(ticket.sop_instance, handled.seq)

    def store(self, handled: Handled) -> None:
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

    def await_disk(self, run: list[StoredEntry]) -> None:
        """Let entries that the lane has appended wait until they are durable."""
        self._unsynced.extend(run)
        self._wants_sync = True

    def refuse_run(self, run: list[Handled], error: SpoolError) -> None:
        """Answer failure to tickets that could not be appended."""
        for handled in run:
            self._refuse_unstored(handled, error)

    def _refuse_unstored(self, handled: Handled, error: SpoolError) -> None:
        logger.error('association=%d spool=refused why="%s"', handled.ticket.association_id, error)
        self._worker.spool_trouble(error)
        self._worker.handling.delivering.leave(handled)
        answer(handled, OUT_OF_RESOURCES, "out of resources")

    def adopt(self, entry: Entry) -> asyncio.Future[None]:
        """Queue an entry just appended; the future is done when it is durable and in the ledger."""
        adopted = Adopted(entry.seq, entry, asyncio.get_running_loop().create_future())
        self._unsynced.append(adopted)
        return adopted.settled

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
                self._run_is_durable(self._first_run(up_to_seq), touched)
        for destination in touched:
            destination.pump()

    def _is_durable(self, handled: Handled | Adopted, touched: dict[Destination, None]) -> None:
        if isinstance(handled, Adopted):
            if not handled.settled.done():
                handled.settled.set_result(None)
            else:  # who waited for it has given up: it would be nobody's until the next start
                self._worker.owing.owe(handled.entry)
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
        """Have the lane answer entries and send what it can; the rest goes to its destinations from here.

        The answers go first: senders wait for them, nobody waits for the ledger.
        """
        entries, ledger = self._worker.forwarding.entries, self._worker.spool.ledger
        assert entries is not None
        ledger.check_room()  # if it takes nothing, everything stays queued
        entries.lane.answer(run)
        for _ in run:
            self._unsynced.popleft()
        try:
            ledger.add_run(run)
        except SpoolError:  # it has just failed; the segments have them
            for stored in run:
                entries.handled_of(stored).instance.cool()
            raise
        for stored in entries.lane.deliver(run):
            handled = entries.handled_of(stored)
            if not self._deliver_stored(handled, touched):
                handled.instance.cool()

    def failed(self, error: SpoolError) -> None:
        """Answer failure to every ticket that waits for a disk that said it failed."""
        while self._unsynced:
            first = self._unsynced.popleft()
            if isinstance(first, Adopted):
                if not first.settled.done():
                    first.settled.set_exception(error)
                continue
            if not isinstance(first, Handled):
                assert self._worker.forwarding.entries is not None
                first = self._worker.forwarding.entries.handled_of(first)
            answer(first, OUT_OF_RESOURCES, "storage failed")

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
                item = new_item(handled, handled.seq)
                item.payload = self.guarded(handled, name)
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

    def guarded(self, handled: Handled, name: str) -> Payload:
        """Return the bytes of a ticket for one destination, which may have to wait for an older version."""
        ticket = handled.ticket
        return self._worker.contested.guarded(handled.instance, ticket.sop_instance, name, ticket.received_ns)
