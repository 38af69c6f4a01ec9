"""Whether the ledger says what was written into it: looked at before a start relies on it."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Collection
from functools import cache
from pathlib import Path

from router.errors import SpoolError
from router.spool.faults import LedgerDamaged, ledger_error
from router.spool.layout import FILE_MODE
from router.spool.ledger_rows import INSTANCE_COLUMNS, checksum
from router.spool.ledger_schema import BUSY_TIMEOUT_S, RUNS_SINCE, upgrade

# Rows that decide about data: what is owed, and what is settled while its bytes are still there.
_RELEVANT = "(d.state < 4 OR d.segment IN (SELECT value FROM json_each(?)))"
_DELIVERIES = f"""SELECT d.seq, n.name, d.segment, d.length, d.state, d.attempts, d.next_attempt_ns, d.at_ns,
    d.error_class, d.status, d.checksum
    FROM delivery d LEFT JOIN destination n ON n.id = d.destination WHERE {_RELEVANT}"""
_INSTANCES = f"SELECT * FROM instance WHERE seq IN (SELECT d.seq FROM delivery d WHERE {_RELEVANT})"

_RUNS = """SELECT n.name, r.first_seq, r.last_seq, r.segment, r.length, r.at_ns, r.checksum
    FROM pending_run r LEFT JOIN destination n ON n.id = r.destination"""


def is_sound(path: Path, segments: Collection[int]) -> bool:
    """Whether pages and rows are in order; a ledger that is not there is. Raises sqlite3.Error.

    segments: those whose data is still there.
    """
    if suspicion(path).exists():
        return False
    if not path.exists():
        return True
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        return _is_sound(connection, segments)
    except (UnicodeDecodeError, TypeError, OverflowError):
        return False  # a text that is none, a number that is text
    except sqlite3.Error as error:
        # A damaged header may say that the file must not be written.
        is_read_only = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY
        if is_read_only and not os.statvfs(path).f_flag & os.ST_RDONLY:
            return False
        if isinstance(opening_error(error), LedgerDamaged):
            return False
        raise
    finally:
        connection.close()


def _is_sound(connection: sqlite3.Connection, segments: Collection[int]) -> bool:
    if connection.execute("PRAGMA user_version").fetchone() == (0,):
        return False  # its tables were never made, or their page is gone
    if connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
        return False
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ROLLBACK")
    if connection.execute("PRAGMA user_version").fetchone() == (1,):
        return True  # had no checksums yet
    is_later = connection.execute("PRAGMA user_version").fetchone()[0] >= RUNS_SINCE
    if _schema_of(connection) != {one for one in _schema() if is_later or one[1] != "pending_run"}:
        return False
    if is_later and not _are_runs_sound(connection):
        return False
    return _are_rows_sound(connection, json.dumps(sorted(segments)))


@cache
def _schema() -> frozenset[tuple[str, str, str]]:
    """Return the statements of a ledger just made."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    upgrade(connection)
    found = _schema_of(connection)
    connection.close()
    return found


def _schema_of(connection: sqlite3.Connection) -> frozenset[tuple[str, str, str]]:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return frozenset(rows.fetchall())


def _are_rows_sound(connection: sqlite3.Connection, segments: str) -> bool:
    execute = connection.execute
    *place, expected = execute("SELECT segment, offset, last_seq, checksum FROM checkpoint").fetchone()
    if checksum(place) != expected:
        return False
    seqs = set()
    for row in execute(_DELIVERIES, (segments,)):
        if checksum(row[:-1]) != row[-1]:
            return False
        seqs.add(row[0])
    count = 0
    for row in execute(_INSTANCES, (segments,)):
        if checksum(row[: INSTANCE_COLUMNS - 1]) != row[INSTANCE_COLUMNS - 1]:
            return False
        count += 1
    return count == len(seqs)


def _are_runs_sound(connection: sqlite3.Connection) -> bool:
    """Whether every run, and every instance in one, is as it was written."""
    for name, *facts, expected in connection.execute(_RUNS).fetchall():
        if checksum((name, *facts)) != expected:
            return False
        first, last = facts[0], facts[1]
        count = 0
        for row in connection.execute("SELECT * FROM instance WHERE seq BETWEEN ? AND ?", (first, last)):
            if checksum(row[: INSTANCE_COLUMNS - 1]) != row[INSTANCE_COLUMNS - 1]:
                return False
            count += 1
        if count != last - first + 1:
            return False
    return True


def opening_error(error: sqlite3.Error) -> SpoolError:
    """As ledger_error, while it is being opened: then a statement that is wrong means a schema not ours."""
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR:
        return LedgerDamaged("ledger: its schema is damaged")
    return ledger_error(error)


def suspicion(path: Path) -> Path:
    """Return the file whose presence says that the ledger was found damaged while it was in use."""
    return path.with_suffix(".damaged")


def suspect(path: Path) -> None:
    """Let the next start make the ledger anew. If that cannot be noted, it may fail once more."""
    with contextlib.suppress(OSError):
        suspicion(path).touch(mode=FILE_MODE)
