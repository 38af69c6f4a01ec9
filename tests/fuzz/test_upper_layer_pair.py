"""Two upper layers, wired to each other over a connection that may do anything, use any verb in any order.

Invariant: the peer can never make handle() raise; only a verb of our own may, and only LocalMisuse.
ARTIM runs exactly in Sta2 and Sta13. ConnectionClosed comes once and last. Left alone, both come to Sta1.
"""

from __future__ import annotations

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

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
)
from router.protocol.states import ACTION_RULES, TRANSITIONS, Event, State
from router.protocol.upper_layer import Role, Transition, UpperLayer
from router.wire.pdus import (
    Abort,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    ContextResult,
    PDataTF,
    Pdu,
    Pdv,
    ProposedContext,
    ReleaseRP,
    ReleaseRQ,
    decode_pdu,
)

RQ = AssociateRQ("CALLED", "CALLING", (ProposedContext(1, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",)),))
AC = AssociateAC("CALLED", "CALLING", (ContextResult(1, 0, "1.2.840.10008.1.2"),))
RJ = AssociateRJ(1, 1, 1)
DATA = PDataTF((Pdv(1, 2, b"\x00\x00"),))
OLD_RQ = AssociateRQ("CALLED", "CALLING", (), protocol_version=2)

VERBS: dict[Event, Pdu | None] = {
    Event.ASSOCIATE_REQUEST: RQ,
    Event.ASSOCIATE_RESPONSE_ACCEPT: AC,
    Event.ASSOCIATE_RESPONSE_REJECT: RJ,
    Event.DATA_REQUEST: DATA,
    Event.RELEASE_REQUEST: None,
    Event.RELEASE_RESPONSE: None,
    Event.ABORT_REQUEST: None,
}
ANY_PDU = st.sampled_from([RQ, OLD_RQ, AC, RJ, DATA, ReleaseRQ(), ReleaseRP(), Abort(0, 0), Abort(2, 6)])
SIDES = st.sampled_from([Role.REQUESTOR, Role.ACCEPTOR])
WITHOUT_CONNECTION = {State.STA1, State.STA4}
WITH_ARTIM = {State.STA2, State.STA13}
ONCE_AT_MOST = (
    AssociateRequested,
    AssociateAccepted,
    AssociateRejected,
    ReleaseRequested,
    ReleaseConfirmed,
    Aborted,
)
TURNS_MAX = 50

SCRIPT = (
    (Role.REQUESTOR, Event.ASSOCIATE_REQUEST),
    (Role.REQUESTOR, Event.TRANSPORT_CONFIRMED),
    (Role.ACCEPTOR, Event.ASSOCIATE_RQ_RECEIVED),
    (Role.ACCEPTOR, Event.ASSOCIATE_RESPONSE_ACCEPT),
    (Role.REQUESTOR, Event.ASSOCIATE_AC_RECEIVED),
    (Role.REQUESTOR, Event.RELEASE_REQUEST),
    (Role.ACCEPTOR, Event.RELEASE_REQUEST),
    (Role.REQUESTOR, Event.RELEASE_RQ_RECEIVED),
    (Role.ACCEPTOR, Event.RELEASE_RQ_RECEIVED),
    (Role.REQUESTOR, Event.RELEASE_RESPONSE),
    (Role.ACCEPTOR, Event.RELEASE_RP_RECEIVED),
)


class Side:
    """One upper layer with a driver's view of it."""

    def __init__(self, role: Role) -> None:
        self.upper_layer = UpperLayer(role, self.watch)
        self.inbound: deque[bytes] = deque()
        self.told: list[Indication] = []

    def watch(self, transition: Transition) -> None:
        assert transition.next_state in ACTION_RULES[transition.action].next_states
        assert TRANSITIONS.get((transition.event, transition.state), transition.action) is transition.action

    @property
    def connected(self) -> bool:
        return self.upper_layer.state not in WITHOUT_CONNECTION


class PairOfUpperLayers(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.sides = {role: Side(role) for role in Role}
        self.opened = False

    def exchange(self, side: Side) -> None:
        """Do as a driver does after each event: pass bytes on, take indications, pass a close on."""
        other = self.sides[Role.ACCEPTOR if side.upper_layer.role is Role.REQUESTOR else Role.REQUESTOR]
        other.inbound.extend(side.upper_layer.outbox)
        side.upper_layer.outbox.clear()
        side.told.extend(side.upper_layer.indications)
        side.upper_layer.indications.clear()

    def other_is_gone(self, side: Side) -> bool:
        return (
            any(other.upper_layer.ended for other in self.sides.values() if other is not side)
            and not side.inbound
        )

    @initialize(steps=st.integers(0, len(SCRIPT)))
    def begin_somewhere(self, steps: int) -> None:
        """Start anywhere on the way to a release collision: chance alone seldom comes that far."""
        for role, event in SCRIPT[:steps]:
            if event in VERBS:
                self.use_a_verb(role, event)
            elif event is Event.TRANSPORT_CONFIRMED:
                self.open_the_connection()
            else:
                self.deliver_a_pdu(role)

    @rule(role=SIDES, event=st.sampled_from(sorted(VERBS, key=lambda event: event.value)))
    def use_a_verb(self, role: Role, event: Event) -> None:
        side = self.sides[role]
        before = side.upper_layer.state
        try:
            side.upper_layer.handle(event, VERBS[event])
        except LocalMisuse:
            not_mine = event is Event.ASSOCIATE_REQUEST and role is Role.ACCEPTOR
            assert (event, before) not in TRANSITIONS or side.upper_layer.ended or not_mine
            assert side.upper_layer.state is before
        self.exchange(side)

    @precondition(lambda self: self.sides[Role.REQUESTOR].upper_layer.open_connection and not self.opened)
    @rule()
    def open_the_connection(self) -> None:
        self.opened = True
        self.sides[Role.ACCEPTOR].upper_layer.handle(Event.TRANSPORT_INDICATED)
        self.exchange(self.sides[Role.ACCEPTOR])
        self.sides[Role.REQUESTOR].upper_layer.handle(Event.TRANSPORT_CONFIRMED)
        self.exchange(self.sides[Role.REQUESTOR])

    @rule(role=SIDES)
    def deliver_a_pdu(self, role: Role) -> None:
        side = self.sides[role]
        if side.inbound:
            pdu = decode_pdu(side.inbound.popleft())
            if side.upper_layer.state is not State.STA4:
                side.upper_layer.receive(pdu)
            self.exchange(side)

    @rule(role=SIDES, pdu=ANY_PDU)
    def slip_in_a_pdu(self, role: Role, pdu: Pdu) -> None:
        side = self.sides[role]
        if side.connected:
            side.upper_layer.receive(pdu)
            self.exchange(side)

    @rule(role=SIDES, reason=st.integers(0, 255))
    def slip_in_garbage(self, role: Role, reason: int) -> None:
        side = self.sides[role]
        if side.connected:
            violation = PeerViolation("garbage", reason=reason, offset=0)
            side.upper_layer.handle(Event.INVALID_PDU_RECEIVED, violation=violation)
            self.exchange(side)

    @rule(role=SIDES)
    def cut_the_connection(self, role: Role) -> None:
        side = self.sides[role]
        side.upper_layer.handle(Event.TRANSPORT_CLOSED)
        self.exchange(side)

    @rule(role=SIDES)
    def let_artim_expire(self, role: Role) -> None:
        side = self.sides[role]
        side.upper_layer.handle(Event.ARTIM_EXPIRED)
        self.exchange(side)

    @invariant()
    def artim_runs_exactly_where_the_end_or_the_request_is_awaited(self) -> None:
        for side in self.sides.values():
            assert (side.upper_layer.artim == "running") == (side.upper_layer.state in WITH_ARTIM)

    @invariant()
    def data_passes_only_while_an_association_stands(self) -> None:
        for side in self.sides.values():
            state = side.upper_layer.state
            assert side.upper_layer.may_send_data == (state in {State.STA6, State.STA8})
            assert side.upper_layer.may_receive_data == (state in {State.STA6, State.STA7})

    @invariant()
    def the_end_is_told_once_and_last(self) -> None:
        for side in self.sides.values():
            kinds = [type(indication) for indication in side.told]
            ended = side.upper_layer.ended
            assert kinds.count(ConnectionClosed) == ended == side.upper_layer.close_connection
            assert not ended or kinds[-1] is ConnectionClosed
            for kind in ONCE_AT_MOST:
                assert kinds.count(kind) <= 1
            assert kinds.count(Aborted) + kinds.count(AssociateRejected) <= 1
            assert not (AssociateRejected in kinds and AssociateAccepted in kinds)
            assert not (AssociateRejected in kinds and ReleaseConfirmed in kinds)

    def teardown(self) -> None:
        """Nobody says anything more: what is under way arrives, and what was asked for gets its answer."""
        for _ in range(TURNS_MAX):
            for side in self.sides.values():
                self.take_a_turn(side)
        assert all(side.upper_layer.state is State.STA1 for side in self.sides.values())

    def take_a_turn(self, side: Side) -> None:
        upper_layer = side.upper_layer
        answers = {State.STA3: Event.ASSOCIATE_RESPONSE_ACCEPT, State.STA6: Event.RELEASE_REQUEST}
        answers |= dict.fromkeys((State.STA8, State.STA9, State.STA12), Event.RELEASE_RESPONSE)
        if upper_layer.state is State.STA4:
            upper_layer.handle(Event.ABORT_REQUEST)
        elif side.inbound:
            pdu = decode_pdu(side.inbound.popleft())
            upper_layer.receive(pdu)
        elif upper_layer.state in answers:
            event = answers[upper_layer.state]
            upper_layer.handle(event, VERBS[event])
        elif upper_layer.artim == "running":
            upper_layer.handle(Event.ARTIM_EXPIRED)
        elif self.other_is_gone(side):
            upper_layer.handle(Event.TRANSPORT_CLOSED)
        self.exchange(side)


TestPairOfUpperLayers = PairOfUpperLayers.TestCase
TestPairOfUpperLayers.settings = settings(max_examples=400, stateful_step_count=12, deadline=None)
