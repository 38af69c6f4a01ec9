"""What admin asks a worker about a study: what was received of it, and what became of each delivery.

Worker 0 also answers for workers that are configured no more: their ledgers are kept as long as they
remember something (see adoption.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router.spool.history import study_of
from router.spool.layout import worker_directories
from router.spool.states import Owed

if TYPE_CHECKING:
    from router.processes.worker import Worker

ENTRY_ROWS_MAX = 1024  # one entry has a row a destination
MOVED = "moved"
"""Error class of deliveries that an absent worker has left to worker 0; it is not shown."""

Json = dict[str, Any]


class StudyVerbs:
    """The handlers of one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def handlers(self) -> Mapping[str, Callable[..., Any]]:
        """Return the verbs by name."""
        return {"study_ledgers": self.ledgers, "study_rows": self.rows}

    def ledgers(self) -> list[int]:
        """Return the ledgers this worker answers for, by the index of the worker they are or were of."""
        index = self._worker.child.index
        return [index, *(sorted(self._absent()) if index == 0 else ())]

    async def rows(self, study: str, ledger: int, limit: int, after: int) -> list[Json]:
        """Return deliveries by entry number; all rows of one entry stand in the same answer."""
        found = await asyncio.to_thread(self._find, study, ledger, limit + 1, after)
        if len(found) > limit:
            last = found[-1].seq
            whole = [one for one in found if one.seq != last]
            found = whole or await asyncio.to_thread(self._find, study, ledger, ENTRY_ROWS_MAX, last - 1)
            found = whole or [one for one in found if one.seq == last]
        return [row_of(one, ledger) for one in found]

    def _find(self, study: str, ledger: int, limit: int, after: int) -> list[Owed]:
        if ledger == self._worker.child.index:
            return self._worker.spool.ledger.study(study, after, limit)
        path = self._absent().get(ledger)
        return [] if path is None else study_of(path, study, after, limit)

    def _absent(self) -> dict[int, Path]:
        config = self._worker.config
        found = worker_directories(Path(config.spool.path))
        return {
            index: directory.ledger
            for index, directory in found.items()
            if index >= config.router.workers and directory.ledger.exists()
        }


def row_of(owed: Owed, ledger: int) -> Json:
    """Return one delivery with the facts of its instance; times in UTC, statuses in hexadecimal."""
    record, location, mark = owed.entry.record, owed.entry.location, owed.mark
    return {
        "id": f"{ledger}-{owed.seq}",
        "sop_instance": record.sop_instance,
        "sop_class": record.sop_class,
        "series": record.series_uid,
        "transfer_syntax": record.transfer_syntax,
        "bytes": location.length,
        "crc32c": None if location.crc is None else f"{location.crc:08x}",
        "received": time_of(record.received_ns),
        "calling": record.calling_ae_title,
        "called": record.called_ae_title,
        "peer": record.peer_address,
        "source": record.source,
        "rules": list(record.rules),
        "delivery": {
            "destination": mark.destination,
            "state": mark.state.text,
            "at": time_of(mark.at_ns),
            "status": None if mark.status is None else f"{mark.status:04X}",
            "attempts": mark.attempts,
            "error": mark.error_class or None,
        },
    }


def time_of(nanoseconds: int) -> str:
    """Return a wall-clock time in UTC as text (ISO 8601, milliseconds)."""
    moment = datetime.fromtimestamp(nanoseconds / 1e9, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
