"""What waits for one destination, in the order in which it leaves: fair among flows, by age within. No I/O.

A flow is what one calling AE title sends of one study. Flows take turns: in each turn every flow that has
something waiting may send QUANTUM_INSTANCES instances or QUANTUM_BYTES bytes, whichever is less (at least one
instance), and within a turn what arrived first leaves first, whatever its flow. So a flow leaves strictly by
age; of two flows the older leaves first up to a quantum; and one instance of a small study waits for at most
one quantum of each other flow, however much of them is owed (start-time fair queueing, with the start times
rounded down to whole turns). What is alone leaves by age.
Instances wait in lanes, one for each presentation context they need; the lanes share the turns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from heapq import heapify, heappop, heappush

from router.delivery.pool import Key
from router.delivery.sender import FlowName, Item

QUANTUM_INSTANCES = 32
QUANTUM_BYTES = 16 << 20

FLOW_MAX = 1024
"""Instances of one flow held in memory; the rest of it stays in the ledger."""

QUEUE_MAX = 2048
"""Instances held in memory for one destination, by flows of any length."""

QUEUE_HARD_MAX = 2 * QUEUE_MAX
"""The same, by flows that hold less than a quantum: so that long flows do not keep out the others."""

LANES_KEPT = 16
"""Lanes from which on empty ones are forgotten."""

IDLE_MAX = 256
"""Flows remembered that hold nothing now: what they had of their turn counts when they come again soon."""

_SHARE = 1.0 / QUANTUM_INSTANCES


class Flow:
    """held: instances in memory, those in flight with them. turn: when its next instance may leave."""

    __slots__ = ("held", "turn")

    def __init__(self) -> None:
        self.held = 0
        self.turn = 0.0


class FairQueue:
    """Lanes of waiting instances, and the flows that all instances held here belong to."""

    def __init__(self) -> None:
        self.lanes: dict[Key, list[tuple[int, int, Item]]] = {}
        self.held = 0
        self._flows: dict[FlowName, Flow] = {}
        self._idle = 0
        self._turn = 0

    # Coming and going: once for each instance

    def enter(self, item: Item) -> None:
        """Give an instance that the destination takes its turn; it is not in a lane yet."""
        flow = self._flows.get(item.flow)
        if flow is None:
            flow = self._flows[item.flow] = Flow()
        elif flow.held == 0:
            self._idle -= 1
        begins = max(flow.turn, self._turn)
        item.turn = int(begins)
        flow.turn = begins + max(_SHARE, item.dataset_bytes / QUANTUM_BYTES)
        flow.held += 1
        self.held += 1

    def leave(self, item: Item) -> None:
        """Take note that the destination holds an instance no more."""
        flow = self._flows[item.flow]
        flow.held -= 1
        self.held -= 1
        if self.held == 0:
            self._flows.clear()  # nobody waits: nobody is before or behind
            self._idle = 0
        elif flow.held == 0:
            self._idle += 1
            if self._idle > IDLE_MAX:
                self._forget_idle()

    def room(self, name: FlowName) -> int:
        """Return how many instances of a flow may enter now."""
        held = self.held_of(name)
        if self.held < QUEUE_MAX:
            return min(FLOW_MAX - held, QUEUE_MAX - self.held)
        return max(0, min(QUANTUM_INSTANCES - held, QUEUE_HARD_MAX - self.held))

    def held_of(self, name: FlowName) -> int:
        """Return how many instances of a flow have entered and not left."""
        flow = self._flows.get(name)
        return 0 if flow is None else flow.held

    # Lanes: as often as an instance is tried

    def push(self, item: Item) -> None:
        """Put an instance into its lane; one that has been there before takes its old place."""
        lane = self.lanes.get(item.key)
        if lane is None:
            lane = self._new_lane(item.key)
        heappush(lane, (item.turn, item.seq, item))

    def pop(self, key: Key) -> Item:
        """Take the first of a lane."""
        item = heappop(self.lanes[key])[2]
        self._turn = max(self._turn, item.turn)
        return item

    def first(self, key: Key) -> Item | None:
        """Return the first of a lane without taking it."""
        lane = self.lanes.get(key)
        return lane[0][2] if lane else None

    def next_key(self, passed: Collection[Key]) -> Key | None:
        """Return the lane whose first instance leaves first, those in `passed` left out; None if all are
        empty."""
        found: Key | None = None
        first: tuple[int, int, Item] | None = None
        for key, lane in self.lanes.items():
            if lane and key not in passed and (first is None or lane[0] < first):
                found, first = key, lane[0]
        return found

    def keys(self) -> list[Key]:
        """Return the lanes that are not empty, by which first instance leaves first."""
        lanes = self.lanes
        return sorted([key for key, lane in lanes.items() if lane], key=lambda key: lanes[key][0])

    def remove(self, is_wanted: Callable[[Item], bool]) -> Item | None:
        """Take an instance out of its lane; None if none in the lanes is wanted."""
        for lane in self.lanes.values():
            for place, entry in enumerate(lane):
                if is_wanted(entry[2]):
                    lane[place] = lane[-1]
                    lane.pop()
                    heapify(lane)
                    return entry[2]
        return None

    def drain(self, is_wanted: Callable[[Item], bool], key: Key | None = None) -> list[Item]:
        """Take every wanted instance out of the lanes, or out of one; first those that leave first."""
        found: list[tuple[int, int, Item]] = []
        lanes = list(self.lanes.values()) if key is None else [self.lanes.get(key, [])]
        for lane in lanes:
            some = [entry for entry in lane if is_wanted(entry[2])]
            if some:
                lane[:] = [entry for entry in lane if not is_wanted(entry[2])]
                heapify(lane)
                found += some
        return [entry[2] for entry in sorted(found)]

    def has_waiting(self) -> bool:
        """Whether any lane has an instance."""
        return any(self.lanes.values())

    def has_immediate(self) -> bool:
        """Whether any instance in the lanes is not in the ledger."""
        return any(entry[2].is_immediate for lane in self.lanes.values() for entry in lane)

    def _forget_idle(self) -> None:
        """Forget flows that hold nothing: those whose turn is past, or all if these are few."""
        flows = self._flows
        past = [name for name, flow in flows.items() if not flow.held and flow.turn <= self._turn]
        if len(past) < IDLE_MAX // 2:
            past = [name for name, flow in flows.items() if not flow.held]
        for name in past:
            del flows[name]
        self._idle -= len(past)

    def _new_lane(self, key: Key) -> list[tuple[int, int, Item]]:
        if len(self.lanes) >= LANES_KEPT:
            for empty in [other for other, lane in self.lanes.items() if not lane]:
                del self.lanes[empty]
        lane: list[tuple[int, int, Item]] = []
        self.lanes[key] = lane
        return lane
