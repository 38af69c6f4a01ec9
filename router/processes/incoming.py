"""One incoming association of an acceptor: from the connection to its one log line.

C-ECHO is always answered; C-STORE lends the received dataset to a worker, and the worker's receipt is the
response.
"""

from __future__ import annotations

import logging
from functools import partial
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any

from router import crash_points
from router.drivers.connection import Connection
from router.drivers.patience import Deadlines
from router.handoff.sink import ReceivedDataset
from router.handoff.ticket import Receipt, Ticket, pack_constant_parts
from router.processes.admission import Admitted
from router.protocol.association import Association, Limits
from router.protocol.indications import MessageReceived
from router.protocol.messages import CommandSet, DatasetSink, NullSink
from router.protocol.negotiation import AcceptedContext
from router.protocol.states import State
from router.protocol.upper_layer import Role
from router.services import c_echo, c_store, establish, release
from router.services.conversation import Services
from router.services.reply import RESPONDERS_OF_REFUSAL, Reply, send_reply
from router.services.steps import Deferred, Procedure
from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    C_ECHO_RQ,
    C_STORE_RQ,
    COMMAND_FIELD,
)
from router.standard.printable import printable
from router.standard.reasons import describe_rejection
from router.standard.statuses import OUT_OF_RESOURCES, SOP_CLASS_NOT_SUPPORTED, SUCCESS
from router.standard.uids import UID_MAX, VERIFICATION
from router.wire import codec
from router.wire.codec import StoreLane
from router.wire.pdus import AssociateRJ, AssociateRQ

if TYPE_CHECKING:
    from router.processes.acceptor import Acceptor

SUCCEEDED = Reply(SUCCESS)

LANE_PDU_MIN_BYTES = 1024
"""A peer that takes shorter PDUs gets its responses cut; the lane sends them whole."""

logger = logging.getLogger(__name__)


class Incoming:
    """One association that a peer opened. Lives as long as its connection."""

    def __init__(self, acceptor: Acceptor, association_id: int) -> None:
        config = acceptor.config.router
        self.association_id = association_id
        self.admitted: Admitted | None = None
        self.rejection: AssociateRJ | None = None
        self._lane: StoreLane | None = None
        self._instances = 0
        self.is_releasing = False
        self.address = ""
        self.handshake_error: OSError | None = None
        self._acceptor = acceptor
        self.association = Association(
            Role.ACCEPTOR, Limits(pdu_max_bytes=config.pdu_max_kb * 1024), self._open_sink
        )
        services: Services = {
            **RESPONDERS_OF_REFUSAL,
            C_ECHO_RQ: partial(c_echo.respond, on_echo=self._on_echo),
            C_STORE_RQ: partial(c_store.respond, on_store=self._on_store),
        }
        deadlines = Deadlines(config.artim_s, config.idle_s, config.dimse_s, config.dimse_s)
        self.connection = Connection(acceptor.driver, self.association, services, deadlines, self._on_closed)
        self.connection.start(self._serve())

    def release(self) -> None:
        """Ask the peer for the release as soon as nothing is in progress: the process is draining."""
        if self.is_releasing or not self.association.is_established or self.connection.conversation.is_busy:
            return
        if not self.association.mid_message and self.association.state is State.STA6:
            self.is_releasing = True
            self.connection.start(release.request(self.association, self._acceptor.config.router.artim_s))

    def _serve(self) -> Procedure[None]:
        accepted = yield from establish.respond(self.association, self._decide)
        if accepted:
            self._open_lane()
            yield from release.respond(self.association)

    def _open_lane(self) -> None:
        """Let C-STORE-RQs take the short cut, as far as they need no decision."""
        inlet, association = self._acceptor.inlet, self.association
        if inlet is None or 0 < association.peer_maximum_length < LANE_PDU_MIN_BYTES:
            return
        self._lane = StoreLane(
            inlet,
            self.association_id,
            association.operations_max,
            partial(self._acceptor.arrivals.adopt, resume=self.connection.advance),
            self.connection.send_for_lane,
            self._answer_from_lane,
        )
        for context in association.contexts.values():
            abstract_syntax = context.abstract_syntax.encode("latin-1")
            if context.as_scp and context.abstract_syntax != VERIFICATION and len(abstract_syntax) <= UID_MAX:
                model = self._ticket(0, (), "", 0, context.abstract_syntax, "", context.transfer_syntax)
                self._lane.set_context(context.context_id, abstract_syntax, *pack_constant_parts(model))
        self.connection.use_store_lane(self._lane)

    def _answer_from_lane(
        self, context_id: int, command: bytes, receipt: Receipt, dataset_bytes: int, seconds: float
    ) -> None:
        """Answer a request of the lane's whose receipt is no plain success."""
        self._acceptor.counters.stored(receipt.status, dataset_bytes, seconds)
        if self.association.is_established:
            request = MessageReceived(context_id, codec.decode_command(command), None)
            send_reply(self.association, request, Reply(receipt.status, receipt.comment))
            self.connection.advance()

    def _decide(self, rq: AssociateRQ) -> establish.Acceptance | AssociateRJ:
        answer = self._acceptor.decide(self, rq)
        if isinstance(answer, AssociateRJ):
            self.rejection = answer
            return answer
        self.admitted = answer
        sources = self._acceptor.config.sources
        if answer.source in sources and sources[answer.source].pdu_tolerance_kb:
            announced = answer.answer.ac.user_information.maximum_length or 0
            self.association.tolerate(announced + sources[answer.source].pdu_tolerance_kb * 1024)
        return answer.answer

    def _open_sink(
        self, association: Association, context: AcceptedContext, command: CommandSet
    ) -> DatasetSink:
        if command[COMMAND_FIELD] == C_STORE_RQ:
            return self._acceptor.arrivals.open(self.connection.advance)
        return NullSink()

    def _on_echo(self, message: MessageReceived) -> Reply:
        self._acceptor.counters.echoes()
        return SUCCEEDED

    @crash_points.before("fragment.last")
    def _on_store(self, message: MessageReceived) -> Any:
        dataset = message.dataset
        assert isinstance(dataset, ReceivedDataset)
        assert self.admitted is not None
        acceptor = self._acceptor
        if message.command[AFFECTED_SOP_CLASS_UID] == VERIFICATION:
            dataset.release()
            return Reply(SOP_CLASS_NOT_SUPPORTED, "nothing of this class can be stored")
        ticket = self._ticket(
            acceptor.dispatcher.next_ticket_id(),
            dataset.slots,
            dataset.file,
            dataset.dataset_bytes,
            message.command[AFFECTED_SOP_CLASS_UID],
            message.command[AFFECTED_SOP_INSTANCE_UID],
            self.association.contexts[message.context_id].transfer_syntax,
            dataset.crc,
        )
        self._instances += 1
        acceptor.counters.received(dataset.seconds)
        answer = Deferred()
        started = monotonic()

        def on_receipt(receipt: Receipt) -> None:
            acceptor.counters.stored(receipt.status, dataset.dataset_bytes, monotonic() - started)
            if receipt.status == SUCCESS and not receipt.comment:
                answer.settle(SUCCEEDED)
            else:
                answer.settle(Reply(receipt.status, receipt.comment))

        if not acceptor.dispatcher.submit(ticket, on_receipt):
            dataset.release()
            acceptor.counters.stored(OUT_OF_RESOURCES, dataset.dataset_bytes, 0.0)
            return Reply(OUT_OF_RESOURCES, "no worker can store now")
        return answer

    def _ticket(
        self,
        ticket_id: int,
        slots: tuple[int, ...],
        file: str,
        dataset_bytes: int,
        sop_class: str,
        sop_instance: str,
        transfer_syntax: str,
        file_crc: int = 0,
    ) -> Ticket:
        """Return the ticket of a dataset of this association, received now."""
        rq, admitted = self.association.rq, self.admitted
        assert rq is not None
        assert admitted is not None
        return Ticket(
            ticket_id,
            slots,
            file,
            dataset_bytes,
            sop_class,
            sop_instance,
            transfer_syntax,
            rq.calling_ae_title,
            rq.called_ae_title,
            self.connection.peer_address[0],
            admitted.source,
            admitted.ack,
            time_ns(),
            self.association_id,
            file_crc,
        )

    def _on_closed(self, connection: Connection) -> None:
        if self._lane is not None:
            self._lane.close()
        self._acceptor.closed(self)

    @property
    def outcome(self) -> str:
        """How an accepted association ended: released, aborted (by either side) or lost."""
        return self.connection.outcome

    @property
    def instances(self) -> int:
        """How many instances the peer has sent whole."""
        return self._instances + (self._lane.instances if self._lane is not None else 0)

    def log_line(self) -> str:
        """Return what there is to say about the whole association; peer's text made printable."""
        association, connection = self.association, self.connection
        rq = association.rq
        ended = connection.conversation.ended
        parts = [f"association={self.association_id}", f"peer={connection.peer_address[0]}"]
        if rq is not None:
            parts.append(
                f'calling="{printable(rq.calling_ae_title)}" called="{printable(rq.called_ae_title)}"'
            )
        if self.admitted is not None and self.admitted.source:
            parts.append(f"source={self.admitted.source}")
        if (tls := connection.tls) is not None:
            parts.append(f"tls={tls.version()}")
        parts.append(f"instances={self.instances} bytes={connection.traffic.received}")
        parts.append(f"seconds={monotonic() - connection.opened_at:.3f}")
        if self.rejection is not None:
            rj = self.rejection
            parts.append(f'end=rejected why="{describe_rejection(rj.result, rj.source, rj.reason)}"')
        elif association.violation is not None:
            parts.append(f'end=violation why="{association.violation}"')
        else:
            parts.append(f'end="{ended}"')
        return " ".join(parts)
