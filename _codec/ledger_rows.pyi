"""Types of ledger_rows.pyx."""

from collections.abc import Mapping
from typing import Any

from _codec.ledger_told import PendingRun
from _codec.sqlite_link import Link

class RowWriter:
    def __init__(self, link: Link, instance: str, delivery: str) -> None: ...
    def close(self) -> None: ...
    def insert(
        self,
        entries: Mapping[int, Any],
        marks: dict[str, dict[int, Any]],
        pending: dict[str, list[PendingRun]],
        ids: Mapping[str, int],
        run_min: int,
    ) -> tuple[
        list[tuple[int, int, int, int, int, int]],
        list[int],
        list[Any],
        list[tuple[int, int, int, int, int, int]],
    ]: ...
