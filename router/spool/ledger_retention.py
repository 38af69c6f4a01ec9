"""Which data may go: segments and large objects whose every delivery is settled, by marks that are durable.

All of it is of the ledger's totals as last published, one moment of the tables: what is read from the tables
while a batch is being written may know of an entry and not yet that it is open.
Invariant: called by who holds the ledger's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from router.spool.ledger_tables import Tables
from router.spool.payload import ClosedSegment


class Retention:
    """See the module's text. retention_s: how long after its last change settled data is kept.

    wants_sync: something waits for nothing but its marks to be durable.
    """

    def __init__(self, retention_s: float, now_ns: Callable[[], int]) -> None:
        self.wants_sync = False
        self.open_by_segment: dict[int, int] = {}
        self._retention_ns = int(retention_s * 1e9)
        self._now_ns = now_ns
        self._last_seq = 0
        self._changed_ns: dict[int, int] = {}
        self._touched: dict[int, int] = {}  # segment -> newest write that changed it
        self._settled_files: deque[tuple[int, int, str]] = deque()  # (write, when, name)
        self._forgotten: list[int] = []  # segments that are done since the totals were last published
        self._writes = self._durable_writes = 0

    def publish(self, tables: Tables) -> None:
        """Take over what the tables say after a write; on the ledger's thread."""
        self._writes += 1
        for segment in tables.changed_segments:
            self._touched[segment] = self._writes
        tables.changed_segments.clear()
        now_ns = self._now_ns()
        self._settled_files.extend((self._writes, now_ns, name) for name in tables.settled_files)
        tables.settled_files.clear()
        for number in self._forgotten:
            tables.changed_ns.pop(number, None)
        self._forgotten.clear()
        self._last_seq = tables.last_seq
        self.open_by_segment = dict(tables.open_by_segment)
        self._changed_ns = dict(tables.changed_ns)

    def synced(self) -> None:
        """Take note that all that was published is durable."""
        self._durable_writes = self._writes
        self.wants_sync = False

    def segments_done(self, closed: Iterable[ClosedSegment]) -> list[int]:
        """Return those of the closed segments whose data may be deleted."""
        before_ns = self._now_ns() - self._retention_ns
        settled = [
            segment.number
            for segment in closed
            if segment.last_seq <= self._last_seq
            and segment.number not in self.open_by_segment
            and self._changed_ns.get(segment.number, 0) <= before_ns
        ]
        done = [number for number in settled if self._touched.get(number, 0) <= self._durable_writes]
        self.wants_sync |= len(done) < len(settled)
        for number in done:
            self._touched.pop(number, None)
        self._forgotten += done
        return done

    def files_done(self) -> list[str]:
        """Return the large objects whose data may be deleted, once each."""
        before_ns = self._now_ns() - self._retention_ns
        files, done = self._settled_files, []
        while files and files[0][1] <= before_ns and files[0][0] <= self._durable_writes:
            done.append(files.popleft()[2])
        self.wants_sync |= bool(files) and files[0][1] <= before_ns
        return done

    def keeps(self, name: str, settled_ns: int | None) -> bool:
        """Whether a large object that is settled is still to be kept; it is seen to from then on."""
        if settled_ns is None or settled_ns <= self._now_ns() - self._retention_ns:
            return False
        self._settled_files.append((self._writes, settled_ns, name))
        return True
