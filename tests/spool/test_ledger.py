"""What is owed: states, order of age, totals."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from router.spool import ledger_tables
from router.spool.ledger import Ledger
from router.spool.payload import ClosedSegment
from router.spool.record import Entry, Location
from router.spool.segment import Position
from router.spool.states import DeliveryState, Selector, Tally

from .ledger_fixtures import (
    DEAD,
    DELIVERED,
    DISCARDED,
    NOW,
    PENDING,
    RETRYING,
    entry_of,
    mark_of,
    seqs,
    states,
)
from .spool_fixtures import record_of

pytestmark = pytest.mark.usefixtures("run_min")


@pytest.mark.parametrize("is_written", [False, True])
def test_an_entry_is_owed_to_each_of_its_destinations_whole(slow: Ledger, is_written: bool) -> None:
    entry = entry_of(1, ("A", "B"))
    slow.add([entry])
    if is_written:
        slow.flush()
    assert [one.entry for one in slow.due("A", NOW, 10)] == [entry]
    assert [one.entry for one in slow.due("B", NOW, 10)] == [entry]
    assert slow.due("C", NOW, 10) == []


@pytest.mark.parametrize("written", range(5))
def test_what_is_due_comes_by_age_whatever_is_written_already(slow: Ledger, written: int) -> None:
    steps = [
        lambda: slow.add([entry_of(seq) for seq in range(1, 7)]),
        lambda: slow.mark([mark_of(2, DELIVERED), mark_of(3, RETRYING, next_attempt_ns=NOW - 1)]),
        lambda: slow.mark([mark_of(4, RETRYING, next_attempt_ns=NOW + 1), mark_of(5, DEAD)]),
        lambda: slow.add([entry_of(7)]),
    ]
    for number, step in enumerate(steps):
        step()
        if number < written:
            slow.flush()
    assert seqs(slow) == [1, 3, 6, 7]
    assert seqs(slow, limit=2) == [1, 3]
    assert seqs(slow, after_seq=3) == [6, 7]
    assert seqs(slow, exclude={1, 6}) == [3, 7]
    assert seqs(slow, limit=2, exclude={1, 3}) == [6, 7]
    assert slow.next_due_ns("A") == NOW - 1
    assert slow.oldest("A") == entry_of(1).record.received_ns
    assert slow.oldest("A", [DEAD]) == entry_of(5).record.received_ns
    assert slow.oldest("B") is None
    assert slow.next_due_ns("B") is None


def test_many_due_retries_come_by_age_not_by_time(ledger: Ledger) -> None:
    ledger.add([entry_of(seq) for seq in range(1, 101)])
    ledger.mark([mark_of(seq, RETRYING, next_attempt_ns=NOW - seq, attempts=2) for seq in range(1, 101)])
    ledger.flush()
    assert seqs(ledger, limit=10) == list(range(1, 11))
    assert seqs(ledger, limit=10, after_seq=50) == list(range(51, 61))
    assert ledger.due("A", NOW, 1)[0].mark == mark_of(1, RETRYING, next_attempt_ns=NOW - 1, attempts=2)
    assert ledger.due("A", NOW - 1000, 10) == []


def test_what_is_just_being_written_is_not_done_before_it_is_known_to_be_open(
    slow: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The segment's other entries are settled; its last one is in the tables, and not in the totals yet."""
    closed = ClosedSegment(1, 2, 3000)
    slow.add([entry_of(1)])
    slow.mark([mark_of(1, DELIVERED)])
    slow.make_durable()
    found: list[list[int]] = []
    count_new = ledger_tables.Tables._count_new

    def asked_meanwhile(*arguments: Any) -> None:
        found.append(slow.segments_done([closed]))
        count_new(*arguments)

    monkeypatch.setattr(ledger_tables.Tables, "_count_new", asked_meanwhile)
    slow.add([entry_of(2)])
    slow.make_durable()
    assert found == [[]]
    assert slow.segments_done([closed]) == []
    slow.mark([mark_of(2, DELIVERED)])
    slow.make_durable()
    assert slow.segments_done([closed]) == [1]


def test_an_entry_settled_before_it_is_written_is_written_once(slow: Ledger, path: Path) -> None:
    statements: list[str] = []
    slow._tables._connection.set_trace_callback(statements.append)
    slow.add([entry_of(1, ("A", "B"))])
    slow.mark([mark_of(1, DELIVERED), mark_of(1, DELIVERED, "B", status=0)])
    slow.flush()
    assert sum("INTO delivery" in statement for statement in statements) == 2
    assert not any("UPDATE delivery" in statement for statement in statements)
    assert states(slow) == {(1, "A"): DELIVERED, (1, "B"): DELIVERED}


def test_entries_survive_a_close_and_open(path: Path) -> None:
    ledger = Ledger(path)
    ledger.add([entry_of(1, ("A", "B")), entry_of(2, ("B",))])
    ledger.mark([mark_of(1, DELIVERED, status=0), mark_of(2, DEAD, "B", attempts=3, status=0xA900)])
    before = ledger.counts()
    ledger.close()
    ledger.close()
    again = Ledger(path)
    assert again.counts() == before
    assert states(again) == {(1, "A"): DELIVERED, (1, "B"): PENDING, (2, "B"): DEAD}
    assert again.find(Selector(seq=2))[0].mark == mark_of(2, DEAD, "B", attempts=3, status=0xA900)
    assert again.covered_up_to() == Position(1, 2112)
    assert again.last_seq == 2
    again.close()


def test_counts_follow_every_change_without_reading_the_tables(slow: Ledger) -> None:
    slow.add([entry_of(seq, ("A", "B")) for seq in (1, 2, 3)])
    assert slow.counts() == {("A", PENDING): Tally(3, 300), ("B", PENDING): Tally(3, 300)}
    slow.mark([mark_of(1, DELIVERED)])
    assert slow.counts()["A", DELIVERED] == Tally(1, 100)
    slow.flush()
    slow.mark([mark_of(2, RETRYING), mark_of(1, DELIVERED, "B")])
    slow.flush()
    expected = {
        ("A", PENDING): Tally(1, 100),
        ("A", DELIVERED): Tally(1, 100),
        ("A", RETRYING): Tally(1, 100),
        ("B", PENDING): Tally(2, 200),
        ("B", DELIVERED): Tally(1, 100),
    }
    assert slow.counts() == expected


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("settled", [DELIVERED, DISCARDED])
def test_what_is_settled_stays_so_but_for_a_late_success(
    slow: Ledger, settled: DeliveryState, is_written: bool
) -> None:
    slow.add([entry_of(1)])
    slow.mark([mark_of(1, settled)])
    if is_written:
        slow.flush()
    slow.mark([mark_of(1, RETRYING)])
    slow.flush()
    assert states(slow) == {(1, "A"): settled}
    slow.mark([mark_of(1, DELIVERED)])
    slow.flush()
    assert states(slow) == {(1, "A"): DELIVERED}
    assert slow.counts() == {("A", DELIVERED): Tally(1, 100)}


def test_marks_for_what_nobody_is_owed_change_nothing(slow: Ledger) -> None:
    slow.add([entry_of(1)])
    slow.mark([mark_of(1, DELIVERED, "B"), mark_of(99, DELIVERED)])
    slow.flush()
    slow.mark([mark_of(1, DELIVERED, "C")])
    slow.flush()
    assert states(slow) == {(1, "A"): PENDING}
    assert slow.counts() == {("A", PENDING): Tally(1, 100)}


def test_entries_out_of_order_are_a_mistake(ledger: Ledger) -> None:
    ledger.add([entry_of(2)])
    with pytest.raises(ValueError, match="in order"):
        ledger.add([entry_of(2)])


def test_repeats_are_counted_as_duplicates_or_conflicts_when_they_are_written(slow: Ledger) -> None:
    def add(seq: int, crc: int, uid: str = "1.2.3.77", length: int = 100, syntax: str = "1.2") -> None:
        record = record_of(seq, ("A",), sop_instance=uid, transfer_syntax=syntax)
        slow.add([Entry(seq, record, Location(1, seq * 1000, length, crc))])

    add(1, 7)
    add(2, 7)  # the same, in one batch
    slow.flush()
    assert (slow.duplicates, slow.uid_conflicts) == (1, 0)
    add(3, 8)  # other bytes
    add(4, 8, uid="1.2.3.78")
    slow.flush()
    assert (slow.duplicates, slow.uid_conflicts) == (1, 1)
    add(5, 7)  # the first ones again: other bytes than the last
    add(6, 7, syntax="1.3")
    add(7, 7, syntax="1.3", length=101)
    slow.flush()
    assert (slow.duplicates, slow.uid_conflicts) == (1, 4)
    assert seqs(slow) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("is_written", [False, True])
def test_the_newest_entry_of_a_uid_is_found_with_its_newest_states(slow: Ledger, is_written: bool) -> None:
    slow.add([entry_of(1, ("A", "B"), sop_instance="1.9"), entry_of(2, ("A", "B"), sop_instance="1.9")])
    if is_written:
        slow.flush()
    slow.mark([mark_of(2, DEAD, "B")])
    found = slow.newest("1.9")
    if not is_written:
        assert found == []  # the tables do not know it yet, and nobody said which to look for
        found = slow.newest("1.9", 2)
    assert [(one.seq, one.mark.destination, one.mark.state) for one in found] == [
        (2, "A", PENDING), (2, "B", DEAD),
    ]  # fmt: skip
    assert slow.newest("1.9", 3) == slow.newest("1.8") == []


def test_an_older_version_is_not_sent_again_over_a_newer_one(ledger: Ledger) -> None:
    ledger.add([entry_of(seq, ("A", "B"), sop_instance="1.9") for seq in (1, 2)])
    ledger.mark([mark_of(1, DEAD), mark_of(1, DEAD, "B"), mark_of(2, DELIVERED), mark_of(2, DEAD, "B")])
    assert ledger.retry(Selector()) == 2
    assert states(ledger) == {(1, "A"): DEAD, (1, "B"): PENDING, (2, "A"): DELIVERED, (2, "B"): PENDING}
    assert ledger.drop(Selector(destination="A")) == 1


def plan_of(connection: sqlite3.Connection, statement: str, values: tuple[int, ...]) -> list[Any]:
    if "?1" in statement:
        values = values[: max(int(number) for number in re.findall(r"\?(\d)", statement))]
    return connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()


def test_every_statement_on_the_delivery_path_searches_and_never_scans_or_sorts(ledger: Ledger) -> None:
    from router.spool import ledger_queries as queries

    connection = ledger._queries._connection
    names = ("_PENDING", "_RETRY_MANY", "_RETRY_KEYS", "_RETRY_ONE", "_NEXT_RETRY", "_FIRST", "_FLOWS")
    in_runs = ("_PENDING_IN_RUNS", "_FIRST_IN_RUNS", "_FLOWS_IN_RUNS", "_OF_FLOW", "_IS_OWED", "_NEWEST")
    for name in (*names, *in_runs):
        statement = getattr(queries, name)
        values = (0,) * (5 if "?1" in statement else statement.count("?"))
        plan = [step[3] for step in plan_of(connection, statement, values)]
        assert plan
        assert all(
            step.startswith("SEARCH") or "SUBQUERY" in step or step == "SCAN CONSTANT ROW" for step in plan
        ), (name, plan)
