"""The upper layer's state machine: walks Table 9-10 and performs its actions without any I/O (PS3.8 9.2).

Its effects are plain outputs that a driver empties and obeys: `outbox`, `indications`, `open_connection`,
`close_connection`, `artim` and `artim_starts`. One object serves one association on one transport connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeVar

from router.errors import LocalMisuse, PeerViolation
from router.protocol.indications import (
    Aborted,
    AssociateAccepted,
    AssociateRejected,
    AssociateRequested,
    ConnectionClosed,
    Indication,
    ReleaseConfirmed,
    ReleaseRequested,
    TransportOpened,
)
from router.protocol.negotiation import PROTOCOL_VERSION_1
from router.protocol.states import PDU_EVENTS, TRANSITIONS, Action, Event, State
from router.standard.reasons import (
    ABORT_REASON_NOT_SPECIFIED,
    ABORT_REASON_UNEXPECTED_PDU,
    ABORT_REASON_UNRECOGNISED_PDU,
    ABORT_SOURCE_SERVICE_PROVIDER,
    ABORT_SOURCE_SERVICE_USER,
    REJECT_PROTOCOL_VERSION_NOT_SUPPORTED,
    REJECT_SOURCE_SERVICE_PROVIDER_ACSE,
    REJECTED_PERMANENT,
    describe_abort,
    describe_rejection,
)
from router.wire.pdus import (
    Abort,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    PDataTF,
    Pdu,
    ReleaseRP,
    ReleaseRQ,
    encode_pdu,
)

ABORTS_WHILE_CLOSING_MAX = 3
"""A-ABORT PDUs that AA-7 sends in Sta13; what comes after is ignored, so that nobody has us send for ever."""

PduT = TypeVar("PduT")


class Role(Enum):
    """Who asked for the association."""

    REQUESTOR = "requestor"
    ACCEPTOR = "acceptor"


@dataclass(frozen=True, slots=True)
class Transition:
    """One step of the machine, for who watches it."""

    event: Event
    state: State
    action: Action
    next_state: State


@dataclass(frozen=True, slots=True)
class _Cause:
    """An event with what it brought."""

    event: Event
    pdu: Pdu | None
    violation: PeerViolation | None
    text: str


class UpperLayer:
    """One association's state machine.

    outbox: encoded PDUs to send, in order; the driver takes them out.
    indications: what happened, oldest first; the user takes them out. ConnectionClosed is the last.
    open_connection: AE-1 wishes a transport connection; its opening or failure is reported by Evt2 or Evt17.
    close_connection: True from the return to Sta1 on, also after Evt17: what the driver still holds of the
    connection it shall close, once outbox is sent. No Evt17 is needed for that.
    artim: whether the ARTIM timer runs; artim_starts grows at each start and restart (PS3.8 section 9.1.5).
    may_send_data, may_receive_data: Sta6 or Sta8 (DT-1, AR-7); Sta6 or Sta7 (DT-2, AR-6). While they are True
    P-DATA need not pass through handle(): the two actions change no state.
    """

    __slots__ = (
        "_aborts_while_closing",
        "_encoded_rq",
        "_end_text",
        "_observer",
        "artim",
        "artim_starts",
        "close_connection",
        "indications",
        "may_receive_data",
        "may_send_data",
        "open_connection",
        "outbox",
        "role",
        "state",
    )

    def __init__(self, role: Role, observer: Callable[[Transition], None] | None = None) -> None:
        self.role = role
        self.state = State.STA1
        self.outbox: list[bytes] = []
        self.indications: deque[Indication] = deque()
        self.open_connection = False
        self.close_connection = False
        self.artim: Literal["stopped", "running"] = "stopped"
        self.artim_starts = 0
        self.may_send_data = False
        self.may_receive_data = False
        self._observer = observer
        self._encoded_rq = b""
        self._end_text = ""
        self._aborts_while_closing = 0

    @property
    def data_transfer_allowed(self) -> bool:
        """True in Sta6: both directions are open and no release is under way."""
        return self.state is State.STA6

    @property
    def ended(self) -> bool:
        """True once ConnectionClosed was reported; the object is then spent."""
        return self.state is State.STA1 and bool(self._end_text)

    def receive(self, pdu: Pdu) -> Action | None:
        """Handle a decoded PDU from the peer; handle() with the event that belongs to its type."""
        return self.handle(_RECEIVED[type(pdu)], pdu)

    def handle(
        self,
        event: Event,
        pdu: Pdu | None = None,
        *,
        violation: PeerViolation | None = None,
        text: str = "",
    ) -> Action | None:
        """Perform the action of Table 9-10 and change state; return it, or None if the event means nothing.

        pdu: the received PDU; for a local verb the PDU to send: Evt1 AssociateRQ, Evt7 AssociateAC, Evt8
        AssociateRJ, Evt9 PDataTF, Evt15 Abort (default: source 0, reason 0).
        violation: with Evt19, what is wrong with the PDU; its reason goes into the A-ABORT of AA-8.
        text: with Evt17 and Evt18, what the driver knows; with Evt15, why.
        Raises LocalMisuse for a verb that this state does not allow, or one without its PDU; and what
        encode_pdu raises for a PDU of ours that cannot be encoded. Nothing has changed then.
        """
        action = self._action_of(event)
        if action is None:
            return None
        state = self.state
        next_state = _EFFECTS[action](self, _Cause(event, pdu, violation, text))
        self._enter(next_state)
        if self._observer is not None:
            self._observer(Transition(event, state, action, next_state))
        return action

    def _action_of(self, event: Event) -> Action | None:
        if event in (Event.ASSOCIATE_REQUEST, Event.TRANSPORT_INDICATED):
            self._require_beginning(event)
        action = TRANSITIONS.get((event, self.state))
        return action if action is not None else self._action_outside_table(event)

    def _require_beginning(self, event: Event) -> None:
        beginner = Role.REQUESTOR if event is Event.ASSOCIATE_REQUEST else Role.ACCEPTOR
        if self.role is not beginner:
            raise LocalMisuse(f"{event} {event.text}: this side is the {self.role.value} (PS3.8 section 9.2)")
        if self.ended:
            raise LocalMisuse(f"{event} {event.text}: this association has ended; begin with a new object")

    def _action_outside_table(self, event: Event) -> Action | None:
        """Decide what Table 9-10 leaves empty, without ever failing on the peer's account.

        A late close, timer or PDU of an ended association means nothing; so does an abort of one that is
        already gone, since that race is nobody's mistake. A request to abort in Sta2 has no association to
        abort and closes the connection as AA-2 does. Any other PDU is unexpected: AA-8. The rest is misuse.
        """
        if event is Event.TRANSPORT_CLOSED or event is Event.ARTIM_EXPIRED:
            return None
        if event is Event.ABORT_REQUEST:
            return Action.AA_2 if self.state is State.STA2 else None
        if event in PDU_EVENTS and self.state is not State.STA4:
            return None if self.state is State.STA1 else Action.AA_8
        raise LocalMisuse(f"{event} {event.text} is not allowed in {self.state} (PS3.8 Table 9-10)")

    def _enter(self, state: State) -> None:
        self.state = state
        self.may_send_data = state is State.STA6 or state is State.STA8
        self.may_receive_data = state is State.STA6 or state is State.STA7

    def _start_artim(self) -> None:
        self.artim = "running"
        self.artim_starts += 1

    def _end(self, text: str) -> State:
        """Report the end of everything; the reason known first is the one that is told."""
        self.artim = "stopped"
        self.open_connection = False
        self.close_connection = True
        self._end_text = self._end_text or text
        self.indications.append(ConnectionClosed(self._end_text))
        return State.STA1

    def _ask_for_transport(self, cause: _Cause) -> State:
        self._encoded_rq = encode_pdu(_expect(AssociateRQ, cause))
        self.open_connection = True
        return State.STA4

    def _send_associate_rq(self, cause: _Cause) -> State:
        self.open_connection = False
        self.outbox.append(self._encoded_rq)
        self._encoded_rq = b""
        self.indications.append(TransportOpened())
        return State.STA5

    def _confirm_acceptance(self, cause: _Cause) -> State:
        self.indications.append(AssociateAccepted(_expect(AssociateAC, cause)))
        return State.STA6

    def _confirm_rejection(self, cause: _Cause) -> State:
        rj = _expect(AssociateRJ, cause)
        self.indications.append(AssociateRejected(rj.result, rj.source, rj.reason))
        return self._end(describe_rejection(rj.result, rj.source, rj.reason))

    def _accept_transport(self, cause: _Cause) -> State:
        self._start_artim()
        self.indications.append(TransportOpened())
        return State.STA2

    def _indicate_request(self, cause: _Cause) -> State:
        rq = _expect(AssociateRQ, cause)
        self.artim = "stopped"
        if rq.protocol_version & PROTOCOL_VERSION_1:
            self.indications.append(AssociateRequested(rq))
            return State.STA3
        return self._reject(
            AssociateRJ(
                REJECTED_PERMANENT, REJECT_SOURCE_SERVICE_PROVIDER_ACSE, REJECT_PROTOCOL_VERSION_NOT_SUPPORTED
            )
        )

    def _send_associate_ac(self, cause: _Cause) -> State:
        self.outbox.append(encode_pdu(_expect(AssociateAC, cause)))
        return State.STA6

    def _send_associate_rj(self, cause: _Cause) -> State:
        return self._reject(_expect(AssociateRJ, cause))

    def _reject(self, rj: AssociateRJ) -> State:
        self.outbox.append(encode_pdu(rj))
        self._end_text = describe_rejection(rj.result, rj.source, rj.reason)
        self._start_artim()
        return State.STA13

    def _send_data(self, cause: _Cause) -> State:
        self.outbox.append(encode_pdu(_expect(PDataTF, cause)))
        return self.state

    def _pass_data(self, cause: _Cause) -> State:
        # DT-2 and AR-6: joining fragments to messages, and so their indication, is messages.py's.
        return self.state

    def _request_release(self, cause: _Cause) -> State:
        self.outbox.append(encode_pdu(ReleaseRQ()))
        return State.STA7

    def _indicate_release(self, cause: _Cause) -> State:
        self.indications.append(ReleaseRequested())
        return State.STA8

    def _finish_release(self, cause: _Cause) -> State:
        self.indications.append(ReleaseConfirmed())
        return self._end("released")

    def _answer_release(self, cause: _Cause) -> State:
        self.outbox.append(encode_pdu(ReleaseRP()))
        self._end_text = "released"
        self._start_artim()
        return State.STA13

    def _note_close(self, cause: _Cause) -> State:
        # AA-5 and AR-5: nothing is left that could be aborted.
        return self._end(cause.text or "transport connection closed by the peer")

    def _indicate_collision(self, cause: _Cause) -> State:
        self.indications.append(ReleaseRequested(collision=True))
        return State.STA9 if self.role is Role.REQUESTOR else State.STA10

    def _answer_collision(self, cause: _Cause) -> State:
        self.outbox.append(encode_pdu(ReleaseRP()))
        return State.STA11

    def _confirm_collision(self, cause: _Cause) -> State:
        self.indications.append(ReleaseConfirmed())
        return State.STA12

    def _abort_as_user(self, cause: _Cause) -> State:
        """AA-1. In Sta2 the peer is told source 0, reason 0 whatever it did: it has no association yet."""
        abort = Abort(ABORT_SOURCE_SERVICE_USER, ABORT_REASON_NOT_SPECIFIED)
        if cause.event is Event.ABORT_REQUEST:
            abort = _expect(Abort, cause) if cause.pdu is not None else abort
            text = cause.text or f"aborted by us in {self.state}"
        else:
            text = self._text_of_fault(cause)
        self.outbox.append(encode_pdu(abort))
        self._end_text = text
        self._start_artim()
        return State.STA13

    def _close_connection(self, cause: _Cause) -> State:
        if cause.event is Event.ABORT_RECEIVED:
            text = f"A-ABORT received in {self.state}"
        elif cause.event is Event.ARTIM_EXPIRED:
            text = cause.text or f"ARTIM expired in {self.state}"
        else:
            text = cause.text or f"closed by us in {self.state}"
        return self._end(text)

    def _indicate_abort(self, cause: _Cause) -> State:
        abort = _expect(Abort, cause)
        text = f"peer says: {describe_abort(abort.source, abort.reason)}, in {self.state}"
        self.indications.append(Aborted(abort.source, abort.reason, True, text))
        return self._end(text)

    def _indicate_loss(self, cause: _Cause) -> State:
        text = cause.text or f"transport connection lost in {self.state}"
        self.indications.append(
            Aborted(ABORT_SOURCE_SERVICE_PROVIDER, ABORT_REASON_NOT_SPECIFIED, False, text)
        )
        return self._end(text)

    def _ignore(self, cause: _Cause) -> State:
        return State.STA13

    def _abort_again(self, cause: _Cause) -> State:
        if self._aborts_while_closing < ABORTS_WHILE_CLOSING_MAX:
            self._aborts_while_closing += 1
            self.outbox.append(encode_pdu(Abort(ABORT_SOURCE_SERVICE_PROVIDER, _reason_of_fault(cause))))
        return State.STA13

    def _abort_as_provider(self, cause: _Cause) -> State:
        reason = _reason_of_fault(cause)
        text = self._text_of_fault(cause)
        self.outbox.append(encode_pdu(Abort(ABORT_SOURCE_SERVICE_PROVIDER, reason)))
        self.indications.append(Aborted(ABORT_SOURCE_SERVICE_PROVIDER, reason, False, text))
        self._end_text = text
        self._start_artim()
        return State.STA13

    def _text_of_fault(self, cause: _Cause) -> str:
        if cause.violation is not None:
            return f"{cause.violation}, in {self.state}"
        return cause.text or f"unexpected: {cause.event.text} in {self.state} (PS3.8 Table 9-10)"


def _expect(kind: type[PduT], cause: _Cause) -> PduT:
    if not isinstance(cause.pdu, kind):
        got = type(cause.pdu).__name__
        raise LocalMisuse(f"{cause.event} {cause.event.text} needs {kind.__name__}, got {got}")
    return cause.pdu


def _reason_of_fault(cause: _Cause) -> int:
    """Return the provider's reason for an A-ABORT (PS3.8 Table 9-26)."""
    if cause.violation is not None:
        return cause.violation.reason
    if cause.event is Event.INVALID_PDU_RECEIVED:
        return ABORT_REASON_UNRECOGNISED_PDU
    return ABORT_REASON_UNEXPECTED_PDU


_RECEIVED: dict[type[Pdu], Event] = {
    AssociateRQ: Event.ASSOCIATE_RQ_RECEIVED,
    AssociateAC: Event.ASSOCIATE_AC_RECEIVED,
    AssociateRJ: Event.ASSOCIATE_RJ_RECEIVED,
    PDataTF: Event.DATA_RECEIVED,
    ReleaseRQ: Event.RELEASE_RQ_RECEIVED,
    ReleaseRP: Event.RELEASE_RP_RECEIVED,
    Abort: Event.ABORT_RECEIVED,
}

_EFFECTS: dict[Action, Callable[[UpperLayer, _Cause], State]] = {
    Action.AE_1: UpperLayer._ask_for_transport,
    Action.AE_2: UpperLayer._send_associate_rq,
    Action.AE_3: UpperLayer._confirm_acceptance,
    Action.AE_4: UpperLayer._confirm_rejection,
    Action.AE_5: UpperLayer._accept_transport,
    Action.AE_6: UpperLayer._indicate_request,
    Action.AE_7: UpperLayer._send_associate_ac,
    Action.AE_8: UpperLayer._send_associate_rj,
    Action.DT_1: UpperLayer._send_data,
    Action.DT_2: UpperLayer._pass_data,
    Action.AR_1: UpperLayer._request_release,
    Action.AR_2: UpperLayer._indicate_release,
    Action.AR_3: UpperLayer._finish_release,
    Action.AR_4: UpperLayer._answer_release,
    Action.AR_5: UpperLayer._note_close,
    Action.AR_6: UpperLayer._pass_data,
    Action.AR_7: UpperLayer._send_data,
    Action.AR_8: UpperLayer._indicate_collision,
    Action.AR_9: UpperLayer._answer_collision,
    Action.AR_10: UpperLayer._confirm_collision,
    Action.AA_1: UpperLayer._abort_as_user,
    Action.AA_2: UpperLayer._close_connection,
    Action.AA_3: UpperLayer._indicate_abort,
    Action.AA_4: UpperLayer._indicate_loss,
    Action.AA_5: UpperLayer._note_close,
    Action.AA_6: UpperLayer._ignore,
    Action.AA_7: UpperLayer._abort_again,
    Action.AA_8: UpperLayer._abort_as_provider,
}
