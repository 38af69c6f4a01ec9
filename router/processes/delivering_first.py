"""ack = "delivered": a ticket goes to its destinations at once, and is answered when all of them have.

What a destination refuses or delays falls back to `stored`, or to failure where so configured.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from router.delivery.retry import ErrorClass, Failure
from router.delivery.sender import Item
from router.handoff.ticket import Ticket
from router.processes.handled import Handled, answer, new_item
from router.standard.statuses import OUT_OF_RESOURCES, SUCCESS

if TYPE_CHECKING:
    from router.processes.worker import Worker

DOWN = Failure(ErrorClass.CONNECT, None, "the destination is down")


class DeliveringFirst:
    """Tickets that wait for destinations."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._undelivered: dict[int, Handled] = {}
        self._last_seq = 0

    @property
    def in_progress(self) -> int:
        """Tickets that have no answer yet."""
        return len(self._undelivered)

    def holds(self, ticket: Ticket) -> bool:
        """Whether a ticket waits here."""
        return any(handled.ticket is ticket for handled in self._undelivered.values())

    def deliver(self, handled: Handled) -> None:
        """Hand the instance to its destinations; the answer follows when all of them have answered."""
        self.await_destinations(handled)
        self._offer_immediate(handled, handled.decision.destinations)
        if not handled.awaited:
            self._settle_delivered(handled)

    def await_destinations(self, handled: Handled) -> None:
        """Let a ticket wait for its destinations from now on."""
        handled.deadline = handled.began + self._worker.config.router.ack_wait_s
        self._undelivered[id(handled)] = handled
        self._last_seq = max(self._last_seq + 1, self._worker.spool.writer.appended_seq + 1)

    def awaited_item(self, handled: Handled, name: str) -> Item:
        """Return a new item of a ticket that waits for this destination's answer."""
        item = new_item(handled, self._last_seq)
        item.payload = self._worker.handling.storing.guarded(handled, name)
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
            self._worker.handling.storing.sync()
        return True

    def expire(self, now: float) -> None:
        """Fall back for tickets whose destinations take too long."""
        late = [handled for handled in self._undelivered.values() if handled.deadline <= now]
        # By age: what the lane has just given up came before later versions of it that have waited here, and
        # the order in which they are stored is the one in which they are sent after a new start.
        late.sort(key=lambda handled: handled.began)
        for handled in late:
            for name in handled.awaited:
                if (destination := self._worker.owing.destinations.get(name)) is not None:
                    destination.is_late = True
                    if destination.outlet is not None:
                        destination.outlet.is_ill = True
            self._settle_delivered(handled)

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
            answer(handled, SUCCESS)
            self._worker.counters.stored(monotonic() - handled.began)
        elif self._worker.config.router.ack_fallback == "failure":
            statuses = [failure.status for failure in handled.refused.values() if failure.status]
            self.leave(handled)
            answer(handled, statuses[0] if statuses else OUT_OF_RESOURCES, "not delivered")
        else:
            self._worker.handling.storing.store(handled)

    def leave(self, handled: Handled) -> None:
        """Stop waiting for destinations: what is queued is taken back, what is being sent ends unheard."""
        for name in handled.awaited:
            item = handled.items[name]
            item.tag = None
            destination = self._worker.owing.destinations.get(name)
            if destination is not None:
                destination.recall(item)
        handled.awaited.clear()
