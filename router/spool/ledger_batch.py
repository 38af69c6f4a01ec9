"""What the ledger has been told and has not written yet.

An entry that is added and settled before its batch is written costs one row per destination, not two
writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from router.spool.record import Entry
from router.spool.segment import REFERENCE_PAYLOAD_BYTES, Position, record_end
from router.spool.states import UNDECIDED, DeliveryState, Mark, Owed, Tallies, Tally, first_marks
from router.wire.codec import EntrySend, StoredEntry, tell_delivered, tell_run

STATES = len(DeliveryState)


@dataclass(slots=True)
class Batch:
    """Changes in the order of their arrival, newest state per (destination, seq).

    entries: added in this batch; those of the entry lane as it knows them (see `whole`). marks: by
    destination, then seq, of these and of older entries.
    changes: of the totals, by destination: counts by state, then bytes by state. newest: of the added
    entries. rows: what writing it will take.
    """

    number: int
    entries: dict[int, Entry | StoredEntry] = field(default_factory=dict)
    marks: dict[str, dict[int, Mark]] = field(default_factory=dict)
    changes: dict[str, list[int]] = field(default_factory=dict)
    newest: Entry | StoredEntry | None = None
    rows: int = 0

    def add(self, entry: Entry) -> None:
        """Take a new entry with the marks it starts with."""
        seq = entry.seq
        self.entries[seq] = entry
        self.newest = entry
        for mark in first_marks(entry):
            destination = mark.destination
            of_destination = self.marks.get(destination)
            if of_destination is None:
                of_destination = self.marks[destination] = {}
            of_destination[seq] = mark
            self._count(destination, mark.state, 1, entry)
            self.rows += 1
        self.rows += 1

    def add_run(self, run: list[StoredEntry]) -> None:
        """Take new entries of the entry lane, as `add`."""
        added = tell_run(run, self.entries, self.marks, Mark, DeliveryState.PENDING)
        for destination, count, size in added:
            self._count_many(destination, DeliveryState.PENDING, count, size)
            self.rows += count
        self.rows += len(run)
        self.newest = run[-1]

    def mark_delivered(self, done: list[EntrySend], held: dict[str, set[int]], now_ns: int) -> None:
        """Take what the entry lane has delivered, as `mark`. held: by destination, what it holds of these."""
        pending, delivered = DeliveryState.PENDING, DeliveryState.DELIVERED
        changed, others = tell_delivered(
            done, self.entries, self.marks, held, Mark, pending, delivered, now_ns
        )
        for destination, count, size in changed:
            self._count_many(destination, pending, -count, -size)
            self._count_many(destination, delivered, count, size)
        for seq, destination in others:
            self.mark(Mark(seq, destination, delivered, now_ns, status=0))

    def mark(self, mark: Mark) -> None:
        """Take a new state."""
        of_destination = self.marks.get(mark.destination)
        if of_destination is None:
            of_destination = self.marks[mark.destination] = {}
        old = of_destination.get(mark.seq)
        if old is None:
            self.rows += 1
        elif not may_follow(old.state, mark.state):
            return
        elif old.takes_over:
            mark = mark._replace(takes_over=True)
        entry = self.entries.get(mark.seq)
        if entry is not None:
            if old is None:
                return  # never owed to this destination
            self._count(mark.destination, old.state, -1, entry)
            self._count(mark.destination, mark.state, 1, entry)
        of_destination[mark.seq] = mark

    @property
    def covered(self) -> Position | None:
        """Return where the newest added entry ends."""
        return None if self.newest is None else end_of(self.newest)

    @property
    def tallies(self) -> Tallies:
        """Return how the totals change by (destination, state)."""
        return {
            (destination, state): Tally(change[state], change[STATES + state])
            for destination, change in self.changes.items()
            for state in DeliveryState
            if change[state] or change[STATES + state]
        }

    def owed(self, seq: int) -> list[Owed]:
        """Return an entry added here, a row a destination; empty if it was not."""
        entry = self.entries.get(seq)
        if entry is None:
            return []
        destinations = entry.record.destinations or (UNDECIDED,)
        return [Owed(whole(entry), self.marks[destination][seq]) for destination in destinations]

    def divert(self, mark: Mark, alternate: str) -> None:
        """Settle a delivery as diverted, and let it begin towards the alternate, if it is not owed there."""
        self.mark(mark)
        seq, of_alternate = mark.seq, self.marks.setdefault(alternate, {})
        if seq in of_alternate:
            return
        begun = Mark(seq, alternate, DeliveryState.PENDING, mark.at_ns, takes_over=True)
        of_alternate[seq] = begun
        self.rows += 1
        entry = self.entries.get(seq)
        if entry is not None:
            self._count(alternate, begun.state, 1, entry)

    def _count(self, destination: str, state: DeliveryState, count: int, entry: Entry | StoredEntry) -> None:
        self._count_many(destination, state, count, count * entry.location.length)

    def _count_many(self, destination: str, state: DeliveryState, count: int, size: int) -> None:
        change = self.changes.get(destination)
        if change is None:
            change = self.changes[destination] = [0] * (2 * STATES)
        change[state] += count
        change[STATES + state] += size


def whole(entry: Entry | StoredEntry) -> Entry:
    """Return an entry as all know it."""
    return entry if isinstance(entry, Entry) else entry.entry


def end_of(entry: Entry | StoredEntry) -> Position:
    """Return where the record after this entry's starts."""
    location = entry.location
    payload_bytes = location.length if location.file is None else REFERENCE_PAYLOAD_BYTES
    return Position(location.segment, record_end(location.offset, payload_bytes))


def may_follow(old: DeliveryState, new: DeliveryState) -> bool:
    """Whether a state may change so: what is settled stays so, but a late success is the truth."""
    return old < DeliveryState.DELIVERED or new is DeliveryState.DELIVERED


def entry_of(seq: int, batches: Iterable[Batch], found: dict[int, Owed]) -> Entry | None:
    """Return an entry that is not written yet, or that a query has just found."""
    for batch in batches:
        if seq in batch.entries:
            return whole(batch.entries[seq])
    return found[seq].entry if seq in found else None


def overlaid(row: Owed, batches: Iterable[Batch]) -> Owed:
    """Return a row with the newest state that was told and is not written. batches: older first."""
    for batch in batches:
        mark = batch.marks.get(row.mark.destination, {}).get(row.seq)
        if mark is not None:
            row = Owed(row.entry, mark)
    return row


def is_due(mark: Mark, now_ns: int) -> bool:
    """Whether a delivery in this state may be tried now."""
    if mark.state is DeliveryState.RETRYING:
        return mark.next_attempt_ns <= now_ns
    return mark.state is DeliveryState.PENDING
