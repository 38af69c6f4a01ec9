"""Types of ledger_told.pyx."""

from typing import Any

from _codec.entry_lane import EntrySend, StoredEntry

class PendingRun:
    first_seq: int
    last_seq: int
    segment: int
    size_bytes: int
    at_ns: int
    def __init__(self, first_seq: int, last_seq: int, segment: int, size_bytes: int, at_ns: int) -> None: ...

def tell_run(
    run: list[StoredEntry], entries: dict[int, Any], pending: dict[str, list[PendingRun]]
) -> tuple[list[tuple[str, int, int]], int]: ...
def tell_delivered(
    done: list[EntrySend],
    entries: dict[int, Any],
    marks: dict[str, dict[int, Any]],
    held: dict[str, set[int]],
    mark_type: Any,
    pending: Any,
    delivered: Any,
    now_ns: int,
) -> tuple[list[tuple[str, int, int]], int, list[tuple[int, str]]]: ...
