"""What one destination holds that is not being sent: in its fair queue, or until a retry. No I/O, no clock.

Suspects, who go alone, are counted here from when they wait in a lane until they are answered or taken out.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush

from router.delivery.fair import FairQueue
from router.delivery.pool import Key
from router.delivery.sender import Item


class WaitingItems:
    """The fair queue of a destination and the retries that are not due yet.

    queue: who enters, leaves and comes first. retrying: a heap of due time (monotonic), seq and item.
    suspects: how many wait in lanes or are under way.
    """

    __slots__ = ("queue", "retrying", "suspects")

    def __init__(self) -> None:
        self.queue = FairQueue()
        self.retrying: list[tuple[float, int, Item]] = []
        self.suspects = 0

    def put_back(self, item: Item) -> None:
        """Return an item to its lane; its UID stays its own."""
        self.suspects += item.is_suspect
        self.queue.push(item)

    def retry_at(self, due: float, item: Item) -> None:
        """Keep an item out of its lane until then; its UID stays its own."""
        heappush(self.retrying, (due, item.seq, item))

    def take_due(self, now: float) -> None:
        """Put back the items whose retry is due."""
        while self.retrying and self.retrying[0][0] <= now:
            self.put_back(heappop(self.retrying)[2])

    def retry_now(self) -> None:
        """Make every retry due, and forget the attempts counted against these items."""
        for _, _, item in self.retrying:
            item.attempts = item.readings = 0
        self.retrying = [(0.0, seq, item) for _, seq, item in self.retrying]
        heapify(self.retrying)

    def take_first(self, key: Key) -> Item | None:
        """Take the first item out of a lane to judge it anew; a suspect counts again when it is put back."""
        if not self.queue.lanes.get(key):
            return None
        item = self.queue.pop(key)
        self.suspects -= item.is_suspect
        return item

    def take_lane(self, key: Key) -> list[Item]:
        """Take all items out of a lane to judge them anew: nobody is a suspect any more."""
        items = self.queue.drain(key)
        for item in items:
            self.suspects -= item.is_suspect
            item.is_suspect = False
        return items

    def take_out(self, is_wanted: Callable[[Item], bool]) -> bool:
        """Let the first wanted item go, wherever it waits; False if there is none."""
        item = self.queue.take_out(is_wanted)
        if item is not None:
            self.suspects -= item.is_suspect
            return True
        waiting = next((one for one in self.retrying if is_wanted(one[2])), None)
        if waiting is None:
            return False
        self.retrying.remove(waiting)
        heapify(self.retrying)
        self.queue.leave(waiting[2])
        return True

    def clear(self) -> None:
        """Forget everything."""
        self.queue.clear()
        self.retrying.clear()
        self.suspects = 0
