"""The writing half of the ledger: applies batches and people's commands to the tables, keeps the totals.

Used by one thread at a time (the ledger's own). Every change of a state goes through `_change`, so that
totals, open deliveries per segment and settled large objects always agree with the rows.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from select import poll
from typing import NamedTuple

from router import crash_points
from router.spool.ledger_batch import Batch, may_follow
from router.spool.ledger_insert import INSERT_DELIVERY, RUN_MIN, open_with_inserter
from router.spool.ledger_pruning import PRUNE_ROWS, Pass
from router.spool.ledger_rows import checksum, delivery_row, state_columns
from router.spool.ledger_runs import Runs
from router.spool.ledger_schema import open_database
from router.spool.record import Entry
from router.spool.segment import Position
from router.spool.states import DeliveryState, Mark, Tallies, Tally, first_marks
from router.wire.codec import StoredEntry

COMMAND_ROWS = 5000  # changed in one transaction, so that no command keeps the flushes waiting for long
ROWS_BETWEEN_YIELDS = 64
WRITE_BACK_ROWS = 4000  # in the write-ahead log, some MB of pages, before it is merged

_UPDATE_DELIVERY = """UPDATE delivery SET state = ?, attempts = ?, next_attempt_ns = ?, at_ns = ?,
    error_class = ?, status = ?, checksum = ? WHERE seq = ? AND destination = ?"""
_OLD_DELIVERY = "SELECT state, segment, length FROM delivery WHERE seq = ? AND destination = ?"
# New entries whose UID came before, compared with the newest earlier one: (whether both are the same bytes,
# as far as length and CRC32C tell, in the same transfer syntax; how many).
_COUNT_REPEATS = """SELECT o.crc IS n.crc AND o.length = n.length AND o.transfer_syntax = n.transfer_syntax,
        count(*)
    FROM instance n CROSS JOIN instance o ON o.seq = (
        SELECT p.seq FROM instance p INDEXED BY instance_uid
        WHERE p.sop_instance = n.sop_instance AND p.seq < n.seq ORDER BY p.seq DESC LIMIT 1)
    WHERE n.seq BETWEEN ? AND ? GROUP BY 1"""
_NEWER_DELIVERED = """SELECT 1 FROM instance o CROSS JOIN delivery d ON d.seq = o.seq
    WHERE o.sop_instance = (SELECT sop_instance FROM instance WHERE seq = ?) AND o.seq > ?
        AND d.destination = ? AND d.state = 4 LIMIT 1"""
_HAS_OPEN = "SELECT 1 FROM delivery WHERE seq = ? AND state < 4 LIMIT 1"  # what has a file is in no run
_PLACE = "SELECT segment, length FROM instance WHERE seq = ?"
_RECEIVED = """SELECT seq, received_ns,
        EXISTS (SELECT 1 FROM delivery d WHERE d.seq = i.seq AND d.state < 4)
    FROM instance i WHERE seq > ? ORDER BY seq LIMIT ?"""


class Row(NamedTuple):
    """One delivery as it stands. destination: its number."""

    seq: int
    destination: int
    state: int
    segment: int
    length: int


class Change(NamedTuple):
    """What happened to one delivery. old, new: states, None where there was or is none."""

    seq: int
    destination: int
    old: int | None
    new: DeliveryState | None
    segment: int
    length: int
    at_ns: int


class Tables:
    """The ledger's connection for writing, and the totals over its rows."""

    def __init__(self, path: Path, *, fsync: bool = True) -> None:
        """Open the ledger. Raises sqlite3.Error if it is no sound database."""
        self._fsync = fsync
        self._run_min = RUN_MIN
        self._connection, self._inserter = open_with_inserter(lambda: open_database(path, fsync=fsync))
        self._runs = Runs(self._connection)
        self.tallies: Tallies = {}
        self.open_by_segment: dict[int, int] = {}
        self.changed_ns: dict[int, int] = {}  # per segment: latest change of any of its deliveries
        self.changed_segments: set[int] = set()  # since whoever reads it last cleared it
        self.settled_files: list[str] = []  # as above
        self.duplicates = 0  # entries added whose UID came before with the same bytes; only grows
        self.uid_conflicts = 0  # with other bytes, or in another transfer syntax
        self._prune_cursor = 0
        self._logged_rows = 0  # changed since the write-ahead log was last merged
        # Hands the interpreter's lock to the event loop. sleep(0) takes a hundred times as long, and fails
        # where a clock is turned under it.
        self._hand_over = poll().poll
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    def _load(self) -> None:
        execute = self._connection.execute
        self.names: dict[int, str] = dict(execute("SELECT id, name FROM destination"))
        self.ids = {name: number for number, name in self.names.items()}
        self.instances = execute("SELECT count(*) FROM instance").fetchone()[0]
        segment, offset, last_seq = execute("SELECT segment, offset, last_seq FROM checkpoint").fetchone()
        self.last_seq: int = last_seq
        self.covered = Position(segment, offset)
        self.files: dict[int, str] = dict(execute("SELECT seq, file FROM instance WHERE file IS NOT NULL"))
        query = """SELECT segment, destination, state, count(*), sum(length), max(at_ns)
            FROM delivery GROUP BY 1, 2, 3"""
        for segment, number, state, count, size, at_ns in execute(query):
            self._total(number, state, count, size)
            self._open(segment, state, count)
            self.changed_ns[segment] = max(self.changed_ns.get(segment, 0), at_ns)
        for run, count, size in self._runs.load():
            self._total(run.destination, DeliveryState.PENDING, count, size)
            self._open(run.segment, DeliveryState.PENDING, count)
            self.changed_ns[run.segment] = max(self.changed_ns.get(run.segment, 0), run.at_ns)

    # -- batches

    def apply(self, batch: Batch) -> None:
        """Write a batch in one transaction. Raises sqlite3.Error; then nothing of it is written."""
        self._name_destinations((*batch.pending, *batch.marks))
        covered = batch.covered
        with self._transaction():
            sums, filed, marked, rows = self._inserter.insert(
                batch.entries, batch.marks, batch.pending, self.ids, self._run_min
            )
            runs = self._runs.write(rows, self.names)
            changes = self._update(marked)
            if covered is not None:
                self._checkpoint(covered, max(batch.entries))
                repeats = self._repeats(batch.entries)
        if covered is not None:
            self.duplicates += repeats.get(1, 0)
            self.uid_conflicts += repeats.get(0, 0)
            self.covered, self.last_seq = covered, max(self.last_seq, *batch.entries)
        for run in runs:
            self._runs.add(run)
        self._count_new(batch.entries, sums, filed)
        self._account(changes)

    def _repeats(self, seqs: Collection[int]) -> dict[int, int]:
        """Return how many new entries repeat a UID: under 1 with the same bytes, under 0 with others."""
        return dict(self._connection.execute(_COUNT_REPEATS, (min(seqs), max(seqs))))

    def restore(self, entries: Sequence[Entry], state: DeliveryState | None = None, why: str = "") -> int:
        """Add entries found in the segments that the ledger does not know; return how many those were.

        state, why: for all their deliveries, instead of the one they start with.
        """
        known = self._known(entries)
        # Damage can leave a record in two places; one of them is enough.
        missing = {entry.seq: entry for entry in entries if entry.seq not in known}
        marks: dict[str, dict[int, Mark]] = {}
        for seq, entry in missing.items():
            for mark in first_marks(entry, state):
                of_destination = marks.setdefault(mark.destination, {})
                of_destination[seq] = mark._replace(error_class=why) if why else mark
        self._name_destinations(marks)
        with self._transaction():
            sums, filed, _, _ = self._inserter.insert(missing, marks, {}, self.ids, self._run_min)
        self._count_new(missing, sums, filed)
        return len(missing)

    def _known(self, entries: Sequence[Entry]) -> set[int]:
        """Return the numbers of those entries that there is an instance of."""
        query = "SELECT seq FROM instance WHERE seq BETWEEN ? AND ?"
        numbers = [entry.seq for entry in entries]
        bounds = (min(numbers, default=0), max(numbers, default=0))
        return {seq for (seq,) in self._connection.execute(query, bounds)}

    def set_covered(self, position: Position, last_seq: int) -> None:
        """Say up to where the segments have been read into the ledger."""
        with self._transaction():
            self._checkpoint(position, last_seq)
        self.covered, self.last_seq = position, max(self.last_seq, last_seq)

    def make_durable(self) -> None:
        """Sync everything written so far. Raises sqlite3.Error."""
        if self._fsync:
            self._connection.execute("PRAGMA synchronous = FULL")
        try:
            with self._transaction():
                self._connection.execute("UPDATE checkpoint SET barrier = barrier + 1")
        finally:
            if self._fsync:
                self._connection.execute("PRAGMA synchronous = NORMAL")

    def write_back(self) -> None:
        """Merge the write-ahead log into the tables once it is long. Raises sqlite3.Error."""
        if self._logged_rows >= WRITE_BACK_ROWS:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._logged_rows = 0

    def is_superseded(self, row: Row) -> bool:
        """Whether the destination has a newer version of this instance."""
        return (
            self._connection.execute(_NEWER_DELIVERED, (row.seq, row.seq, row.destination)).fetchone()
            is not None
        )

    def close(self) -> None:
        """Close; the write-ahead log is merged."""
        self._inserter.close()
        self._connection.close()

    def _update(self, marks: Iterable[Mark]) -> list[Change]:
        changes: list[Change] = []
        for mark in marks:
            number = self.ids[mark.destination]
            old = self._connection.execute(_OLD_DELIVERY, (mark.seq, number)).fetchone()
            if old is None and self._runs.find(number, mark.seq) is not None:
                changes += self._leave_run(mark, number)
                continue
            if old is None and mark.takes_over:
                changes += self._begin(mark, number)
            if old is None or not may_follow(DeliveryState(old[0]), mark.state):
                continue
            if mark.takes_over and mark.state is DeliveryState.PENDING:
                continue  # it was owed here all along
            state, segment, length = old
            columns = state_columns(mark, segment, length)
            self._connection.execute(_UPDATE_DELIVERY, (*columns, mark.seq, number))
            changes.append(Change(mark.seq, number, state, mark.state, segment, length, mark.at_ns))
        return changes

    def _leave_run(self, mark: Mark, number: int) -> list[Change]:
        """Give a delivery that is pending by a run a row of its own, with its new state."""
        if mark.takes_over and mark.state is DeliveryState.PENDING:
            return []  # it was owed here all along
        run = self._runs.find(number, mark.seq)
        assert run is not None
        segment, length = self._connection.execute(_PLACE, (mark.seq,)).fetchone()
        self._connection.execute(INSERT_DELIVERY, delivery_row(mark, number, segment, length))
        self._runs.draw(run)
        return [Change(mark.seq, number, DeliveryState.PENDING, mark.state, segment, length, mark.at_ns)]

    def _begin(self, mark: Mark, number: int) -> list[Change]:
        """Begin a delivery to a destination that takes it over."""
        place = self._connection.execute(_PLACE, (mark.seq,)).fetchone()
        if place is None:
            return []
        segment, length = place
        self._connection.execute(INSERT_DELIVERY, delivery_row(mark, number, segment, length))
        return [Change(mark.seq, number, None, mark.state, segment, length, mark.at_ns)]

    def bury(self, segment: int, now_ns: int, why: str) -> int:
        """Make dead what is still to be delivered from a segment; return how many. Reads every row."""
        query = "SELECT seq, destination FROM delivery WHERE segment = ? AND state < 3"
        rows = self._connection.execute(query, (segment,)).fetchall()
        for run in self._runs.of_segment(segment):
            rows += [(seq, run.destination) for seq, _, _ in self._runs.pending(run)]
        marks = [
            Mark(seq, self.names[number], DeliveryState.DEAD, now_ns, error_class=why) for seq, number in rows
        ]
        with self._transaction():
            changes = self._update(marks)
        self._account(changes)
        return len(changes)

    # -- commands of people

    def change(self, rows: Sequence[Row], state: DeliveryState, now_ns: int) -> int:
        """Give deliveries found by a query a new state, attempts from zero; return how many changed."""
        marks = [Mark(row.seq, self.names[row.destination], state, now_ns) for row in rows]
        with self._transaction():
            changes = self._update(marks)
        self._account(changes)
        return len(changes)

    def redirect(self, rows: Sequence[Row], destinations: Sequence[str], now_ns: int) -> int:
        """Replace held deliveries by pending ones to these destinations; return how many entries changed."""
        self._name_destinations(destinations)
        changes: list[Change] = []
        with self._transaction():
            for row in rows:
                if row.state == DeliveryState.HELD:
                    changes += self._redirect(row, destinations, now_ns)
        self._account(changes)
        return len({change.seq for change in changes})

    def _redirect(self, row: Row, destinations: Sequence[str], now_ns: int) -> list[Change]:
        seq, number, old, segment, length = row
        self._connection.execute("DELETE FROM delivery WHERE seq = ? AND destination = ?", (seq, number))
        changes = [Change(seq, number, old, None, segment, length, now_ns)]
        for name in destinations:
            number = self.ids[name]
            is_new = self._connection.execute(_OLD_DELIVERY, (seq, number)).fetchone() is None
            if is_new and self._runs.find(number, seq) is None:
                mark = Mark(seq, name, DeliveryState.PENDING, now_ns)
                self._connection.execute(INSERT_DELIVERY, delivery_row(mark, number, segment, length))
                changes.append(Change(seq, number, None, mark.state, segment, length, now_ns))
        return changes

    # -- retention

    def prune(self, rows_max: int, received_before_ns: int) -> Pass:
        """Forget some instances that are settled and too old or too many, oldest first."""
        excess = self.instances - rows_max
        rows = self._connection.execute(_RECEIVED, (self._prune_cursor, PRUNE_ROWS)).fetchall()
        has_pending = self._runs.has_pending
        settled = [(seq, received) for seq, received, is_open in rows if not (is_open or has_pending(seq))]
        gone = [
            (seq,) for i, (seq, received) in enumerate(settled) if i < excess or received < received_before_ns
        ]
        if 0 < excess < len(settled):  # the next to go are behind these
            self._prune_cursor = gone[-1][0]
        elif len(rows) < PRUNE_ROWS and excess <= 0:
            self._prune_cursor = 0
        elif rows:  # if that is the end, what is owed now is looked at again in the next sweep
            self._prune_cursor = rows[-1][0]
        if not gone:
            return Pass(len(rows), 0)
        with self._transaction():
            for run in self._runs.among([seq for (seq,) in gone]):  # every entry of one is there
                self._runs.dissolve(run, self.names[run.destination])
            totals = [
                row
                for key in gone
                for row in self._connection.execute(
                    "SELECT destination, state, length FROM delivery WHERE seq = ?", key
                )
            ]
            self._connection.executemany("DELETE FROM delivery WHERE seq = ?", gone)
            self._connection.executemany("DELETE FROM instance WHERE seq = ?", gone)
        self._runs.settle()
        self.instances -= len(gone)
        for number, state, length in totals:
            self._total(number, state, -1, -length)
        for key in gone:
            self.files.pop(key[0], None)
        return Pass(len(rows), len(gone))

    def begin_sweep(self) -> None:
        """Have the next pass of prune begin with the oldest."""
        self._prune_cursor = 0

    def prune_all(self, rows_max: int, received_before_ns: int) -> None:
        """As prune, over all of the table."""
        self.begin_sweep()
        while not self.prune(rows_max, received_before_ns).is_at_end:
            pass

    # -- totals

    def _count_new(
        self,
        entries: Mapping[int, Entry | StoredEntry],
        sums: Iterable[tuple[int, int, int, int, int, int]],
        filed: Iterable[int],
    ) -> None:
        """Bring the totals up to entries that have just been committed; see ledger_insert.py."""
        self.instances += len(entries)
        for number, state, segment, count, size, at_ns in sums:
            self._logged_rows += count
            self._total(number, state, count, size)
            self._open(segment, state, count)
            self._touch(segment, at_ns)
        for seq in filed:
            file = entries[seq].location.file
            assert file is not None
            self.files[seq] = file
            self._settle_file(seq)

    def _account(self, changes: Iterable[Change]) -> None:
        """Bring the totals up to what has just been committed."""
        self._runs.settle()
        counts: Counter[tuple[int, int]] = Counter()
        sizes: Counter[tuple[int, int]] = Counter()
        for seq, number, old, new, segment, length, at_ns in changes:
            self._logged_rows += 1
            if not self._logged_rows % ROWS_BETWEEN_YIELDS:
                self._hand_over(0)
            if old is not None:
                counts[number, old] -= 1
                sizes[number, old] -= length
                self._open(segment, old, -1)
            if new is not None:
                counts[number, new] += 1
                sizes[number, new] += length
                self._open(segment, new, 1)
                if new.is_settled and seq in self.files:
                    self._settle_file(seq)
            self._touch(segment, at_ns)
        for (number, state), count in counts.items():
            self._total(number, state, count, sizes[number, state])

    def _touch(self, segment: int, at_ns: int) -> None:
        self.changed_ns[segment] = max(self.changed_ns.get(segment, 0), at_ns)
        self.changed_segments.add(segment)

    def _settle_file(self, seq: int) -> None:
        if self._connection.execute(_HAS_OPEN, (seq,)).fetchone() is None:
            self.settled_files.append(self.files.pop(seq))

    def _total(self, number: int, state: int, count: int, size: int) -> None:
        key = (self.names[number], DeliveryState(state))
        self.tallies[key] = self.tallies.get(key, Tally()).plus(count, size)

    def _open(self, segment: int, state: int, count: int) -> None:
        if state < DeliveryState.DELIVERED:
            self.open_by_segment[segment] = self.open_by_segment.get(segment, 0) + count
            if self.open_by_segment[segment] == 0:
                del self.open_by_segment[segment]

    # -- statements

    def _name_destinations(self, names: Iterable[str]) -> None:
        """Give new destination names their numbers, in a transaction of their own."""
        fresh = [name for name in dict.fromkeys(names) if name not in self.ids]
        for name in fresh:
            cursor = self._connection.execute("INSERT INTO destination (name) VALUES (?)", (name,))
            assert cursor.lastrowid is not None
            self.names[cursor.lastrowid] = name
            self.ids[name] = cursor.lastrowid

    @crash_points.after("checkpoint.middle")
    def _checkpoint(self, position: Position, last_seq: int) -> None:
        place = (position.segment, position.offset, max(self.last_seq, last_seq))
        self._connection.execute(
            "UPDATE checkpoint SET segment = ?, offset = ?, last_seq = ?, checksum = ?",
            (*place, checksum(place)),
        )

    def _transaction(self) -> _Transaction:
        self._runs.begin()
        return _Transaction(self._connection)


class _Transaction:
    """BEGIN IMMEDIATE ... COMMIT, or ROLLBACK on any exception."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
