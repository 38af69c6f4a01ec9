"""What one destination is owed beyond what it holds in memory: where each flow goes on in the ledger.

A destination holds a bounded part of what it is owed, by flow (delivery/fair.py). Here stands for each flow
that has more in the ledger from which entry on (`behind`), and up to which entry the ledger has been looked
through for such flows (`cursor`). While the destination is down nothing is looked at and nothing held: its
instances cost it nothing but their part of a row in the ledger.
Invariants: an entry is held at most once; an entry is never held before an older one of the same SOP Instance
UID that is owed as well. Flows are fetched in the order in which they got behind, which is by age.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic

from router.delivery.destination import Destination
from router.delivery.fair import FLOW_MAX, QUANTUM_INSTANCES
from router.delivery.sender import FlowName, Item
from router.processes.pace import PORTION_S, Pace
from router.spool.ledger import Ledger
from router.spool.states import Owed

FLOWS_MAX = 1024
"""Flows known to be behind; the ledger is not looked through any further meanwhile."""

FETCH_MAX = 128
"""Entries fetched in one go, which holds up all others of the worker: some milliseconds."""

FETCH_FLOWS_MAX = 8
"""Flows fetched for in one go: each costs a query."""

TRIAL_MAX = 8
"""Entries fetched for a destination that is tried after a failure: one at a time is sent."""

SCAN_MAX = 1000
"""Entries looked through in one go."""

SCAN_PAUSE_S = 0.02
"""Between two of these, for all others of the worker."""

HELD_UP_PAUSE_S = 0.25
"""After which a flow held up by an older version asks again: that may be settled and written by then."""


class Backlog:
    """See the module's text. held: numbers of the entries in the destination's memory. is_paced: the next
    portion is brought when it is time, whatever comes meanwhile.
    """

    def __init__(self, destination: Destination, ledger: Ledger) -> None:
        self.destination = destination
        self.held: set[int] = set()
        self.is_scanning = False
        self.is_paced = False
        self._ledger = ledger
        self._behind: dict[FlowName, int] = {}
        self._cursor = 0
        self._pace = Pace()

    @property
    def must_wait(self) -> bool:
        """Whether what comes now has to wait in the ledger: behind others, or for the destination."""
        return self.is_scanning or bool(self._behind) or not self.destination.is_up

    def leave(self, flow: FlowName, seq: int) -> None:
        """Take note that a new entry stays in the ledger for now; later ones of its run may be held."""
        self.leave_run(((flow, seq),), seq)

    def leave_run(self, entries: Iterable[tuple[FlowName, int]], last: int) -> None:
        """As leave, of several at once. entries: by age, at least the oldest of each flow; last: the
        newest."""
        if self.is_scanning:
            return
        self.destination.is_backlogged = True
        for flow, seq in entries:
            if not (self.destination.is_up and self._get_behind(flow, seq)):
                self.is_scanning = True
                self._cursor = min(self._cursor, seq - 1)  # or one that was adopted before hides it
                return
        self._cursor = max(self._cursor, last)

    def give_back(self, flow: FlowName, seq: int) -> None:
        """Take note that an entry is not in memory any more, and nothing was sent of it."""
        self.held.discard(seq)
        self.insert(flow, seq)

    def offer(self, item: Item) -> bool:
        """Hand over a new entry, the newest of all, unless it must wait; False: it stays in the ledger."""
        assert item.entry_id is not None
        if not self.destination.offer(item):
            self.leave(item.flow, item.entry_id)
            return False
        self.held.add(item.entry_id)
        self._cursor = item.entry_id
        return True

    def adopt(self, seq: int) -> None:
        """Take note of a new entry, the newest of all, that the destination has already."""
        self.held.add(seq)
        if not self.is_scanning:
            self._cursor = seq

    def insert(self, flow: FlowName, seq: int) -> None:
        """Take note of an entry of any age that is owed from now on."""
        if not self.is_scanning or seq <= self._cursor:
            if not self._get_behind(flow, seq):
                self.is_scanning = True
                self._cursor = min(self._cursor, seq - 1)
            self.destination.is_backlogged = True

    def look_again(self) -> None:
        """Look through the ledger from its beginning."""
        self._cursor = 0
        self._behind.clear()
        self.is_scanning = True
        self.destination.is_backlogged = True

    def forget_held(self) -> bool:
        """Leave to the ledger all that waits in memory; False if that is not possible now."""
        if not self.destination.surrender():
            return False
        self.held.clear()
        self.look_again()
        return True

    def fetch(self, item_of: Callable[[Owed], Item]) -> float | None:
        """Bring into memory what there is room for; return in how many seconds to go on, None: when there is
        room again."""
        most = self._most_now()
        if most == 0:
            return PORTION_S
        if self.is_scanning:
            self._scan()
        items: list[Item] = []
        is_held_up = False
        fetched = 0
        # To each its part, or a huge study would take every portion before a small one gets its turn.
        share = max(QUANTUM_INSTANCES, most // max(1, min(len(self._behind), FETCH_FLOWS_MAX)))
        try:
            for flow in list(self._behind):
                room = self.destination.room(flow)
                if room >= FLOW_MAX // 2 or room >= QUANTUM_INSTANCES // 2 >= self.destination.held_of(flow):
                    is_held_up |= self._fetch(flow, min(room, share, most - len(items)), item_of, items)
                    fetched += 1
                if len(items) >= most or fetched >= FETCH_FLOWS_MAX:
                    break
        finally:  # what was fetched before the ledger could not be read counts as held already
            is_last = not self.is_scanning and not self._behind
            if items or is_last:
                self._pace.count(len(items))
                self.destination.refill(items, is_last)
        self.is_paced = self.is_paced and not is_last
        if self.is_paced:
            return PORTION_S
        if self.is_scanning and len(self._behind) < FLOWS_MAX:
            return SCAN_PAUSE_S
        return HELD_UP_PAUSE_S if is_held_up else None

    def _most_now(self) -> int:
        """Return how many entries may be fetched in one go now."""
        if not self.destination.is_up:
            self.is_paced = False
            return TRIAL_MAX
        allowance = self._pace.allowance(self.destination.came_back_at, monotonic())
        self.is_paced = allowance is not None
        return FETCH_MAX if allowance is None else min(allowance, FETCH_MAX)

    def _fetch(self, flow: FlowName, limit: int, item_of: Callable[[Owed], Item], items: list[Item]) -> bool:
        """Fetch for one flow; return whether it is held up by another, whose older version goes first."""
        rows = self._ledger.due_of_flow(self.destination.name, flow, self._behind[flow], limit)
        del self._behind[flow]  # not before: a ledger that cannot be read now is asked again
        for owed, older_seq in rows:
            if owed.seq in self.held:
                continue
            if older_seq is not None and older_seq not in self.held:
                # One that the scan has still to find needs room among the flows; it will find this one behind
                # it. Otherwise flows that all wait for such ones would keep them out for ever.
                if not (self.is_scanning and older_seq > self._cursor):
                    self._behind[flow] = owed.seq - 1
                return True
            self.held.add(owed.seq)
            items.append(item_of(owed))
        if len(rows) == limit:
            self._behind[flow] = rows[-1].owed.seq
        return False

    def _scan(self) -> None:
        rows = self._ledger.flows(self.destination.name, self._cursor, SCAN_MAX)
        for seq, flow in rows:
            if seq not in self.held and not self._get_behind(flow, seq):
                return
            self._cursor = seq
        self.is_scanning = len(rows) == SCAN_MAX

    def _get_behind(self, flow: FlowName, seq: int) -> bool:
        """Let a flow go on in the ledger from this entry at the latest; False if too many flows do."""
        after = self._behind.get(flow)
        if after is not None:
            if seq <= after:
                self._behind[flow] = seq - 1
            return True
        if len(self._behind) >= FLOWS_MAX:
            return False
        self._behind[flow] = seq - 1
        return True
