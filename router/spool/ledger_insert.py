"""New rows of the ledger, written by Python's sqlite3 module; and the choice between that and its compiled
twin, _codec/ledger_rows.pyx.

Invariant: rows are written within a transaction of the caller's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import NamedTuple, Protocol

from router.spool.ledger_batch import whole
from router.spool.ledger_rows import delivery_row, instance_row
from router.spool.record import Entry
from router.spool.states import Mark
from router.wire.codec import RowWriter, StoredEntry, linked

ROWS_AT_ONCE = 16  # inserted by one statement

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


Inserted = tuple[Iterable[tuple[int, int, int, int, int, int]], list[int], list[Mark]]
"""Sums; numbers of the entries whose dataset has a file of its own; marks that are of other entries."""


class Inserter(Protocol):
    """Writes new entries with the deliveries that they begin with."""

    def insert(
        self,
        entries: Mapping[int, Entry | StoredEntry],
        marks: dict[str, dict[int, Mark]],
        ids: Mapping[str, int],
    ) -> Inserted:
        """Write; marks of other entries are left out and returned. Raises sqlite3.Error."""

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
        ids: Mapping[str, int],
    ) -> Inserted:
        """See Inserter."""
        sums: dict[tuple[int, int, int], Sum] = {}
        others: list[Mark] = []

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
        self._insert_rows(INSERT_DELIVERY, rows())
        filed = [seq for seq, entry in entries.items() if entry.location.file is not None]
        return sums.values(), filed, others

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


def _add(sums: dict[tuple[int, int, int], Sum], one: Sum) -> None:
    kind = one[:3]
    old = sums.get(kind)
    if old is not None:
        one = Sum(*kind, old.deliveries + 1, old.size_bytes + one.size_bytes, max(old.at_ns, one.at_ns))
    sums[kind] = one
