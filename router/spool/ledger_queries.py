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
from router.spool.ledger_runs import is_in_run
from router.spool.ledger_schema import open_reader
from router.spool.ledger_tables import Row
from router.spool.ledger_verify import suspect
from router.spool.record import Entry
from router.spool.states import DeliveryState, Owed, Selector

Question = tuple[str, tuple[Any, ...]]
"""A statement and its values."""

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

# What is pending by a run (ledger_runs.py), by age.
_IN_RUNS = """FROM pending_run r CROSS JOIN destination n ON n.id = r.destination
    CROSS JOIN instance i ON i.seq BETWEEN max(r.first_seq, ?2 + 1) AND r.last_seq
    LEFT JOIN delivery d ON d.seq = i.seq AND d.destination = r.destination
    WHERE r.destination = ?1 AND r.last_seq > ?2 AND d.seq IS NULL"""
_BY_AGE = "ORDER BY r.last_seq, i.seq LIMIT"
_PENDING_IN_RUNS = f"SELECT {OWED_COLUMNS} {_IN_RUNS} {_BY_AGE} ?3"
_FLOWS_IN_RUNS = f"SELECT i.seq, i.calling_ae_title, i.study_uid {_IN_RUNS} {_BY_AGE} ?3"
_FIRST_IN_RUNS = f"SELECT i.seq {_IN_RUNS} {_BY_AGE} ?3"
_HAS_RUNS = "SELECT 1 FROM pending_run WHERE destination = ? LIMIT 1"

_INSTANCE = "SELECT i.* FROM instance i WHERE i.seq = ?"
_FLOWS = """SELECT d.seq, i.calling_ae_title, i.study_uid
    FROM delivery d INDEXED BY delivery_open CROSS JOIN instance i ON i.seq = d.seq
    WHERE d.destination = ? AND d.state = ? AND d.is_open = 1 AND d.seq > ? ORDER BY d.seq LIMIT ?"""
_NEWEST = f"""SELECT max(o.seq) FROM instance o INDEXED BY instance_uid
    LEFT JOIN delivery p ON p.seq = o.seq AND p.destination = ?1
    WHERE o.sop_instance = ?2 AND o.seq < ?3 AND coalesce(p.state < 2, {is_in_run("?1", "o.seq")})"""
_OF_FLOW = f"""SELECT {OWED_COLUMNS}, (
        SELECT max(o.seq) FROM instance o INDEXED BY instance_uid
        LEFT JOIN delivery p ON p.seq = o.seq AND p.destination = n.id
        WHERE o.sop_instance = i.sop_instance AND o.seq < i.seq
            AND coalesce(p.state < 2, {is_in_run("n.id", "o.seq")}))
    FROM instance i INDEXED BY instance_study CROSS JOIN destination n ON n.id = ?1
    LEFT JOIN delivery d ON d.seq = i.seq AND d.destination = n.id
    WHERE i.calling_ae_title = ?2 AND i.study_uid = ?3 AND i.seq > ?4
        AND coalesce(d.state < 2, {is_in_run("n.id", "i.seq")})
    ORDER BY i.seq LIMIT ?5"""
_IS_OWED = f"""SELECT 1 WHERE coalesce(
    (SELECT state < 2 FROM delivery WHERE seq = ?1 AND destination = ?2), {is_in_run("?2", "?1")})"""


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
        owed = self._checked_rows(
            (_PENDING_IN_RUNS, (number, after_seq, limit)), (_PENDING, (number, after_seq, limit))
        )
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
        number = self._ids.get(destination, -1)
        questions: list[Question] = [(_FIRST, (number, int(state), limit))]
        if state is DeliveryState.PENDING:
            questions.append((_FIRST_IN_RUNS, (number, 0, limit)))
        return sorted(seq for (seq,) in self._all(*questions))[:limit]

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
        questions: list[Question] = [(_FLOWS, (number, int(state), after_seq, limit)) for state in states]
        return sorted(self._all((_FLOWS_IN_RUNS, (number, after_seq, limit)), *questions))[:limit]

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
        in_runs = self._in_runs(selector, OWED_COLUMNS, limit)
        return self._in_order(self._checked_rows((query, (*values, limit)), *in_runs))[:limit]

    def rows(self, selector: Selector, limit: int) -> list[Row]:
        """As find, only what a change needs."""
        source, where, values = self._where(selector)
        query = f"SELECT d.seq, d.destination, d.state, d.segment, d.length {source} {where} LIMIT ?"
        in_runs = self._in_runs(selector, "i.seq, n.id, 0, i.segment, i.length", limit)
        return [Row(*row) for row in sorted(self._all((query, (*values, limit)), *in_runs))[:limit]]

    def newest(self, sop_instance: str) -> int | None:
        """Return the number of the newest entry of a SOP Instance UID."""
        rows = self._rows(
            "SELECT max(seq) FROM instance INDEXED BY instance_uid WHERE sop_instance = ?", sop_instance
        )
        value: int | None = rows[0][0]
        return value

    def entry(self, seq: int) -> list[Owed]:
        """Return one entry, a row a destination."""
        in_runs = self._in_runs(Selector(seq=seq), OWED_COLUMNS, 1)
        return self._in_order(self._checked_rows((_ENTRY, (seq,)), *in_runs))

    def _in_order(self, rows: list[Owed]) -> list[Owed]:
        """Sort deliveries by entry, those of one by destination."""
        return sorted(rows, key=lambda one: (one.entry.seq, self._ids[one.mark.destination]))

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

    def _in_runs(self, selector: Selector, columns: str, limit: int) -> list[Question]:
        """Return what to ask for what a selector means of the deliveries that are pending by a run."""
        if selector.state not in (None, DeliveryState.PENDING):
            return []
        names = list(self._ids) if selector.destination is None else [selector.destination]
        numbers = [self._ids.get(name, -1) for name in names]
        uid, study = selector.sop_instance, selector.study_uid
        wanted = {"seq = ": selector.seq, "study_uid = ": study, "sop_instance = ": uid}
        if all(value is None for value in wanted.values()):
            source, order = _IN_RUNS, "r.last_seq, i.seq"
        else:
            index = "instance_uid" if uid is not None else "instance_study" if study is not None else ""
            source, order = _of_entries(f"INDEXED BY {index}" if index else ""), "i.seq"
        conditions, values = "", [selector.after]
        for condition, value in (*wanted.items(), ("received_ns < ", selector.received_before_ns)):
            if value is not None:
                values.append(value)  # type: ignore[arg-type]
                conditions += f" AND i.{condition}?{len(values) + 1}"
        query = f"SELECT {columns} {source}{conditions} ORDER BY {order} LIMIT ?{len(values) + 2}"
        return [(query, (number, *values, limit)) for number in numbers if self._rows(_HAS_RUNS, number)]

    def _rows(self, query: str, *values: Any) -> list[Any]:
        return self._all((query, values))

    def _all(self, *questions: Question) -> list[Any]:
        """Return the rows of several questions, about one moment of the tables."""
        with self._lock:
            try:
                if len(questions) == 1:
                    query, values = questions[0]
                    return self._connection.execute(query, values).fetchall()
                self._connection.execute("BEGIN")
                try:
                    return [
                        row
                        for question in questions
                        for row in self._connection.execute(*question).fetchall()
                    ]
                finally:
                    self._connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                failure = ledger_error(error)
                if isinstance(failure, LedgerDamaged):
                    suspect(self._path)
                raise failure from error

    def _owed(self, query: str, *values: Any) -> list[Owed]:
        return self._checked_rows((query, values))

    def _checked_rows(self, *questions: Question) -> list[Owed]:
        return [self._checked(owed_of, row) for row in self._all(*questions)]

    def _checked(self, decode: Callable[[Any], _T], row: Any) -> _T:
        try:
            return decode(row)
        except LedgerDamaged:
            suspect(self._path)
            raise


def _of_entries(index: str) -> str:
    """Return _IN_RUNS for a question about a few entries, which are looked for in the runs."""
    return f"""FROM instance i {index} CROSS JOIN destination n ON n.id = ?1
        LEFT JOIN delivery d ON d.seq = i.seq AND d.destination = n.id
        WHERE i.seq > ?2 AND d.seq IS NULL AND {is_in_run("n.id", "i.seq")}"""


def _is_state_alone(selector: Selector) -> bool:
    """Whether a selector asks for an open state of all destinations: the index goes by destination first."""
    state = selector.state
    others = (selector.seq, selector.destination, selector.study_uid, selector.sop_instance)
    return state is not None and not state.is_settled and all(other is None for other in others)
