"""What the ledger says about one (instance, destination): states, marks, what is owed, selectors, tallies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from router.spool.record import Entry

UNDECIDED = ""
"""The destination under which an instance is held for which no rule chose any."""


class DeliveryState(IntEnum):
    """The state of one instance towards one destination; from DELIVERED on it is settled.

    DIVERTED: another destination, the alternate, has taken it over and has a delivery of its own.
    """

    PENDING = 0
    RETRYING = 1
    HELD = 2
    DEAD = 3
    DELIVERED = 4
    DISCARDED = 5
    DIVERTED = 6

    @property
    def text(self) -> str:
        """Return the word people and metrics use."""
        return self.name.lower()

    @property
    def is_settled(self) -> bool:
        return self >= DeliveryState.DELIVERED


class Mark(NamedTuple):
    """A new state of one entry towards one destination.

    at_ns, next_attempt_ns: wall clock, nanoseconds. status: the DIMSE status that decided, if one did.
    takes_over: this destination may not be of the frozen set: the delivery begins with this mark if there is
    none.
    """

    seq: int
    destination: str
    state: DeliveryState
    at_ns: int
    attempts: int = 0
    next_attempt_ns: int = 0
    error_class: str = ""
    status: int | None = None
    takes_over: bool = False


@dataclass(frozen=True, slots=True)
class Owed:
    """One entry and where it stands with one destination."""

    entry: Entry
    mark: Mark

    @property
    def seq(self) -> int:
        return self.entry.seq


@dataclass(frozen=True, slots=True)
class Selector:
    """Which deliveries a person means; every condition that is given must hold.

    after: only entries with a greater number (for paging). received_before_ns: by age.
    """

    seq: int | None = None
    destination: str | None = None
    state: DeliveryState | None = None
    study_uid: str | None = None
    sop_instance: str | None = None
    received_before_ns: int | None = None
    after: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """How many deliveries, and the bytes of their datasets."""

    count: int = 0
    size_bytes: int = 0

    def plus(self, count: int, size_bytes: int) -> Tally:
        return Tally(self.count + count, self.size_bytes + size_bytes)


Tallies = dict[tuple[str, DeliveryState], Tally]


def first_marks(entry: Entry, state: DeliveryState | None = None) -> list[Mark]:
    """Return the marks an entry starts with: its frozen destinations, pending or held (or all in `state`)."""
    seq, record = entry.seq, entry.record
    if state is None:
        state = DeliveryState.HELD if record.action == "hold" else DeliveryState.PENDING
    if not record.destinations:
        if state is DeliveryState.PENDING:
            state = DeliveryState.HELD
        return [Mark(seq, UNDECIDED, state, record.received_ns)]
    return [Mark(seq, destination, state, record.received_ns) for destination in record.destinations]
