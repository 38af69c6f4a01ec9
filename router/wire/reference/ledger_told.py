"""Twin of _codec/ledger_told.pyx, as far as it has one here: runs of pending entries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class PendingRun:
    """Entries that begin pending for one destination: each number from first_seq to last_seq, all of one
    segment.

    size_bytes: of their datasets. at_ns: when the latest was received.
    """

    first_seq: int
    last_seq: int
    segment: int
    size_bytes: int
    at_ns: int
