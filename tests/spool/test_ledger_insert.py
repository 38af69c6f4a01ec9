"""The two ways of writing new rows: the same tables, totals and errors from the same entries."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.spool.faults import SpoolFull, ledger_error
from router.spool.ledger_insert import RUN_MIN, Inserter, PlainInserter, open_with_inserter
from router.spool.ledger_schema import open_database
from router.spool.record import Entry, InstanceRecord, Location
from router.spool.states import DeliveryState, Mark
from router.wire.codec import PendingRun, RowWriter

from .spool_fixtures import record_of

IDS = {"": 1, "PACS": 2, "ARCHIVE": 3}

needs_compiled = pytest.mark.skipif(RowWriter is None, reason="the codec is not compiled")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
longs = st.integers(0, 2**63 - 1)
signed = st.integers(-(2**63), 2**63 - 1)
records = st.builds(
    InstanceRecord,
    *[texts] * 9,
    received_ns=longs,
    destinations=st.lists(texts, max_size=3).map(tuple),
    action=st.sampled_from(["forward", "hold"]),
    rules=st.lists(texts, max_size=20).map(tuple),
)
locations = st.builds(
    Location, longs, longs, st.integers(0, 2**40), st.none() | st.integers(0, 2**32 - 1), st.none() | texts
)
marks = st.builds(
    Mark,
    st.just(0),
    st.just(""),
    st.sampled_from(list(DeliveryState)),
    signed,
    st.integers(0, 1000),
    signed,
    texts,
    st.none() | st.integers(0, 0xFFFF),
)


Drawn = tuple[dict[int, Entry], dict[str, dict[int, Mark]], dict[str, list[PendingRun]]]


@st.composite
def batches(draw: st.DrawFn) -> Drawn:
    """Draw entries, marks of some of these and of others, and runs of entries that began pending."""
    seqs = draw(st.lists(longs, max_size=150 if draw(st.booleans()) else 4, unique=True))
    record, location = draw(records), draw(locations)
    entries = {seq: Entry(seq, record, location) for seq in seqs}
    for seq in seqs[:3]:
        entries[seq] = Entry(seq, draw(records), draw(locations))
    marked: dict[str, dict[int, Mark]] = {}
    one = draw(marks)
    for name in draw(st.lists(st.sampled_from(list(IDS)), unique=True)):
        own = [*seqs, *draw(st.lists(longs, max_size=3))]
        marked[name] = {seq: one._replace(seq=seq, destination=name) for seq in own}
        for seq in own[:3]:
            marked[name][seq] = draw(marks)._replace(seq=seq, destination=name)
    stretches = draw(stretches_in(entries))
    pending = {
        name: [run_of(entries, *stretch) for stretch in stretches if draw(st.booleans())]
        for name in draw(st.lists(st.sampled_from(list(IDS)), unique=True))
    }
    for name in pending:  # what is in a run has a mark only if something happened to it
        for seq in [seq for seq in marked.get(name, {}) if draw(st.booleans())]:
            del marked[name][seq]
    return entries, marked, pending


@st.composite
def stretches_in(draw: st.DrawFn, entries: dict[int, Entry]) -> list[tuple[int, int]]:
    """Draw entries in a row, each row of one segment; return the first and the last of each."""
    stretches = []
    for first in sorted(draw(st.lists(st.integers(0, 60).map(lambda n: n * 100), max_size=4, unique=True))):
        last = first + draw(st.integers(0, 60))
        record, location = draw(records), draw(locations)._replace(file=None)
        for seq in range(first, last + 1):
            received_ns = 10 + seq * 7 % 5
            entries[seq] = Entry(seq, record._replace(received_ns=received_ns), location)
        stretches.append((first, last))
    return stretches


def run_of(entries: dict[int, Entry], first: int, last: int) -> PendingRun:
    of_run = [entries[seq] for seq in range(first, last + 1)]
    size = sum(entry.location.length for entry in of_run)
    latest_ns = max(entry.record.received_ns for entry in of_run)
    return PendingRun(first, last, of_run[0].location.segment, size, latest_ns)


def plain(path: Path) -> tuple[sqlite3.Connection, Inserter]:
    connection = open_database(path, fsync=False)
    return connection, PlainInserter(connection)


def best(path: Path) -> tuple[sqlite3.Connection, Inserter]:
    return open_with_inserter(lambda: open_database(path, fsync=False))


def rows_of(connection: sqlite3.Connection) -> list[list[tuple[object, ...]]]:
    tables = ("instance", "delivery")
    return [connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[sqlite3.Connection, Inserter]]]:
    folder = tmp_path_factory.mktemp("rows")
    opened = [plain(folder / "plain.sqlite"), best(folder / "best.sqlite")]
    yield opened
    for connection, inserter in opened:
        inserter.close()
        connection.close()


@needs_compiled
@settings(max_examples=100, deadline=None)
@given(batches(), st.sampled_from([1, 5, 16, 1000]))
def test_both_ways_write_the_same_rows_and_count_the_same(
    both: list[tuple[sqlite3.Connection, Inserter]],
    batch: Drawn,
    run_min: int,
) -> None:
    found = []
    for connection, inserter in both:
        connection.execute("BEGIN")
        sums, filed, others, runs = inserter.insert(*batch, IDS, run_min)
        found.append((rows_of(connection), sorted(map(tuple, sums)), filed, others, list(map(tuple, runs))))
        connection.execute("ROLLBACK")
    assert isinstance(both[1][1], RowWriter)
    assert found[0] == found[1]


@pytest.fixture(params=[plain, best])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[sqlite3.Connection, Inserter]]:
    make: Callable[[Path], tuple[sqlite3.Connection, Inserter]] = request.param
    connection, inserter = make(tmp_path / "ledger.sqlite")
    yield connection, inserter
    inserter.close()
    connection.close()


def entries_of(*seqs: int, **changes: Any) -> dict[int, Entry]:
    return {seq: Entry(seq, record_of(seq, **changes), Location(1, 10, 100, 7)) for seq in seqs}


def test_a_full_disk_is_told_as_one_and_leaves_nothing(opened: tuple[sqlite3.Connection, Inserter]) -> None:
    connection, inserter = opened
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    connection.execute("BEGIN")
    with pytest.raises(sqlite3.OperationalError) as caught:
        inserter.insert(entries_of(*range(500)), {}, {}, IDS, RUN_MIN)
    assert isinstance(ledger_error(caught.value), SpoolFull)
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    assert rows_of(connection) == [[], []]
    connection.execute("PRAGMA max_page_count = 100000")
    inserter.insert(entries_of(*range(500)), {}, {}, IDS, RUN_MIN)
    assert len(rows_of(connection)[0]) == 500


def test_an_entry_that_is_there_is_an_error_with_its_code(
    opened: tuple[sqlite3.Connection, Inserter],
) -> None:
    connection, inserter = opened
    inserter.insert(entries_of(1), {}, {}, IDS, RUN_MIN)
    with pytest.raises(sqlite3.IntegrityError) as caught:
        inserter.insert(entries_of(1), {}, {}, IDS, RUN_MIN)
    assert caught.value.sqlite_errorname == "SQLITE_CONSTRAINT_PRIMARYKEY"
    inserter.insert(entries_of(2), {}, {}, IDS, RUN_MIN)
    assert [row[0] for row in rows_of(connection)[0]] == [1, 2]


@pytest.mark.parametrize(
    "entry",
    [
        Entry(1, record_of(1, sop_class=None), Location(1, 10, 100, 7)),
        Entry(1, record_of(1), Location(1, 10, 2**63, 7)),
        Entry(1, record_of(1, peer_address="\ud800"), Location(1, 10, 100, 7)),
    ],
)
def test_what_no_column_can_hold_is_an_error(
    opened: tuple[sqlite3.Connection, Inserter], entry: Entry
) -> None:
    connection, inserter = opened
    connection.execute("BEGIN")
    with pytest.raises((sqlite3.Error, OverflowError, UnicodeEncodeError)):
        inserter.insert({1: entry}, {}, {}, IDS, RUN_MIN)
    connection.execute("ROLLBACK")
    assert rows_of(connection) == [[], []]


@needs_compiled
def test_what_is_no_entry_is_an_error(tmp_path: Path) -> None:
    connection, inserter = best(tmp_path / "ledger.sqlite")
    for other in (None, (1, 2), Entry(1, None, None)):  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            inserter.insert({1: other}, {}, {}, IDS, RUN_MIN)  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        inserter.insert(entries_of(1), {"PACS": {1: (1, 2)}}, {}, IDS, RUN_MIN)  # type: ignore[dict-item]
    inserter.close()
    with pytest.raises(ValueError, match="closed"):
        inserter.insert({}, {}, {}, IDS, RUN_MIN)
    connection.close()


@needs_compiled
def test_connections_opened_at_the_same_time_are_not_mistaken(tmp_path: Path) -> None:
    """Each inserter writes into its own ledger, whatever other threads open meanwhile."""
    opened: list[tuple[Path, sqlite3.Connection, Inserter]] = []

    def open_some(thread: int) -> None:
        for number in range(20):
            path = tmp_path / f"{thread}-{number}.sqlite"
            sqlite3.connect(":memory:").close()
            opened.append((path, *best(path)))

    threads = [threading.Thread(target=open_some, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 80
    for seq, (path, _, inserter) in enumerate(opened):
        assert isinstance(inserter, RowWriter)
        inserter.insert(entries_of(seq, source=path.name), {}, {}, IDS, RUN_MIN)
    for path, connection, inserter in opened:
        assert [row[14] for row in rows_of(connection)[0]] == [path.name]
        inserter.close()
        connection.close()
