"""One destination of one worker: what is sent to it now, and what follows from each outcome.

What it is owed in memory waits in waiting_items.py, in the order of fair.py. Whether it is sent to says its
circuit breaker (circuit.py), when it is tried again back_off.py, over what it is sent its pool (pool.py), and
what a failure means the table in retry.py.
Blame: when the peer falls with several instances under way, each of them is a suspect and goes alone until it
is answered; only what was alone under way is blamed. Bounded: at most QUEUE_HARD_MAX instances are held here;
the rest stays in the ledger.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from time import monotonic

from router.config.peers import Destination as DestinationSettings
from router.delivery.alarm import Alarm
from router.delivery.back_off import BackOff
from router.delivery.blame import Streak, reason_to_give_up
from router.delivery.circuit import Circuit
from router.delivery.listener import Listener
from router.delivery.pool import AssociationPool, Key, PooledAssociation
from router.delivery.retry import OURS, Blame, ErrorClass, Failure, failure_of_error
from router.delivery.sender import FlowName, Item, send
from router.delivery.waiting_items import WaitingItems
from router.drivers.event_loop import EventLoopDriver
from router.wire.codec import Gathering, Outlet

CROWD = 64
"""Instances that wait in the queue of a destination that hardly answers; the others stay in the ledger."""

CROWD_OF_NEW = 512
"""The same where nothing is under way yet: opening an association takes its time."""

CLOSE_POLL_S = 0.02
"""How often one that closes looks whether all is sent."""

HUNGRY_EVERY = 64
"""Deliveries after which the ledger is asked for more, if it has more."""


class Destination:
    """See the module's text. All methods are called on the worker's event loop.

    is_backlogged: set by the owner while the ledger has more than is held here. is_late: set by the owner
    when it has waited in vain for an immediate item, until the next success.
    """

    def __init__(
        self, name: str, settings: DestinationSettings, driver: EventLoopDriver, listener: Listener
    ) -> None:
        self.name = name
        self.settings = settings
        self.circuit = Circuit(name)
        self.is_backlogged = False
        self.is_late = False
        self._own_in_flight = 0
        self._own_delivered = 0
        self._driver = driver
        self._listener = listener
        self._pool = AssociationPool(driver, settings, self.pump, self._open_failed, self._associated)
        self._waiting = WaitingItems()
        self._queue = self._waiting.queue
        self.outlet: Outlet | None = None
        if Outlet is not None:
            self.outlet = Outlet(self, name, self._queue.versions)
            self.outlet.lanes = self._pool.lanes
            self._queue.sign = self.outlet
        self._alone: Item | None = None
        self._streak = Streak()
        self._hungry_at = 0
        self._alarm = Alarm(driver.loop, self.pump)
        self._back_off = BackOff(self.circuit, settings, self._alarm)
        self._keeps = 0  # closes that shall not be
        self._is_draining = False
        self._is_pumping = False
        self._pump_again = False

    @property
    def queued(self) -> int:
        """Items held here that are not being sent: waiting, parked behind their UID, or waiting for a
        retry."""
        return self._queue.held - self._own_in_flight

    @property
    def in_flight(self) -> int:
        """Instances that are being sent, by whichever way."""
        return self._own_in_flight + (self.outlet.in_flight if self.outlet is not None else 0)

    @property
    def delivered_count(self) -> int:
        """Instances delivered since the start, by whichever way."""
        return self._own_delivered + (self.outlet.delivered if self.outlet is not None else 0)

    @property
    def is_sound(self) -> bool:
        """Whether nothing stands against sending as much as there are associations for."""
        return not (
            self.circuit.setbacks
            or self.circuit.is_restrained
            or self.is_late
            or self._waiting.suspects
            or self._is_draining
        )

    @property
    def takes_directly(self) -> bool:
        """Whether an instance may be sent at once, provided that nothing waits (Outlet.has_waiting)."""
        return self.is_sound and not self.is_backlogged

    @property
    def can_grow(self) -> bool:
        """Whether further associations may be opened."""
        return self._pool.can_open()

    @property
    def is_up(self) -> bool:
        """Whether the last attempt succeeded, or none was made yet."""
        return self.circuit.setbacks == 0

    @property
    def came_back_at(self) -> float:
        """When it last began to answer after it had not, monotonic; -inf if it always did."""
        return self.circuit.closed_at

    @property
    def is_well(self) -> bool:
        """Whether an answer may be expected soon."""
        return not self.circuit.is_restrained and not self.is_late

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way that would go on with the queue when it ends."""
        return not self.in_flight and not self._queue.has_waiting()

    @property
    def is_crowded(self) -> bool:
        """Whether as much waits for the peer to answer as is worth holding in memory, should it not."""
        if self.in_flight:
            return self.queued >= CROWD
        return self._pool.opening > 0 and self.queued >= CROWD_OF_NEW

    def leaves_one_more(self, run: int) -> bool:
        """Whether an entry that the lane has not seen is to stay in the ledger: hardly anything is answered.

        run: a number for all that comes together. What the lane holds here is the lane's to leave.
        """
        outlet = self.outlet
        return outlet is not None and not outlet.waiting and self.is_crowded and outlet.leaves_one_more(run)

    @property
    def _wants_more(self) -> bool:
        """Whether the ledger has more, and there is sense in fetching it."""
        if not self.is_backlogged or self.outlet is None or not self.outlet.is_overrun:
            return self.is_backlogged
        return not self.in_flight and not self._pool.opening

    @property
    def associations_open(self) -> int:
        return len(self._pool.associations)

    def room(self, flow: FlowName) -> int:
        """Return how many items of a flow offer() would take."""
        return self._queue.room(flow)

    def held_of(self, flow: FlowName) -> int:
        """Return how many items of a flow are held here."""
        return self._queue.held_of(flow)

    def update(self, settings: DestinationSettings) -> None:
        """Take over changed settings; associations open already keep what was negotiated."""
        self.settings = settings
        self._back_off.settings = settings
        self._pool.update(settings)
        self.pump()

    def offer(self, item: Item) -> bool:
        """Take an item to send; False when it has to wait in the ledger. Call pump() after the last one."""
        if self._queue.room(item.flow) <= 0:
            self.is_backlogged = True
            return False
        self._queue.enter(item)
        return True

    def refill(self, items: Iterable[Item], is_last: bool) -> None:
        """Take items fetched from the ledger, oldest first; is_last: the ledger has no more for now."""
        for item in items:
            self._queue.enter(item)
        self.is_backlogged = not is_last
        self.pump()

    def take_over(self, item: Item) -> None:
        """Go on with an item that was sent past the queue; what becomes of it is told to `sent`."""
        assert self.outlet is not None
        self.outlet.in_flight -= 1
        self._queue.enter_under_way(item)
        self._alone = None if self.in_flight else item
        self._own_in_flight += 1

    def take_waiting(self, item: Item, parked: deque[Item] | None) -> None:
        """Take an item that has waited for a lane already, and the later versions parked behind it."""
        self._queue.enter(item)
        if parked:
            self._queue.versions[item.sop_instance] = parked
        self.pump()

    def release_parked(self, uid: str, parked: deque[Item]) -> None:
        """Let the next version of an instance go that was sent past the queue."""
        self._queue.follow(uid, parked)
        self.pump()

    def has_answered_well(self) -> None:
        """Take note that an instance was delivered, by whichever way."""
        if self.circuit.setbacks:
            self.circuit.close(monotonic())
        if self.is_late:
            self.is_late = False

    def expect(self, keys: Iterable[Key]) -> None:
        """Propose these contexts as well when the next association is opened."""
        self._pool.remember(keys)

    def wake_up(self) -> None:
        """End every wait now: somebody says that the destination is back, or the instances are mended."""
        self._back_off.end()
        self._waiting.retry_now()
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
            with Gathering():
                while self._pump_again:
                    self._pump_again = False
                    self._pump_once()
        finally:
            self._is_pumping = False

    def _pump_once(self) -> None:
        if self._is_draining:
            return
        if self.outlet is not None and self.outlet.waiting:
            self.outlet.entries.go_on(self.outlet)
        if self._waiting.retrying:
            self._waiting.take_due(monotonic())
        if self.circuit.setbacks and not self._may_try():
            return
        self._pump_lanes()
        if self._wants_more and (self.delivered_count >= self._hungry_at or not self._queue.has_waiting()):
            self._hungry_at = self.delivered_count + HUNGRY_EVERY
            self._listener.hungry(self)
        if self._waiting.retrying:
            self._alarm.at(self._waiting.retrying[0][0])
        if self.outlet is not None:
            self.outlet.has_waiting = self._queue.has_waiting() or self.is_backlogged

    def _pump_lanes(self) -> None:
        queue, pool = self._queue, self._pool
        passed = self._back_off.lanes_that_wait(pool) if self._back_off.lanes else []
        while (key := queue.next_key(passed)) is not None:
            if (self.circuit.is_restrained or self._waiting.suspects) and self._has_to_wait():
                return
            association = pool.find(key)
            if association is None:
                self._want_association(key)
                passed.append(key)
            else:
                self._send(association, queue.pop(key))

    def _has_to_wait(self) -> bool:
        """Whether nothing may be sent now to a peer that failed, or during which others fell."""
        now = monotonic()
        most = 1 if self._waiting.suspects else self.circuit.in_flight_max(now)
        return now < self.circuit.blocked_until or (most is not None and self.in_flight >= most)

    def tend(self, now: float) -> None:
        """Look after idle associations, and for room; called some times a second."""
        self._pool.tend(now)
        if self._wants_more and self.is_up and not self._is_draining:
            self._listener.hungry(self)

    def withdraw(self, entry_id: int) -> bool:
        """Take an item that is not being sent out of the queue; False if it is not here or is being sent."""
        return self._take_out(lambda item: item.entry_id == entry_id)

    def recall(self, wanted: Item) -> bool:
        """Take this very item out of the queue, in the spool or not; False if it is being sent, or is not
        here.

        For an immediate item whose outcome nobody waits for any more: its bytes may be gone from then on.
        """
        return self._take_out(lambda item: item is wanted)

    def surrender(self) -> bool:
        """Forget everything that waits: it is in the ledger. False, and nothing done, while any is not."""
        if self.in_flight or self._queue.has_immediate():
            return False
        self._waiting.clear()
        return True

    def shed(self) -> list[Item]:
        """Forget what waits untried, and return it: the ledger has it, and it is not taken for now."""
        return self._queue.take_out_untried()

    def _take_out(self, is_wanted: Callable[[Item], bool]) -> bool:
        if not self._waiting.take_out(is_wanted):
            return False
        self.pump()
        return True

    async def close(self, deadline_s: float) -> None:
        """Send what can be sent within deadline_s, then release every association; unless it is kept."""
        deadline = monotonic() + deadline_s
        while not self._keeps:
            if monotonic() >= deadline or not (self.in_flight or (self.is_up and self._queue.has_waiting())):
                break
            await asyncio.sleep(CLOSE_POLL_S)
        if self._keeps:
            self._keeps -= 1
            return
        self._is_draining = True
        self._alarm.close()
        await self._pool.close(max(0.5, deadline - monotonic()))

    def keep(self) -> bool:
        """Go on although close() was called, or will be at once; False if it is too late for that."""
        if not self._is_draining:
            self._keeps += 1
        return not self._is_draining

    def _want_association(self, key: Key) -> None:
        pool = self._pool
        if pool.opening and (self.circuit.setbacks or pool.opening * pool.expected_window >= self.queued):
            return
        if pool.can_open():
            if self._back_off.may_open():
                pool.open(key, reversed(self._queue.keys()))
        elif pool.lacks_context(key):
            pool.make_room()

    # Sending and its outcomes

    def _send(self, association: PooledAssociation, item: Item) -> None:
        self._alone = None if self.in_flight else item
        self._own_in_flight += 1
        association.outstanding += 1
        send(association, item, self.settings.dimse_s, self.sent)

    def sent(
        self, item: Item, association: PooledAssociation, status: int, failure: Failure | None, seconds: float
    ) -> None:
        """Take the outcome of an item under way; failure None: delivered with this status."""
        self._own_in_flight -= 1
        if item.is_suspect:
            self._waiting.suspects -= 1
        if self.outlet is not None and (failure is None or failure.status is not None):
            self.outlet.ease()
        if failure is None:
            self._pool.give_back(association)
            self.has_answered_well()
            self._own_delivered += 1
            self._queue.leave(item)
            self._listener.delivered(self, item, status, seconds)
        else:
            self._take_failure(item, association, failure)
            if self.circuit.setbacks:
                self._return_immediate(failure)
        self.pump()

    def _take_failure(self, item: Item, association: PooledAssociation, failure: Failure) -> None:
        if failure.status is not None or (
            failure.is_ours and association.connection.association.is_established
        ):
            self._pool.give_back(association)
            item.is_suspect = False
            self._fail(item, failure)
        elif association.fell_by is not None:
            self._fall_with_another(item, association.fell_by, failure)
        else:
            # The procedures of an association end in the order in which they began: this is the oldest.
            # First the destination is set back, then the others fall, or they would be sent again at once.
            association.fell_by = failure.error_class
            self._fail(item, failure)
            self._pool.discard(association, failure.text)

    def _fail(self, item: Item, failure: Failure) -> None:
        if self._streak.is_of_destination(item, failure, self.delivered_count):
            self._set_back(failure)
        if item.is_immediate:
            self._queue.leave(item)
            self._listener.returned(self, item, failure)
            return
        blame = failure.treatment.blame
        if blame is Blame.SUSPECT and item is not self._alone:
            item.is_suspect = True
            self._stay(item, failure)
            return
        reason = self._judge(item, failure)
        if reason is not None:
            self._queue.leave(item)
            self._listener.dead(self, item, reason)
        elif blame is Blame.DESTINATION:
            self._stay(item, failure)
        else:
            item.is_suspect = blame is Blame.SUSPECT
            item.tries += 1
            # Counted from when the destination is tried again, so that its neighbours, who are not suspected,
            # go first.
            delay = self._back_off.left_s() + self._back_off.delay_s(item.tries, failure)
            self._waiting.retry_at(monotonic() + delay, item)
            self._listener.failed(self, item, failure, delay)

    def _stay(self, item: Item, failure: Failure) -> None:
        self._waiting.put_back(item)
        self._listener.failed(self, item, failure, self._back_off.left_s())

    def _fall_with_another(self, item: Item, cause: ErrorClass, failure: Failure) -> None:
        """Put back an item whose association ended during an older one."""
        if item.is_immediate:
            self._queue.leave(item)
            self._listener.returned(self, item, failure)
            return
        item.is_suspect = cause not in OURS
        self._waiting.put_back(item)

    def _judge(self, item: Item, failure: Failure) -> Failure | None:
        attempts_max = self.settings.attempts_max
        return reason_to_give_up(item, failure, attempts_max, self.delivered_count, monotonic())

    # Opening and its outcomes

    def _associated(self, outcome: str) -> None:
        if outcome == "accepted":
            self._back_off.take_opening()
        self._listener.association(self, outcome)

    def _open_failed(self, error: BaseException, key: Key) -> None:
        """An association could not be opened, or was opened without the context it was for."""
        failure = failure_of_error(error)
        if failure.error_class is ErrorClass.ABORTED:
            # Nothing was sent yet: no instance can have made the peer abort.
            failure = replace(failure, error_class=ErrorClass.CONNECT)
        if failure.error_class is ErrorClass.NO_CONTEXT:
            self._hold_lane(key, failure)
        elif not failure.treatment.is_counted and self.is_up and self._pool.is_any_usable:
            # It serves us already: perhaps not more associations than these.
            self._back_off.take_opening_failure(failure)
            self._listener.unreachable(self, failure)
        else:
            self._set_back(failure)
            self._listener.unreachable(self, failure)
            if failure.treatment.is_counted and (first := self._waiting.take_first(key)) is not None:
                self._fail(first, failure)
            self._return_immediate(failure)
        self.pump()

    def _hold_lane(self, key: Key, failure: Failure) -> None:
        """Let all that needs a presentation context wait that the peer has refused; the attempt counts for
        each."""
        delay = self._back_off.hold_lane(key, failure)
        for item in self._waiting.take_lane(key):
            if item.is_immediate:
                self._queue.leave(item)
                self._listener.returned(self, item, failure)
            elif (reason := self._judge(item, failure)) is not None:
                self._queue.leave(item)
                self._listener.dead(self, item, reason)
            else:
                self._queue.push(item)
                self._listener.failed(self, item, failure, delay)

    def _return_immediate(self, failure: Failure) -> None:
        """Return what shall not wait until the destination is back."""
        for item in self._queue.take_out_immediate():
            self._listener.returned(self, item, failure)

    # Up and down

    def _may_try(self) -> bool:
        """Go on with the test of a destination that was set back; return whether instances may go."""
        if not self._back_off.is_over():
            return False
        circuit = self.circuit
        circuit.half_open()
        if not circuit.is_tested:
            self._pool.probe(reversed(self._queue.keys()), self._probed)
            return False
        if not self._queue.held and not self.is_backlogged:
            circuit.close(monotonic())
        return True

    def _probed(self, error: BaseException | None) -> None:
        if error is None:
            self.circuit.is_tested = True
            self.pump()
        else:
            keys = self._queue.keys()
            self._open_failed(error, keys[0] if keys else ("", ""))

    def _set_back(self, failure: Failure) -> None:
        if self._back_off.set_back(failure) and self.outlet is not None:
            self.outlet.is_ill = True
            self.outlet.catch_up()
