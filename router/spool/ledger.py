"""What is owed: one state per (instance, destination), written behind by one thread.

The segments are the truth; the ledger may lose its latest marks in a crash, which costs duplicates.
`add`, `mark` and the questions of the delivery path belong to one thread; the rest may be called from
any. Invariant: `segments_done` and `files_done` name only what is settled by marks that are themselves
durable.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, time_ns
from typing import Any, TypeVar

from router.errors import SpoolError
from router.spool import ledger_view as view
from router.spool.faults import LedgerDamaged, SpoolFailed, SpoolFull, ledger_error
from router.spool.ledger_batch import Batch
from router.spool.ledger_commands import Commands
from router.spool.ledger_errand import Errand
from router.spool.ledger_flows import FlowName, OwedOfFlow, due_of_flow, flows_owed, owed_among
from router.spool.ledger_pruning import Pruning
from router.spool.ledger_queries import Queries
from router.spool.ledger_retention import Retention
from router.spool.ledger_tables import Tables
from router.spool.ledger_verify import suspect
from router.spool.payload import ClosedSegment
from router.spool.record import Entry
from router.spool.segment import Position
from router.spool.states import DeliveryState, Mark, Owed, Selector, Tallies, Tally
from router.wire.codec import EntrySend, StoredEntry

FLUSH_INTERVAL_S = 0.1  # how long changes gather: most instances are delivered within, and cost one write
FLUSH_ROWS = 2000  # or until so many rows wait
UNWRITTEN_CONGESTED = 20_000  # rows; from here on the owner should stop taking work
UNWRITTEN_MAX = 100_000  # rows; from here on adding is refused
FULL_RETRY_S = 1.0
ANSWER_TIMEOUT_S = 30.0

_OWED_STATES = (DeliveryState.PENDING, DeliveryState.RETRYING)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """retention_s: how long after its last change settled data is kept.

    rows_max, rows_age_s: how many instances are remembered after they are settled, and how long after they
    were received: the proof of what was delivered where.
    """

    fsync: bool = True
    retention_s: float = 0.0
    rows_max: int = 1_000_000
    rows_age_s: float = 30 * 86400.0


class Ledger:
    """The ledger of one worker directory. Opening raises sqlite3.DatabaseError if the file is damaged."""

    def __init__(
        self,
        path: Path,
        settings: LedgerSettings | None = None,
        *,
        now_ns: Callable[[], int] = time_ns,
    ) -> None:
        self._settings = settings or LedgerSettings()
        self._path = path
        self._now_ns = now_ns
        self._tables = Tables(path, fsync=self._settings.fsync)
        self._queries = Queries(path, self._tables.ids)
        self._slow_queries = Queries(path, self._tables.ids)  # whose answers no delivery has to wait for
        self._people = Commands(self, self._tables, self._slow_queries, now_ns)
        self._changed = threading.Condition()
        self._batch = Batch(1)
        self._writing: Batch | None = None
        self._written = 0  # number of the newest batch in the tables
        self._errands: deque[Errand[Any]] = deque()
        self._running: deque[Errand[Any]] = deque()
        self._pruning = Pruning(monotonic())
        self._wants_flush = self._stopping = False
        self._last_seq = self._tables.last_seq
        self._retention = Retention(self._settings.retention_s, now_ns)
        self.failure: SpoolError | None = None
        self.trouble: SpoolError | None = None  # why writing waits, while it does
        self._publish()
        self._thread = threading.Thread(target=self._run, name="spool-ledger", daemon=True)
        self._thread.start()

    # -- changes (owner's thread)

    def add(self, entries: Iterable[Entry]) -> None:
        """Take entries that are durable in the segments, in order of their number.

        Raises SpoolFull if too much waits to be written (see `congested`), SpoolFailed if the ledger failed.
        """
        with self._changed:
            self._check()
            was = self._batch.rows
            for entry in entries:
                if entry.seq <= self._last_seq:
                    raise ValueError(f"entry {entry.seq} after {self._last_seq}: entries come in order")
                self._batch.add(entry)
                self._last_seq = entry.seq
            self._nudge(was)

    def add_run(self, run: list[StoredEntry]) -> None:
        """Take entries of the entry lane, at least one; as `add`."""
        with self._changed:
            self._check()
            if run[0].seq <= self._last_seq:
                raise ValueError(f"entry {run[0].seq} after {self._last_seq}: entries come in order")
            was = self._batch.rows
            self._batch.add_run(run)
            self._last_seq = run[-1].seq
            self._nudge(was)

    def check_room(self) -> None:
        """Raise what `add` would raise, if it would; until then an `add` that follows takes its entries."""
        with self._changed:
            self._check()

    def mark(self, marks: Iterable[Mark]) -> None:
        """Take new states. A settled delivery stays settled, but for a late success. Raises as `add`."""
        with self._changed:
            self._check()
            was = self._batch.rows
            for mark in marks:
                self._batch.mark(mark)
            self._nudge(was)

    def mark_delivered(self, done: list[EntrySend], held: dict[str, set[int]]) -> None:
        """Take what the entry lane has delivered, as `mark`; it is taken out of `held`, by destination."""
        with self._changed:
            self._check()
            was = self._batch.rows
            self._batch.mark_delivered(done, held, self._now_ns())
            self._nudge(was)

    def divert(self, marks: Iterable[Mark], alternate: str) -> None:
        """Settle deliveries as diverted, and let as many begin towards the alternate: both or neither.

        Raises as `add`.
        """
        with self._changed:
            self._check()
            was = self._batch.rows
            for mark in marks:
                self._batch.divert(mark, alternate)
            self._nudge(was)

    @property
    def congested(self) -> bool:
        """Whether writing lags so far behind that no new work should be taken."""
        return self._unwritten() >= UNWRITTEN_CONGESTED

    def _unwritten(self) -> int:
        writing = self._writing
        return self._batch.rows + (writing.rows if writing is not None else 0)

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self._stopping:
            raise SpoolFailed("the ledger is closed")
        if self._unwritten() >= UNWRITTEN_MAX:
            raise SpoolFull(f"{UNWRITTEN_MAX} ledger rows wait to be written")

    def _nudge(self, was: int) -> None:
        """Wake the thread when there is a first row to gather for, or enough to write."""
        if self._batch.rows and (was == 0 or was < FLUSH_ROWS <= self._batch.rows):
            self._changed.notify_all()

    def _unwritten_batches(self) -> list[Batch]:
        """Return what is not in the tables yet, older first.

        To be asked for before the tables: what is written meanwhile is then seen twice, never missed.
        """
        with self._changed:
            return [batch for batch in (self._writing, self._batch) if batch is not None]

    # -- questions

    def due(
        self, destination: str, now_ns: int, limit: int, after_seq: int = 0, exclude: Collection[int] = ()
    ) -> list[Owed]:
        """Return up to `limit` deliveries that may be tried now, oldest first.

        after_seq: only entries with a greater number. exclude: numbers of entries that are being sent.
        """
        batches = self._unwritten_batches()
        return view.due(self._queries, batches, destination, now_ns, limit, after_seq, exclude)

    def flows(self, destination: str, after_seq: int, limit: int) -> list[tuple[int, FlowName]]:
        """Return the entries owed to a destination, oldest first, each with the flow it is of.

        after_seq: only entries with a greater number.
        """
        return flows_owed(self._queries, self._unwritten_batches(), destination, after_seq, limit)

    def owed_among(self, destination: str, seqs: Collection[int]) -> set[int]:
        """Return which of these entries are still owed to a destination."""
        return owed_among(self._queries, self._unwritten_batches(), destination, seqs)

    def due_of_flow(self, destination: str, flow: FlowName, after_seq: int, limit: int) -> list[OwedOfFlow]:
        """Return up to `limit` deliveries of one flow that are owed, oldest first, whenever they are due."""
        return due_of_flow(self._queries, self._unwritten_batches(), destination, flow, after_seq, limit)

    def next_due_ns(self, destination: str) -> int | None:
        """Return when the next retry of a destination is due; None if none is waiting for its time."""
        return view.next_due_ns(self._queries, self._unwritten_batches(), destination)

    def counts(self) -> Tallies:
        """Return the deliveries and their bytes by (destination, state). Held for nobody: destination ""."""
        with self._changed:
            tallies = dict(self._tallies)
            for batch in (self._writing, self._batch):
                for key, tally in (batch.tallies if batch is not None else {}).items():
                    tallies[key] = tallies.get(key, Tally()).plus(tally.count, tally.size_bytes)
        return {key: tally for key, tally in tallies.items() if tally.count}

    def oldest(self, destination: str, states: Sequence[DeliveryState] = _OWED_STATES) -> int | None:
        """Return when the oldest instance still owed was received (wall clock, ns); None if none is."""
        return view.oldest(self._queries, self._unwritten_batches(), destination, states)

    def find(self, selector: Selector, limit: int = 100) -> list[Owed]:
        """Return up to `limit` deliveries a selector means, by entry number (page on with `after`)."""
        self.flush()
        return self._slow_queries.find(selector, limit)

    def study(self, study_uid: str, after: int = 0, limit: int = 100) -> list[Owed]:
        """Return what became of a study: every delivery remembered, settled ones too, by entry number."""
        return self.find(Selector(study_uid=study_uid, after=after), limit)

    def newest(self, sop_instance: str, least_seq: int = 0) -> list[Owed]:
        """Return the newest entry of a SOP Instance UID, a row a destination; empty if none is known.

        least_seq: an entry that the caller knows of; if the ledger has nothing as new, nothing is returned.
        """
        batches = self._unwritten_batches()
        return view.newest(self._queries, batches, sop_instance, least_seq, self._tables.last_seq)

    # -- what people do

    def retry(self, selector: Selector) -> int:
        """Make dead and waiting deliveries due at once, attempts counted from zero; return how many."""
        return self._people.retry(selector)

    def drop(self, selector: Selector) -> int:
        """Discard open deliveries; their data goes when nobody else is owed it. Return how many."""
        return self._people.drop(selector)

    def release(self, selector: Selector, destinations: Sequence[str] = ()) -> int:
        """Let held instances go to `destinations`, or to those they were held with; return how many."""
        return self._people.release(selector, destinations)

    def forget_old(self) -> None:
        """Forget at once all that is settled and too old or too many; otherwise it goes bit by bit."""
        before_ns = self._now_ns() - int(self._settings.rows_age_s * 1e9)
        self._ask(lambda: self._tables.prune_all(self._settings.rows_max, before_ns))
        self.make_durable()

    # -- data that may go

    def segments_done(self, closed: Iterable[ClosedSegment]) -> list[int]:
        """Return those of the closed segments whose data may be deleted.

        Every entry must be known here, settled towards all, older than retention, and its marks durable. If
        only the last is missing, it is seen to: ask again later.
        """
        with self._changed:
            done = self._retention.segments_done(closed)
            self._nudge_for_sync()
        return done

    def files_done(self) -> list[str]:
        """Return the large objects whose data may be deleted, once each: as segments_done."""
        with self._changed:
            done = self._retention.files_done()
            self._nudge_for_sync()
        return done

    def is_retained(self, name: str) -> bool:
        """Whether a large object that is settled is still to be kept; it is seen to from then on."""
        settled_ns = self._slow_queries.file_settled_ns(name)
        with self._changed:
            return self._retention.keeps(name, settled_ns)

    def _nudge_for_sync(self) -> None:
        if self._retention.wants_sync:
            self._changed.notify_all()

    def covered_up_to(self) -> Position:
        """Return where recovery has to begin reading the segments: all before is in the tables."""
        return self._tables.covered

    # -- for recovery

    @property
    def last_seq(self) -> int:
        """Return the greatest entry number ever added."""
        return self._last_seq

    @property
    def open_segments(self) -> set[int]:
        """Return the segments in which deliveries are open."""
        with self._changed:
            return set(self._retention.open_by_segment)

    def restore(self, entries: Sequence[Entry], state: DeliveryState | None = None, why: str = "") -> int:
        """Add those entries that are not known yet, in any order; return how many those were."""
        return self._ask(lambda: self._tables.restore(entries, state, why))

    def bury(self, segment: int, why: str) -> int:
        """Give up what is owed from a segment that is gone; return how many deliveries."""
        return self._ask(partial(self._tables.bury, segment, self._now_ns(), why))

    def set_covered(self, position: Position, last_seq: int) -> None:
        """Say that everything before a place has been restored."""
        self._ask(lambda: self._tables.set_covered(position, last_seq))
        self._last_seq = max(self._last_seq, last_seq)

    def is_file_open(self, name: str) -> bool | None:
        """Return whether somebody is owed a large object; None: no entry has it."""
        return self._slow_queries.file_state(name)

    # -- the end

    def flush(self, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Write what has been told so far. Raises SpoolError if that fails or takes too long."""
        with self._changed:
            number = self._batch.number
            self._wants_flush = True
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._written >= number or self.failure, timeout_s):
                raise SpoolFull(f"the ledger could not be written within {timeout_s:g} s")
            if self.failure is not None:
                raise self.failure

    def make_durable(self) -> None:
        """Write and sync everything told so far. Raises SpoolError."""
        self._ask(self._sync)

    def close(self, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Write, sync, close; harmless twice. Raises SpoolError if the last marks could not be written."""
        if self._stopping:
            return
        try:
            if self.failure is None:
                self.make_durable()
        finally:
            with self._changed:
                self._stopping = True
                self._changed.notify_all()
            self._thread.join(timeout_s)
            self._queries.close()
            self._slow_queries.close()

    # -- the thread

    def _ask(self, command: Callable[[], _T]) -> _T:
        """Run a command on the ledger's thread, after all that has been told; return its result."""
        errand = Errand(command)
        with self._changed:
            self._check()
            self._errands.append(errand)
            self._changed.notify_all()
        return errand.result(ANSWER_TIMEOUT_S)

    def ask_number(self, command: Callable[[], tuple[int, int | None]]) -> tuple[int, int | None]:
        """Run a command on the ledger's thread, for `Commands`."""
        return self._ask(command)

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                self._work()
        except Exception as error:  # nobody else would hear of it, and everybody would wait
            self._fail(SpoolFailed(f"ledger: {type(error).__name__}"))
            raise
        finally:
            self._tables.close()

    def _wait_for_work(self) -> bool:
        """Block until there is something to write, and a little longer, to write more at once."""

        def is_urgent() -> bool:
            return self._stopping or self._wants_flush or self._retention.wants_sync or bool(self._errands)

        with self._changed:
            self._changed.wait_for(
                lambda: is_urgent() or self._batch.rows > 0, self._pruning.rest_s(monotonic())
            )
            self._changed.wait_for(lambda: is_urgent() or self._batch.rows >= FLUSH_ROWS, FLUSH_INTERVAL_S)
            if self._stopping or self.failure is not None:
                return False
            self._wants_flush = False
            self._writing, self._batch = self._batch, Batch(self._batch.number + 1)
            self._running, self._errands = self._errands, deque()
            return True

    def _work(self) -> None:
        """Write one batch, then run the errands given before it was taken; an error but "full" ends all."""
        try:
            while not self._write():
                if self._wait_for_room():
                    return
            while self._running:
                trouble = self._running.popleft().run()
                if trouble is not None and not isinstance(trouble, SpoolFull):
                    self._fail(trouble)
            if self._retention.wants_sync:
                self._sync()
            self._tables.write_back()
            self._prune()
            self.trouble = None
        except sqlite3.Error as error:
            self.trouble = ledger_error(error)
            if isinstance(self.trouble, SpoolFull):
                self._wait_for_room()
            else:
                self._fail(self.trouble)

    def _wait_for_room(self) -> bool:
        """Let a moment pass; True if the ledger is closed meanwhile."""
        with self._changed:
            return self._changed.wait_for(lambda: self._stopping, FULL_RETRY_S)

    def _write(self) -> bool:
        """Write the batch taken; False if the disk is full."""
        batch = self._writing
        assert batch is not None
        try:
            if batch.rows:
                self._tables.apply(batch)
        except sqlite3.Error as error:
            trouble = ledger_error(error)
            if not isinstance(trouble, SpoolFull):
                raise
            self.trouble = trouble
            return False
        with self._changed:
            self._writing = None
            self._written = batch.number
            self._publish()
            self._changed.notify_all()
        return True

    def _sync(self) -> None:
        self._tables.make_durable()
        with self._changed:
            self._publish()
            self._retention.synced()
            self._changed.notify_all()

    def _prune(self) -> None:
        began = monotonic()
        if not self._pruning.is_due(began):
            return
        if self._pruning.begins_anew(began):
            self._tables.begin_sweep()
        rows_max = self._settings.rows_max
        before_ns = self._now_ns() - int(self._settings.rows_age_s * 1e9)
        one = self._tables.prune(rows_max, before_ns)
        self._pruning.passed(one, self._tables.instances - rows_max, began, monotonic())
        with self._changed:
            self._publish()

    def _publish(self) -> None:
        """Let the other threads see the totals of the tables; the caller holds the lock."""
        tables = self._tables
        self.duplicates, self.uid_conflicts = tables.duplicates, tables.uid_conflicts
        self._tallies = dict(tables.tallies)
        self._retention.publish(tables)

    def _fail(self, failure: SpoolError) -> None:
        if isinstance(failure, LedgerDamaged):
            suspect(self._path)
        with self._changed:
            self.failure = failure
            self._changed.notify_all()
            waiting = [*self._running, *self._errands]
            self._running.clear()
            self._errands.clear()
        for errand in waiting:
            errand.refuse(failure)
