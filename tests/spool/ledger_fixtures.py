"""Entries, marks and questions that the tests of the ledger share."""

from __future__ import annotations

from router.spool.ledger import Ledger
from router.spool.record import Entry, Location
from router.spool.states import DeliveryState, Mark, Selector

from .spool_fixtures import record_of

NOW = 10**18
PENDING, RETRYING, HELD = DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.HELD
DEAD, DELIVERED, DISCARDED = DeliveryState.DEAD, DeliveryState.DELIVERED, DeliveryState.DISCARDED


def entry_of(seq: int, destinations: tuple[str, ...] = ("A",), segment: int = 1, **changes: object) -> Entry:
    file = changes.pop("file", None)
    record = record_of(seq, destinations, **changes)
    location = Location(segment, seq * 1000, 100, 7, file)  # type: ignore[arg-type]
    return Entry(seq, record, location)


def mark_of(seq: int, state: DeliveryState, destination: str = "A", **changes: int) -> Mark:
    return Mark(seq, destination, state, NOW, **changes)  # type: ignore[arg-type]


def seqs(ledger: Ledger, destination: str = "A", limit: int = 100, **more: object) -> list[int]:
    return [one.seq for one in ledger.due(destination, NOW, limit, **more)]  # type: ignore[arg-type]


def states(ledger: Ledger, selector: Selector | None = None) -> dict[tuple[int, str], DeliveryState]:
    return {
        (one.seq, one.mark.destination): one.mark.state for one in ledger.find(selector or Selector(), 1000)
    }
