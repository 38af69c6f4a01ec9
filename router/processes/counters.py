"""The counts of acceptors and workers, with every cell looked up once so that the hot path only adds."""

from __future__ import annotations

from router.metrics.page import MetricsPage
from router.standard.statuses import StatusClass, status_class
from router.wire.codec import CODEC_NAME

LISTENER = "main"

STATUS_LABELS = {
    StatusClass.SUCCESS: "success",
    StatusClass.WARNING: "warning",
    StatusClass.PENDING: "failure",
    StatusClass.CANCEL: "failure",
    StatusClass.FAILURE: "failure",
}


class AcceptorCounters:
    """What an acceptor counts."""

    def __init__(self, page: MetricsPage) -> None:
        self._page = page
        self._cells = page.cells
        self._bases: dict[int, int] = {}
        slot = page.slot
        page.set(slot("codec_info", codec=CODEC_NAME), 1)
        self._received = {
            label: (
                slot("instances_received", listener=LISTENER, status_class=label),
                slot("received_bytes", listener=LISTENER, status_class=label),
            )
            for label in ("success", "warning", "failure")
        }
        self._answer_seconds = slot("answer_seconds", listener=LISTENER)
        self._echoes = slot("echoes", listener=LISTENER)
        self._outcomes = {
            outcome: slot("inbound_associations", listener=LISTENER, outcome=outcome)
            for outcome in ("accepted", "rejected", "released", "aborted", "lost")
        }
        self._open = slot("inbound_associations_open", listener=LISTENER)
        self._probes = {
            probe: slot("probes", listener=LISTENER, probe=probe) for probe in ("silent", "stray")
        }
        self._violations = slot("violations", listener=LISTENER, answer="abort")
        self._suppressed = slot("log_lines_suppressed")
        self._slots_used = slot("slab_slots_used")
        self._slots_total = slot("slab_slots_total")
        self._ring_used = slot("ring_used_bytes", direction="tickets")
        self._stage = slot("pressure_stage")
        self._loans = slot("loans_outstanding")
        self._spills = slot("spills")
        self._resent = slot("tickets_resent")
        self._overdue = slot("receipts_overdue")

    def stored(self, status: int, dataset_bytes: int, seconds: float) -> None:
        """Count one answered C-STORE-RQ; seconds: from the last dataset byte to the response."""
        label = "success" if status == 0 else STATUS_LABELS[status_class(status)]
        instances, size = self._received[label]
        self._cells[instances] += 1
        self._cells[size] += dataset_bytes
        self._page.observe(self._answer_seconds, seconds)

    def echoes(self) -> None:
        """Count one answered C-ECHO-RQ."""
        self._cells[self._echoes] += 1

    def ended(self, outcome: str) -> None:
        """Count what became of an association: accepted, rejected, released, aborted or lost."""
        self._cells[self._outcomes[outcome]] += 1

    def probe(self, probe: str) -> None:
        """Count a connection without an association request: silent or stray."""
        self._cells[self._probes[probe]] += 1

    def violated(self) -> None:
        """Count a violation that was answered with A-ABORT."""
        self._cells[self._violations] += 1

    def suppressed(self) -> None:
        """Count a log line that was left out."""
        self._cells[self._suppressed] += 1

    def gauges(
        self,
        *,
        associations: int,
        slots_used: int,
        slots_total: int,
        ring_bytes: int,
        stage: int,
        loans: int,
        spilled: int,
        resent: int,
        overdue: int,
    ) -> None:
        """Set what is looked at from time to time. The last three are totals since this process's start."""
        cells = self._cells
        cells[self._open] = associations
        cells[self._slots_used] = slots_used
        cells[self._slots_total] = slots_total
        cells[self._ring_used] = ring_bytes
        cells[self._stage] = stage
        cells[self._loans] = loans
        for slot, total in ((self._spills, spilled), (self._resent, resent), (self._overdue, overdue)):
            self._add_since(slot, total)

    def _add_since(self, slot: int, total: int) -> None:
        base = self._bases.setdefault(slot, self._cells[slot])
        self._cells[slot] = base + total
