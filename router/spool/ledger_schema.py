"""The ledger's tables, version 1, and how a database is opened and upgraded."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from router.spool.faults import LedgerDamaged, UnknownFormat, ledger_error
from router.spool.layout import FILE_MODE

SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 10.0
CACHE_KIB = 16 * 1024

_TABLES = """
CREATE TABLE destination (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE checkpoint (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    segment INTEGER NOT NULL, offset INTEGER NOT NULL, last_seq INTEGER NOT NULL, barrier INTEGER NOT NULL
);
INSERT INTO checkpoint VALUES (1, 0, 0, 0, 0);
CREATE TABLE instance (
    seq INTEGER PRIMARY KEY,
    segment INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL, crc INTEGER, file TEXT,
    sop_class TEXT NOT NULL, sop_instance TEXT NOT NULL, transfer_syntax TEXT NOT NULL,
    study_uid TEXT NOT NULL, series_uid TEXT NOT NULL,
    calling_ae_title TEXT NOT NULL, called_ae_title TEXT NOT NULL, peer_address TEXT NOT NULL,
    source TEXT NOT NULL, received_ns INTEGER NOT NULL,
    decision BLOB NOT NULL  -- msgpack (destinations, action, rules)
);
CREATE INDEX instance_study ON instance (study_uid);
CREATE INDEX instance_uid ON instance (sop_instance);
CREATE INDEX instance_file ON instance (file) WHERE file IS NOT NULL;
CREATE TABLE delivery (
    seq INTEGER NOT NULL, destination INTEGER NOT NULL,
    segment INTEGER NOT NULL, length INTEGER NOT NULL,  -- the instance's, so that totals need no join
    state INTEGER NOT NULL, attempts INTEGER NOT NULL, next_attempt_ns INTEGER NOT NULL,
    at_ns INTEGER NOT NULL, error_class TEXT NOT NULL, status INTEGER,
    is_open INTEGER GENERATED ALWAYS AS (state < 4) VIRTUAL,  -- leaves `state` to searches in the index
    PRIMARY KEY (seq, destination)
) WITHOUT ROWID;
-- Only what is open is indexed by destination: what is delivered before its row is written costs no index.
CREATE INDEX delivery_open ON delivery (destination, state, seq) WHERE is_open = 1;
CREATE INDEX delivery_retry ON delivery (destination, next_attempt_ns) WHERE state = 1;
"""


def open_database(path: Path, *, fsync: bool) -> sqlite3.Connection:
    """Open or make the ledger for writing. Raises sqlite3.Error; UnknownFormat for a newer version's."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if fsync else 'OFF'}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # sqlite would not tell when that fails
        _upgrade(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def is_sound(path: Path) -> bool:
    """Whether the ledger's pages are in order, as far as sqlite can tell; one that is not there is."""
    if suspicion(path).exists():
        return False
    if not path.exists():
        return True
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            return False  # its tables were never made, or their page is gone
        found = connection.execute("PRAGMA quick_check(1)").fetchone()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        if isinstance(ledger_error(error), LedgerDamaged):
            return False
        # A damaged header may say that the file must not be written.
        is_read_only = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY
        if is_read_only and not os.statvfs(path).f_flag & os.ST_RDONLY:
            return False
        raise
    finally:
        connection.close()
    return bool(found == ("ok",))


def suspicion(path: Path) -> Path:
    """Return the file whose presence says that the ledger was found damaged while it was in use."""
    return path.with_suffix(".damaged")


def suspect(path: Path) -> None:
    """Let the next start make the ledger anew. If that cannot be noted, it may fail once more."""
    with contextlib.suppress(OSError):
        suspicion(path).touch(mode=FILE_MODE)


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the ledger for reading beside its writer. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return connection


def _upgrade(connection: sqlite3.Connection) -> None:
    """Bring the tables to SCHEMA_VERSION; each later version adds a step here."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise UnknownFormat(f"ledger: schema version {version}; this program knows {SCHEMA_VERSION}")
    if version == 0:
        connection.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")
