"""What the ledger has been told and has not written yet.

An entry that is added and settled before its batch is written costs one row per destination, not two
writes. One that nothing has happened to yet is part of a run (PendingRun) until something does.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from router.spool.record import Entry
from router.spool.segment import REFERENCE_PAYLOAD_BYTES, Position, record_end
from router.spool.states import UNDECIDED, DeliveryState, Mark, Owed, Tallies, Tally, first_marks
from router.wire.codec import EntrySend, PendingRun, StoredEntry, tell_delivered, tell_run

RUN_ENTRIES_MAX = 4096  # of pending entries; a run may have to be written out in one go
STATES = len(DeliveryState)


@dataclass(slots=True)
class Batch:
    """Changes in the order of their arrival, newest state per (destination, seq).

    entries: added in this batch; those of the entry lane as it knows them (see `whole`). marks: by
    destination, then seq, of these and of older entries. pending: by destination, in order, runs of entries
    that began pending; those without a mark are so still.
    changes: of the totals, by destination: counts by state, then bytes by state. newest: of the added
    entries. rows: what writing it will take.
    """

    number: int
    entries: dict[int, Entry | StoredEntry] = field(default_factory=dict)
    marks: dict[str, dict[int, Mark]] = field(default_factory=dict)
    pending: dict[str, list[PendingRun]] = field(default_factory=dict)
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
            if mark.state is DeliveryState.PENDING and entry.location.file is None:
                self.rows += self._begin_pending(destination, entry)
            else:
                self.marks.setdefault(destination, {})[seq] = mark
                self.rows += 1
            self._count(destination, mark.state, 1, entry)
        self.rows += 1

    def _begin_pending(self, destination: str, entry: Entry) -> bool:
        """Enter an entry as pending; return whether a run begins with it."""
        runs = self.pending.setdefault(destination, [])
        seq, segment, length, at_ns = (
            entry.seq,
            entry.location.segment,
            entry.location.length,
            entry.record.received_ns,
        )
        last = runs[-1] if runs else None
        if (
            last is None
            or last.last_seq + 1 != seq
            or last.segment != segment
            or seq - last.first_seq >= RUN_ENTRIES_MAX
        ):
            runs.append(PendingRun(seq, seq, segment, length, at_ns))
            return True
        last.last_seq = seq
        last.size_bytes += length
        last.at_ns = max(last.at_ns, at_ns)
        return False

    def add_run(self, run: list[StoredEntry]) -> None:
        """Take new entries of the entry lane, as `add`."""
        added, begun = tell_run(run, self.entries, self.pending)
        for destination, count, size in added:
            self._count_many(destination, DeliveryState.PENDING, count, size)
        self.rows += len(run) + begun
        self.newest = run[-1]

    def mark_delivered(self, done: list[EntrySend], held: dict[str, set[int]], now_ns: int) -> None:
        """Take what the entry lane has delivered, as `mark`. held: by destination, what it holds of these."""
        pending, delivered = DeliveryState.PENDING, DeliveryState.DELIVERED
        changed, fresh, others = tell_delivered(
            done, self.entries, self.marks, held, Mark, pending, delivered, now_ns
        )
        self.rows += fresh
        for destination, count, size in changed:
            self._count_many(destination, pending, -count, -size)
            self._count_many(destination, delivered, count, size)
        for seq, destination in others:
            self.mark(Mark(seq, destination, delivered, now_ns, status=0))

    def mark(self, mark: Mark) -> None:
        """Take a new state."""
        of_destination = self.marks.setdefault(mark.destination, {})
        old = of_destination.get(mark.seq)
        entry = self.entries.get(mark.seq)
        state = DeliveryState.PENDING
        if old is None:
            self.rows += 1
            if entry is not None and not self._is_in_run(mark.destination, mark.seq):
                return  # never owed to this destination
        else:
            state = old.state
            if not may_follow(state, mark.state):
                return
            if old.takes_over:
                mark = mark._replace(takes_over=True)
        if entry is not None:
            self._count(mark.destination, state, -1, entry)
            self._count(mark.destination, mark.state, 1, entry)
        of_destination[mark.seq] = mark

    def mark_of(self, destination: str, seq: int) -> Mark | None:
        """Return the newest state of an entry that was told here, the one it began with included."""
        mark = self.marks.get(destination, {}).get(seq)
        if mark is None and self._is_in_run(destination, seq):
            return pending_mark(destination, self.entries[seq])
        return mark

    def marks_of(self, destination: str) -> dict[int, Mark]:
        """As mark_of, of all entries. Makes a mark for each that is pending."""
        found = {
            seq: pending_mark(destination, self.entries[seq])
            for run in self.pending.get(destination, ())
            for seq in range(run.first_seq, run.last_seq + 1)
        }
        found.update(self.marks.get(destination, {}))
        return found

    def first_pending(self, destination: str, settled: Container[int]) -> int | None:
        """Return the first entry of the runs that is not among those of which something else was told."""
        numbers = (
            seq for run in self.pending.get(destination, ()) for seq in range(run.first_seq, run.last_seq + 1)
        )
        return next((seq for seq in numbers if seq not in settled), None)

    def _is_in_run(self, destination: str, seq: int) -> bool:
        """Whether an entry began pending here."""
        runs = self.pending.get(destination)
        if not runs:
            return False
        at = bisect_right(runs, seq, key=_first_seq) - 1
        return at >= 0 and seq <= runs[at].last_seq

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
        marks = [self.mark_of(destination, seq) for destination in destinations]
        return [Owed(whole(entry), mark) for mark in marks if mark is not None]

    def divert(self, mark: Mark, alternate: str) -> None:
        """Settle a delivery as diverted, and let it begin towards the alternate, if it is not owed there."""
        self.mark(mark)
        seq, of_alternate = mark.seq, self.marks.setdefault(alternate, {})
        if seq in of_alternate or self._is_in_run(alternate, seq):
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


def _first_seq(run: PendingRun) -> int:
    return run.first_seq


def whole(entry: Entry | StoredEntry) -> Entry:
    """Return an entry as all know it."""
    return entry if isinstance(entry, Entry) else entry.entry


def pending_mark(destination: str, entry: Entry | StoredEntry) -> Mark:
    """Return the mark that an entry begins with at a destination, to be sent."""
    received_ns = entry.record.received_ns if isinstance(entry, Entry) else entry.received_ns
    return Mark(entry.seq, destination, DeliveryState.PENDING, received_ns)


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
