"""The reading half of the ledger: what is due, what people ask. No full scans where deliveries wait for the
answer.

Statements name their index: without statistics sqlite would guess, and a guess over a million rows stalls
a worker.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from router.spool.faults import LedgerDamaged, ledger_error
from router.spool.ledger_rows import OWED_COLUMNS, entry_of, owed_of
from router.spool.ledger_schema import open_reader
from router.spool.ledger_tables import Row
from router.spool.ledger_verify import suspect
from router.spool.record import Entry
from router.spool.states import DeliveryState, Owed, Selector

_T = TypeVar("_T")

_JOIN = "CROSS JOIN instance i ON i.seq = d.seq CROSS JOIN destination n ON n.id = d.destination"
_PENDING = f"""SELECT {OWED_COLUMNS} FROM delivery d INDEXED BY delivery_open {_JOIN}
    WHERE d.destination = ? AND d.state = 0 AND d.is_open = 1 AND d.seq > ? ORDER BY d.seq LIMIT ?"""
_RETRY_KEYS = """SELECT seq FROM delivery INDEXED BY delivery_retry
    WHERE destination = ? AND state = 1 AND next_attempt_ns <= ? LIMIT ?"""
_RETRY_ONE = f"SELECT {OWED_COLUMNS} FROM delivery d {_JOIN} WHERE d.seq = ? AND d.destination = ?"
_ENTRY = f"SELECT {OWED_COLUMNS} FROM delivery d {_JOIN} WHERE d.seq = ?"
_RETRY_MANY = f"""SELECT {OWED_COLUMNS} FROM delivery d INDEXED BY delivery_open {_JOIN}
    WHERE d.destination = ? AND d.state = 1 AND d.is_open = 1 AND d.next_attempt_ns <= ? AND d.seq > ?
    ORDER BY d.seq LIMIT ?"""
_NEXT_RETRY = """SELECT min(next_attempt_ns) FROM delivery INDEXED BY delivery_retry
    WHERE destination = ? AND state = 1"""
_FIRST = """SELECT seq FROM delivery INDEXED BY delivery_open
    WHERE destination = ? AND state = ? AND is_open = 1 ORDER BY seq LIMIT ?"""

_INSTANCE = "SELECT i.* FROM instance i WHERE i.seq = ?"
_FLOWS = """SELECT d.seq, i.calling_ae_title, i.study_uid
    FROM delivery d INDEXED BY delivery_open CROSS JOIN instance i ON i.seq = d.seq
    WHERE d.destination = ? AND d.state = ? AND d.is_open = 1 AND d.seq > ? ORDER BY d.seq LIMIT ?"""
_OF_FLOW = f"""SELECT {OWED_COLUMNS}, (
        SELECT max(o.seq) FROM instance o INDEXED BY instance_uid
        CROSS JOIN delivery p ON p.seq = o.seq AND p.destination = d.destination
        WHERE o.sop_instance = i.sop_instance AND o.seq < i.seq AND p.state < 2)
    FROM instance i INDEXED BY instance_study
    CROSS JOIN delivery d ON d.seq = i.seq AND d.destination = ?
    CROSS JOIN destination n ON n.id = d.destination
    WHERE i.calling_ae_title = ? AND i.study_uid = ? AND i.seq > ? AND d.state < 2
    ORDER BY i.seq LIMIT ?"""
_IS_OWED = "SELECT 1 FROM delivery WHERE seq = ? AND destination = ? AND state < 2"
_NEWEST = """SELECT max(o.seq) FROM instance o INDEXED BY instance_uid
    CROSS JOIN delivery p ON p.seq = o.seq AND p.destination = ?
    WHERE o.sop_instance = ? AND o.seq < ? AND p.state < 2"""


class Queries:
    """Reads what is committed; usable from any thread. Every question raises SpoolError if it cannot."""

    def __init__(self, path: Path, ids: dict[str, int]) -> None:
        """ids: the numbers of destination names, shared with and kept up by the writing half."""
        self._path = path
        self._connection = open_reader(path)
        self._lock = threading.Lock()
        self._ids = ids

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def due(self, destination: str, now_ns: int, after_seq: int, limit: int) -> list[Owed]:
        """Return the first `limit` deliveries that may be tried now, by age."""
        number = self._ids.get(destination)
        if number is None:
            return []
        owed = self._owed(_PENDING, number, after_seq, limit)
        owed += self._due_retries(number, now_ns, after_seq, limit)
        owed.sort(key=lambda one: one.entry.seq)
        return owed[:limit]

    def _due_retries(self, number: int, now_ns: int, after_seq: int, limit: int) -> list[Owed]:
        """As due, of those tried before: usually few, found by time; when many are due, found by age."""
        keys = self._rows(_RETRY_KEYS, number, now_ns, limit + 1)
        if len(keys) > limit:
            return self._owed(_RETRY_MANY, number, now_ns, after_seq, limit)
        seqs = sorted(seq for (seq,) in keys if seq > after_seq)
        return [one for seq in seqs for one in self._owed(_RETRY_ONE, seq, number)]

    def next_retry_ns(self, destination: str) -> int | None:
        """Return when the next retry is due, None if there is none."""
        rows = self._rows(_NEXT_RETRY, self._ids.get(destination, -1))
        value: int | None = rows[0][0]
        return value

    def first(self, destination: str, state: DeliveryState, limit: int) -> list[int]:
        """Return the entries of the first `limit` deliveries in an open state."""
        return [seq for (seq,) in self._rows(_FIRST, self._ids.get(destination, -1), int(state), limit)]

    def received_ns(self, seq: int) -> int | None:
        """Return when an instance was received."""
        rows = self._rows("SELECT received_ns FROM instance WHERE seq = ?", seq)
        return rows[0][0] if rows else None

    def instance(self, seq: int) -> Entry | None:
        """Return an instance, whoever is owed it."""
        rows = self._rows(_INSTANCE, seq)
        return self._checked(entry_of, rows[0]) if rows else None

    def owed_flows(self, destination: str, after_seq: int, limit: int) -> list[tuple[int, str, str]]:
        """Return number, calling AE title and study of the first entries owed to a destination, by age."""
        number = self._ids.get(destination, -1)
        states = (DeliveryState.PENDING, DeliveryState.RETRYING)
        found = [row for state in states for row in self._rows(_FLOWS, number, int(state), after_seq, limit)]
        return sorted(found)[:limit]

    def owed_of_flow(
        self, destination: str, flow: tuple[str, str], after_seq: int, limit: int
    ) -> list[tuple[Owed, int | None]]:
        """Return what one flow is owed, by age; with each the newest older entry owed with the same UID."""
        number = self._ids.get(destination, -1)
        rows = self._rows(_OF_FLOW, number, *flow, after_seq, limit)
        return [(self._checked(owed_of, row), row[-1]) for row in rows]

    def owed_among(self, destination: str, seqs: Sequence[int]) -> set[int]:
        """Return which of these entries are owed to a destination."""
        number = self._ids.get(destination, -1)
        return {seq for seq in seqs if self._rows(_IS_OWED, seq, number)}

    def newest_owed(self, destination: str, sop_instance: str, before_seq: int) -> int | None:
        """Return the newest entry with this UID, older than another, that is owed to a destination."""
        number = self._ids.get(destination, -1)
        value: int | None = self._rows(_NEWEST, number, sop_instance, before_seq)[0][0]
        return value

    def find(self, selector: Selector, limit: int) -> list[Owed]:
        """Return the deliveries a selector means, by entry number; several of one entry stand together."""
        if _is_state_alone(selector):
            found = [
                one
                for name in list(self._ids)
                for one in self.find(replace(selector, destination=name), limit)
            ]
            return sorted(found, key=lambda one: one.seq)[:limit]
        source, where, values = self._where(selector)
        query = (
            f"SELECT {OWED_COLUMNS} {source} CROSS JOIN destination n ON n.id = d.destination {where} LIMIT ?"
        )
        return self._owed(query, *values, limit)

    def rows(self, selector: Selector, limit: int) -> list[Row]:
        """As find, only what a change needs."""
        source, where, values = self._where(selector)
        query = f"SELECT d.seq, d.destination, d.state, d.segment, d.length {source} {where} LIMIT ?"
        return [Row(*row) for row in self._rows(query, *values, limit)]

    def newest(self, sop_instance: str) -> int | None:
        """Return the number of the newest entry of a SOP Instance UID."""
        rows = self._rows(
            "SELECT max(seq) FROM instance INDEXED BY instance_uid WHERE sop_instance = ?", sop_instance
        )
        value: int | None = rows[0][0]
        return value

    def entry(self, seq: int) -> list[Owed]:
        """Return one entry, a row a destination."""
        return self._owed(_ENTRY, seq)

    def file_settled_ns(self, name: str) -> int | None:
        """Return when the entry of a large object changed last; None if no entry has it."""
        query = "SELECT max(d.at_ns) FROM instance i CROSS JOIN delivery d ON d.seq = i.seq WHERE i.file = ?"
        value: int | None = self._rows(query, name)[0][0]
        return value

    def file_state(self, name: str) -> bool | None:
        """Return whether the entry of a large object still has open deliveries; None: no entry has it."""
        rows = self._rows("SELECT seq FROM instance WHERE file = ?", name)
        if not rows:
            return None
        return bool(self._rows("SELECT 1 FROM delivery WHERE seq = ? AND state < 4 LIMIT 1", rows[0][0]))

    def _where(self, selector: Selector) -> tuple[str, str, list[Any]]:
        """Return FROM, WHERE and values for a selector, entering by its narrowest index."""
        conditions = ["d.seq > ?"]
        values: list[Any] = [selector.after]

        def given(condition: str, value: Any) -> None:
            if value is not None:
                conditions.append(condition)
                values.append(value)

        given("d.seq = ?", selector.seq)
        given("i.study_uid = ?", selector.study_uid)
        given("i.sop_instance = ?", selector.sop_instance)
        given("i.received_ns < ?", selector.received_before_ns)
        if selector.destination is not None:
            given("d.destination = ?", self._ids.get(selector.destination, -1))
        given("d.state = ?", selector.state)
        is_open = selector.state is not None and not selector.state.is_settled
        if selector.study_uid is not None or selector.sop_instance is not None:
            index = "instance_uid" if selector.sop_instance is not None else "instance_study"
            source = f"FROM instance i INDEXED BY {index} CROSS JOIN delivery d ON d.seq = i.seq"
            conditions[0] = "i.seq > ?"
        elif selector.seq is None and selector.destination is not None and is_open:
            source = "FROM delivery d INDEXED BY delivery_open CROSS JOIN instance i ON i.seq = d.seq"
            conditions.append("d.is_open = 1")
        else:
            source = "FROM delivery d CROSS JOIN instance i ON i.seq = d.seq"
        return source, f"WHERE {' AND '.join(conditions)} ORDER BY d.seq", values

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                failure = ledger_error(error)
                if isinstance(failure, LedgerDamaged):
                    suspect(self._path)
                raise failure from error

    def _owed(self, query: str, *values: Any) -> list[Owed]:
        return [self._checked(owed_of, row) for row in self._rows(query, *values)]

    def _checked(self, decode: Callable[[Any], _T], row: Any) -> _T:
        try:
            return decode(row)
        except LedgerDamaged:
            suspect(self._path)
            raise


def _is_state_alone(selector: Selector) -> bool:
    """Whether a selector asks for an open state of all destinations: the index goes by destination first."""
    state = selector.state
    others = (selector.seq, selector.destination, selector.study_uid, selector.sop_instance)
    return state is not None and not state.is_settled and all(other is None for other in others)
