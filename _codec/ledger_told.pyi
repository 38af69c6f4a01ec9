"""Types of ledger_told.pyx."""

from typing import Any

from _codec.entry_lane import EntrySend, StoredEntry

def tell_run(
    run: list[StoredEntry],
    entries: dict[int, Any],
    marks: dict[str, dict[int, Any]],
    mark_type: Any,
    pending: Any,
) -> list[tuple[str, int, int]]: ...
def tell_delivered(
    done: list[EntrySend],
    entries: dict[int, Any],
    marks: dict[str, dict[int, Any]],
    held: dict[str, set[int]],
    mark_type: Any,
    pending: Any,
    delivered: Any,
    now_ns: int,
) -> tuple[list[tuple[str, int, int]], list[tuple[int, str]]]: ...
