"""The ledger as its owner sees it: the tables, with what has been told and is not written yet laid over them.

batches: what is unwritten, older first, taken before the tables are asked; what is written meanwhile is then
seen twice, never missed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from router.spool.ledger_batch import Batch, entry_of, is_due, overlaid
from router.spool.ledger_queries import Queries
from router.spool.states import DeliveryState, Mark, Owed


def due(
    queries: Queries,
    batches: Sequence[Batch],
    destination: str,
    now_ns: int,
    limit: int,
    after_seq: int,
    exclude: Collection[int],
) -> list[Owed]:
    """Return up to `limit` deliveries that may be tried now, oldest first."""
    unwritten = _unwritten(batches, destination)
    found: dict[int, Owed] = {}
    for owed in queries.due(destination, now_ns, after_seq, limit + len(unwritten) + len(exclude)):
        found[owed.seq] = owed
    for seq, mark in unwritten.items():
        entry = entry_of(seq, batches, found)
        if entry is None and mark.takes_over:
            entry = queries.instance(seq)
        if entry is not None:
            found[seq] = Owed(entry, mark)
    return [
        found[seq]
        for seq in sorted(found)
        if seq > after_seq and seq not in exclude and is_due(found[seq].mark, now_ns)
    ][:limit]


def next_due_ns(queries: Queries, batches: Sequence[Batch], destination: str) -> int | None:
    """Return when the next retry of a destination is due; None if none is waiting for its time."""
    times = [
        mark.next_attempt_ns
        for batch in batches
        for mark in batch.marks.get(destination, {}).values()
        if mark.state is DeliveryState.RETRYING
    ]
    written = queries.next_retry_ns(destination)
    return min([*times, *([] if written is None else [written])], default=None)


def oldest(
    queries: Queries, batches: Sequence[Batch], destination: str, states: Sequence[DeliveryState]
) -> int | None:
    """Return when the oldest instance in one of the states was received (wall clock, ns), or None."""
    unwritten: dict[int, Mark] = {}  # but for what is pending in runs: it may be all there is
    for batch in batches:
        unwritten.update(batch.marks.get(destination, {}))
    firsts = [seq for seq, mark in unwritten.items() if mark.state in states]
    if DeliveryState.PENDING in states:
        pending = [batch.first_pending(destination, unwritten) for batch in batches]
        firsts += [seq for seq in pending if seq is not None]
    first = min(firsts, default=None)
    for state in states:
        for seq in queries.first(destination, state, len(unwritten) + 1):
            if seq not in unwritten:
                first = seq if first is None else min(first, seq)
                break
    if first is None:
        return None
    entry = entry_of(first, batches, {})
    return entry.record.received_ns if entry is not None else queries.received_ns(first)


def newest(
    queries: Queries, batches: Sequence[Batch], sop_instance: str, least_seq: int, last_written_seq: int
) -> list[Owed]:
    """Return the newest entry of a UID, a row a destination; nothing if it is older than least_seq.

    last_written_seq: the tables may know entries up to it; a later one is in the batches, if anywhere.
    """
    seq = least_seq
    if least_seq <= last_written_seq:
        seq = queries.newest(sop_instance) or 0
        if seq < least_seq:
            return []
    found = next((owed for batch in batches if (owed := batch.owed(seq))), None)
    rows = queries.entry(seq) if found is None else found
    return [overlaid(row, batches) for row in rows]


def _unwritten(batches: Sequence[Batch], destination: str) -> dict[int, Mark]:
    """Return the newest unwritten marks of a destination, by entry number."""
    unwritten: dict[int, Mark] = {}
    for batch in batches:
        unwritten.update(batch.marks_of(destination))
    return unwritten
