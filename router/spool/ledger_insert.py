"""New rows of the ledger, written by Python's sqlite3 module; and the choice between that and its compiled
twin, _codec/ledger_rows.pyx.

Invariant: rows are written within a transaction of the caller's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import NamedTuple, Protocol

from router.spool.ledger_batch import pending_mark, whole
from router.spool.ledger_rows import delivery_row, instance_row
from router.spool.record import Entry
from router.spool.states import DeliveryState, Mark
from router.wire.codec import PendingRun, RowWriter, StoredEntry, linked

ROWS_AT_ONCE = 16  # inserted by one statement
RUN_MIN = 16  # pending entries in a row; fewer get a row each

INSERT_INSTANCE = "INSERT INTO instance VALUES (" + ",".join("?" * 18) + ")"
INSERT_DELIVERY = "INSERT INTO delivery VALUES (" + ",".join("?" * 11) + ")"


class Sum(NamedTuple):
    """What deliveries of one kind add to the totals. destination: its number. at_ns: the latest."""

    destination: int
    state: int
    segment: int
    deliveries: int
    size_bytes: int
    at_ns: int


SixNumbers = tuple[int, int, int, int, int, int]
Inserted = tuple[Iterable[SixNumbers], list[int], list[Mark], Sequence[SixNumbers]]
"""Sums; numbers of the entries whose dataset has a file of its own; marks that are of other entries; runs as
ledger_runs.Run begins (destination to at_ns), which are still to be written."""


class Inserter(Protocol):
    """Writes new entries with the deliveries that they begin with."""

    def insert(
        self,
        entries: Mapping[int, Entry | StoredEntry],
        marks: dict[str, dict[int, Mark]],
        pending: dict[str, list[PendingRun]],
        ids: Mapping[str, int],
        run_min: int,
    ) -> Inserted:
        """Write; marks of other entries are left out and returned, and so is what is pending, run_min entries
        in a row or more. Raises sqlite3.Error."""

    def close(self) -> None:
        """Give up what the connection keeps for it; before that is closed."""


def open_with_inserter(
    open_connection: Callable[[], sqlite3.Connection],
) -> tuple[sqlite3.Connection, Inserter]:
    """Return the connection that open_connection() opens, and the best inserter for it.

    Raises as that does.
    """
    if linked is None:
        connection = open_connection()
        return connection, PlainInserter(connection)
    connection, link = linked(open_connection)
    if link is None:
        return connection, PlainInserter(connection)
    return connection, RowWriter(link, INSERT_INSTANCE, INSERT_DELIVERY)


class PlainInserter:
    """The inserter that needs nothing but the module."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def insert(
        self,
        entries: Mapping[int, Entry | StoredEntry],
        marks: dict[str, dict[int, Mark]],
        pending: dict[str, list[PendingRun]],
        ids: Mapping[str, int],
        run_min: int,
    ) -> Inserted:
        """See Inserter."""
        sums: dict[tuple[int, int, int], Sum] = {}
        others: list[Mark] = []
        runs: list[SixNumbers] = []

        def pieces() -> Iterator[tuple[object, ...]]:
            for name, began in pending.items():
                number, marked = ids[name], marks.get(name, {})
                for piece in _unmarked(began, marked):
                    of_piece = [entries[seq] for seq in piece]
                    size = sum(entry.location.length for entry in of_piece)
                    begin = [pending_mark(name, entry) for entry in of_piece]
                    segment = of_piece[0].location.segment
                    last_ns = max(mark.at_ns for mark in begin)
                    _add(sums, Sum(number, DeliveryState.PENDING, segment, len(piece), size, last_ns))
                    if len(piece) >= run_min:
                        runs.append((number, piece[0], piece[-1], segment, size, last_ns))
                        continue
                    for mark, entry in zip(begin, of_piece, strict=True):
                        yield delivery_row(mark, number, segment, entry.location.length)

        def rows() -> Iterator[tuple[object, ...]]:
            for name, of_destination in marks.items():
                number = ids[name]
                for seq, mark in of_destination.items():
                    entry = entries.get(seq)
                    if entry is None:
                        others.append(mark)
                        continue
                    segment, _, length, _, _ = entry.location
                    yield delivery_row(mark, number, segment, length)
                    _add(sums, Sum(number, mark.state, segment, 1, length, mark.at_ns))

        self._insert_rows(INSERT_INSTANCE, map(instance_row, map(whole, entries.values())))
        self._insert_rows(INSERT_DELIVERY, chain(rows(), pieces()))
        filed = [seq for seq, entry in entries.items() if entry.location.file is not None]
        return sums.values(), filed, others, runs

    def _insert_rows(self, statement: str, rows: Iterator[tuple[object, ...]]) -> None:
        """Insert rows, most of them many at a time.

        Each run of a statement hands the interpreter's lock to the event loop and has to wait for it again;
        so there are few runs, and no more rows are made before each than it takes, or the loop would wait for
        them all.
        """
        head, _, values = statement.partition(" VALUES ")
        many = f"{head} VALUES {','.join([values] * ROWS_AT_ONCE)}"
        while some := list(islice(rows, ROWS_AT_ONCE)):
            if len(some) == ROWS_AT_ONCE:
                self._connection.execute(many, list(chain.from_iterable(some)))
            else:
                self._connection.executemany(statement, some)

    def close(self) -> None:
        """See Inserter; it keeps nothing."""


def _unmarked(runs: Iterable[PendingRun], marked: Mapping[int, Mark]) -> Iterator[list[int]]:
    """Yield the numbers of which nothing was told, in pieces of one run and without a gap."""
    for run in runs:
        piece: list[int] = []
        for seq in range(run.first_seq, run.last_seq + 1):
            if seq not in marked:
                piece.append(seq)
            elif piece:
                yield piece
                piece = []
        if piece:
            yield piece


def _add(sums: dict[tuple[int, int, int], Sum], one: Sum) -> None:
    kind = one[:3]
    old = sums.get(kind)
    if old is not None:
        deliveries, size = old.deliveries + one.deliveries, old.size_bytes + one.size_bytes
        one = Sum(*kind, deliveries, size, max(old.at_ns, one.at_ns))
    sums[kind] = one
