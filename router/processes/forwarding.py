"""The worker's use of the forward lane: what it may take, and what becomes of a forward that went wrong.

The lane (_codec/forward_lane.pyx) sends a ticket on without coming here, if the decision on its like is known
and nothing waits at its destinations. It is told each new decision (learn); what it cannot finish becomes an
ordinary Handled with ordinary items, some of them under way, and goes on in handling.py as if it had been one
from the start.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from router import crash_points
from router.delivery.sender import Item, lane_callbacks
from router.handoff.intake import Intake
from router.handoff.ticket import Ticket, decode_record
from router.processes.stored_entries import StoredEntries
from router.routing.facts import Decision
from router.routing.wanted import SERIES_INSTANCE_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID
from router.spool.record import InstanceRecord, encode_decision
from router.standard.transfer_syntaxes import encoding_of
from router.wire.codec import CallbackUser, Forward, Forwarder, SendOperation

if TYPE_CHECKING:
    from router.processes.worker import Worker

IDENTIFYING = (SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID)
"""Read of every instance; they are part of what decides only if a rule looks at them."""

POINTS_OF_THE_GENERAL_WAY = ("ticket.taken", "send.middle")
"""Crash points that the lane does not pass: where one is ordered, every ticket takes the general way."""


class Forwarding:
    """One worker's lane, or its absence: then every method does nothing."""

    def __init__(self, worker: Worker, *, is_shut: bool = False) -> None:
        self._worker = worker
        self.forwarder: Forwarder | None = None
        self.entries: StoredEntries | None = None
        if is_shut or Forwarder is None or any(map(crash_points.armed, POINTS_OF_THE_GENERAL_WAY)):
            return
        self.entries = StoredEntries(worker)
        self.forwarder = Forwarder(_encoding_for_lane, self._trouble, self.entries.lane)
        worker.counters.count_lanes(self.forwarder, self.entries.lane)
        self.apply()

    @property
    def in_progress(self) -> int:
        """Tickets in the lane that have no answer yet."""
        return len(self.forwarder.forwards) if self.forwarder is not None else 0

    def apply(self) -> None:
        """Take over the worker's configuration and rules; all decisions are forgotten."""
        worker, forwarder = self._worker, self.forwarder
        if forwarder is None:
            return
        wanted, decisive = worker.rules.wanted.tags, worker.rules.tags
        forwarder.use_rules(wanted, [tag for tag in IDENTIFYING if tag not in decisive])
        forwarder.scan_policy = worker.config.limits.structure_scan
        forwarder.is_open = True
        for destination in worker.owing.destinations.values():
            if destination.outlet is not None:
                destination.outlet.entries = self.entries.lane if self.entries is not None else None
                worker.counters.count_outlet(destination.outlet)

    def learn(self, ticket: Ticket, decision: Decision) -> None:
        """Let the lane take tickets like this one from now on, as far as it can."""
        worker = self._worker
        if self.forwarder is None:
            return
        found = [worker.owing.destinations.get(name) for name in decision.destinations]
        outlets = [destination.outlet for destination in found if destination is not None]
        if decision.action != "forward" or None in found:
            self.forwarder.learn(decision, None)
        elif ticket.ack == "delivered":
            self.forwarder.learn(decision, outlets)
        elif worker.duplicates is None:
            model = _model_of(ticket, decision)
            self.forwarder.learn(decision, outlets, model, encode_decision(model))
        else:
            self.forwarder.learn(decision, None)

    def settle(self) -> None:
        """Mark what was delivered and is not marked yet."""
        if self.entries is not None:
            self.entries.settle()

    def expire(self, now: float) -> None:
        """Let those go the general way whose destinations take too long: it falls back."""
        if self.forwarder is None:
            return
        for forward in self.forwarder.late(now - self._worker.config.router.ack_wait_s):
            self.forwarder.give_up(forward)
            self._adopt(forward, None)

    def _trouble(
        self,
        forward: Forward,
        name: str,
        operation: SendOperation | None,
        status: int,
        error: BaseException | None,
    ) -> None:
        """Take over a forward of which one operation failed, or could not begin (operation None)."""
        item = self._adopt(forward, operation)
        if operation is None or item is None:
            return
        destination = forward.owner_of(name)
        answered, failed = lane_callbacks(operation.lane.owner, item, destination.sent)
        seconds = monotonic() - operation.began
        if error is None:
            answered(status, seconds)
        else:
            failed(error, seconds)

    def _adopt(self, forward: Forward, ended: SendOperation | None) -> Item | None:
        """Make an ordinary ticket of a forward; return the item of the operation that has ended, if any."""
        worker = self._worker
        ticket = decode_record(forward.record)
        assert isinstance(ticket, Ticket)
        intake: Intake = forward.intake
        handled = worker.handling.adopt_forward(intake, ticket, forward.decision, forward.began)
        handled.delivered = dict(forward.delivered)
        of_ended = None
        for name, operation in forward.under_way.items():
            destination = forward.owner_of(name)
            item = worker.handling.delivering.awaited_item(handled, name)
            handled.instance.buffers()  # they are being read, until the lane has told the outcome
            destination.take_over(item)
            if operation is ended:
                of_ended = item
            else:
                callbacks = lane_callbacks(operation.lane.owner, item, destination.sent)
                assert self.forwarder is not None
                self.forwarder.hand_over(operation, CallbackUser(*callbacks))
        worker.handling.delivering.go_on(handled)
        return of_ended


def _model_of(ticket: Ticket, decision: Decision) -> InstanceRecord:
    """Return the facts of all tickets like this one, as far as they are the same."""
    return InstanceRecord(
        ticket.sop_class,
        "",
        ticket.transfer_syntax,
        "",
        "",
        ticket.calling_ae_title,
        ticket.called_ae_title,
        ticket.peer_address,
        ticket.source,
        0,
        decision.destinations,
        "forward",
        decision.rules,
    )


def _encoding_for_lane(transfer_syntax: str) -> tuple[bool, bool] | None:
    encoding = encoding_of(transfer_syntax)
    return None if encoding.deflated else (encoding.implicit_vr, encoding.big_endian)
