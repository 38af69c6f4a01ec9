"""What is owed: states, order of age, totals, people's commands, and when data may go."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from router.spool import ledger as module
from router.spool import ledger_commands, ledger_tables
from router.spool.faults import LedgerDamaged, SpoolFailed, SpoolFull, UnknownFormat
from router.spool.ledger import Ledger, LedgerSettings
from router.spool.ledger_verify import is_sound
from router.spool.payload import ClosedSegment
from router.spool.record import Entry, Location
from router.spool.segment import Position
from router.spool.states import UNDECIDED, DeliveryState, Mark, Selector, Tally

from .spool_fixtures import DEADLINE_S, record_of

NOW = 10**18
FOREVER = 2**62
PENDING, RETRYING, HELD = DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.HELD
DEAD, DELIVERED, DISCARDED = DeliveryState.DEAD, DeliveryState.DELIVERED, DeliveryState.DISCARDED


def entry_of(seq: int, destinations: tuple[str, ...] = ("A",), segment: int = 1, **changes: object) -> Entry:
    file = changes.pop("file", None)
    record = record_of(seq, destinations, **changes)
    location = Location(segment, seq * 1000, 100, 7, file)  # type: ignore[arg-type]
    return Entry(seq, record, location)


def mark_of(seq: int, state: DeliveryState, destination: str = "A", **changes: int) -> Mark:
    return Mark(seq, destination, state, NOW, **changes)  # type: ignore[arg-type]


@pytest.fixture(autouse=True, params=[1, ledger_tables.RUN_MIN], ids=["in-runs", "in-rows"])
def run_min(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """All that is pending is written as runs, or as these are few, a row each."""
    monkeypatch.setattr(ledger_tables, "RUN_MIN", request.param)
    return int(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(path, now_ns=lambda: NOW)
    yield ledger
    ledger.close()


@pytest.fixture
def slow(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A ledger that writes only when asked to."""
    monkeypatch.setattr(module, "FLUSH_INTERVAL_S", 3600.0)
    ledger = Ledger(path, now_ns=lambda: NOW)
    yield ledger
    ledger.close()


def seqs(ledger: Ledger, destination: str = "A", limit: int = 100, **more: object) -> list[int]:
    return [one.seq for one in ledger.due(destination, NOW, limit, **more)]  # type: ignore[arg-type]


def states(ledger: Ledger, selector: Selector | None = None) -> dict[tuple[int, str], DeliveryState]:
    return {
        (one.seq, one.mark.destination): one.mark.state for one in ledger.find(selector or Selector(), 1000)
    }


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


def test_find_by_every_condition(ledger: Ledger) -> None:
    ledger.add([entry_of(seq, ("A", "B")) for seq in range(1, 31)])
    ledger.mark([mark_of(seq, DELIVERED, "B") for seq in range(1, 16)])

    def found(**conditions: object) -> list[tuple[int, str]]:
        selector = Selector(**conditions)  # type: ignore[arg-type]
        return [(one.seq, one.mark.destination) for one in ledger.find(selector, 1000)]

    assert found(seq=5) == [(5, "A"), (5, "B")]
    assert found(seq=5, destination="B") == [(5, "B")]
    assert found(sop_instance="1.2.3.7") == [(7, "A"), (7, "B")]
    assert found(study_uid="1.2.1", destination="A") == [(seq, "A") for seq in range(10, 20)]
    assert found(study_uid="1.2.1", destination="B", state=DELIVERED) == [(seq, "B") for seq in range(10, 16)]
    assert found(destination="B", state=PENDING) == [(seq, "B") for seq in range(16, 31)]
    assert found(destination="B", state=DELIVERED, after=10) == [(seq, "B") for seq in range(11, 16)]
    assert found(state=DELIVERED, received_before_ns=1_000_004) == [(seq, "B") for seq in (1, 2, 3)]
    assert found(state=PENDING, after=14)[:3] == [(15, "A"), (16, "A"), (16, "B")]
    assert found(destination="C") == found(study_uid="9") == found(seq=99) == []
    assert len(ledger.find(Selector(), 7)) == 7


def test_retry_makes_dead_and_waiting_ones_due_from_their_first_attempt(ledger: Ledger) -> None:
    ledger.add([entry_of(seq, ("A", "B")) for seq in range(1, 5)])
    ledger.mark([mark_of(1, DEAD, attempts=3), mark_of(2, RETRYING, next_attempt_ns=FOREVER, attempts=9)])
    ledger.mark([mark_of(3, DELIVERED), mark_of(1, DEAD, "B")])
    assert ledger.retry(Selector(destination="A")) == 2
    assert [(one.seq, one.mark.attempts) for one in ledger.due("A", NOW, 10)] == [(1, 0), (2, 0), (4, 0)]
    assert states(ledger)[1, "B"] is DEAD
    assert ledger.retry(Selector(state=DEAD)) == 1
    assert ledger.retry(Selector(state=DELIVERED)) == 0


def test_drop_discards_what_is_open_and_nothing_else(ledger: Ledger) -> None:
    ledger.add([entry_of(seq) for seq in range(1, 6)] + [entry_of(6, (), action="hold")])
    ledger.mark([mark_of(1, DEAD), mark_of(2, RETRYING), mark_of(3, DELIVERED)])
    assert ledger.drop(Selector(seq=2)) == 1
    assert ledger.drop(Selector()) == 4
    assert set(states(ledger).values()) == {DISCARDED, DELIVERED}
    assert ledger.counts()["A", DISCARDED] == Tally(4, 400)


def test_release_sends_held_ones_where_they_were_held_for_or_elsewhere(ledger: Ledger) -> None:
    ledger.add(
        [entry_of(1, (), action="hold"), entry_of(2, ("A",), action="hold"), entry_of(3, (), action="hold")]
    )
    assert set(states(ledger)) == {(1, UNDECIDED), (2, "A"), (3, UNDECIDED)}
    assert ledger.release(Selector()) == 1
    assert states(ledger) == {(1, UNDECIDED): HELD, (2, "A"): PENDING, (3, UNDECIDED): HELD}
    assert ledger.release(Selector(seq=1), ["B", "C"]) == 1
    assert ledger.release(Selector(seq=2), ["B"]) == 0
    assert states(ledger)[1, "B"] is PENDING
    assert ledger.counts() == {
        ("A", PENDING): Tally(1, 100),
        ("B", PENDING): Tally(1, 100),
        ("C", PENDING): Tally(1, 100),
        (UNDECIDED, HELD): Tally(1, 100),
    }
    assert seqs(ledger, "C") == [1]


def test_commands_see_what_was_told_before_them(slow: Ledger) -> None:
    slow.add([entry_of(1)])
    assert slow.drop(Selector()) == 1
    slow.add([entry_of(2)])
    slow.mark([mark_of(2, DEAD)])
    assert slow.retry(Selector()) == 1


def test_commands_over_more_than_one_transaction(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_commands, "COMMAND_ROWS", 3)
    ledger.add([entry_of(seq, ("A", "B")) for seq in range(1, 12)])
    assert ledger.drop(Selector()) == 22
    assert ledger.drop(Selector()) == 0


CLOSED = [ClosedSegment(1, 2, 1000), ClosedSegment(2, 4, 1000)]


def test_a_segment_is_done_only_when_all_is_settled_and_the_marks_are_durable(slow: Ledger) -> None:
    assert slow.segments_done(CLOSED) == []  # its entries are not even known
    slow.add([entry_of(1, ("A", "B")), entry_of(2), entry_of(3, segment=2), entry_of(4, segment=2)])
    slow.mark([mark_of(1, DELIVERED), mark_of(2, DELIVERED), mark_of(3, DELIVERED)])
    slow.make_durable()
    assert slow.segments_done(CLOSED) == []
    slow.mark([mark_of(1, DEAD, "B")])
    slow.make_durable()
    assert slow.segments_done(CLOSED) == []
    slow.mark([mark_of(1, DELIVERED, "B")])
    assert slow.segments_done(CLOSED) == []  # told, not written
    slow.flush()
    with slow._changed:
        slow._retention.wants_sync = True  # so that asking does not start a sync of its own
    assert slow.segments_done(CLOSED) == []  # written, not durable
    slow.make_durable()
    assert slow.segments_done(CLOSED) == [1]
    assert slow.drop(Selector(seq=4)) == 1
    assert slow.segments_done(CLOSED[1:]) == [2]


def test_asking_makes_the_missing_marks_durable(ledger: Ledger) -> None:
    ledger.add([entry_of(1), entry_of(2)])
    ledger.mark([mark_of(1, DELIVERED), mark_of(2, DELIVERED)])
    ledger.flush()
    assert ledger.segments_done(CLOSED) == []
    with ledger._changed:
        assert ledger._changed.wait_for(lambda: not ledger._retention.wants_sync, DEADLINE_S)
    assert ledger.segments_done(CLOSED) == [1]


def test_retention_keeps_settled_segments(path: Path) -> None:
    now = [NOW]
    ledger = Ledger(path, LedgerSettings(retention_s=60), now_ns=lambda: now[0])
    ledger.add([entry_of(1), entry_of(2)])
    ledger.mark([mark_of(1, DELIVERED), mark_of(2, DELIVERED)])
    ledger.make_durable()
    assert ledger.segments_done(CLOSED) == []
    now[0] += 60 * 10**9
    assert ledger.segments_done(CLOSED) == [1]
    ledger.close()


def test_a_large_object_is_done_when_all_its_destinations_are(ledger: Ledger) -> None:
    ledger.add([entry_of(1, ("A", "B"), file="1.dcmds"), entry_of(2, file="2.dcmds")])
    assert ledger.is_file_open("1.dcmds") is None
    ledger.mark([mark_of(1, DELIVERED), mark_of(2, DELIVERED)])
    ledger.make_durable()
    assert ledger.files_done() == ["2.dcmds"]
    ledger.mark([mark_of(1, DELIVERED, "B")])
    assert ledger.is_file_open("1.dcmds") is True
    ledger.make_durable()
    assert ledger.files_done() == ["1.dcmds"]
    assert ledger.files_done() == []
    assert ledger.is_file_open("1.dcmds") is False
    assert ledger.is_file_open("3.dcmds") is None


def test_settled_rows_are_forgotten_when_too_old_or_too_many(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PRUNE_INTERVAL_S", 0.0)
    ledger = Ledger(path, LedgerSettings(rows_max=6, rows_age_s=1.0), now_ns=lambda: NOW)
    ledger.add([entry_of(seq, received_ns=NOW) for seq in range(1, 11)])
    ledger.mark([mark_of(seq, DELIVERED) for seq in range(2, 11)])
    ledger.flush()
    ledger.make_durable()
    assert sorted(seq for seq, _ in states(ledger)) == [1, 6, 7, 8, 9, 10]
    ledger.add([entry_of(11, received_ns=NOW - 2 * 10**9)])
    ledger.mark([mark_of(11, DELIVERED)])
    ledger.flush()
    ledger.make_durable()
    assert 11 not in {seq for seq, _ in states(ledger)}
    assert ledger.counts() == {("A", PENDING): Tally(1, 100), ("A", DELIVERED): Tally(4, 400)}
    ledger.close()


def test_too_much_unwritten_is_congestion_and_then_refused(
    slow: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNWRITTEN_CONGESTED", 6)  # rows: one an entry, one a run of pending ones
    monkeypatch.setattr(module, "UNWRITTEN_MAX", 11)
    slow.add([entry_of(seq) for seq in range(1, 5)])
    assert not slow.congested
    slow.add([entry_of(seq) for seq in range(5, 11)])
    assert slow.congested
    with pytest.raises(SpoolFull, match="wait to be written"):
        slow.add([entry_of(11)])
    slow.flush()
    assert not slow.congested
    slow.add([entry_of(11)])


def failing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, code: int, times: int) -> threading.Event:
    """Let writing a batch fail so many times; the event says that it has."""
    failed = threading.Event()
    real = ledger._tables.apply
    left = [times]

    def apply(batch: object) -> None:
        if left[0] == 0:
            return real(batch)  # type: ignore[arg-type]
        left[0] -= 1
        if left[0] == 0:
            failed.set()
        error = sqlite3.OperationalError(os.strerror(errno.EIO))
        error.sqlite_errorcode = code
        error.sqlite_errorname = "SQLITE_X"
        raise error

    monkeypatch.setattr(ledger._tables, "apply", apply)
    return failed


def test_a_full_disk_delays_writing_and_loses_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FULL_RETRY_S", 0.001)
    failed = failing(ledger, monkeypatch, sqlite3.SQLITE_FULL, 3)
    ledger.add([entry_of(1)])
    assert failed.wait(DEADLINE_S)
    assert seqs(ledger) == [1]
    ledger.flush()
    assert states(ledger) == {(1, "A"): PENDING}


def test_any_other_error_stops_the_ledger(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(path)
    failing(ledger, monkeypatch, sqlite3.SQLITE_IOERR, 1)
    ledger.add([entry_of(1)])
    with pytest.raises(SpoolFailed, match="SQLITE_X"):
        ledger.flush()
    for action in (
        lambda: ledger.add([entry_of(2)]),
        lambda: ledger.mark([]),
        lambda: ledger.drop(Selector()),
    ):
        with pytest.raises(SpoolFailed, match="SQLITE_X"):
            action()
    ledger.close()


def test_a_disk_that_is_full_when_marks_are_synced_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FULL_RETRY_S", 0.001)
    ledger = Ledger(path)
    whole, failed, calls = ledger._tables.make_durable, threading.Event(), iter(range(100))

    def make_durable() -> None:
        if (call := next(calls)) < 2:
            error = sqlite3.OperationalError("full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            error.sqlite_errorname = "SQLITE_FULL"
            raise error
        if call == 2:
            assert isinstance(ledger.trouble, SpoolFull)
        whole()
        failed.set()

    monkeypatch.setattr(ledger._tables, "make_durable", make_durable)
    ledger.add([entry_of(1)])
    ledger.mark([mark_of(1, DELIVERED)])
    ledger.flush()
    assert ledger.segments_done([ClosedSegment(1, 1, 100)]) == []
    assert failed.wait(DEADLINE_S)
    ledger.flush()
    assert ledger.segments_done([ClosedSegment(1, 1, 100)]) == [1]
    assert (ledger.failure, ledger.trouble) == (None, None)
    ledger.close()


def test_the_log_is_merged_by_us_and_a_failure_of_that_stops_the_ledger(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_tables, "WRITE_BACK_ROWS", 1)
    ledger = Ledger(path)
    assert ledger._tables._connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
    size = path.stat().st_size
    ledger.add([entry_of(seq) for seq in range(1, 500)])
    ledger.flush()
    ledger.make_durable()
    assert path.stat().st_size > size

    def write_back() -> None:
        error = sqlite3.OperationalError("sync")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
        raise error

    monkeypatch.setattr(ledger._tables, "write_back", write_back)
    ledger.add([entry_of(500)])
    with suppress(SpoolFailed):  # whichever comes first: these, or the failure
        ledger.flush()
        ledger.make_durable()
    with pytest.raises(SpoolFailed, match="FSYNC"):
        ledger.make_durable()
    ledger.close()


def test_a_sync_that_failed_is_never_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(path)
    calls = []

    def make_durable() -> None:
        calls.append(1)
        error = sqlite3.OperationalError("sync")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
        raise error

    monkeypatch.setattr(ledger._tables, "make_durable", make_durable)
    ledger.add([entry_of(1)])
    ledger.mark([mark_of(1, DELIVERED)])
    for _ in range(2):
        with pytest.raises(SpoolFailed, match="FSYNC"):
            ledger.make_durable()
    assert ledger.segments_done([ClosedSegment(1, 1, 100)]) == []
    ledger.close()
    assert len(calls) == 1


def test_an_error_nobody_foresaw_stops_the_ledger_instead_of_its_thread_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
    ledger = Ledger(path)
    monkeypatch.setattr(ledger._tables, "apply", lambda batch: 1 / 0)
    ledger.add([entry_of(1)])
    with pytest.raises(SpoolFailed, match="ZeroDivisionError"):
        ledger.flush()


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


def test_retention_keeps_settled_large_objects(path: Path) -> None:
    clock = [NOW]
    ledger = Ledger(path, LedgerSettings(retention_s=10.0), now_ns=lambda: clock[0])
    ledger.add([entry_of(1, file="x.dcmds"), entry_of(2, file="y.dcmds")])
    ledger.mark([mark_of(1, DELIVERED)])
    ledger.make_durable()
    assert ledger.files_done() == []
    ledger.close()
    ledger = Ledger(path, LedgerSettings(retention_s=10.0), now_ns=lambda: clock[0])
    assert ledger.is_retained("x.dcmds")
    assert ledger.files_done() == []
    clock[0] += 11 * 10**9
    ledger.make_durable()
    assert ledger.files_done() == ["x.dcmds"]
    assert not ledger.is_retained("x.dcmds")
    ledger.close()


def test_a_damaged_ledger_is_noted_for_the_next_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(path)
    assert is_sound(path, [1])
    failing(ledger, monkeypatch, sqlite3.SQLITE_CORRUPT, 1)
    ledger.add([entry_of(1)])
    with pytest.raises(LedgerDamaged):
        ledger.flush()
    ledger.close()
    assert not is_sound(path, [1])


def test_a_closed_ledger_takes_nothing(path: Path) -> None:
    ledger = Ledger(path)
    ledger.close()
    with pytest.raises(SpoolFailed, match="closed"):
        ledger.add([entry_of(1)])


def test_a_newer_schema_is_refused(path: Path) -> None:
    Ledger(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UnknownFormat, match="99"):
        Ledger(path)


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
