"""What a ledger does that cannot be written: waits, refuses, stops, and says so."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from router.spool import ledger as module
from router.spool import ledger_tables
from router.spool.faults import LedgerDamaged, SpoolFailed, SpoolFull, UnknownFormat
from router.spool.ledger import Ledger
from router.spool.ledger_verify import is_sound
from router.spool.payload import ClosedSegment
from router.spool.states import Selector

from .ledger_fixtures import DELIVERED, PENDING, entry_of, mark_of, seqs, states
from .spool_fixtures import DEADLINE_S

pytestmark = pytest.mark.usefixtures("run_min")


def sqlite_error(text: str, code: int, name: str) -> sqlite3.OperationalError:
    """Return an error as sqlite raises it."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    error.sqlite_errorname = name
    return error


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
        raise sqlite_error(os.strerror(errno.EIO), code, "SQLITE_X")

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
            raise sqlite_error("full", sqlite3.SQLITE_FULL, "SQLITE_FULL")
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
        raise sqlite_error("sync", sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC")

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
        raise sqlite_error("sync", sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC")

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
