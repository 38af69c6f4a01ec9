"""One destination of one worker: what it is owed in memory, oldest first, and what is sent right now.

States: UP sends; DOWN waits for its next probe, which is the attempt to send itself. The two differ in one
moment (`_blocked_until`) and one count (`_setbacks`), changed only by _set_back() and _recover().
Order: of the instances with one SOP Instance UID only the oldest is in a lane, in flight or waiting for its
retry; the later ones are parked behind it until it is settled, else they would overtake it, or a retry
overwrite them. Everything else leaves by age, presentation context by context. Bounded: at most QUEUE_MAX
instances are held here; the rest stays in the ledger, and is fetched by age.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Protocol

from router.config.schema import Destination as DestinationSettings
from router.delivery.pool import AssociationPool, Key, PooledAssociation
from router.delivery.retry import Blame, ErrorClass, Failure, back_off_s, failure_of_error
from router.delivery.sender import Item, send
from router.drivers.event_loop import EventLoopDriver

logger = logging.getLogger(__name__)

QUEUE_MAX = 2048
"""Instances held in memory for one destination."""

QUEUE_LOW = QUEUE_MAX // 2
"""Below this many the ledger is asked for more."""

ABORTS_MAX = 3
"""Aborts during one instance while others pass: it is poison then."""


BUSY_STEPS_MAX = 2
"""Back-off steps for a destination out of resources: single instances may be the reason, and are passed
by."""


class Listener(Protocol):
    """Who is told what becomes of items: the worker."""

    def delivered(self, destination: Destination, item: Item, status: int, seconds: float) -> None:
        """The destination has the instance."""

    def failed(self, destination: Destination, item: Item, failure: Failure, retry_s: float) -> None:
        """An attempt failed; the item stays here and is tried again in retry_s."""

    def dead(self, destination: Destination, item: Item, failure: Failure) -> None:
        """The item is given up and has left this destination; it is kept in the spool."""

    def returned(self, destination: Destination, item: Item, failure: Failure) -> None:
        """An immediate item failed and has left this destination."""

    def unreachable(self, destination: Destination, failure: Failure) -> None:
        """No association could be had; no single item is to blame."""

    def association(self, destination: Destination, outcome: str) -> None:
        """An association was accepted or rejected; an accepted one was released, aborted or lost."""

    def hungry(self, destination: Destination) -> None:
        """The queue has room for more from the ledger."""


class Destination:
    """See the module's text. All methods are called on the worker's event loop."""

    def __init__(
        self, name: str, settings: DestinationSettings, driver: EventLoopDriver, listener: Listener
    ) -> None:
        self.name = name
        self.settings = settings
        self.in_flight = 0
        self.is_backlogged = False
        self.delivered_count = 0
        self._driver = driver
        self._listener = listener
        self._pool = AssociationPool(driver, settings, self.pump, self._open_failed, self._associated)
        self._lanes: dict[Key, deque[Item]] = {}
        self._queued = 0
        self._uids: dict[str, deque[Item] | None] = {}
        self._retrying: list[tuple[float, int, Item]] = []
        self._setbacks = 0
        self._busy_in_a_row = 0
        self._blocked_until = 0.0
        self._wake: asyncio.TimerHandle | None = None
        self._is_draining = False
        self._is_pumping = False
        self._pump_again = False

    @property
    def queued(self) -> int:
        """Items held here that are not being sent: waiting, parked behind their UID, or waiting for a
        retry."""
        return self._queued

    @property
    def is_up(self) -> bool:
        """Whether the last attempt succeeded, or none was made yet."""
        return self._setbacks == 0

    @property
    def associations_open(self) -> int:
        return len(self._pool.associations)

    @property
    def has_room(self) -> bool:
        """Whether offer() would take an item."""
        return self._queued < QUEUE_MAX and not self.is_backlogged

    def update(self, settings: DestinationSettings) -> None:
        """Take over changed settings; associations open already keep what was negotiated."""
        self.settings = settings
        self._pool.settings = settings
        self.pump()

    def offer(self, item: Item) -> bool:
        """Take an item to send; False when it has to wait in the ledger. Call pump() after the last one."""
        if not self.has_room:
            self.is_backlogged = True
            return False
        self._enqueue(item)
        return True

    def refill(self, items: list[Item], is_last: bool) -> None:
        """Take items fetched from the ledger, oldest first; is_last: the ledger has no more for now."""
        for item in items:
            self._enqueue(item)
        self.is_backlogged = not is_last
        self.pump()

    def expect(self, keys: Iterable[Key]) -> None:
        """Propose these contexts as well when the next association is opened."""
        self._pool.remember(keys)

    def wake_up(self) -> None:
        """End every wait now: somebody says that the destination is back, or the instances are mended."""
        self._blocked_until = 0.0
        for _, _, item in self._retrying:
            item.attempts = 0
        self._retrying = [(0.0, seq, item) for _, seq, item in self._retrying]
        heapq.heapify(self._retrying)
        self.pump()

    def pump(self) -> None:
        """Send whatever can be sent now.

        Sending may fail at once and end here again, as may the listener: that is one more turn, not one level
        deeper.
        """
        self._pump_again = True
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while self._pump_again:
                self._pump_again = False
                self._pump_once()
        finally:
            self._is_pumping = False

    def _pump_once(self) -> None:
        now = monotonic()
        if self._is_draining:
            return
        self._take_due_retries(now)
        if now < self._blocked_until:
            self._wake_at(self._blocked_until)
            return
        for key in self._keys_by_age():
            self._pump_lane(key, self._lane(key))
        if self.is_backlogged and self._queued < QUEUE_LOW:
            self._listener.hungry(self)
        if self._retrying:
            self._wake_at(self._retrying[0][0])

    def tend(self, now: float) -> None:
        """Look after idle associations; called about once a second."""
        self._pool.tend(now)

    def withdraw(self, entry_id: int) -> bool:
        """Take an item that is not being sent out of the queue; False if it is not here or is being sent."""
        return self._take_out(lambda item: item.entry_id == entry_id)

    def recall(self, wanted: Item) -> bool:
        """Take this very item out of the queue, in the spool or not; False if it is being sent, or is not
        here.

        For an immediate item whose outcome nobody waits for any more: its bytes may be gone from then on.
        """
        return self._take_out(lambda item: item is wanted)

    def _take_out(self, is_wanted: Callable[[Item], bool]) -> bool:
        for parked in filter(None, self._uids.values()):
            if (item := next(filter(is_wanted, parked), None)) is not None:
                parked.remove(item)
                self._queued -= 1
                return True
        for lane in self._lanes.values():
            if (item := next(filter(is_wanted, lane), None)) is not None:
                lane.remove(item)
                self._leave(item)
                return True
        for waiting in self._retrying:
            if is_wanted(waiting[2]):
                self._retrying.remove(waiting)
                heapq.heapify(self._retrying)
                self._leave(waiting[2])
                return True
        return False

    def _leave(self, item: Item) -> None:
        """An item that waited is gone; the next version of its instance may go."""
        self._queued -= 1
        self._settle_uid(item)
        self.pump()

    async def close(self, deadline_s: float) -> None:
        """Send what can be sent within deadline_s, then release every association."""
        deadline = monotonic() + deadline_s
        while (self.in_flight or (self.is_up and any(self._lanes.values()))) and monotonic() < deadline:
            await asyncio.sleep(0.02)
        self._is_draining = True
        if self._wake is not None:
            self._wake.cancel()
        await self._pool.close(max(0.5, deadline - monotonic()))

    # Queue

    def _lane(self, key: Key) -> deque[Item]:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = deque()
        return lane

    def _enqueue(self, item: Item) -> None:
        self._queued += 1
        if item.sop_instance in self._uids:
            self._park(item)
        else:
            self._uids[item.sop_instance] = None
            self._insert(item)

    def _insert(self, item: Item) -> None:
        """Put an item in its place by age; what does not come last was in flight, and is among the oldest."""
        lane = self._lane(item.key)
        if not lane or lane[-1].seq < item.seq:
            lane.append(item)
            return
        position = 0
        while lane[position].seq < item.seq:
            position += 1
        lane.insert(position, item)

    def _put_back(self, item: Item) -> None:
        """Return an item that was in flight; its UID stays its own."""
        self._queued += 1
        self._insert(item)

    def _keys_by_age(self) -> list[Key]:
        lanes = self._lanes
        if len(lanes) > 1:
            for key in [key for key, lane in lanes.items() if not lane]:
                del lanes[key]
            return sorted(lanes, key=lambda key: lanes[key][0].seq)
        return list(lanes)

    def _pump_lane(self, key: Key, lane: deque[Item]) -> None:
        pool = self._pool
        while lane:
            if self._setbacks and (self.in_flight or monotonic() < self._blocked_until):
                return  # one at a time until the destination has answered well again
            association = pool.find(key)
            if association is None:
                self._want_association(key)
                return
            item = lane.popleft()
            self._queued -= 1
            self._send(association, item)

    def _want_association(self, key: Key) -> None:
        pool = self._pool
        if pool.opening and (self._setbacks or pool.opening * pool.expected_window >= self._queued):
            return
        if pool.can_open():
            pool.open(key, reversed(self._keys_by_age()))
        elif pool.lacks_context(key):
            pool.make_room()

    def _park(self, item: Item) -> None:
        parked = self._uids[item.sop_instance]
        if parked is None:
            parked = self._uids[item.sop_instance] = deque()
        parked.append(item)

    def _settle_uid(self, item: Item) -> None:
        """Let the next version of an instance go on: this one is delivered, or has left."""
        parked = self._uids.pop(item.sop_instance)
        if parked:
            follower = parked.popleft()
            self._uids[item.sop_instance] = parked
            self._insert(follower)

    # Sending and its outcomes

    def _send(self, association: PooledAssociation, item: Item) -> None:
        self.in_flight += 1
        association.outstanding += 1
        send(association, item, self.settings.dimse_s, self._sent)

    def _sent(
        self, item: Item, association: PooledAssociation, status: int, failure: Failure | None, seconds: float
    ) -> None:
        self.in_flight -= 1
        if failure is None:
            self._pool.give_back(association)
            self._recover()
            self._busy_in_a_row = 0
            self.delivered_count += 1
            self._settle_uid(item)
            self._listener.delivered(self, item, status, seconds)
        else:
            self._take_failure(item, association, failure)
            if self._setbacks:
                self._return_immediate(failure)
        self.pump()

    def _take_failure(self, item: Item, association: PooledAssociation, failure: Failure) -> None:
        if failure.status is not None or (
            failure.error_class is ErrorClass.SPOOL and association.connection.association.is_established
        ):
            self._pool.give_back(association)
            self._fail(item, failure)
        elif association.has_fallen:
            self._fall_with_another(item, failure)
        else:
            # The procedures of an association end in the order in which they began: this is the oldest.
            # First the destination is set back, then the others fall, or they would be sent again at once.
            association.has_fallen = True
            self._fail(item, failure)
            self._pool.discard(association, failure.text)

    def _fail(self, item: Item, failure: Failure) -> None:
        treatment = failure.treatment
        if self._is_of_destination(item, failure):
            self._set_back(failure)
        if item.is_immediate:
            self._settle_uid(item)
            self._listener.returned(self, item, failure)
            return
        if treatment.is_counted:
            item.attempts += 1
        if self._is_spent(item, failure):
            self._settle_uid(item)
            self._listener.dead(self, item, failure)
        elif treatment.blame is Blame.DESTINATION:
            self._put_back(item)
            self._listener.failed(self, item, failure, max(0.0, self._blocked_until - monotonic()))
        else:
            item.tries += 1
            # Counted from when the destination is tried again, so that its neighbours, who are not suspected,
            # go first.
            delay = max(0.0, self._blocked_until - monotonic()) + self._delay(item.tries)
            heapq.heappush(self._retrying, (monotonic() + delay, item.seq, item))
            self._queued += 1
            self._listener.failed(self, item, failure, delay)

    def _is_of_destination(self, item: Item, failure: Failure) -> bool:
        """Whether the whole destination has to wait. Single instances may meet a lack of resources for
        ever."""
        if failure.error_class is ErrorClass.BUSY:
            if item.tries:
                return False
            self._busy_in_a_row += 1
            return self._busy_in_a_row > 1
        return failure.treatment.blame is Blame.DESTINATION or failure.error_class is ErrorClass.ABORTED

    def _fall_with_another(self, item: Item, failure: Failure) -> None:
        """Put back an item whose association ended because of an older one: it is not to blame."""
        if item.is_immediate:
            self._settle_uid(item)
            self._listener.returned(self, item, failure)
        else:
            self._put_back(item)

    def _is_spent(self, item: Item, failure: Failure) -> bool:
        if failure.error_class is ErrorClass.ABORTED:
            if item.aborts == 0:
                item.delivered_before = self.delivered_count
            item.aborts += 1
            return item.aborts >= ABORTS_MAX and self.delivered_count > item.delivered_before
        return failure.treatment.is_counted and item.attempts >= self.settings.attempts_max

    def _take_due_retries(self, now: float) -> None:
        while self._retrying and self._retrying[0][0] <= now:
            self._insert(heapq.heappop(self._retrying)[2])

    def _open_failed(self, error: BaseException, key: Key) -> None:
        """An association could not be opened, or was opened without the context it was for."""
        failure = failure_of_error(error)
        if failure.error_class is ErrorClass.ABORTED:
            # Nothing was sent yet: no instance can have made the peer abort.
            failure = Failure(ErrorClass.CONNECT, None, failure.text)
        lane = self._lanes.get(key)
        if failure.treatment.blame is Blame.DESTINATION:
            self._set_back(failure)
            self._listener.unreachable(self, failure)
            if lane and failure.treatment.is_counted:
                self._give_up_waiting(lane[0], failure)
            self._return_immediate(failure)
        else:
            for item in list(lane or ()):
                self._give_up_waiting(item, failure)
        self.pump()

    def _associated(self, outcome: str) -> None:
        self._listener.association(self, outcome)

    def _give_up_waiting(self, item: Item, failure: Failure) -> None:
        self._lanes[item.key].remove(item)
        self._queued -= 1
        self._fail(item, failure)

    def _return_immediate(self, failure: Failure) -> None:
        """Return what shall not wait until the destination is back."""
        waiting: list[Item] = []
        for parked in filter(None, self._uids.values()):
            followers = [item for item in parked if item.is_immediate]
            for item in followers:
                parked.remove(item)
            waiting += followers
        for item in [item for lane in self._lanes.values() for item in lane if item.is_immediate]:
            self._lanes[item.key].remove(item)
            self._settle_uid(item)
            waiting.append(item)
        self._queued -= len(waiting)
        waiting.sort(key=lambda item: item.seq)
        for item in waiting:
            self._listener.returned(self, item, failure)

    # Up and down

    def _set_back(self, failure: Failure) -> None:
        now = monotonic()
        if now < self._blocked_until:
            return
        self._setbacks += 1
        is_busy = failure.error_class is ErrorClass.BUSY
        delay = self._delay(min(self._setbacks, BUSY_STEPS_MAX) if is_busy else self._setbacks)
        self._blocked_until = now + delay
        logger.warning(
            "delivery=setback destination=%s class=%s retry_s=%.1f why=\"%s\"",
            self.name, failure.error_class.value, delay, failure.text,
        )  # fmt: skip
        self._wake_at(self._blocked_until)

    def _recover(self) -> None:
        if self._setbacks:
            self._setbacks = 0
            self._blocked_until = 0.0
            logger.info("delivery=recovered destination=%s", self.name)

    def _delay(self, attempts: int) -> float:
        settings = self.settings
        return back_off_s(attempts, settings.retry_first_s, settings.retry_max_s, random.random())

    def _wake_at(self, when: float) -> None:
        if self._wake is not None:
            self._wake.cancel()
        delay = max(0.0, when - monotonic())
        self._wake = None if self._is_draining else self._driver.loop.call_later(delay, self.pump)
