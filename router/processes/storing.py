"""ack = "stored": a ticket goes into the spool, is answered when that is durable, and goes on from there.

Invariant: nothing is answered before the disk has it, and everything in the order in which it was appended.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Literal

from router import crash_points
from router.delivery.destination import Destination
from router.delivery.sender import FlowName, Item, Payload
from router.errors import SpoolError
from router.handoff.intake import Intake
from router.handoff.ticket import Ticket
from router.processes.backlog import Backlog
from router.processes.handled import Adopted, Handled, answer, flow_of, new_item
from router.processes.hot_loans import HotLoans
from router.processes.instances import InstanceBytes
from router.routing.facts import Decision
from router.spool.record import Entry, InstanceRecord
from router.standard.statuses import OUT_OF_RESOURCES, SUCCESS
from router.wire.codec import EntryLane, StoredEntry

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
        self._unsynced: deque[Handled | Adopted | list[StoredEntry]] = deque()  # runs of the lane as lists
        self._wants_sync = False
        self._runs = 0

    @property
    def in_progress(self) -> int:
        """Tickets, and adopted entries, that are not durable yet."""
        return sum(len(one) if isinstance(one, list) else 1 for one in self._unsynced)

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
        self._unsynced.append(run)
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
        handled = Handled(
            intake, ticket, instance, decision, record.study_uid, record.series_uid, began, entry.seq, entry
        )
        handled.is_of_lane = True
        return handled

    def sync(self) -> None:
        """Have what was appended made durable: once for all the tickets taken in one go."""
        if self._wants_sync:
            self._wants_sync = False
            self._worker.spool.writer.sync_soon()

    @crash_points.before("sync.after")
    def became_durable(self, up_to_seq: int) -> None:
        """Answer every ticket whose entry is durable now, and begin to deliver. Raises SpoolError.

        If anything else is raised, what it was about stays queued: call it again.
        """
        unsynced = self._unsynced
        self._runs += 1
        touched: dict[Destination, None] = {}
        try:
            while unsynced:
                first = unsynced[0]
                if isinstance(first, list):
                    if not (run := self._first_run(up_to_seq)):
                        break
                    self._run_is_durable(run, touched)
                    continue
                if first.seq > up_to_seq:
                    break
                assert first.entry is not None
                self._worker.spool.ledger.add([first.entry])  # if it cannot, everything stays queued
                unsynced.popleft()
                self._is_durable(first, touched)
        finally:
            for destination in touched:
                destination.pump()

    def _is_durable(self, handled: Handled | Adopted, touched: dict[Destination, None]) -> None:
        if isinstance(handled, Adopted):
            if not handled.settled.done():
                handled.settled.set_result(None)
            else:  # who waited for it has given up: it would be nobody's until the next start
                self._worker.owing.owe(handled.entry)
            return
        stays_hot = self._deliver_or_leave(handled, touched)
        release = not stays_hot and handled.instance.give_up()
        handled.intake.answer(handled.ticket, SUCCESS, release=release)
        if not stays_hot and not release:
            handled.instance.cool()
        self._worker.counters.stored(monotonic() - handled.began)

    def _first_run(self, up_to_seq: int) -> list[StoredEntry]:
        """Return the entries of the lane that are durable and stand before all others; as one run from now
        on."""
        unsynced = self._unsynced
        runs: list[list[StoredEntry]] = []
        for one in unsynced:
            if not isinstance(one, list) or one[0].seq > up_to_seq:
                break
            runs.append(one)
        if len(runs) == 1 and runs[0][-1].seq <= up_to_seq:
            return runs[0]
        run = [stored for one in runs for stored in one if stored.seq <= up_to_seq]
        rest = [stored for one in runs for stored in one if stored.seq > up_to_seq]
        for _ in runs:
            unsynced.popleft()
        unsynced.extendleft(one for one in (rest, run) if one)
        return run

    def _run_is_durable(self, run: list[StoredEntry], touched: dict[Destination, None]) -> None:
        """Have the lane answer entries and send what it can; the rest goes to its destinations from here.

        The answers go first: senders wait for them, nobody waits for the ledger.
        """
        entries, ledger = self._worker.forwarding.entries, self._worker.spool.ledger
        assert entries is not None
        ledger.check_room()  # if it takes nothing, everything stays queued
        entries.lane.answer(run)
        try:
            ledger.add_run(run)
        except SpoolError:  # it has just failed; the segments have them
            self._unsynced.popleft()
            for stored in run:
                entries.handled_of(stored).instance.cool()
            raise
        self._unsynced.popleft()
        for stored in self._deliver_run(entries.lane, run, touched):
            try:
                handled = entries.handled_of(stored)
            except Exception:
                self._leave_of_lane(entries.lane, stored, touched)
            else:
                if not self._deliver_or_leave(handled, touched):
                    handled.instance.cool()

    def _deliver_run(
        self, lane: EntryLane, run: list[StoredEntry], touched: dict[Destination, None]
    ) -> list[StoredEntry]:
        """Have the lane send what it can; return the rest. What fails is left to the ledger, by itself."""
        rest: list[StoredEntry] = []
        start = 0
        while True:
            try:
                lane.deliver(run, start, rest)
                return rest
            except Exception:  # memory that ran out, say
                if lane.reached == len(run):  # of which some wait in the ledger, and this was not told
                    logger.exception("delivery=left-to-ledger")
                    self._worker.owing.look_again()
                    return rest
                start = lane.reached + 1
                self._leave_of_lane(lane, run[lane.reached], touched)

    def _leave_of_lane(self, lane: EntryLane, stored: StoredEntry, touched: dict[Destination, None]) -> None:
        flow = (stored.record.calling_ae_title, stored.record.study_uid)
        names = stored.plan.decision.destinations
        self._leave_failed(stored.seq, flow, names, lane.give_up(stored), touched)

    def _leave_failed(
        self,
        seq: int,
        flow: FlowName,
        names: Sequence[str],
        missed: str | None,
        touched: dict[Destination, None],
    ) -> None:
        """Leave an entry to the ledger for those of its destinations that have not got it: it is answered,
        and would be nobody's until the next start.

        missed: one that has perhaps taken note of it and has not got it. Call it where the reason was caught.
        """
        logger.exception("entry=%s delivery=left-to-ledger", self._worker.entry_name(seq))
        owing = self._worker.owing
        for name in names:
            if (destination := owing.destinations.get(name)) is None:
                continue
            if name == missed:
                owing.take_back(name, seq)
                owing.backlogs[name].held.discard(seq)
            if seq not in owing.backlogs[name].held:
                owing.backlogs[name].insert(flow, seq)
                touched[destination] = None

    def failed(self, error: SpoolError) -> None:
        """Answer failure to every ticket that waits for a disk that said it failed."""
        while self._unsynced:
            first = self._unsynced[0]
            if isinstance(first, list):
                entries = self._worker.forwarding.entries
                assert entries is not None
                stored = first.pop(0)  # one by one: what an error leaves behind is answered the next time
                if not first:
                    self._unsynced.popleft()
                answer(entries.handled_of(stored), OUT_OF_RESOURCES, "storage failed")
                continue
            self._unsynced.popleft()
            if isinstance(first, Handled):
                answer(first, OUT_OF_RESOURCES, "storage failed")
            elif not first.settled.done():
                first.settled.set_exception(error)

    def _deliver_or_leave(self, handled: Handled, touched: dict[Destination, None]) -> bool:
        """As _deliver_stored; if that is not possible, the instance is left to the ledger."""
        try:
            return self._deliver_stored(handled, touched)
        except Exception:  # memory that ran out, say
            names = [name for name in handled.decision.destinations if name not in handled.delivered]
            self._leave_failed(handled.seq, flow_of(handled), names, None, touched)
            return handled.instance.is_kept_hot

    def _deliver_stored(self, handled: Handled, touched: dict[Destination, None]) -> bool:
        """Hand a durable instance to its destinations; return whether some of them send it from the slab."""
        self._worker.contested.note(handled.ticket.sop_instance)
        hot: list[tuple[str, Item]] = []
        sent = 0
        intake, slots = handled.intake, len(handled.ticket.slots)
        may_keep = not handled.ticket.file and self.hot_loans.may_keep(intake, slots)
        give_back = partial(self.hot_loans.give_back, intake, slots)
        for name in handled.decision.destinations:
            try:
                taken = self._deliver_to(handled, name, may_keep, touched)
            except Exception:  # what one destination cannot take now is no reason to keep it from the others
                self._leave_failed(handled.seq, flow_of(handled), (name,), name, touched)
                continue
            if taken is True:
                sent += 1
            elif taken is not None:
                hot.append((name, taken))
        if not may_keep or not (hot or sent):
            return False
        handled.instance.keep_hot(len(hot) + sent, give_back)
        self.hot_loans.keep(intake, slots)
        for name, item in hot:
            self._worker.owing.keep_hot(name, item, handled.instance)
        return True

    def _deliver_to(
        self, handled: Handled, name: str, may_keep: bool, touched: dict[Destination, None]
    ) -> Item | Literal[True] | None:
        """Hand a durable instance to one destination. Return True if it is being sent from the slab, the item
        if that is to be sent from there soon."""
        owing, seq = self._worker.owing, handled.seq
        if name in handled.delivered:
            owing.mark_delivered(seq, name, handled.delivered[name])
            return None
        if name in handled.awaited:
            owing.adopt(name, self._make_ordinary(handled, name))
            return None
        if (destination := owing.destinations.get(name)) is None:
            return None
        backlog = owing.backlogs[name]
        if backlog.must_wait:
            backlog.leave(flow_of(handled), seq)
            if destination.is_up and destination.is_idle:
                touched[destination] = None
            return None
        if not handled.is_of_lane and destination.leaves_one_more(self._runs):
            backlog.leave(flow_of(handled), seq)
            owing.leave_waiting(destination)
            return None
        item = new_item(handled, seq)
        item.payload = self.guarded(handled, name)
        item.entry_id = seq
        if may_keep and self._send_at_once(handled, destination, backlog, item):
            return True
        if not backlog.offer(item):
            return None
        touched[destination] = None
        return item if destination.is_well and destination.queued <= HOT_QUEUE_MAX else None

    def _send_at_once(self, handled: Handled, destination: Destination, backlog: Backlog, item: Item) -> bool:
        entries = self._worker.forwarding.entries
        if entries is None:
            return False
        backlog.adopt(handled.seq)  # not later: what is sent from the slab must be known to be
        try:
            is_sent = entries.send(handled, destination, item)
        except Exception:
            if not entries.lane.has_sent:
                raise
            logger.exception("entry=%s delivery=begun", self._worker.entry_name(handled.seq))
            return True
        if not is_sent:
            backlog.held.discard(handled.seq)
        return is_sent

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
