"""A worker's gauges: what its rings hold, what each destination is owed and since when."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING

from router.spool.states import UNDECIDED, DeliveryState

if TYPE_CHECKING:
    from router.processes.worker import Worker

QUEUES_S = 1.0
"""How often the ledger is asked for what is owed: the answer takes it a millisecond or two."""

SHOWN_STATES = (DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.HELD, DeliveryState.DEAD)


class Gauges:
    """Those of one worker; set() is called some times a second."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._queues_due = 0.0  # monotonic
        self._malformed_seen = 0
        self._repeats_seen = (0, 0)

    def set(self, now: float) -> None:
        """Show how things stand. now: monotonic. Raises SpoolError."""
        intakes, counters = self._worker.intakes, self._worker.counters
        counters.rings(
            sum(intake.ring_used_bytes for intake in intakes),
            sum(intake.ring_capacity_bytes for intake in intakes),
        )
        self._count_repeats()
        malformed = sum(intake.malformed_records for intake in intakes)
        counters.malformed(malformed - self._malformed_seen)
        self._malformed_seen = malformed
        for name, destination in self._worker.owing.destinations.items():
            counters.associations(name, destination.associations_open)
            counters.circuit(name, destination.circuit)
        if now >= self._queues_due:
            self._queues_due = now + QUEUES_S
            self._show_queues()

    def _show_queues(self) -> None:
        counters, ledger, now_ns = self._worker.counters, self._worker.spool.ledger, time_ns()
        counts = ledger.counts()
        for name in self._worker.owing.destinations:
            for state in SHOWN_STATES:
                tally = counts.get((name, state))
                oldest_ns = ledger.oldest(name, [state]) if tally else None
                age_s = 0.0 if oldest_ns is None else max(0.0, (now_ns - oldest_ns) / 1e9)
                counters.queue(name, state.text, tally.count if tally else 0, age_s)
        held = counts.get((UNDECIDED, DeliveryState.HELD))
        counters.held(held.count if held else 0)

    def _count_repeats(self) -> None:
        ledger, (duplicates, conflicts) = self._worker.spool.ledger, self._repeats_seen
        self._repeats_seen = (ledger.duplicates, ledger.uid_conflicts)
        self._worker.counters.repeated(ledger.duplicates - duplicates, ledger.uid_conflicts - conflicts)
