"""What becomes of one ticket: read its attributes, decide, store or deliver, answer.

Two promises (see ARCHITECTURE.md). `stored`: success is answered when dataset and decision are durable, and
delivery follows. `delivered`: success is answered when every chosen destination has answered success; what a
destination refuses or delays falls back to `stored`, or to failure where so configured.
Invariant: every ticket gets exactly one answer, and no success before what it promises is true.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from router import crash_points
from router.errors import SpoolError
from router.handoff.intake import Intake
from router.handoff.ticket import Ticket
from router.processes.delivering_first import DeliveringFirst
from router.processes.handled import Handled, forget_file
from router.processes.instances import InstanceBytes, read_head
from router.processes.logs import PeerLogLimit
from router.processes.storing import Storing
from router.processes.structure_gate import refusal_of
from router.routing.attributes import read_attributes
from router.routing.facts import Decision, Facts
from router.spool.states import Selector
from router.standard.statuses import (
    CANNOT_UNDERSTAND,
    DATASET_MISMATCH,
    NOT_AUTHORISED,
    OUT_OF_RESOURCES,
    SUCCESS,
)

if TYPE_CHECKING:
    from router.processes.worker import Worker

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E

HEAD_BYTES = 4 << 20
"""How much of a spilled dataset is read for its attributes."""

logger = logging.getLogger(__name__)


Known = tuple[Decision, str, str]
"""The decision on a ticket, its Study Instance UID and its Series Instance UID."""


class Handling:
    """Takes tickets one after the other. storing, delivering: where those wait that have no answer yet."""

    def __init__(self, worker: Worker) -> None:
        self.storing = Storing(worker)
        self.delivering = DeliveringFirst(worker)
        self._worker = worker
        self._log_limit = PeerLogLimit()

    @property
    def in_progress(self) -> int:
        """Tickets that have no answer yet."""
        return self.storing.in_progress + self.delivering.in_progress + self._worker.forwarding.in_progress

    @crash_points.before("ticket.taken")
    def take(self, intake: Intake, ticket: Ticket, known: Known | None = None) -> None:
        """Handle one ticket; it is answered now or later, whatever happens. known: what the lane found."""
        try:
            if known is not None:
                instance = InstanceBytes.of_ticket(self._worker.spool.payloads, intake, ticket)
                self._act(Handled(intake, ticket, instance, *known, monotonic()))
            else:
                self._take(intake, ticket)
        except Exception:
            # Whatever it is (memory that ran out): this ticket is refused, those behind it are taken.
            logger.exception("association=%d refused=A700", ticket.association_id)
            if not self._waits(ticket):
                with suppress(ValueError):  # it was answered before the trouble began
                    intake.answer(ticket, OUT_OF_RESOURCES, "out of resources", release=True)

    def _waits(self, ticket: Ticket) -> bool:
        """Whether a ticket is on its way to an answer."""
        return self.storing.holds(ticket) or self.delivering.holds(ticket)

    def _take(self, intake: Intake, ticket: Ticket) -> None:
        worker = self._worker
        if ticket.file and not os.path.exists(ticket.file):
            self._answer_adopted(intake, ticket)
            return
        instance = InstanceBytes.of_ticket(worker.spool.payloads, intake, ticket)
        try:
            fault, why = refusal_of(worker.config.limits.structure_scan, ticket, instance)
            if fault:
                worker.counters.structure_refused(fault)
                self._refuse_structure(intake, ticket, why)
                return
            attributes = self._attributes(instance, ticket)
        except ValueError as error:
            self._refuse_structure(intake, ticket, ", offset ".join(map(str, error.args)))
            return
        except SpoolError as error:
            logger.error('association=%d refused=A700 why="%s"', ticket.association_id, error)
            self._refuse(intake, ticket, OUT_OF_RESOURCES, "out of resources")
            return
        uid = attributes.get(SOP_INSTANCE_UID)
        if uid is not None and uid[0] != ticket.sop_instance:
            self._refuse(intake, ticket, DATASET_MISMATCH, "SOP Instance UID differs from the command's")
            return
        facts = Facts(
            ticket.calling_ae_title,
            ticket.called_ae_title,
            ticket.peer_address,
            ticket.sop_class,
            ticket.transfer_syntax,
            attributes,
        )
        decision = worker.rules.decide(facts)
        worker.forwarding.learn(ticket, decision)
        handled = Handled(
            intake,
            ticket,
            instance,
            decision,
            attributes.get(STUDY_INSTANCE_UID, ("",))[0],
            attributes.get(SERIES_INSTANCE_UID, ("",))[0],
            monotonic(),
        )
        self._act(handled)

    def adopt_forward(self, intake: Intake, ticket: Ticket, decision: Decision, began: float) -> Handled:
        """Take over a ticket that the forward lane has begun; awaited_item() adds its destinations."""
        instance = InstanceBytes.of_ticket(self._worker.spool.payloads, intake, ticket)
        attributes = self._attributes(instance, ticket)
        study, series = (attributes.get(tag, ("",))[0] for tag in (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID))
        handled = Handled(intake, ticket, instance, decision, study, series, began)
        self.delivering.await_destinations(handled)
        return handled

    def expire(self, now: float) -> None:
        """Fall back for tickets whose destinations take too long."""
        self._worker.forwarding.expire(now)
        self.delivering.expire(now)

    def _attributes(self, instance: InstanceBytes, ticket: Ticket) -> dict[int, tuple[str, ...]]:
        buffers = [read_head(ticket.file, HEAD_BYTES)] if ticket.file else instance.views()
        return read_attributes(buffers, ticket.transfer_syntax, self._worker.rules.wanted)

    def _act(self, handled: Handled) -> None:
        action = handled.decision.action
        intake, ticket = handled.intake, handled.ticket
        if action == "discard":
            self._worker.counters.unmatched("discard")
            intake.answer(ticket, SUCCESS, release=True)
            forget_file(ticket)
        elif action == "reject":
            self._worker.counters.unmatched("reject")
            self._refuse(intake, ticket, NOT_AUTHORISED, "no rule matches")
        elif action == "hold":
            self._worker.counters.unmatched("hold")
            self.storing.store_unless_there(handled)
        elif ticket.ack == "delivered":
            self.delivering.deliver(handled)
        else:
            self.storing.store_unless_there(handled)

    def _answer_adopted(self, intake: Intake, ticket: Ticket) -> None:
        """Answer a spilled instance whose file is gone: a predecessor that died may have made it durable."""
        found = self._worker.spool.ledger.find(Selector(sop_instance=ticket.sop_instance))
        if any(owed.entry.record.received_ns == ticket.received_ns for owed in found):
            intake.answer(ticket, SUCCESS, release=True)
        else:
            intake.answer(ticket, OUT_OF_RESOURCES, "spilled dataset lost", release=True)

    def _refuse_structure(self, intake: Intake, ticket: Ticket, why: str) -> None:
        """Refuse a dataset that cannot be parsed, or not safely; say so as often as its peer may have us."""
        suppressed = self._log_limit.admit(ticket.peer_address, monotonic())
        if suppressed is None:
            self._worker.counters.suppressed()
        else:
            tail = f" suppressed={suppressed}" if suppressed else ""
            logger.warning('association=%d refused=C000 why="%s"%s', ticket.association_id, why, tail)
        self._refuse(intake, ticket, CANNOT_UNDERSTAND, "dataset cannot be parsed")

    def _refuse(self, intake: Intake, ticket: Ticket, status: int, comment: str) -> None:
        intake.answer(ticket, status, comment, release=True)
        forget_file(ticket)
