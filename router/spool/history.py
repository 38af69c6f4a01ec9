"""What the ledger of an absent worker remembers: its data is gone, its proof of delivery stays."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from router.spool.faults import ledger_error
from router.spool.ledger_queries import Queries
from router.spool.ledger_schema import open_reader
from router.spool.states import Owed, Selector


def study_of(ledger: Path, study_uid: str, after: int, limit: int) -> list[Owed]:
    """Return the deliveries of a study by entry number. ledger: its file. Raises SpoolError."""
    try:
        connection = open_reader(ledger)
        ids = {name: number for number, name in connection.execute("SELECT id, name FROM destination")}
        connection.close()
        queries = Queries(ledger, ids)
    except sqlite3.Error as error:
        raise ledger_error(error) from error
    try:
        return queries.find(Selector(study_uid=study_uid, after=after), limit)
    finally:
        queries.close()
