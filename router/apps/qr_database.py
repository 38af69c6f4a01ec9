"""The database of qrscp: one row for each instance it keeps, in SQLite by way of SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Column, MetaData, String, Table, create_engine, delete, event, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection, RowMapping
from sqlalchemy.exc import SQLAlchemyError as DatabaseError

from router.apps.qr_attributes import ATTRIBUTES, UNIQUE_KEYS

__all__ = ["INSTANCES", "Database", "DatabaseError"]

BUSY_S = 30
"""How long a writer waits for another one."""

_METADATA = MetaData()
INSTANCES = Table(
    "instance",
    _METADATA,
    *(
        Column(
            attribute.keyword,
            String,
            primary_key=attribute.keyword == "SOPInstanceUID",
            index=attribute.keyword in UNIQUE_KEYS.values() and attribute.keyword != "SOPInstanceUID",
        )
        for attribute in ATTRIBUTES
    ),
    Column("transfer_syntax", String, nullable=False),
    Column("file", String, nullable=False),
)
"""A column for each attribute, named by its keyword; NULL where the instance has none. file: its name."""


class Database:
    """The instances that are there. For use by several threads. Raises DatabaseError throughout."""

    def __init__(self, path: Path) -> None:
        """Open the database, and make it if it is not there. Raises DatabaseError, OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_S})
        event.listen(self._engine, "connect", _set_up)
        _METADATA.create_all(self._engine)

    def add(self, values: Mapping[str, str | None]) -> None:
        """Add an instance, or replace what is known of it."""
        statement = insert(INSTANCES).values(**values)
        changed = {name: statement.excluded[name] for name in values if name != "SOPInstanceUID"}
        with self._engine.begin() as connection:
            connection.execute(statement.on_conflict_do_update(["SOPInstanceUID"], set_=changed))

    def rows(self, query: Any) -> Sequence[RowMapping]:
        """Return the rows that a SELECT gives."""
        with self._connection() as connection:
            return connection.execute(query).mappings().all()

    def files(self) -> list[str]:
        """Return the names of all instances' files."""
        with self._connection() as connection:
            return list(connection.execute(select(INSTANCES.c.file)).scalars())

    def clear(self) -> None:
        """Forget every instance."""
        with self._engine.begin() as connection:
            connection.execute(delete(INSTANCES))

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            yield connection


def _set_up(connection: Any, _: object) -> None:
    """Let readers and a writer work at once."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
