"""Types of sqlite_link.pyx."""

import sqlite3
from collections.abc import Callable

class Link: ...

def linked(open_connection: Callable[[], sqlite3.Connection]) -> tuple[sqlite3.Connection, Link | None]: ...
