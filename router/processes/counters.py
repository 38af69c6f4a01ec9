"""The counts of acceptors and workers, with every cell looked up once so that the hot path only adds."""

from __future__ import annotations

from router.delivery.circuit import Circuit, CircuitState
from router.delivery.retry import ErrorClass, Failure
from router.metrics.catalogue import FIXED_LABELS
from router.metrics.page import MetricsPage
from router.standard.statuses import StatusClass, status_class
from router.wire.codec import CODEC_NAME, EntryLane, Forwarder, Outlet, StoreInlet

LISTENER = "main"

STATUS_LABELS = {
    StatusClass.SUCCESS: "success",
    StatusClass.WARNING: "warning",
    StatusClass.PENDING: "failure",
    StatusClass.CANCEL: "failure",
    StatusClass.FAILURE: "failure",
}


ERROR_LABELS = {
    ErrorClass.CONNECT: "connect",
    ErrorClass.TLS: "tls",
    ErrorClass.REJECTED_TRANSIENT: "rejected",
    ErrorClass.REJECTED_PERMANENT: "rejected",
    ErrorClass.NO_CONTEXT: "context",
    ErrorClass.ABORTED: "aborted",
    ErrorClass.POISON: "aborted",
    ErrorClass.TIMEOUT: "timeout",
    ErrorClass.BUSY: "status",
    ErrorClass.NOT_SUPPORTED: "status",
    ErrorClass.REFUSED: "status",
    ErrorClass.SPOOL: "spool",
    ErrorClass.UNREADABLE: "spool",
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
        self._receive_seconds = slot("receive_seconds", listener=LISTENER)
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
        self._handshakes = {x: slot("tls_handshakes", handshake=x) for x in FIXED_LABELS["handshake"]}
        self._turned_away = {x: slot("connections_turned_away", cause=x) for x in FIXED_LABELS["cause"]}
        self._pending = slot("pending_connections")
        self._violations = slot("violations", listener=LISTENER, answer="abort")
        self._suppressed = slot("log_lines_suppressed")
        self._slots_used = slot("slab_slots_used")
        self._slots_total = slot("slab_slots_total")
        self._ring_used = slot("ring_used_bytes", direction="tickets")
        self._ring_capacity = slot("ring_capacity_bytes", direction="tickets")
        self._reliefs = {
            relief: slot("pressure_reliefs", relief=relief) for relief in ("paused", "rejected", "refused")
        }
        self._stage = slot("pressure_stage")
        self._loans = slot("loans_outstanding")
        self._totals = {
            name: slot(name)
            for name in (
                "spills",
                "spilled_bytes",
                "tickets_sent",
                "tickets_resent",
                "receipts_overdue",
                "malformed_records",
            )
        }

    def count_lane(self, inlet: StoreInlet) -> None:
        """Have the store lanes count what they receive and answer with success."""
        instances, size = self._received["success"]
        page = self._page
        inlet.count_into(
            page.tally(),
            instances,
            size,
            page.histogram(self._receive_seconds),
            page.histogram(self._answer_seconds),
        )

    def stored(self, status: int, dataset_bytes: int, seconds: float) -> None:
        """Count one answered C-STORE-RQ; seconds: from the last dataset byte to the response."""
        label = "success" if status == 0 else STATUS_LABELS[status_class(status)]
        instances, size = self._received[label]
        self._cells[instances] += 1
        self._cells[size] += dataset_bytes
        self._page.observe(self._answer_seconds, seconds)

    def received(self, seconds: float) -> None:
        """Count a dataset that has arrived; seconds: from its command set to its last byte."""
        self._page.observe(self._receive_seconds, seconds)

    def echoes(self) -> None:
        """Count one answered C-ECHO-RQ."""
        self._cells[self._echoes] += 1

    def ended(self, outcome: str) -> None:
        """Count what became of an association: accepted, rejected, released, aborted or lost."""
        self._cells[self._outcomes[outcome]] += 1

    def probe(self, probe: str) -> None:
        """Count a connection without an association request: silent or stray."""
        self._cells[self._probes[probe]] += 1

    def handshake(self, outcome: str) -> None:
        """Count a TLS handshake with a sender: done, or how it failed."""
        self._cells[self._handshakes[outcome]] += 1

    def turned_away(self, cause: str) -> None:
        """Count a connection that was closed unheard: descriptors or pending."""
        self._cells[self._turned_away[cause]] += 1

    def pending(self, count: int) -> None:
        """Set how many connections are without an association."""
        self._cells[self._pending] = count

    def violated(self) -> None:
        """Count a violation that was answered with A-ABORT."""
        self._cells[self._violations] += 1

    def suppressed(self) -> None:
        """Count a log line that was left out."""
        self._cells[self._suppressed] += 1

    def relieved(self, relief: str, count: int = 1) -> None:
        """Count what was done against pressure: datasets paused or refused, associations rejected."""
        self._cells[self._reliefs[relief]] += count

    def gauges(
        self,
        *,
        associations: int,
        slots_used: int,
        slots_total: int,
        ring_bytes: int,
        ring_capacity_bytes: int,
        stage: int,
        loans: int,
    ) -> None:
        """Set what is looked at from time to time."""
        cells = self._cells
        cells[self._open] = associations
        cells[self._slots_used] = slots_used
        cells[self._slots_total] = slots_total
        cells[self._ring_used] = ring_bytes
        cells[self._ring_capacity] = ring_capacity_bytes
        cells[self._stage] = stage
        cells[self._loans] = loans

    def totals(self, **totals: int) -> None:
        """Bring counters, by their names, up to what this process counted since its start."""
        for name, total in totals.items():
            self._add_since(self._totals[name], total)

    def _add_since(self, slot: int, total: int) -> None:
        base = self._bases.setdefault(slot, self._cells[slot])
        self._cells[slot] = base + total


class DestinationCells:
    """The cells of one destination."""

    __slots__ = (
        "circuit",
        "circuit_opened",
        "deliver_seconds",
        "diverted",
        "end_to_end",
        "errors",
        "open",
        "opened",
        "opened_before",
        "sent",
        "sent_bytes",
        "states",
    )

    def __init__(self, page: MetricsPage, name: str) -> None:
        slot = page.slot
        labels = ("success", "warning", "failure")
        self.sent = {x: slot("instances_sent", destination=name, status_class=x) for x in labels}
        self.sent_bytes = {x: slot("sent_bytes", destination=name, status_class=x) for x in labels}
        self.errors = {
            error: slot("delivery_errors", destination=name, error=label)
            for error, label in ERROR_LABELS.items()
        }
        self.opened = {
            outcome: slot("outbound_associations", destination=name, outcome=outcome)
            for outcome in ("accepted", "rejected", "released", "aborted", "lost")
        }
        self.open = slot("outbound_associations_open", destination=name)
        self.circuit = {
            state: slot("destination_circuit", destination=name, circuit=state.value)
            for state in CircuitState
        }
        self.circuit_opened = slot("destination_circuit_opened", destination=name)
        self.opened_before = page.cells[self.circuit_opened]
        self.diverted = slot("diverted", destination=name)
        self.deliver_seconds = slot("deliver_seconds", destination=name)
        self.end_to_end = slot("end_to_end_seconds", destination=name)
        self.states = {
            state: (
                slot("queue_depth", destination=name, state=state),
                slot("queue_oldest_age_seconds", destination=name, state=state),
            )
            for state in ("pending", "retrying", "held", "dead")
        }


class WorkerCounters:
    """What a worker counts."""

    def __init__(self, page: MetricsPage) -> None:
        self._page = page
        self._cells = page.cells
        self._destinations: dict[str, DestinationCells] = {}
        slot = page.slot
        page.set(slot("codec_info", codec=CODEC_NAME), 1)
        self._unmatched = {
            action: slot("unmatched", action=action) for action in ("hold", "reject", "discard")
        }
        self._structure_refused = {
            fault: slot("structure_refused", fault=fault) for fault in ("nesting", "malformed")
        }
        self._suppressed = slot("log_lines_suppressed")
        self._held = slot("unmatched_held")
        self._store_seconds = slot("store_seconds")
        self._spool_bytes = slot("spool_bytes")
        self._spool_segments = slot("spool_segments")
        self._spool_free = slot("spool_free_bytes")
        self._spool_failed = slot("spool_failed")
        self._spool_stage = slot("spool_stage")
        self._sync_seconds = slot("spool_sync_seconds")
        self._sync_failures = slot("spool_sync_failures")
        self._group_size = slot("group_size")
        self._malformed = slot("malformed_records")
        self._duplicates_forwarded = slot("duplicates", handling="forwarded")
        self._duplicates_skipped = slot("duplicates", handling="skipped")
        self._conflicts = slot("uid_conflicts")
        self._ring_used = slot("ring_used_bytes", direction="receipts")
        self._ring_capacity = slot("ring_capacity_bytes", direction="receipts")
        self._recovered = slot("recovered_entries")
        self._quarantined = slot("quarantined_entries")
        self._missing = slot("missing_deliveries")

    def count_lanes(self, forwarder: Forwarder, entries: EntryLane) -> None:
        """Have the lanes count what they answer."""
        page = self._page
        forwarder.count_into(page.tally(), page.histogram(self._store_seconds), self._unmatched["discard"])
        entries.count_into(page.histogram(self._store_seconds))

    def count_outlet(self, outlet: Outlet) -> None:
        """Have the forward lane count what it delivers to a destination."""
        cells, page = self._of(outlet.name), self._page
        outlet.count_into(
            page.tally(),
            cells.sent["success"],
            cells.sent_bytes["success"],
            page.histogram(cells.deliver_seconds),
            page.histogram(cells.end_to_end),
        )

    def stored(self, seconds: float) -> None:
        """Count an instance that was answered with success; seconds: since its ticket was taken."""
        self._page.observe(self._store_seconds, seconds)

    def unmatched(self, action: str) -> None:
        """Count an instance that no rule matched: hold, reject or discard."""
        self._cells[self._unmatched[action]] += 1

    def structure_refused(self, fault: str) -> None:
        """Count an instance that the structural scan refused: nesting or malformed."""
        self._cells[self._structure_refused[fault]] += 1

    def suppressed(self) -> None:
        """Count a log line that was left out."""
        self._cells[self._suppressed] += 1

    def delivered(self, destination: str, status: int, size: int, seconds: float, age_s: float) -> None:
        """Count a delivery; seconds: the exchange's; age_s: since the instance's last byte came in."""
        cells = self._of(destination)
        label = "success" if status == 0 else STATUS_LABELS[status_class(status)]
        self._cells[cells.sent[label]] += 1
        self._cells[cells.sent_bytes[label]] += size
        self._page.observe(cells.deliver_seconds, seconds)
        self._page.observe(cells.end_to_end, age_s)

    def failed(self, destination: str, failure: Failure) -> None:
        """Count a failed attempt."""
        cells = self._of(destination)
        self._cells[cells.errors[failure.error_class]] += 1
        if failure.status is not None:
            self._cells[cells.sent["failure"]] += 1

    def queue(self, destination: str, state: str, depth: int, oldest_s: float) -> None:
        """Set how many instances a destination is owed in a state, and how old the oldest is."""
        depth_cell, age_cell = self._of(destination).states[state]
        self._cells[depth_cell] = depth
        self._cells[age_cell] = int(oldest_s * 1_000_000)

    def association(self, destination: str, outcome: str) -> None:
        """Count what became of an association with a destination."""
        self._cells[self._of(destination).opened[outcome]] += 1

    def associations(self, destination: str, open_now: int) -> None:
        """Set how many associations are open with a destination."""
        self._cells[self._of(destination).open] = open_now

    def circuit(self, destination: str, circuit: Circuit) -> None:
        """Show a destination's circuit breaker as it is."""
        cells = self._of(destination)
        for state, cell in cells.circuit.items():
            self._cells[cell] = int(state is circuit.state)
        self._cells[cells.circuit_opened] = cells.opened_before + circuit.opened

    def diverted(self, destination: str, count: int) -> None:
        """Count instances that a destination's alternate has taken over."""
        self._cells[self._of(destination).diverted] += count

    def committed(self, seconds: float, instances: int) -> None:
        """Count one sync of the spool and how many instances it made durable."""
        self._page.observe(self._sync_seconds, seconds)
        self._page.observe(self._group_size, float(instances))

    def sync_failed(self) -> None:
        """Count a sync that failed."""
        self._cells[self._sync_failures] += 1

    def recovered(self, entries: int, quarantined: int, missing: int) -> None:
        """Count what a start found in the spool, or a delivery that could not be read."""
        self._cells[self._recovered] += entries
        self._cells[self._quarantined] += quarantined
        self._cells[self._missing] += missing

    def spool_failed(self, is_failed: bool) -> None:
        """Set the alarm of the spool."""
        self._cells[self._spool_failed] = int(is_failed)

    def repeated(self, duplicates: int, conflicts: int) -> None:
        """Count stored instances whose UID came before: with the same bytes, with others."""
        self._cells[self._duplicates_forwarded] += duplicates
        self._cells[self._conflicts] += conflicts

    def skipped(self) -> None:
        """Count an instance that was answered with success and not stored: the spool has it already."""
        self._cells[self._duplicates_skipped] += 1

    def malformed(self, count: int) -> None:
        """Count records from acceptors that did not decode."""
        self._cells[self._malformed] += count

    def rings(self, used_bytes: int, capacity_bytes: int) -> None:
        """Set how full the rings to the acceptors are."""
        self._cells[self._ring_used] = used_bytes
        self._cells[self._ring_capacity] = capacity_bytes

    def held(self, count: int) -> None:
        """Set how many instances are held that no rule matched."""
        self._cells[self._held] = count

    def spool(self, *, used_bytes: int, segments: int, free_bytes: int, failed: bool) -> None:
        """Set the spool's gauges."""
        cells = self._cells
        cells[self._spool_bytes] = used_bytes
        cells[self._spool_segments] = segments
        cells[self._spool_free] = free_bytes
        cells[self._spool_failed] = int(failed)

    def spool_stage(self, stage: int) -> None:
        """Set what the spool takes: 0 everything, 1 above its watermark, 2 full, 3 failed."""
        self._cells[self._spool_stage] = stage

    def _of(self, destination: str) -> DestinationCells:
        cells = self._destinations.get(destination)
        if cells is None:
            cells = self._destinations[destination] = DestinationCells(self._page, destination)
        return cells
