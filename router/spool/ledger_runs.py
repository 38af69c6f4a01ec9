"""Runs: one row of the table `pending_run` for many entries that nothing has happened to at a destination.

What comes for one that takes nothing costs the ledger next to nothing in this way. A delivery is pending by a
run if its entry lies in one of its destination's and it has no row in `delivery`; a row there counts,
whatever it says.
Invariants: runs of one destination do not overlap; every entry of a run is in `instance`; a run of which
nothing is pending any more is removed with the change that settles that.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from router.spool.ledger_insert import INSERT_DELIVERY
from router.spool.ledger_rows import checksum, delivery_row
from router.spool.states import DeliveryState, Mark

INSERT_RUN = "INSERT INTO pending_run VALUES (?,?,?,?,?,?,?)"
_DELETE_RUN = "DELETE FROM pending_run WHERE destination = ? AND last_seq = ?"
_RUNS = """SELECT destination, first_seq, last_seq, segment, length, at_ns FROM pending_run
    ORDER BY destination, last_seq"""
_TAKEN = """SELECT count(*), coalesce(sum(length), 0) FROM delivery
    WHERE seq BETWEEN ? AND ? AND destination = ?"""
_IS_THERE = "SELECT 1 FROM delivery WHERE seq = ? AND destination = ?"
_LEFT = """SELECT i.seq, i.length, i.received_ns FROM instance i
    LEFT JOIN delivery d ON d.seq = i.seq AND d.destination = ?
    WHERE i.seq BETWEEN ? AND ? AND d.seq IS NULL"""


def is_in_run(destination: str, seq: str) -> str:
    """Return the SQL that says whether an entry lies in a run; both are SQL too."""
    return f"""((SELECT q.first_seq FROM pending_run q
        WHERE q.destination = {destination} AND q.last_seq >= {seq} ORDER BY q.last_seq LIMIT 1) <= {seq})"""


@dataclass(slots=True, eq=False)
class Run:
    """One run. destination: its number. left: how many of its entries have no row in `delivery`."""

    destination: int
    first_seq: int
    last_seq: int
    segment: int
    size_bytes: int
    at_ns: int
    left: int

    def row(self, name: str) -> tuple[int, ...]:
        """Return its columns. name: of the destination."""
        return (self.destination, self.last_seq, self.first_seq, *self._facts, self.checksum(name))

    def checksum(self, name: str) -> int:
        """Return the checksum of its columns; of the name, as in a delivery."""
        return checksum((name, self.first_seq, self.last_seq, *self._facts))

    @property
    def _facts(self) -> tuple[int, int, int]:
        return self.segment, self.size_bytes, self.at_ns


class Runs:
    """All runs of a ledger as its writing half knows them, so that a mark costs no query to find its own.

    Changes of one transaction are taken note of by `draw` and become true with `settle`, after it.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._runs: dict[int, list[Run]] = {}  # by destination, in order
        self._drawn: dict[Run, int] = {}

    def load(self) -> Iterator[tuple[Run, int, int]]:
        """Read all of them; yield each with the count and the bytes of what is pending."""
        for number, first, last, segment, length, at_ns in self._connection.execute(_RUNS).fetchall():
            taken, size = self._connection.execute(_TAKEN, (first, last, number)).fetchone()
            run = Run(number, first, last, segment, length, at_ns, last - first + 1 - taken)
            self.add(run)
            yield run, run.left, run.size_bytes - size

    def write(
        self, rows: Iterable[tuple[int, int, int, int, int, int]], names: Mapping[int, str]
    ) -> list[Run]:
        """Insert new runs; return them, to be added once that is committed."""
        runs = [Run(*row, row[2] - row[1] + 1) for row in rows]
        self._connection.executemany(INSERT_RUN, [run.row(names[run.destination]) for run in runs])
        return runs

    def add(self, run: Run) -> None:
        """Take note of a run that is in the table; it is its destination's last."""
        self._runs.setdefault(run.destination, []).append(run)

    def find(self, destination: int, seq: int) -> Run | None:
        """Return the run of a destination that an entry lies in."""
        runs = self._runs.get(destination)
        if not runs:
            return None
        at = bisect_left(runs, seq, key=_last_seq)
        return runs[at] if at < len(runs) and runs[at].first_seq <= seq else None

    def of_segment(self, segment: int) -> list[Run]:
        """Return the runs whose entries are in a segment."""
        return [run for runs in self._runs.values() for run in runs if run.segment == segment]

    def among(self, seqs: Sequence[int]) -> list[Run]:
        """Return the runs that some of these entries, which are in order, lie in."""
        found = []
        for runs in self._runs.values():
            for run in runs[bisect_left(runs, seqs[0], key=_last_seq) :]:
                if run.first_seq > seqs[-1]:
                    break
                if seqs[bisect_left(seqs, run.first_seq)] <= run.last_seq:
                    found.append(run)
        return found

    def has_pending(self, seq: int) -> bool:
        """Whether an entry is pending by any run."""
        numbers = [number for number in self._runs if self.find(number, seq) is not None]
        execute = self._connection.execute
        return any(execute(_IS_THERE, (seq, number)).fetchone() is None for number in numbers)

    def pending(self, run: Run) -> list[tuple[int, int, int]]:
        """Return what is pending by a run: numbers, bytes, when received."""
        return self._connection.execute(_LEFT, (run.destination, run.first_seq, run.last_seq)).fetchall()

    def begin(self) -> None:
        """Forget what was drawn in a transaction that was rolled back."""
        self._drawn.clear()

    def draw(self, run: Run) -> None:
        """Take note that an entry of a run gets a row of its own in this transaction."""
        self._drawn[run] = drawn = self._drawn.get(run, 0) + 1
        if drawn == run.left:
            self._connection.execute(_DELETE_RUN, (run.destination, run.last_seq))

    def dissolve(self, run: Run, name: str) -> None:
        """Give each entry that is pending by a run a row of its own. name: the destination's."""
        rows = [
            delivery_row(Mark(seq, name, DeliveryState.PENDING, at_ns), run.destination, run.segment, length)
            for seq, length, at_ns in self.pending(run)
        ]
        self._connection.executemany(INSERT_DELIVERY, rows)
        for _ in rows:
            self.draw(run)

    def settle(self) -> None:
        """What was drawn is committed."""
        for run, count in self._drawn.items():
            run.left -= count
            if not run.left:
                self._runs[run.destination].remove(run)
        self._drawn.clear()


def _last_seq(run: Run) -> int:
    return run.last_seq
