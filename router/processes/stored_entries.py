"""The worker's use of the entry lane: what is stored first, from its ticket to its deliveries.

The lane (_codec/entry_lane.pyx) writes tickets of a known kind into the spool, answers them when they are
durable and sends them on from the slab. What it cannot send at once, and what fails, becomes an ordinary
Handled with ordinary items here, and goes on in storing.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from router.delivery.destination import Destination
from router.delivery.sender import Item, lane_callbacks
from router.errors import SpoolError
from router.handoff.ticket import Ticket, decode_record
from router.processes.handled import Handled, new_item
from router.processes.instances import InstanceBytes
from router.spool.disk import Buffer
from router.spool.record import Entry, InstanceRecord, Location, record_of_model
from router.spool.segment import encode_head
from router.wire.codec import EntryLane, EntrySend, Outlet, SegmentWindow, SendOperation, StoredEntry

if TYPE_CHECKING:
    from router.processes.worker import Worker

SETTLE_S = 0.005
"""How long deliveries gather until they are marked; a mark that is lost in a crash costs a duplicate."""


class StoredEntries:
    """One worker's lane, and what it asks of the spool and of the general way."""

    encode_head = staticmethod(encode_head)

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.large_from_bytes = worker.spool.writer.large_from_bytes
        self.lane = EntryLane(
            self,
            worker.handling.storing.hot_loans,
            self._unsent,
            self._trouble,
            lambda: worker.loop.call_later(SETTLE_S, self.settle),
            lambda outlet: worker.owing.leave_waiting(outlet.owner),
        )

    # What the lane asks of the spool

    def begin_run(self, size: int) -> tuple[int, int, int, int, int, SegmentWindow | None] | None:
        """As SpoolWriter.begin_run; None if it raises, as it will again on the general way."""
        try:
            return self._worker.spool.writer.begin_run(size)
        except SpoolError:
            return None

    def drop_window(self) -> None:
        """As SpoolWriter.drop_window."""
        self._worker.spool.writer.drop_window()

    def write_run(self, run: list[StoredEntry], buffers: Sequence[Buffer], size: int) -> None:
        """Write the records of a run; its tickets wait for the disk then, or are refused."""
        try:
            self._worker.spool.writer.write_run(buffers, size, len(run))
        except SpoolError as error:
            self._worker.handling.storing.refuse_run([self.handled_of(stored) for stored in run], error)
        else:
            self._worker.handling.storing.await_disk(run)

    @staticmethod
    def entry_of(
        model: InstanceRecord,
        seq: int,
        sop_instance: str,
        study_uid: str,
        series_uid: str,
        received_ns: int,
        segment: int,
        offset: int,
        length: int,
        crc: int,
    ) -> Entry:
        """Return an entry as the ledger knows it. model: what is the same in all of its plan."""
        record = record_of_model(model, sop_instance, study_uid, series_uid, received_ns)
        return Entry(seq, record, Location(segment, offset, length, crc))

    # What handling asks of the lane

    def send(self, handled: Handled, destination: Destination, item: Item) -> bool:
        """Send a durable entry from the slab, past the destination's queue; False: nothing was sent."""
        if destination.outlet is None:
            return False
        tag = (handled.instance, item)
        return self.lane.send(tag, handled.seq, destination.outlet, item, handled.instance.views())

    def handled_of(self, stored: StoredEntry) -> Handled:
        """Return an entry of the lane as the general way knows it."""
        ticket = decode_record(stored.ticket)
        assert isinstance(ticket, Ticket)
        return self._worker.handling.storing.handled_of(
            stored.intake, ticket, stored.plan.decision, stored.entry, stored.began
        )

    # What the lane tells

    def settle(self) -> None:
        """Mark what was delivered."""
        done = self.lane.take_done()
        if done:
            self._worker.owing.delivered_past_queue(done)

    def _unsent(self, stored: StoredEntry, outlet: Outlet, parked: deque[Item] | None) -> None:
        """Put an entry into the queue of its destination, before its later versions."""
        instance, item = self._shared(stored)
        destination: Destination = outlet.owner
        self._worker.owing.keep_hot(destination.name, item, instance)
        destination.take_waiting(item, parked)

    def _trouble(
        self, send: EntrySend, operation: SendOperation, status: int, error: BaseException | None
    ) -> None:
        """Go on with an entry that could not be delivered as with any item of its destination's."""
        if send.entry is None:
            instance, item = send.tag
        else:
            instance, item = self._of_spool(send.entry) if send.is_from_spool else self._shared(send.entry)
        destination: Destination = send.outlet.owner
        instance.hold()  # until the outcome is told
        destination.take_over(item)
        if not send.is_from_spool:
            self._worker.owing.keep_hot(destination.name, item, instance)
        answered, failed = lane_callbacks(operation.lane.owner, item, destination.sent)
        seconds = monotonic() - operation.began
        if error is None:
            answered(status, seconds)
        else:
            failed(error, seconds)

    def _of_spool(self, stored: StoredEntry) -> tuple[InstanceBytes, Item]:
        """Return the bytes of an entry whose slots are not needed any more, and a new item of it."""
        handled = self.handled_of(stored)
        handled.instance = InstanceBytes.of_spool(self._worker.spool.payloads, stored.entry.location)
        item = new_item(handled, stored.seq)
        item.entry_id = stored.seq
        return handled.instance, item

    def _shared(self, stored: StoredEntry) -> tuple[InstanceBytes, Item]:
        """Return the bytes of an entry, which others may be sending from, and a new item of it."""
        handled = self.handled_of(stored)
        if stored.instance is None:
            stored.instance = handled.instance
            give_back = partial(
                self._worker.handling.storing.hot_loans.give_back, stored.intake, len(handled.ticket.slots)
            )
            handled.instance.keep_hot(stored.uses, give_back)
        else:
            handled.instance = stored.instance
        item = new_item(handled, stored.seq)
        item.entry_id = stored.seq
        return handled.instance, item
