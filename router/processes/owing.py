"""What destinations are owed: the bridge between the ledger, which knows all of it, and the few in memory.

A destination holds a part of what it is owed; the rest stays in the ledger and is fetched as the queue drains
(backlog.py). What a destination cannot take goes to its alternate (alternates.py). Every outcome is marked in
the ledger; marks may be lost in a crash and cost a duplicate.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from time import monotonic, time_ns
from typing import TYPE_CHECKING

from router import crash_points
from router.config.peers import Destination as DestinationSettings
from router.config.schema import Config
from router.delivery.destination import Destination
from router.delivery.retry import ErrorClass, Failure
from router.delivery.sender import Item
from router.drivers.event_loop import EventLoopDriver
from router.errors import SpoolError
from router.handoff.ticket import Offer
from router.processes.alternates import Alternates
from router.processes.backlog import Backlog
from router.processes.contested import Guarded
from router.processes.instances import InstanceBytes
from router.processes.logs import PeerLogLimit
from router.spool.record import Entry
from router.spool.states import DeliveryState, Mark, Owed
from router.standard.uids import VERIFICATION
from router.wire.codec import EntrySend

if TYPE_CHECKING:
    from router.processes.worker import Worker

TROUBLE_PAUSE_S = 0.25
"""Until a ledger that cannot be read is asked again."""

NS = 1_000_000_000

logger = logging.getLogger(__name__)


class Owing:
    """The destinations of one worker, and what becomes of their items (delivery.destination.Listener)."""

    def __init__(self, worker: Worker, driver: EventLoopDriver, config: Config) -> None:
        self.destinations: dict[str, Destination] = {}
        self._closing: dict[str, Destination] = {}
        self._worker = worker
        self._driver = driver
        self.backlogs: dict[str, Backlog] = {}
        self._hot: dict[str, dict[Item, InstanceBytes]] = {}
        self._going_on: dict[str, asyncio.TimerHandle] = {}
        self._log_limit = PeerLogLimit()
        self._alternates = Alternates(worker, self)
        self.apply(config)

    def apply(self, config: Config) -> list[Destination]:
        """Take over the destinations of a configuration; return those that are gone, to be closed.

        One that is wanted again while it closes goes on; if that is too late, a new one begins when it is
        closed (see `closed`): two would send the same.
        """
        for name, settings in config.destinations.items():
            if name in self._closing and self._closing[name].keep():
                self.destinations[name] = self._closing.pop(name)
            if name in self.destinations:
                self.destinations[name].update(settings)
            elif name not in self._closing:
                self._begin(name, settings)
        gone = [name for name in self.destinations if name not in config.destinations]
        self._closing |= {name: self.destinations.pop(name) for name in gone}
        return [self._closing[name] for name in gone]

    def _begin(self, name: str, settings: DestinationSettings) -> None:
        destination = self.destinations[name] = Destination(name, settings, self._driver, self)
        self.backlogs[name] = Backlog(destination, self._worker.spool.ledger)
        self._hot[name] = {}
        if destination.outlet is not None:
            destination.outlet.backlog = self.backlogs[name]

    def closed(self, destination: Destination) -> bool:
        """Let go of a destination that was closed; False if it goes on, or that is done already."""
        if self._closing.get(destination.name) is not destination:
            return False
        del self._closing[destination.name]
        if destination.outlet is not None and destination.outlet.waiting:
            destination.outlet.entries.go_on(destination.outlet)  # into its queue: their slots go back then
        self.cool_all(destination.name)
        return True

    def expect(self, offer: Offer) -> None:
        """Remember what a sender negotiated: destinations are asked for all of it at once, not bit by bit."""
        keys = [key for key in offer.contexts if key[0] != VERIFICATION]
        for destination in self.destinations.values():
            destination.expect(keys)

    def look_again(self, names: list[str] | None = None) -> None:
        """Fetch from the ledger again, from the oldest: at the start, and when people changed what is
        owed."""
        for name, destination in self.destinations.items():
            if names is None or name in names:
                self.backlogs[name].look_again()
                destination.wake_up()

    def tend(self, now: float) -> None:
        """Look after idle associations, and after destinations that have been down for long."""
        for destination in self.destinations.values():
            destination.tend(now)
        self._alternates.tend(now)

    def adopt(self, name: str, item: Item) -> None:
        """Take note that an item in memory has become an entry of the spool."""
        assert item.entry_id is not None
        self.backlogs[name].adopt(item.entry_id)

    def keep_hot(self, name: str, item: Item, instance: InstanceBytes) -> None:
        """Take note that an item is to be sent from the slab: at its first attempt, or never."""
        self._hot[name][item] = instance

    def owe(self, entry: Entry) -> None:
        """Take note of an entry in the ledger that is owed from now on."""
        flow = (entry.record.calling_ae_title, entry.record.study_uid)
        for name in entry.record.destinations:
            if name in self.destinations:
                self.backlogs[name].insert(flow, entry.seq)

    def take_back(self, name: str, entry_id: int) -> None:
        """Leave an entry that waits in memory to the ledger again."""
        if name in self.destinations:
            self._withdraw(name, entry_id)

    def leave_waiting(self, destination: Destination) -> None:
        """Leave to the ledger what waits for a destination that hardly answers, and give its slots back."""
        backlog = self.backlogs[destination.name]
        for item in destination.shed():
            assert item.entry_id is not None
            backlog.give_back(item.flow, item.entry_id)
        self.cool_all(destination.name)

    def forget_settled(self) -> None:
        """Take out of memory what people have dropped; what is being sent right now goes on."""
        for name in self.destinations:
            held = self.backlogs[name].held
            for entry_id in held - self._worker.spool.ledger.owed_among(name, held):
                self._withdraw(name, entry_id)

    def _withdraw(self, name: str, entry_id: int) -> None:
        """Take an entry that is not being sent out of memory; its slots, if it has any, go back."""
        if self.destinations[name].withdraw(entry_id):
            self.backlogs[name].held.discard(entry_id)
            for item in [one for one in self._hot[name] if one.entry_id == entry_id]:
                self._cool(name, item)

    # What destinations tell

    @crash_points.before("mark.before")
    def delivered(self, destination: Destination, item: Item, status: int, seconds: float) -> None:
        age_s = max(0.0, (time_ns() - item.received_ns) / NS)
        self._worker.counters.delivered(destination.name, status, item.dataset_bytes, seconds, age_s)
        self._cool(destination.name, item)
        if self._worker.handling.delivering.outcome(item, destination.name, status, None):
            return
        if item.entry_id is not None:
            self.backlogs[destination.name].held.discard(item.entry_id)
            self.mark_delivered(item.entry_id, destination.name, status)
        logger.debug(
            "delivery=done destination=%s status=%04X seconds=%.3f", destination.name, status, seconds
        )

    @crash_points.before("mark.before")
    def delivered_past_queue(self, done: list[EntrySend]) -> None:
        """Take note of entries that went to destinations past the queues; they are counted already."""
        held = {name: backlog.held for name, backlog in self.backlogs.items()}
        self._tell(partial(self._worker.spool.ledger.mark_delivered, done, held))

    def failed(self, destination: Destination, item: Item, failure: Failure, retry_s: float) -> None:
        self._worker.counters.failed(destination.name, failure)
        self.cool_all(destination.name)
        self._mark_failed(DeliveryState.RETRYING, destination, item, failure, int(retry_s * NS))
        self._log(
            logging.WARNING, "retry", destination,
            'entry=%s class=%s attempts=%d retry_s=%.1f why="%s"', self._worker.entry_name(item.entry_id),
            failure.error_class.value, item.attempts, retry_s, failure.text,
        )  # fmt: skip

    def dead(self, destination: Destination, item: Item, failure: Failure) -> None:
        self._worker.counters.failed(destination.name, failure)
        self._cool(destination.name, item)
        if item.entry_id is not None:
            self.backlogs[destination.name].held.discard(item.entry_id)
            if failure.error_class is ErrorClass.SPOOL and isinstance(item.payload, InstanceBytes | Guarded):
                location = item.payload.location
                if location is not None:
                    self._worker.set_aside(location, item.entry_id)
            if self._alternates.take_over(destination, item, failure):
                return
        self._mark_failed(DeliveryState.DEAD, destination, item, failure, 0)
        self._log(
            logging.ERROR, "dead", destination,
            'entry=%s class=%s attempts=%d why="%s"', self._worker.entry_name(item.entry_id),
            failure.error_class.value, item.attempts, failure.text,
        )  # fmt: skip

    def returned(self, destination: Destination, item: Item, failure: Failure) -> None:
        self._worker.counters.failed(destination.name, failure)
        self._worker.handling.delivering.outcome(item, destination.name, None, failure)

    def unreachable(self, destination: Destination, failure: Failure) -> None:
        self._worker.counters.failed(destination.name, failure)
        self.cool_all(destination.name)

    def association(self, destination: Destination, outcome: str) -> None:
        self._worker.counters.association(destination.name, outcome)

    def hungry(self, destination: Destination) -> None:
        name = destination.name
        try:
            pause_s = self.backlogs[name].fetch(self._item_of)
        except SpoolError as error:
            self._worker.spool_trouble(error)
            pause_s = TROUBLE_PAUSE_S
        if pause_s is not None and name not in self._going_on:
            self._going_on[name] = self._driver.loop.call_later(pause_s, self._go_on, destination)

    def _go_on(self, destination: Destination) -> None:
        del self._going_on[destination.name]
        if destination.is_up and self.destinations.get(destination.name) is destination:
            self.hungry(destination)

    def mark_delivered(self, seq: int, destination: str, status: int) -> None:
        """Note in the ledger that a destination has an entry."""
        self._mark(Mark(seq, destination, DeliveryState.DELIVERED, time_ns(), status=status))

    def _mark_failed(
        self, state: DeliveryState, destination: Destination, item: Item, failure: Failure, retry_ns: int
    ) -> None:
        if item.entry_id is None:
            return
        now_ns = time_ns()
        mark = Mark(
            item.entry_id,
            destination.name,
            state,
            now_ns,
            attempts=item.attempts,
            next_attempt_ns=now_ns + retry_ns,
            error_class=failure.error_class.value,
            status=failure.status,
        )
        self._mark(mark)

    def _mark(self, *marks: Mark) -> None:
        self._tell(partial(self._worker.spool.ledger.mark, marks))

    def _tell(self, tell: Callable[[], None]) -> None:
        """Tell the ledger. A mark it cannot take is lost as in a crash, which costs a duplicate."""
        try:
            tell()
        except SpoolError as error:
            self._worker.spool_trouble(error)

    def _item_of(self, owed: Owed) -> Item:
        record, location = owed.entry.record, owed.entry.location
        name, uid = owed.mark.destination, record.sop_instance
        instance = self._worker.contested.guarded(
            InstanceBytes.of_spool(self._worker.spool.payloads, location), uid, name, record.received_ns
        )
        item = Item(
            owed.seq,
            record.sop_class,
            record.sop_instance,
            record.transfer_syntax,
            location.length,
            instance,
        )
        item.entry_id = owed.seq
        item.received_ns = record.received_ns
        item.attempts = owed.mark.attempts
        item.flow = (record.calling_ae_title, record.study_uid)
        item.is_taken_over = bool(record.destinations) and owed.mark.destination not in record.destinations
        return item

    def _log(self, level: int, what: str, destination: Destination, text: str, *values: object) -> None:
        """Tell of one delivery; of the same kind to the same destination, some lines a minute."""
        left_out = self._log_limit.admit(f"{what} {destination.name}", monotonic())
        if left_out is None:
            self._worker.counters.suppressed()
            return
        tail = f" left_out={left_out}" if left_out else ""
        logger.log(level, "delivery=%s destination=%s " + text + "%s", what, destination.name, *values, tail)

    def _cool(self, name: str, item: Item) -> None:
        instance = self._hot[name].pop(item, None)
        if instance is not None:
            instance.used()

    def cool_all(self, name: str) -> None:
        """Give the slab's slots back: a destination in trouble is served from the spool."""
        while self._hot[name]:
            self._hot[name].popitem()[1].used()
