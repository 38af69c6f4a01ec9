"""What is pending by a run and what has a row of its own: the same answers, whatever happens to it."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.spool import ledger as module
from router.spool import ledger_schema, ledger_tables
from router.spool.elsewhere import owed_uids, owes_older
from router.spool.ledger import Ledger, LedgerSettings
from router.spool.ledger_insert import RUN_MIN
from router.spool.ledger_rows import checksum
from router.spool.ledger_verify import is_sound
from router.spool.record import Entry, Location
from router.spool.states import DeliveryState, Mark, Selector, Tally
from tests.spool.spool_fixtures import record_of

NOW = 10**18
DELIVERY_COLUMNS = """seq, destination, segment, length, state, attempts, next_attempt_ns, at_ns, error_class,
    status, checksum"""
FLOWS = (("MODALITY", "1.1"), ("MODALITY", "1.2"), ("OTHER", "1.1"))
PENDING, RETRYING, DEAD = DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.DEAD
DELIVERED, DISCARDED = DeliveryState.DELIVERED, DeliveryState.DISCARDED


def entry_of(seq: int, to: tuple[str, ...] = ("A", "B"), uid: int | None = None, segment: int = 1) -> Entry:
    calling, study = FLOWS[seq % 3]
    record = record_of(
        seq, to, calling_ae_title=calling, study_uid=study, sop_instance=f"1.9.{seq if uid is None else uid}"
    )
    return Entry(seq, record, Location(segment, seq * 1000, 100 + seq, 7))


@contextmanager
def opened(path: Path, run_min: int = RUN_MIN, **settings: Any) -> Iterator[Ledger]:
    """Open a ledger that writes only when asked to."""
    with patch.object(module, "FLUSH_INTERVAL_S", 3600.0), patch.object(ledger_tables, "RUN_MIN", run_min):
        ledger = Ledger(path, LedgerSettings(fsync=False, **settings), now_ns=lambda: NOW)
        try:
            yield ledger
        finally:
            ledger.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as connection:
        return connection.execute(query).fetchall()


def runs(path: Path) -> list[tuple[Any, ...]]:
    return rows(path, "SELECT first_seq, last_seq, segment, length, at_ns FROM pending_run ORDER BY 2")


def test_what_nothing_happens_to_costs_one_row_for_all_of_it(path: Path) -> None:
    with opened(path) as ledger:
        ledger.add([entry_of(seq) for seq in range(1, 101)])
        ledger.mark([Mark(seq, "A", DELIVERED, NOW) for seq in range(1, 101)])
        ledger.flush()
        assert rows(path, "SELECT count(*), min(state), max(state) FROM delivery") == [(100, 4, 4)]
        size = sum(100 + seq for seq in range(1, 101))
        assert runs(path) == [(1, 100, 1, size, 1_000_100)]
    assert is_sound(path, [1])
    with opened(path) as ledger:
        assert ledger.counts() == {("A", DELIVERED): Tally(100, size), ("B", PENDING): Tally(100, size)}
        assert [one.seq for one in ledger.due("B", NOW, 1000)] == list(range(1, 101))
        assert ledger.open_segments == {1}
        assert ledger.oldest("B") == 1_000_001


def test_a_run_ends_with_its_segment_and_where_an_entry_is_not_of_it(path: Path) -> None:
    with opened(path, 2) as ledger:
        ledger.add([entry_of(seq, segment=1 if seq < 6 else 2) for seq in range(1, 11)])
        ledger.mark([Mark(3, "B", RETRYING, NOW), Mark(9, "B", DELIVERED, NOW)])
        ledger.mark([Mark(seq, "A", DELIVERED, NOW) for seq in range(1, 11)])
        ledger.flush()
        assert [run[:3] for run in runs(path)] == [(1, 2, 1), (4, 5, 1), (6, 8, 2)]
        found = {one.seq: one.mark.state for one in ledger.find(Selector(destination="B"))}
        assert found == {**dict.fromkeys(range(1, 11), PENDING), 3: RETRYING, 9: DELIVERED}


def test_a_run_is_gone_when_something_has_happened_to_all_of_it(path: Path) -> None:
    with opened(path) as ledger:
        ledger.add([entry_of(seq, ("A",)) for seq in range(1, 41)])
        ledger.flush()
        ledger.mark([Mark(seq, "A", DELIVERED, NOW) for seq in range(1, 40)])
        ledger.flush()
        assert len(runs(path)) == 1
        ledger.mark([Mark(40, "A", RETRYING, NOW, next_attempt_ns=NOW + 1)])
        ledger.flush()
        assert runs(path) == []
        assert ledger.counts() == {("A", DELIVERED): Tally(39, 39 * 120), ("A", RETRYING): Tally(1, 140)}
        assert ledger.next_due_ns("A") == NOW + 1


def fail_after_marking(ledger: Ledger) -> None:
    tables = ledger._tables
    with tables._transaction():
        tables._update([Mark(seq, "A", DELIVERED, NOW) for seq in range(1, 21)])
        raise ZeroDivisionError


def test_a_transaction_that_fails_takes_nothing_out_of_a_run(path: Path) -> None:
    with opened(path) as ledger:
        ledger.add([entry_of(seq, ("A",)) for seq in range(1, 21)])
        ledger.flush()
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                fail_after_marking(ledger)
        assert len(runs(path)) == 1
        ledger.mark([Mark(seq, "A", DELIVERED, NOW) for seq in range(1, 21)])
        ledger.flush()
        assert runs(path) == []
        assert ledger.counts() == {("A", DELIVERED): Tally(20, sum(100 + seq for seq in range(1, 21)))}


def test_what_is_forgotten_out_of_a_run_leaves_the_others_owed(path: Path) -> None:
    with opened(path, rows_max=30) as ledger:
        ledger.add([entry_of(seq, ("A",)) for seq in range(1, 41)])
        ledger.flush()
        ledger.mark([Mark(seq, "A", DELIVERED, NOW) for seq in range(1, 11)])
        ledger.forget_old()
        assert rows(path, "SELECT min(seq), count(*) FROM instance") == [(11, 30)]
        assert [one.seq for one in ledger.due("A", NOW, 1000)] == list(range(11, 41))
        ledger.mark([Mark(5, "A", DELIVERED, NOW)])
        ledger.flush()
        assert ledger.counts()["A", PENDING].count == 30
    assert is_sound(path, [1])
    with opened(path, rows_max=0) as ledger:
        ledger.forget_old()
        assert [one.seq for one in ledger.due("A", NOW, 1000)] == list(range(11, 41))


def test_what_is_owed_from_a_segment_that_is_gone_is_given_up(path: Path) -> None:
    with opened(path) as ledger:
        ledger.add([entry_of(seq, ("A",), segment=1 if seq <= 20 else 2) for seq in range(1, 41)])
        ledger.mark([Mark(3, "A", DELIVERED, NOW)])
        ledger.flush()
        assert ledger.bury(1, "missing") == 19
        ledger.make_durable()
        assert ledger.counts()["A", DEAD].count == 19
        assert [one.seq for one in ledger.due("A", NOW, 1000)] == list(range(21, 41))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE pending_run SET last_seq = last_seq + 1",
        "UPDATE pending_run SET length = length + 1",
        "UPDATE destination SET name = 'C' WHERE name = 'B'",
        "UPDATE instance SET study_uid = '6' WHERE seq = 7",
        "DELETE FROM instance WHERE seq = 7",
    ],
)
def test_a_changed_run_is_noticed_at_the_next_start(path: Path, damage: str) -> None:
    with opened(path) as ledger:
        ledger.add([entry_of(seq) for seq in range(1, 41)])
        ledger.flush()
    assert is_sound(path, [1])
    with sqlite3.connect(path) as connection:
        connection.execute(damage)
    assert not is_sound(path, [1])


def of_version_2(path: Path) -> None:
    """Make a ledger as version 2 did, with an instance that is owed to two destinations."""
    with patch.object(ledger_schema, "RUNS", ""), patch.object(ledger_schema, "SCHEMA_VERSION", 2):
        connection = ledger_schema.open_database(path, fsync=False)
    with opened(path.with_name("other.sqlite")) as ledger:
        ledger.add([entry_of(1)])
        ledger.flush()
        connection.execute("ATTACH ? AS other", (str(path.with_name("other.sqlite")),))
        for table, columns in (("destination", "*"), ("instance", "*"), ("delivery", DELIVERY_COLUMNS)):
            connection.execute(f"INSERT INTO {table} SELECT {columns} FROM other.{table}")
    place = (1, 5000, 1)
    connection.execute(
        "UPDATE checkpoint SET segment = ?, offset = ?, last_seq = ?, checksum = ?", (*place, checksum(place))
    )
    connection.close()


def test_a_ledger_of_version_2_is_sound_read_and_brought_up_to_date(path: Path) -> None:
    of_version_2(path)
    assert rows(path, "PRAGMA user_version") == [(2,)]
    assert is_sound(path, [1])
    assert owed_uids(path) == {"1.9.1"}
    assert owes_older(path, "1.9.1", NOW, "A")
    with opened(path) as ledger:
        assert ledger.last_seq == 1
        ledger.add([entry_of(seq) for seq in range(2, 41)])
        ledger.flush()
        assert [one.seq for one in ledger.due("B", NOW, 1000)] == list(range(1, 41))
        assert [run[:2] for run in runs(path)] == [(2, 40), (2, 40)]
    assert rows(path, "PRAGMA user_version") == [(3,)]
    assert is_sound(path, [1])


def test_another_worker_sees_what_is_pending_by_a_run(path: Path) -> None:
    with opened(path) as ledger:
        ledger.add([entry_of(seq, ("A",)) for seq in range(1, 41)])
        ledger.flush()
        ledger.mark([Mark(7, "A", DELIVERED, NOW)])
        ledger.flush()
        assert owed_uids(path) == {f"1.9.{seq}" for seq in range(1, 41) if seq != 7}
        assert owes_older(path, "1.9.8", NOW, "A")
        assert not owes_older(path, "1.9.8", 1, "A")
        assert not owes_older(path, "1.9.7", NOW, "A")
        assert not owes_older(path, "1.9.8", NOW, "B")


Step = Callable[[Ledger, int], int]
"""Does something to a ledger whose next entry has this number; returns the number after that."""


def adding(count: int, to: tuple[str, ...], uid: int | None) -> Step:
    def step(ledger: Ledger, seq: int) -> int:
        ledger.add([entry_of(seq + i, to, uid, segment=1 + (seq + i) // 8) for i in range(count)])
        return seq + count

    return step


def marking(seqs: list[int], destination: str, state: DeliveryState) -> Step:
    def step(ledger: Ledger, seq: int) -> int:
        known = [one for one in seqs if one < seq]
        ledger.mark([Mark(one, destination, state, NOW + one, next_attempt_ns=NOW + one) for one in known])
        return seq

    return step


def diverting(seqs: list[int], alternate: str) -> Step:
    def step(ledger: Ledger, seq: int) -> int:
        known = [one for one in seqs if one < seq]
        ledger.divert([Mark(one, "A", DeliveryState.DIVERTED, NOW) for one in known], alternate)
        return seq

    return step


def asking(word: str, selector: Selector) -> Step:
    def step(ledger: Ledger, seq: int) -> int:
        getattr(ledger, word)(selector)
        return seq

    return step


def writing(ledger: Ledger, seq: int) -> int:
    ledger.flush()
    return seq


def forgetting(ledger: Ledger, seq: int) -> int:
    ledger.forget_old()
    return seq


some = st.lists(st.integers(1, 40), max_size=12, unique=True)
names = st.sampled_from(["A", "B"])
selectors = st.builds(
    Selector,
    seq=st.none() | st.integers(1, 20),
    destination=st.none() | names,
    state=st.none() | st.sampled_from([PENDING, RETRYING, DEAD]),
    study_uid=st.none() | st.sampled_from(["1.1", "1.2"]),
    sop_instance=st.none() | st.sampled_from(["1.9.3", "1.9.5"]),
    received_before_ns=st.none() | st.integers(1_000_000, 1_000_040),
    after=st.integers(0, 20),
)
steps = st.lists(
    st.one_of(
        st.builds(
            adding, st.integers(1, 12), st.sampled_from([("A",), ("B", "A"), ("A", "B")]),
            st.none() | st.sampled_from([3, 5]),
        ),
        st.builds(marking, some, names, st.sampled_from([DELIVERED, DELIVERED, RETRYING, DEAD])),
        st.builds(diverting, some, st.sampled_from(["B", "C"])),
        st.builds(asking, st.sampled_from(["drop", "retry"]), selectors),
        st.just(writing),
        st.just(writing),
        st.just(forgetting),
    ),
    min_size=3,
    max_size=16,
)  # fmt: skip


def answers(ledger: Ledger, asked: list[Selector]) -> list[Any]:
    """Return all that a ledger can be asked, before and after what was told is written."""
    found: list[Any] = [ledger.counts()]
    for name in ("A", "B", "C"):
        found.append([ledger.due(name, NOW + 20, limit, after) for limit in (3, 100) for after in (0, 9)])
        found.append([ledger.flows(name, after, limit) for limit in (4, 100) for after in (0, 9)])
        found.append([ledger.due_of_flow(name, flow, 2, limit) for flow in FLOWS for limit in (2, 100)])
        found.append([ledger.owed_among(name, range(1, 60)), ledger.oldest(name), ledger.next_due_ns(name)])
    key = lambda one: (one.seq, one.mark.destination)  # noqa: E731
    found += [sorted(ledger.newest(uid), key=key) for uid in ("1.9.3", "1.9.5", "1.9.8")]
    # The rows in the order of the ledger's own numbers for destinations, which may differ.
    found += [sorted(ledger.find(selector, 1000), key=key) for selector in (Selector(), *asked)]
    return [*found, ledger.counts(), ledger.open_segments]


@settings(max_examples=60, deadline=None)
@given(steps, st.lists(selectors, max_size=3), st.sampled_from([1, 3]))
def test_a_ledger_with_runs_says_what_one_without_says(
    doing: list[Step], asked: list[Selector], run_min: int
) -> None:
    told = []
    for least in (run_min, 10**6):
        with tempfile.TemporaryDirectory() as folder:
            path, seq = Path(folder) / "ledger.sqlite", 1
            with opened(path, least, rows_max=10) as ledger:
                for step in doing:
                    seq = step(ledger, seq)
                first = answers(ledger, asked)
                second = answers(ledger, asked)
            with opened(path, least, rows_max=10) as ledger:
                third = answers(ledger, asked)
            assert is_sound(path, range(1, 20))
            told.append((first, second, third))
    assert told[0] == told[1]
