"""The ledger's tables, version 3, and how a database is opened and upgraded."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from router.spool.faults import UnknownFormat
from router.spool.ledger_rows import checksum

SCHEMA_VERSION = 3
RUNS_SINCE = 3  # the version whose tables have pending_run
UPGRADE_ROWS = 10_000  # at a time
BUSY_TIMEOUT_S = 10.0
CACHE_KIB = 16 * 1024

_TABLES = """
CREATE TABLE destination (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE checkpoint (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    segment INTEGER NOT NULL, offset INTEGER NOT NULL, last_seq INTEGER NOT NULL, barrier INTEGER NOT NULL
);
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

RUNS = """
CREATE TABLE pending_run (  -- see ledger_runs.py
    destination INTEGER NOT NULL, last_seq INTEGER NOT NULL, first_seq INTEGER NOT NULL,
    segment INTEGER NOT NULL, length INTEGER NOT NULL,  -- of all its datasets
    at_ns INTEGER NOT NULL,  -- when the latest was received
    checksum INTEGER NOT NULL,
    PRIMARY KEY (destination, last_seq)
) WITHOUT ROWID;
"""

_CHECKSUMS = """
ALTER TABLE checkpoint ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instance ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
"""


def open_database(path: Path, *, fsync: bool) -> sqlite3.Connection:
    """Open or make the ledger for writing. Raises sqlite3.Error; UnknownFormat for a newer version's."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if fsync else 'OFF'}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # sqlite would not tell when that fails
        upgrade(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the ledger for reading beside its writer. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return connection


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring the tables to SCHEMA_VERSION; each later version adds a step here."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise UnknownFormat(f"ledger: schema version {version}; this program knows {SCHEMA_VERSION}")
    if version == SCHEMA_VERSION:
        return
    if version == 0:
        connection.executescript(f"BEGIN IMMEDIATE;{_TABLES}{_CHECKSUMS}{RUNS}")
        connection.execute("INSERT INTO checkpoint VALUES (1, 0, 0, 0, 0, ?)", (checksum((0, 0, 0)),))
    elif version == 1:
        connection.executescript(f"BEGIN IMMEDIATE;{_CHECKSUMS}{RUNS}")
        _fill_checksums(connection)
    else:
        connection.executescript(f"BEGIN IMMEDIATE;{RUNS}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _fill_checksums(connection: sqlite3.Connection) -> None:
    """Give every row of version 1 its checksum."""
    execute, many = connection.execute, connection.executemany
    place = execute("SELECT segment, offset, last_seq FROM checkpoint").fetchone()
    execute("UPDATE checkpoint SET checksum = ?", (checksum(place),))
    names = dict(execute("SELECT id, name FROM destination"))
    last = 0
    while rows := execute(
        "SELECT * FROM instance WHERE seq > ? ORDER BY seq LIMIT ?", (last, UPGRADE_ROWS)
    ).fetchall():
        last = rows[-1][0]
        many("UPDATE instance SET checksum = ? WHERE seq = ?", [(checksum(r[:-1]), r[0]) for r in rows])
        deliveries = execute(
            """SELECT seq, destination, segment, length, state, attempts, next_attempt_ns, at_ns, error_class,
                status
            FROM delivery WHERE seq BETWEEN ? AND ?""",
            (rows[0][0], last),
        ).fetchall()
        many(
            "UPDATE delivery SET checksum = ? WHERE seq = ? AND destination = ?",
            [(checksum((r[0], names[r[1]], *r[2:])), r[0], r[1]) for r in deliveries],
        )
