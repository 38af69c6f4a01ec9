"""What waits for one destination, in the order in which it leaves: fair among flows, by age within. No I/O.

A flow is what one calling AE title sends of one study. Flows take turns: in each turn every flow that has
something waiting may send QUANTUM_INSTANCES instances or QUANTUM_BYTES bytes, whichever is less (at least one
instance), and within a turn what arrived first leaves first, whatever its flow. So a flow leaves strictly by
age; of two flows the older leaves first up to a quantum; and one instance of a small study waits for at most
one quantum of each other flow, however much of them is owed (start-time fair queueing, with the start times
rounded down to whole turns). What is alone leaves by age.
Instances wait in lanes, one for each presentation context they need; the lanes share the turns.
Of the instances with one SOP Instance UID only the oldest is in a lane, under way or waiting for a retry; the
later ones are parked behind it until it has left, else they would overtake it, or a retry overwrite them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from heapq import heapify, heappop, heappush

from router.delivery.pool import Key
from router.delivery.sender import FlowName, Item
from router.wire.codec import Outlet

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
    """Lanes of waiting instances, and the flows and versions of all that the destination holds.

    versions: of the SOP Instance UIDs that wait or are under way, the later versions that are parked.
    sign: told when an instance begins to wait in a lane.
    """

    def __init__(self) -> None:
        self.versions: dict[str, deque[Item] | None] = {}
        self.sign: Outlet | None = None
        self.lanes: dict[Key, list[tuple[int, int, Item]]] = {}
        self.held = 0
        self._flows: dict[FlowName, Flow] = {}
        self._idle = 0
        self._turn = 0

    # Coming and going: once for each instance

    def enter(self, item: Item) -> None:
        """Take an instance the destination holds from now on: into its lane, or behind its older version."""
        self.enter_under_way(item)
        uid = item.sop_instance
        if uid not in self.versions:
            self.versions[uid] = None
            self.push(item)
            return
        parked = self.versions[uid]
        if parked is None:
            parked = self.versions[uid] = deque()
        parked.append(item)

    def enter_under_way(self, item: Item) -> None:
        """Take an instance that is being sent already; it is in no lane, and its UID is its own."""
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
        """Let an instance go that is in no lane; the next version of it takes its place."""
        self._count_out(item)
        uid = item.sop_instance
        parked = self.versions.pop(uid)
        if parked:
            self.follow(uid, parked)

    def follow(self, uid: str, parked: deque[Item]) -> None:
        """Let the next version of an instance take the place of the one that has gone."""
        self.versions[uid] = parked
        self.push(parked.popleft())

    def clear(self) -> None:
        """Forget everything."""
        self.versions.clear()
        self.lanes.clear()
        self._flows.clear()
        self.held = self._idle = self._turn = 0

    def _count_out(self, item: Item) -> None:
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
        if self.sign is not None:
            self.sign.has_waiting = True

    def pop(self, key: Key) -> Item:
        """Take the first of a lane."""
        item = heappop(self.lanes[key])[2]
        self._turn = max(self._turn, item.turn)
        return item

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

    def take_out(self, is_wanted: Callable[[Item], bool]) -> Item | None:
        """Let the first wanted instance go that waits here; None if there is none."""
        for parked in filter(None, self.versions.values()):
            for item in parked:
                if is_wanted(item):
                    parked.remove(item)
                    self._count_out(item)
                    return item
        for lane in self.lanes.values():
            for place, entry in enumerate(lane):
                if is_wanted(entry[2]):
                    lane[place] = lane[-1]
                    lane.pop()
                    heapify(lane)
                    self.leave(entry[2])
                    return entry[2]
        return None

    def take_out_immediate(self) -> list[Item]:
        """Let all immediate instances go that wait here, by age."""
        found: list[Item] = []
        leaving: list[Item] = []
        for parked in filter(None, self.versions.values()):
            for item in [item for item in parked if item.is_immediate]:
                parked.remove(item)
                self._count_out(item)
                found.append(item)
        for lane in self.lanes.values():
            some = [entry[2] for entry in lane if entry[2].is_immediate]
            if some:
                lane[:] = [entry for entry in lane if not entry[2].is_immediate]
                heapify(lane)
                leaving += some
        for item in leaving:  # not before: a later version may open a lane
            self.leave(item)
        return sorted(found + leaving)

    def take_out_untried(self) -> list[Item]:
        """Let all instances go that wait in lanes, of which nothing needs to be remembered here: they were
        not tried, and no later version is parked behind them."""
        leaving: list[Item] = []
        for lane in self.lanes.values():
            items = [entry[2] for entry in lane]
            some = [item for item in items if item.is_untried and not self.versions[item.sop_instance]]
            if some:
                gone = set(some)
                lane[:] = [entry for entry in lane if entry[2] not in gone]
                heapify(lane)
                leaving += some
        for item in leaving:
            self.leave(item)
        return leaving

    def drain(self, key: Key) -> list[Item]:
        """Take everything out of a lane, in its order."""
        return [entry[2] for entry in sorted(self.lanes.pop(key, []))]

    def has_waiting(self) -> bool:
        """Whether any lane has an instance."""
        return any(self.lanes.values())

    def has_immediate(self) -> bool:
        """Whether any instance that waits here is not in the ledger."""
        waiting = [entry[2] for lane in self.lanes.values() for entry in lane]
        waiting += [item for parked in self.versions.values() if parked for item in parked]
        return any(item.is_immediate for item in waiting)

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
