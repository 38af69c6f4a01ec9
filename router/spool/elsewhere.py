"""What the ledger of another worker owes, asked of its file: a few questions about single UIDs.

Only what is committed is seen: who moves entries from one ledger to another has to make the new ones durable
before the old ones are settled.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from router.spool.faults import ledger_error
from router.spool.ledger_runs import is_in_run
from router.spool.ledger_schema import RUNS_SINCE, open_reader

# PENDING and RETRYING; held and dead deliveries wait for people, and stand in nobody's way.
_OWED_UIDS = """SELECT DISTINCT i.sop_instance FROM delivery d INDEXED BY delivery_open
    CROSS JOIN instance i ON i.seq = d.seq
    WHERE d.destination = ? AND d.state = ? AND d.is_open = 1"""
_OWES_OLDER = """SELECT 1 FROM instance i INDEXED BY instance_uid CROSS JOIN delivery d ON d.seq = i.seq
    WHERE i.sop_instance = ? AND i.received_ns < ? AND d.state < 2
    AND d.destination = (SELECT id FROM destination WHERE name = ?) LIMIT 1"""

# The same of what is pending by a run (ledger_runs.py).
_UIDS_IN_RUNS = """SELECT DISTINCT i.sop_instance FROM pending_run r
    CROSS JOIN instance i ON i.seq BETWEEN r.first_seq AND r.last_seq
    LEFT JOIN delivery d ON d.seq = i.seq AND d.destination = r.destination
    WHERE d.seq IS NULL"""
_OLDER_IN_RUN = f"""SELECT 1 FROM instance i INDEXED BY instance_uid CROSS JOIN destination n
    LEFT JOIN delivery d ON d.seq = i.seq AND d.destination = n.id
    WHERE i.sop_instance = ? AND i.received_ns < ? AND n.name = ? AND d.seq IS NULL
    AND {is_in_run("n.id", "i.seq")} LIMIT 1"""


def owed_uids(ledger: Path) -> set[str]:
    """Return the SOP Instance UIDs of all that is owed to anybody. Raises SpoolError."""
    with _reading(ledger) as connection:
        connection.execute("BEGIN")  # one moment of it
        found = {uid for (uid,) in connection.execute(_UIDS_IN_RUNS)} if _has_runs(connection) else set()
        numbers = [number for (number,) in connection.execute("SELECT id FROM destination")]
        return found | {
            uid
            for number in numbers
            for state in (0, 1)
            for (uid,) in connection.execute(_OWED_UIDS, (number, state))
        }


def owes_older(ledger: Path, sop_instance: str, received_ns: int, destination: str) -> bool:
    """Whether a destination is owed a version that was received before this time. Raises SpoolError."""
    with _reading(ledger) as connection:
        connection.execute("BEGIN")
        values = sop_instance, received_ns, destination
        queries = [_OWES_OLDER, *([_OLDER_IN_RUN] if _has_runs(connection) else ())]
        return any(connection.execute(query, values).fetchone() is not None for query in queries)


def _has_runs(connection: sqlite3.Connection) -> bool:
    """Whether this ledger knows runs: one of an earlier version is brought up to date by who opens it."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] >= RUNS_SINCE)


@contextmanager
def _reading(ledger: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(open_reader(ledger)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise ledger_error(error) from error
