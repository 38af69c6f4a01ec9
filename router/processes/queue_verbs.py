"""What people ask of a worker's queue, by way of admin: list, show, counts, retry, release, drop.

Verbs get their arguments by keyword and return plain values (see queries.py). They run in a thread where
they wait for the ledger, so that the event loop goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any

from router.spool.states import DeliveryState, Owed, Selector

if TYPE_CHECKING:
    from router.processes.worker import Worker

NS = 1_000_000_000
ENTRY_ROWS_MAX = 256
"""Destinations of one entry: more than a configuration can name."""

RELEASE_ROWS = 500
"""Held entries looked at in one go."""

LISTED = (DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.HELD, DeliveryState.DEAD)
"""States that a listing shows when it is not asked for another."""

Json = dict[str, Any]


class QueueVerbs:
    """The handlers of one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def handlers(self) -> Mapping[str, Callable[..., Any]]:
        """Return the verbs by name."""
        return {
            "queue_ls": self.list_entries,
            "queue_show": self.show,
            "queue_counts": self.counts,
            "queue_retry": self.retry,
            "queue_release": self.release,
            "queue_drop": self.drop,
            "destinations": self.destinations,
        }

    async def list_entries(self, limit: int, after: int, **filters: Any) -> list[Json]:
        """Return rows by entry number; all rows of one entry stand in the same answer."""
        selector = _selector(after=after, **filters)
        rows = await asyncio.to_thread(self._find, selector, limit + 1)
        if len(rows) > limit:
            last = rows[-1].seq
            rows = [row for row in rows if row.seq != last] or await asyncio.to_thread(
                self._find, replace(selector, seq=last, after=0), ENTRY_ROWS_MAX
            )
        return [self._row(row) for row in rows]

    def _find(self, selector: Selector, limit: int) -> list[Owed]:
        """Return what a listing shows, by entry number."""
        ledger = self._worker.spool.ledger
        if selector.state is not None:
            return ledger.find(selector, limit)
        found = [row for state in LISTED for row in ledger.find(replace(selector, state=state), limit)]
        return sorted(found, key=lambda row: row.seq)[:limit]

    async def show(self, entry: int) -> Json | None:
        """Return one entry with all that is known of its deliveries, or None."""
        rows = await asyncio.to_thread(self._worker.spool.ledger.find, Selector(seq=entry), ENTRY_ROWS_MAX)
        if not rows:
            return None
        record = rows[0].entry.record
        return {
            **self._row(rows[0]),
            "transfer_syntax": record.transfer_syntax,
            "series": record.series_uid,
            "called": record.called_ae_title,
            "peer": record.peer_address,
            "source": record.source,
            "rules": list(record.rules),
            "deliveries": [self._row(row) for row in rows],
        }

    def counts(self) -> list[Json]:
        """Return count, bytes and oldest age by destination and state; settled deliveries are left out."""
        ledger = self._worker.spool.ledger
        now_ns = time_ns()
        rows = []
        for (destination, state), tally in ledger.counts().items():
            if state in LISTED:
                oldest_ns = ledger.oldest(destination, [state])
                age_s = 0.0 if oldest_ns is None else max(0.0, (now_ns - oldest_ns) / NS)
                rows.append(
                    {
                        "destination": destination,
                        "state": state.text,
                        "count": tally.count,
                        "bytes": tally.size_bytes,
                        "oldest_age_s": age_s,
                    }
                )
        return rows

    def destinations(self) -> list[Json]:
        """Return each destination as this worker sees it: its circuit breaker, and what it holds."""
        now = monotonic()
        rows = []
        for name, destination in self._worker.owing.destinations.items():
            circuit = destination.circuit
            last = circuit.last
            rows.append(
                {
                    "destination": name,
                    "worker": self._worker.child.index,
                    "circuit": circuit.state.value,
                    "down_s": round(circuit.down_s(now), 3),
                    "setbacks": circuit.setbacks,
                    "retry_s": round(max(0.0, circuit.blocked_until - now), 3) if circuit.setbacks else None,
                    "last_error": None if last is None else last.error_class.value,
                    "last_text": None if last is None else last.text,
                    "alternate": destination.settings.alternate or None,
                    "associations": destination.associations_open,
                    "in_flight": destination.in_flight,
                    "queued": destination.queued,
                    "is_backlogged": destination.is_backlogged,
                }
            )
        return rows

    async def retry(self, entry: int | None = None, **filters: Any) -> int:
        """Make dead and waiting deliveries due now; return how many."""
        changed = await asyncio.to_thread(self._worker.spool.ledger.retry, _selector(entry=entry, **filters))
        self._worker.owing.look_again()
        return changed

    async def release(self, entry: int | None = None, **filters: Any) -> int:
        """Let held entries go: to what they were held with, or where today's rules send them. Return how
        many."""
        released = await asyncio.to_thread(self._release, _selector(entry=entry, **filters))
        self._worker.owing.look_again()
        return released

    def _release(self, selector: Selector) -> int:
        ledger = self._worker.spool.ledger
        released = 0
        selector = replace(selector, state=DeliveryState.HELD)
        while rows := ledger.find(selector, RELEASE_ROWS):
            for row in rows:
                chosen = () if row.mark.destination else self._worker.decide_again(row.entry)
                if row.mark.destination or chosen:
                    one = Selector(seq=row.seq, destination=row.mark.destination)
                    released += ledger.release(one, chosen)
            selector = replace(selector, after=rows[-1].seq)
        return released

    async def drop(self, entry: int | None = None, **filters: Any) -> int:
        """Discard deliveries for good; what is being sent right now may still arrive. Return how many."""
        changed = await asyncio.to_thread(self._worker.spool.ledger.drop, _selector(entry=entry, **filters))
        self._worker.owing.forget_settled()
        return changed

    def _row(self, owed: Owed) -> Json:
        record, mark = owed.entry.record, owed.mark
        now_ns = time_ns()
        waits = mark.state is DeliveryState.RETRYING
        return {
            "id": self._worker.entry_name(owed.seq),
            "destination": mark.destination,
            "state": mark.state.text,
            "attempts": mark.attempts,
            "age_s": max(0.0, (now_ns - record.received_ns) / NS),
            "next_attempt_s": max(0.0, (mark.next_attempt_ns - now_ns) / NS) if waits else None,
            "sop_class": record.sop_class,
            "sop_instance": record.sop_instance,
            "study": record.study_uid,
            "calling": record.calling_ae_title,
            "bytes": owed.entry.location.length,
            "last_error": mark.error_class or None,
            "last_status": None if mark.status is None else f"{mark.status:04X}",
        }


def _selector(
    *,
    entry: int | None = None,
    destination: str | None = None,
    state: str | None = None,
    study: str | None = None,
    sop_instance: str | None = None,
    after: int = 0,
) -> Selector:
    """Return the selector that people's words mean. Raises ValueError for an unknown state."""
    return Selector(
        seq=entry,
        destination=destination,
        state=None if state is None else _state(state),
        study_uid=study,
        sop_instance=sop_instance,
        after=after,
    )


def _state(text: str) -> DeliveryState:
    if text == "dropped":
        return DeliveryState.DISCARDED
    try:
        return DeliveryState[text.upper()]
    except KeyError:
        raise ValueError(f"unknown state {text[:32]!r}") from None
