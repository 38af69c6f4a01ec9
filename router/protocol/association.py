"""One association without I/O: bytes in become indications, verbs become bytes out (PS3.8, PS3.7 section
6.3).

The driver feeds `receive`, takes bytes with `next_output`, and watches `blocked`, `artim` and
`close_connection`; the procedures of router/services use the verbs. Output is pulled, so a dataset of any
size leaves at constant memory. Invariant: PDUs leave in the order of the verbs, and an A-ABORT never cuts
another PDU in two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from router.errors import AssociationAborted, LimitReached, PeerViolation
from router.protocol.incoming_message import IncomingMessage
from router.protocol.indications import Indication, MessageReceived
from router.protocol.messages import Buffer, CommandSet, OpenSink, open_memory_sink
from router.protocol.negotiation import AcceptedContext
from router.protocol.output import OUTPUT_BYTES, Output, cut_dataset
from router.protocol.states import Event, State
from router.protocol.upper_layer import Role, Transition, UpperLayer
from router.standard.dimse_fields import (
    C_CANCEL_RQ,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    NO_DATASET,
    RESPONSE_BIT,
)
from router.wire import codec
from router.wire.codec import HandlerLane, Reception, ScatterWindow, SendLane, StoreLane
from router.wire.pdus import Abort, AssociateAC, AssociateRJ, AssociateRQ, Pdu, decode_pdu

RECEIVING_STATES = frozenset({State.STA6, State.STA7})

ASSOCIATE_RQ_TYPE = 0x01  # PS3.8 section 9.3.2

PDU_EVENTS = {
    ASSOCIATE_RQ_TYPE: Event.ASSOCIATE_RQ_RECEIVED,
    0x02: Event.ASSOCIATE_AC_RECEIVED,
    0x03: Event.ASSOCIATE_RJ_RECEIVED,
    0x04: Event.DATA_RECEIVED,
    0x05: Event.RELEASE_RQ_RECEIVED,
    0x06: Event.RELEASE_RP_RECEIVED,
    0x07: Event.ABORT_RECEIVED,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may make us hold.

    pdu_max_bytes: the maximum length we announce, and enforce, for P-DATA-TF (PS3.8 Annex D.1); 0: no limit.
    operations_max: requests of the peer's in progress at once; more wait unread in the connection.
    """

    pdu_max_bytes: int = 262144
    control_pdu_max_bytes: int = 262144
    command_max_bytes: int = 65536
    operations_max: int = 1


class Association:
    """The protocol of one association, seen from one side. Not thread-safe: one driver at a time."""

    def __init__(
        self,
        role: Role,
        limits: Limits,
        open_sink: OpenSink = open_memory_sink,
        observer: Callable[[Transition], None] | None = None,
    ) -> None:
        self.role = role
        self.limits = limits
        self.rq: AssociateRQ | None = None
        self.ac: AssociateAC | None = None
        self.contexts: dict[int, AcceptedContext] = {}
        self.peer_maximum_length = 0
        self.operations_max = limits.operations_max
        self.requests_open = 0
        self.blocked = False
        self.cancelled: set[int] = set()
        self.violation: PeerViolation | None = None
        self._open_sink = open_sink
        self._upper_layer = UpperLayer(role, observer)
        self._reader = codec.PduReader(
            limits.pdu_max_bytes, limits.control_pdu_max_bytes, limits.command_max_bytes
        )
        self._scatter: ScatterWindow | None = None
        self._lane: StoreLane | HandlerLane | None = None
        self._deaf = False
        self._incoming = IncomingMessage(self._reader)
        self._held_command: tuple[int, CommandSet] | None = None
        self.output = Output()

    # What the driver reads

    @property
    def indications(self) -> deque[Indication]:
        """What happened, oldest first; the conversation takes them."""
        return self._upper_layer.indications

    @property
    def state(self) -> State:
        """Where the association stands in Table 9-10."""
        return self._upper_layer.state

    @property
    def is_established(self) -> bool:
        """Whether messages may be sent: Sta6, or Sta8 until the release is answered."""
        return self._upper_layer.may_send_data

    @property
    def artim_starts(self) -> int:
        """How often the ARTIM timer was (re)started; the driver compares."""
        return self._upper_layer.artim_starts

    @property
    def artim_running(self) -> bool:
        """Whether the ARTIM timer runs (PS3.8 section 9.1.5)."""
        return self._upper_layer.artim == "running"

    @property
    def close_connection(self) -> bool:
        """Whether the transport connection is to be closed once the output is out."""
        return self._upper_layer.close_connection

    @property
    def mid_message(self) -> bool:
        """Whether some fragments of a message have arrived and others have not."""
        return self._incoming.is_under_way or self._reader.mid_message

    @property
    def is_receiving(self) -> bool:
        """Whether the peer is in the middle of something, be it a message or a single PDU."""
        return self.mid_message or self._reader.mid_pdu

    @property
    def expects_much(self) -> bool:
        """Whether the next message is probably a long one that a lane takes."""
        return self._lane is not None and self._lane.expects_much

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing to hand on, to send or to wait for."""
        return not (self._upper_layer.indications or self.output.entries or self.blocked)

    @property
    def refused_request(self) -> bool:
        """Whether the peer began with an A-ASSOCIATE-RQ that cannot be read; other octets are no request."""
        return self.rq is None and self.violation is not None and self._reader.pdu_type == ASSOCIATE_RQ_TYPE

    @property
    def has_output(self) -> bool:
        """Whether next_output() has something."""
        return bool(self.output.entries)

    # A short cut for one kind of message

    def use_lane(self, lane: StoreLane | HandlerLane) -> None:
        """Let a compiled lane take the requests that need no decision; the others go the general way."""
        self._lane = lane
        lane.others_open = self.requests_open
        self._reader.use_lane(lane)

    def use_reply_lane(self, lane: SendLane) -> None:
        """Let a compiled lane take the responses to the requests that it has sent."""
        self._reader.use_lane(lane)

    def use_reception(self, reception: Reception, transport: object, lane: SendLane | None, fd: int) -> None:
        """Let what the lane takes pass by receive(); the rest comes to take_event(). See Reception.open."""
        output = self.output
        reception.open(transport, self._upper_layer, self._reader, lane, fd, output.entries, output.ends)

    @property
    def lane_open(self) -> int:
        """How many requests of the peer's the lane has not answered yet."""
        return 0 if self._lane is None else self._lane.open_count

    def is_in_lane(self, message_id: int) -> bool:
        """Whether the lane has a request with this Message ID that is not answered yet."""
        return self._lane is not None and self._lane.is_open(message_id)

    # Transport

    def transport_opened(self) -> None:
        """Tell that the connection stands: Evt2 for a requestor, Evt5 for an acceptor."""
        self._handle(Event.TRANSPORT_CONFIRMED if self.role is Role.REQUESTOR else Event.TRANSPORT_INDICATED)

    def transport_closed(self, text: str = "connection closed") -> None:
        """Tell that the connection is gone, for whatever reason (Evt17)."""
        self.output.drop()
        self._handle(Event.TRANSPORT_CLOSED, text=text)
        self._discard_message()

    def artim_expired(self) -> None:
        """Tell that the ARTIM timer ran out (Evt18)."""
        if self.artim_running:
            self._handle(Event.ARTIM_EXPIRED)

    def receive(self, data: Buffer, start: int, end: int) -> int:
        """Take bytes from the connection; return the index up to which they were consumed.

        Less than end means `blocked`: keep the rest, stop reading, and feed it again after resume().
        """
        reader = self._reader
        while start < end:
            if self._deaf:
                return end
            if self._held_command is not None and not self._release_held_command():
                return start
            event = reader.feed(data, start, end)
            start = reader.consumed
            if event == codec.NEED_DATA:
                break
            if not self._take_event(event):
                break
        return start

    def take_event(self, event: int, data: Buffer, start: int, end: int) -> int:
        """Act on an event that a reception's reader gave, and go on with data as receive() does."""
        if self._deaf:
            return end
        return self.receive(data, start, end) if self._take_event(event) else start

    def direct_window(self) -> memoryview | None:
        """Return where the next bytes of the connection may be received without a copy, or None."""
        return None if self._deaf or self.blocked else self._reader.direct_window()

    def advance(self, count: int) -> None:
        """Take note that count bytes were received into direct_window()."""
        event = self._reader.advance(count)
        if event != codec.NEED_DATA:
            self._take_event(event)

    def scatter_window(self) -> ScatterWindow | None:
        """Return where the next PDUs of a dataset may be received so that none needs a copy, or None."""
        if self._deaf or self.blocked or ScatterWindow is None:
            return None
        if self._scatter is None:
            self._scatter = ScatterWindow(self._reader)
        return self._scatter if self._scatter.lay_out() else None

    def advance_scatter(self, count: int) -> bytes:
        """Take note that count bytes were received into scatter_window(); return what was not consumed."""
        assert self._scatter is not None
        event, rest = self._scatter.advance(count)
        if event != codec.NEED_DATA and not self._take_event(event):
            return rest
        return rest[self.receive(rest, 0, len(rest)) :] if rest else rest

    def resume(self) -> bool:
        """Try to go on after `blocked`; True if reading may continue (with what was kept first)."""
        if not self.blocked:
            return True
        if self._held_command is not None:
            self.blocked = not self._release_held_command()
        elif self._incoming.lacks_buffer:
            self.blocked = not self._incoming.attach_next_buffer()
        else:
            self.blocked = False
        return not self.blocked

    def next_output(self, bytes_max: int = OUTPUT_BYTES) -> list[Buffer]:
        """Return the next buffers to send, whole PDUs, about bytes_max; empty when there is nothing."""
        return self.output.take(bytes_max)

    # Verbs

    def request(self, rq: AssociateRQ) -> None:
        """A-ASSOCIATE request; the RQ leaves when the transport is open (Evt1)."""
        self.rq = rq
        self._handle(Event.ASSOCIATE_REQUEST, rq)

    def accept(self, ac: AssociateAC, contexts: Iterable[AcceptedContext]) -> None:
        """A-ASSOCIATE response, accept (Evt7)."""
        self.ac = ac
        assert self.rq is not None
        self._establish(contexts, self.rq.user_information.maximum_length)
        self._handle(Event.ASSOCIATE_RESPONSE_ACCEPT, ac)

    def use_contexts(self, contexts: Iterable[AcceptedContext]) -> None:
        """Requestor: take note of what was negotiated, after AssociateAccepted."""
        assert self.ac is not None
        self._establish(contexts, self.ac.user_information.maximum_length)

    def tolerate(self, pdu_max_bytes: int) -> None:
        """Take longer P-DATA-TFs than were announced: some peers do not heed it (PS3.8 section D.1)."""
        self._reader.pdu_max_bytes = pdu_max_bytes

    def reject(self, rj: AssociateRJ) -> None:
        """A-ASSOCIATE response, reject (Evt8)."""
        self._handle(Event.ASSOCIATE_RESPONSE_REJECT, rj)

    def send_message(
        self, context_id: int, command: CommandSet, dataset: Iterable[Buffer] | None = None
    ) -> None:
        """P-DATA request: queue one message (Evt9).

        command: element tag to value, without the group length; its Command Data Set Type is the caller's.
        dataset: buffers that stay unchanged until the peer has answered; a list or tuple is cut at once, any
        other iterable as it leaves, and its buffers but the last need an even length.
        Raises AssociationAborted if no message may be sent any more.
        """
        if not self._upper_layer.may_send_data:
            raise AssociationAborted(2, 0, f"cannot send a message in {self.state}")
        self.send_encoded(context_id, codec.encode_command(command), dataset)

    def send_encoded(self, context_id: int, command: bytes, dataset: Iterable[Buffer] | None = None) -> None:
        """Queue one message whose command set is encoded already; the state was checked by the caller."""
        head = codec.command_pdus(context_id, command, self.peer_maximum_length)
        if dataset is None:
            self.output.queue((head,))
        elif isinstance(dataset, list | tuple):
            pdus = codec.dataset_pdus(context_id, dataset, self.peer_maximum_length)
            pdus.insert(0, head)
            self.output.queue(pdus)
        else:
            self.output.queue((head,))
            self.output.queue(cut_dataset(context_id, iter(dataset), self.peer_maximum_length))

    def release(self) -> None:
        """A-RELEASE request (Evt11)."""
        self._handle(Event.RELEASE_REQUEST)

    def confirm_release(self) -> None:
        """A-RELEASE response (Evt14)."""
        self._handle(Event.RELEASE_RESPONSE)

    def abort(self, source: int = 0, reason: int = 0, text: str = "") -> None:
        """A-ABORT request (Evt15); harmless when the association has ended already. text: why, for the
        log."""
        self._break_off()
        self._handle(Event.ABORT_REQUEST, Abort(source, reason), text=text)

    def violate(self, violation: PeerViolation) -> None:
        """Answer a violation of the peer's with the A-ABORT it carries (Evt19: AA-1 or AA-8)."""
        if self.violation is None:
            self.violation = violation
        self._break_off()
        self._handle(Event.INVALID_PDU_RECEIVED, violation=violation)

    def request_answered(self) -> None:
        """Take note that a request of the peer's got its last response; may end `blocked` at the next
        resume()."""
        self._count_request(-1)

    def send_whole(self, pdus: bytes) -> None:
        """Queue PDUs that are encoded already; the state was checked by the caller."""
        self.output.queue((pdus,))

    # Inside

    def _count_request(self, change: int) -> None:
        self.requests_open += change
        if self._lane is not None:
            self._lane.others_open = self.requests_open

    def _handle(
        self,
        event: Event,
        pdu: Pdu | None = None,
        *,
        violation: PeerViolation | None = None,
        text: str = "",
    ) -> None:
        upper_layer = self._upper_layer
        before = upper_layer.state
        upper_layer.handle(event, pdu, violation=violation, text=text)
        if upper_layer.outbox:
            self.output.queue(tuple(upper_layer.outbox))
            upper_layer.outbox.clear()
        after = upper_layer.state
        if before in RECEIVING_STATES and after not in RECEIVING_STATES:
            self._reader.set_contexts(())
        if after is State.STA1 and before is not State.STA1:
            self._deaf = True
            self._discard_message()

    def _break_off(self) -> None:
        """Hear nothing more and drop what is unsent, but not an A-ABORT or A-ASSOCIATE-RJ on its way."""
        self._deaf = True
        self._discard_message()
        if self.state is not State.STA13:
            self.output.drop()

    def _establish(self, contexts: Iterable[AcceptedContext], peer_maximum_length: int | None) -> None:
        self.contexts = {context.context_id: context for context in contexts}
        self.peer_maximum_length = peer_maximum_length or 0
        self._reader.set_contexts(tuple(self.contexts))

    def _take_event(self, event: int) -> bool:
        """Act on what the reader found; False: stop feeding."""
        try:
            if event == codec.COMMAND:
                return self._begin_message()
            if event == codec.SINK_FULL:
                return self._next_buffer()
            if event == codec.DATASET_END:
                self.indications.append(self._incoming.end())
            elif event == codec.PDU:
                self._take_pdu()
            elif event == codec.LANE_LEFT:
                self._take_from_lane()
                return self._next_buffer()
            elif event == codec.LANE_LEFT_WHOLE:
                self._take_from_lane()
                self.indications.append(self._incoming.end())
            elif event == codec.UNRECOGNISED:
                raise PeerViolation(f"PDU type {self._reader.pdu_type:02X}H is unrecognised", reason=1)
            else:
                reader = self._reader
                raise PeerViolation(
                    reader.violation_text, reason=reader.violation_reason, offset=reader.violation_offset
                )
        except PeerViolation as violation:
            self.violate(violation)
        except LimitReached as limit:
            self.violate(PeerViolation(str(limit), reason=0))
        return True

    def _take_pdu(self) -> None:
        reader = self._reader
        event = PDU_EVENTS[reader.pdu_type]
        if event is Event.DATA_RECEIVED:
            self._deaf = True
            self._handle(event)
            return
        pdu = decode_pdu(reader.pdu)
        if event is Event.RELEASE_RQ_RECEIVED and self.mid_message:
            raise PeerViolation("A-RELEASE-RQ in the middle of a message", reason=2)
        if isinstance(pdu, AssociateRQ) and self.state is State.STA2:
            self.rq = pdu
        elif isinstance(pdu, AssociateAC) and self.state is State.STA5:
            self.ac = pdu
        self._handle(event, pdu)

    def _take_from_lane(self) -> None:
        """Go on the general way with a message that the lane has begun."""
        assert self._lane is not None
        octets, sink = self._lane.leave()
        self._incoming.go_on(self._reader.context_id, codec.decode_command(octets), sink)
        self._count_request(1)

    def _begin_message(self) -> bool:
        reader = self._reader
        try:
            command = codec.decode_command(reader.command)
        except ValueError as error:
            reason, offset = error.args
            raise PeerViolation(f"command set: {reason}", reason=6, offset=offset) from error
        field = command.get(COMMAND_FIELD)
        dataset_type = command.get(COMMAND_DATA_SET_TYPE)
        if not isinstance(field, int) or not isinstance(dataset_type, int):
            raise PeerViolation("command set without Command Field or Command Data Set Type", reason=6)
        reader.expect_dataset(dataset_type != NO_DATASET)
        self._held_command = (reader.context_id, command)
        if self._release_held_command():
            return True
        self.blocked = True
        return False

    def _release_held_command(self) -> bool:
        """Let the command in that was read last; False while the peer has too many operations in progress."""
        assert self._held_command is not None
        context_id, command = self._held_command
        field = command[COMMAND_FIELD]
        is_request = not field & RESPONSE_BIT and field != C_CANCEL_RQ
        if is_request and self.requests_open + self.lane_open >= self.operations_max:
            return False
        self._held_command = None
        if is_request:
            self._count_request(1)
        if command[COMMAND_DATA_SET_TYPE] == NO_DATASET:
            self.indications.append(MessageReceived(context_id, command, None))
        else:
            sink = self._open_sink(self, self.contexts[context_id], command)
            self._incoming.begin(context_id, command, sink)
        return True

    def _next_buffer(self) -> bool:
        if self._incoming.next_buffer():
            return True
        self.blocked = True
        return False

    def _discard_message(self) -> None:
        self._held_command = None
        self.blocked = False
        self._reader.drop_lane_message()
        self._incoming.discard()
