"""What is owed to a destination by flow, from the tables and from what is not written yet.

A flow is what one calling AE title sent of one study. Destinations serve flows in turns, so they fetch by
flow; versions of one instance may come by different flows, so each delivery is told with the one it must not
overtake.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from router.spool.ledger_batch import Batch, entry_of
from router.spool.ledger_queries import Queries
from router.spool.record import Entry
from router.spool.states import DeliveryState, Mark, Owed

FlowName = tuple[str, str]
"""Calling AE title and Study Instance UID."""

_OWED_STATES = (DeliveryState.PENDING, DeliveryState.RETRYING)


class OwedOfFlow(NamedTuple):
    """One delivery, and the newest older entry owed as well that has its SOP Instance UID, or None."""

    owed: Owed
    older_seq: int | None


def flow_of(entry: Entry) -> FlowName:
    """Return the flow an entry is of."""
    return entry.record.calling_ae_title, entry.record.study_uid


def flows_owed(
    queries: Queries, told: Sequence[Batch], destination: str, after_seq: int, limit: int
) -> list[tuple[int, FlowName]]:
    """Return the oldest entries owed after a number, each with its flow."""
    marks = _marks(told, destination)
    rows = queries.owed_flows(destination, after_seq, limit + _of_tables(marks, told))
    found = {seq: (calling, study) for seq, calling, study in rows}
    for seq, mark in marks.items():
        if mark.state not in _OWED_STATES:
            found.pop(seq, None)
        elif seq > after_seq and (entry := _find(seq, mark, told, queries)) is not None:
            found[seq] = flow_of(entry)
    return sorted(found.items())[:limit]


def due_of_flow(
    queries: Queries, told: Sequence[Batch], destination: str, flow: FlowName, after_seq: int, limit: int
) -> list[OwedOfFlow]:
    """Return the oldest deliveries of a flow that are owed after a number."""
    marks = _marks(told, destination)
    rows = queries.owed_of_flow(destination, flow, after_seq, limit + _of_tables(marks, told))
    found = {owed.seq: OwedOfFlow(owed, older) for owed, older in rows}
    unwritten: list[int] = []
    for seq, mark in marks.items():
        known = found.get(seq)
        if mark.state not in _OWED_STATES:
            found.pop(seq, None)
        elif known is not None:
            found[seq] = OwedOfFlow(Owed(known.owed.entry, mark), known.older_seq)
        elif seq > after_seq:
            unwritten.append(seq)
    versions: dict[str, list[int]] | None = None
    enough: int | None = None  # up to here there are as many as wanted; each of the others costs a query
    for seq in sorted(unwritten):
        if enough is None and len(found) >= limit:
            enough = sorted(found)[limit - 1]
        if enough is not None and seq > enough:
            break
        if (entry := _find(seq, marks[seq], told, queries)) and flow_of(entry) == flow:
            if versions is None:
                versions = _versions(told, marks)
            uid = entry.record.sop_instance
            older = [one for one in versions.get(uid, ()) if one < seq]
            written = queries.newest_owed(destination, uid, seq)
            older_seq = max(older + ([] if written is None else [written]), default=None)
            found[seq] = OwedOfFlow(Owed(entry, marks[seq]), older_seq)
    return [found[seq] for seq in sorted(found)[:limit]]


def owed_among(queries: Queries, told: Sequence[Batch], destination: str, seqs: Collection[int]) -> set[int]:
    """Return which of some entries are owed to a destination."""
    marks = _marks(told, destination)
    owed = {seq for seq in seqs if seq in marks and marks[seq].state in _OWED_STATES}
    return owed | queries.owed_among(destination, [seq for seq in seqs if seq not in marks])


def _marks(told: Sequence[Batch], destination: str) -> dict[int, Mark]:
    marks: dict[int, Mark] = {}
    for batch in told:
        marks.update(batch.marks_of(destination))
    return marks


def _of_tables(marks: dict[int, Mark], told: Sequence[Batch]) -> int:
    """Return how many marks are of entries in the tables: so many rows found there may not count."""
    return len(marks.keys() - {seq for batch in told for seq in batch.entries})


def _find(seq: int, mark: Mark, told: Sequence[Batch], queries: Queries) -> Entry | None:
    entry = entry_of(seq, told, {})
    return queries.instance(seq) if entry is None and mark.takes_over else entry


def _versions(told: Sequence[Batch], marks: dict[int, Mark]) -> dict[str, list[int]]:
    """Return the entries not written yet that are owed, by SOP Instance UID."""
    versions: dict[str, list[int]] = {}
    for batch in told:
        for seq, entry in batch.entries.items():
            mark = marks.get(seq)
            if mark is not None and mark.state in _OWED_STATES:
                versions.setdefault(entry.record.sop_instance, []).append(seq)
    return versions
