"""The machine walks Table 9-10: what each action sends, reports, and asks of connection and timer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.errors import LocalMisuse, PeerViolation
from router.protocol.indications import (
    Aborted,
    AssociateAccepted,
    AssociateRejected,
    AssociateRequested,
    ConnectionClosed,
    ReleaseConfirmed,
    ReleaseRequested,
    TransportOpened,
)
from router.protocol.states import ACTION_RULES, TRANSITIONS, Action, Event, State
from router.protocol.upper_layer import ABORTS_WHILE_CLOSING_MAX, Role, Transition, UpperLayer
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
from router.wire.user_information import UserInformation

INFORMATION = UserInformation(maximum_length=16384, implementation_class_uid="1.2.3")
RQ = AssociateRQ(
    "CALLED", "CALLING", (ProposedContext(1, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",)),), INFORMATION
)
AC = AssociateAC("CALLED", "CALLING", (ContextResult(1, 0, "1.2.840.10008.1.2"),), INFORMATION)
RJ = AssociateRJ(2, 3, 1)
DATA = PDataTF((Pdv(1, 3, b"\x00" * 4),))
VIOLATION = PeerViolation("presentation-context-id 2 is even", reason=6, offset=74)

PDUS: dict[Event, Pdu] = {
    Event.EVT1: RQ,
    Event.EVT3: AC,
    Event.EVT4: RJ,
    Event.EVT6: RQ,
    Event.EVT7: AC,
    Event.EVT8: RJ,
    Event.EVT9: DATA,
    Event.EVT10: DATA,
    Event.EVT12: ReleaseRQ(),
    Event.EVT13: ReleaseRP(),
    Event.EVT16: Abort(0, 0),
}

# How each state is reached from Sta1 by the numbers of events, and in which role.
PATHS: dict[State, tuple[Role, tuple[int, ...]]] = {
    State.STA1: (Role.REQUESTOR, ()),
    State.STA2: (Role.ACCEPTOR, (5,)),
    State.STA3: (Role.ACCEPTOR, (5, 6)),
    State.STA4: (Role.REQUESTOR, (1,)),
    State.STA5: (Role.REQUESTOR, (1, 2)),
    State.STA6: (Role.ACCEPTOR, (5, 6, 7)),
    State.STA7: (Role.REQUESTOR, (1, 2, 3, 11)),
    State.STA8: (Role.ACCEPTOR, (5, 6, 7, 12)),
    State.STA9: (Role.REQUESTOR, (1, 2, 3, 11, 12)),
    State.STA10: (Role.ACCEPTOR, (5, 6, 7, 11, 12)),
    State.STA11: (Role.REQUESTOR, (1, 2, 3, 11, 12, 14)),
    State.STA12: (Role.ACCEPTOR, (5, 6, 7, 11, 12, 13)),
    State.STA13: (Role.ACCEPTOR, (5, 6, 8)),
}

# action: PDU sent, indications, ARTIM afterwards ("start", "stop", "" for untouched), connection wish.
EFFECTS: dict[str, tuple[type | None, tuple[type, ...], str, str]] = {
    "AE-1": (None, (), "", "open"),
    "AE-2": (AssociateRQ, (TransportOpened,), "", ""),
    "AE-3": (None, (AssociateAccepted,), "", ""),
    "AE-4": (None, (AssociateRejected, ConnectionClosed), "", "close"),
    "AE-5": (None, (TransportOpened,), "start", ""),
    "AE-6": (None, (AssociateRequested,), "stop", ""),
    "AE-7": (AssociateAC, (), "", ""),
    "AE-8": (AssociateRJ, (), "start", ""),
    "DT-1": (PDataTF, (), "", ""),
    "DT-2": (None, (), "", ""),
    "AR-1": (ReleaseRQ, (), "", ""),
    "AR-2": (None, (ReleaseRequested,), "", ""),
    "AR-3": (None, (ReleaseConfirmed, ConnectionClosed), "", "close"),
    "AR-4": (ReleaseRP, (), "start", ""),
    "AR-5": (None, (ConnectionClosed,), "stop", "close"),
    "AR-6": (None, (), "", ""),
    "AR-7": (PDataTF, (), "", ""),
    "AR-8": (None, (ReleaseRequested,), "", ""),
    "AR-9": (ReleaseRP, (), "", ""),
    "AR-10": (None, (ReleaseConfirmed,), "", ""),
    "AA-1": (Abort, (), "start", ""),
    "AA-2": (None, (ConnectionClosed,), "stop", "close"),
    "AA-3": (None, (Aborted, ConnectionClosed), "", "close"),
    "AA-4": (None, (Aborted, ConnectionClosed), "", "close"),
    "AA-5": (None, (ConnectionClosed,), "stop", "close"),
    "AA-6": (None, (), "", ""),
    "AA-7": (Abort, (), "", ""),
    "AA-8": (Abort, (Aborted,), "start", ""),
}


def happen(upper_layer: UpperLayer, event: Event) -> Action | None:
    """Let the event happen with what belongs to it."""
    violation = VIOLATION if event is Event.INVALID_PDU_RECEIVED else None
    return upper_layer.handle(event, PDUS.get(event), violation=violation)


def machine(role: Role, *events: int) -> UpperLayer:
    """Return a machine that has seen these events, its outputs emptied."""
    upper_layer = UpperLayer(role)
    for number in events:
        happen(upper_layer, Event(number))
    upper_layer.outbox.clear()
    upper_layer.indications.clear()
    return upper_layer


def machine_in(state: State) -> UpperLayer:
    role, events = PATHS[state]
    upper_layer = machine(role, *events)
    assert upper_layer.state is state
    return upper_layer


def sent(upper_layer: UpperLayer) -> list[Pdu]:
    return [decode_pdu(pdu) for pdu in upper_layer.outbox]


def outputs(upper_layer: UpperLayer) -> tuple[object, ...]:
    return (
        upper_layer.state,
        list(upper_layer.outbox),
        list(upper_layer.indications),
        upper_layer.open_connection,
        upper_layer.close_connection,
        upper_layer.artim,
        upper_layer.artim_starts,
    )


def prepared_for(event: Event, state: State) -> UpperLayer:
    """Return a machine in the state; in Sta1 the event decides the role."""
    if state is State.STA1 and event is Event.EVT5:
        return machine(Role.ACCEPTOR)
    return machine_in(state)


CELLS = sorted(TRANSITIONS, key=lambda cell: (cell[0].value, cell[1].value))


@pytest.mark.parametrize(("event", "state"), CELLS, ids=str)
def test_every_cell_has_the_effects_of_its_action(event: Event, state: State) -> None:
    upper_layer = prepared_for(event, state)
    artim, starts = upper_layer.artim, upper_layer.artim_starts
    action = happen(upper_layer, event)
    assert action is TRANSITIONS[event, state]
    pdu, indications, timer, connection = EFFECTS[action.value]
    assert upper_layer.state in ACTION_RULES[action].next_states
    assert [type(one) for one in sent(upper_layer)] == ([pdu] if pdu else [])
    assert tuple(type(indication) for indication in upper_layer.indications) == indications
    assert upper_layer.artim == {"start": "running", "stop": "stopped", "": artim}[timer]
    assert upper_layer.artim_starts == starts + (timer == "start")
    assert upper_layer.open_connection == (connection == "open")
    assert upper_layer.close_connection == (connection == "close")


@pytest.mark.parametrize(("event", "state"), CELLS, ids=str)
def test_the_observer_sees_every_transition(event: Event, state: State) -> None:
    seen: list[Transition] = []
    role, events = PATHS[state]
    upper_layer = UpperLayer(Role.ACCEPTOR if event is Event.EVT5 else role, seen.append)
    for number in events:
        happen(upper_layer, Event(number))
    happen(upper_layer, event)
    assert seen[-1] == Transition(event, state, TRANSITIONS[event, state], upper_layer.state)
    assert len(seen) == len(events) + 1


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (event, state)
        for event in (Event.EVT1, Event.EVT2, Event.EVT7, Event.EVT8, Event.EVT9, Event.EVT11, Event.EVT14)
        for state in State
        if (event, state) not in TRANSITIONS
    ],
    ids=str,
)
def test_a_verb_in_a_wrong_state_is_misuse_and_changes_nothing(event: Event, state: State) -> None:
    upper_layer = machine_in(state)
    before = outputs(upper_layer)
    with pytest.raises(LocalMisuse, match=f"{event} .*"):
        happen(upper_layer, event)
    assert outputs(upper_layer) == before


@pytest.mark.parametrize("event", [1, 7, 8, 9])
@pytest.mark.parametrize("payload", [None, ReleaseRQ()], ids=["none", "another"])
def test_a_verb_without_its_pdu_is_misuse_and_changes_nothing(event: int, payload: object) -> None:
    upper_layer = machine_in({1: State.STA1, 7: State.STA3, 8: State.STA3, 9: State.STA6}[event])
    before = outputs(upper_layer)
    with pytest.raises(LocalMisuse, match=f"Evt{event} "):
        upper_layer.handle(Event(event), payload)
    assert outputs(upper_layer) == before


def test_a_pdu_of_ours_that_cannot_be_encoded_changes_nothing() -> None:
    upper_layer = machine(Role.REQUESTOR)
    before = outputs(upper_layer)
    with pytest.raises(LocalMisuse):
        upper_layer.handle(Event.ASSOCIATE_REQUEST, replace(RQ, called_ae_title="LONGER THAN SIXTEEN"))
    assert outputs(upper_layer) == before


@pytest.mark.parametrize(("role", "event"), [(Role.ACCEPTOR, Event.EVT1), (Role.REQUESTOR, Event.EVT5)])
def test_only_the_requestor_asks_and_only_the_acceptor_is_asked(role: Role, event: Event) -> None:
    upper_layer = machine(role)
    with pytest.raises(LocalMisuse, match=f"this side is the {role.value}"):
        happen(upper_layer, event)
    assert upper_layer.state is State.STA1


def test_an_ended_association_does_not_begin_again() -> None:
    upper_layer = machine(Role.REQUESTOR, 1, 17)
    assert upper_layer.ended
    with pytest.raises(LocalMisuse, match="has ended"):
        upper_layer.handle(Event.ASSOCIATE_REQUEST, RQ)


@pytest.mark.parametrize("event", [3, 4, 6, 10, 12, 13, 15, 16, 17, 18, 19])
def test_what_comes_after_the_end_means_nothing(event: int) -> None:
    upper_layer = machine(Role.REQUESTOR, 1, 2, 4)
    before = outputs(upper_layer)
    assert happen(upper_layer, Event(event)) is None
    assert outputs(upper_layer) == before


@pytest.mark.parametrize("state", [State.STA3, State.STA4, State.STA5, State.STA6, State.STA10])
def test_a_late_artim_expiry_means_nothing(state: State) -> None:
    upper_layer = machine_in(state)
    before = outputs(upper_layer)
    assert upper_layer.handle(Event.ARTIM_EXPIRED) is None
    assert outputs(upper_layer) == before


def test_a_pdu_before_the_transport_is_open_is_misuse() -> None:
    upper_layer = machine_in(State.STA4)
    with pytest.raises(LocalMisuse):
        upper_layer.handle(Event.ASSOCIATE_AC_RECEIVED, AC)
    assert upper_layer.state is State.STA4


def test_a_pdu_the_table_should_forget_is_answered_with_an_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    upper_layer = machine_in(State.STA6)
    monkeypatch.delitem(TRANSITIONS, (Event.EVT3, State.STA6))
    assert upper_layer.handle(Event.EVT3, AC) is Action.AA_8
    assert sent(upper_layer) == [Abort(2, 2)]


def test_an_abort_before_any_request_just_closes() -> None:
    upper_layer = machine_in(State.STA2)
    assert upper_layer.handle(Event.ABORT_REQUEST, text="draining") is Action.AA_2
    assert (upper_layer.close_connection, upper_layer.artim, upper_layer.outbox) == (True, "stopped", [])
    assert list(upper_layer.indications) == [ConnectionClosed("draining")]


def test_an_abort_while_the_abort_is_under_way_means_nothing() -> None:
    upper_layer = machine(Role.ACCEPTOR, 5, 6, 7, 15)
    starts = upper_layer.artim_starts
    assert upper_layer.handle(Event.ABORT_REQUEST) is None
    assert (upper_layer.outbox, upper_layer.artim_starts) == ([], starts)


@pytest.mark.parametrize("version", [0, 2, 0xFFFE])
def test_a_request_without_version_1_is_rejected_by_the_provider(version: int) -> None:
    upper_layer = machine_in(State.STA2)
    starts = upper_layer.artim_starts
    upper_layer.handle(Event.ASSOCIATE_RQ_RECEIVED, replace(RQ, protocol_version=version))
    assert sent(upper_layer) == [AssociateRJ(1, 2, 2)]
    assert (upper_layer.state, upper_layer.artim) == (State.STA13, "running")
    assert upper_layer.artim_starts == starts + 1
    assert not upper_layer.indications


@pytest.mark.parametrize("version", [1, 3, 0xFFFF])
def test_only_bit_0_of_the_protocol_version_counts(version: int) -> None:
    upper_layer = machine_in(State.STA2)
    rq = replace(RQ, protocol_version=version)
    upper_layer.handle(Event.ASSOCIATE_RQ_RECEIVED, rq)
    assert list(upper_layer.indications) == [AssociateRequested(rq)]


@pytest.mark.parametrize("event", [3, 4, 10, 12, 13, 19])
def test_whatever_is_wrong_before_a_request_is_answered_source_0_reason_0(event: int) -> None:
    upper_layer = machine_in(State.STA2)
    happen(upper_layer, Event(event))
    assert sent(upper_layer) == [Abort(0, 0)]
    upper_layer.handle(Event.TRANSPORT_CLOSED)
    (closed,) = upper_layer.indications
    assert isinstance(closed, ConnectionClosed)
    assert "Sta2" in closed.text


@pytest.mark.parametrize("reason", [1, 2, 4, 5, 6])
def test_a_violation_carries_its_reason_into_the_abort_and_the_indication(reason: int) -> None:
    upper_layer = machine_in(State.STA6)
    violation = PeerViolation("PDV length 1", reason=reason, offset=6)
    upper_layer.handle(Event.INVALID_PDU_RECEIVED, violation=violation)
    assert sent(upper_layer) == [Abort(2, reason)]
    assert list(upper_layer.indications) == [Aborted(2, reason, False, "PDV length 1; offset 6, in Sta6")]


@pytest.mark.parametrize(("event", "reason"), [(3, 2), (4, 2), (6, 2), (13, 2), (19, 1)])
def test_an_unexpected_pdu_is_reason_2_and_an_unrecognised_one_reason_1(event: int, reason: int) -> None:
    upper_layer = machine_in(State.STA6)
    upper_layer.handle(Event(event), PDUS.get(Event(event)))
    assert sent(upper_layer) == [Abort(2, reason)]


def test_a_local_abort_sends_the_source_and_reason_it_was_given() -> None:
    upper_layer = machine_in(State.STA6)
    upper_layer.handle(Event.ABORT_REQUEST, Abort(2, 6), text="no progress for 60 s")
    assert sent(upper_layer) == [Abort(2, 6)]
    upper_layer.handle(Event.ARTIM_EXPIRED)
    assert list(upper_layer.indications) == [ConnectionClosed("no progress for 60 s")]
    assert upper_layer.close_connection


@pytest.mark.parametrize("abort", [Abort(0, 0), Abort(2, 5), Abort(7, 200)])
def test_a_received_abort_is_indicated_with_its_numbers(abort: Abort) -> None:
    upper_layer = machine_in(State.STA6)
    upper_layer.handle(Event.ABORT_RECEIVED, abort)
    first = upper_layer.indications[0]
    assert isinstance(first, Aborted)
    assert (first.source, first.reason, first.by_peer) == (abort.source, abort.reason, True)
    assert upper_layer.close_connection


def test_a_lost_connection_is_indicated_as_provider_abort_with_the_drivers_words() -> None:
    upper_layer = machine_in(State.STA6)
    upper_layer.handle(Event.TRANSPORT_CLOSED, text="connection reset by peer")
    assert list(upper_layer.indications) == [
        Aborted(2, 0, False, "connection reset by peer"),
        ConnectionClosed("connection reset by peer"),
    ]


def test_a_flood_of_requests_while_closing_gets_a_bounded_number_of_aborts() -> None:
    upper_layer = machine_in(State.STA13)
    for _ in range(100):
        assert upper_layer.handle(Event.ASSOCIATE_RQ_RECEIVED, RQ) is Action.AA_7
    assert sent(upper_layer) == [Abort(2, 2)] * ABORTS_WHILE_CLOSING_MAX


@pytest.mark.parametrize(
    ("state", "may_send", "may_receive"),
    [(state, state in (State.STA6, State.STA8), state in (State.STA6, State.STA7)) for state in State],
)
def test_data_may_pass_where_the_table_has_a_data_action(
    state: State, may_send: bool, may_receive: bool
) -> None:
    upper_layer = machine_in(state)
    assert (upper_layer.may_send_data, upper_layer.may_receive_data) == (may_send, may_receive)
    assert upper_layer.data_transfer_allowed == (may_send and may_receive)


def test_the_request_leaves_when_the_transport_is_open() -> None:
    upper_layer = UpperLayer(Role.REQUESTOR)
    upper_layer.handle(Event.ASSOCIATE_REQUEST, RQ)
    assert (upper_layer.open_connection, upper_layer.outbox) == (True, [])
    upper_layer.handle(Event.TRANSPORT_CONFIRMED)
    assert (upper_layer.open_connection, sent(upper_layer)) == (False, [RQ])


def test_received_pdus_find_their_event() -> None:
    upper_layer = machine_in(State.STA5)
    assert upper_layer.receive(AC) is Action.AE_3
    assert upper_layer.receive(DATA) is Action.DT_2
    assert upper_layer.receive(ReleaseRQ()) is Action.AR_2
    assert upper_layer.receive(ReleaseRP()) is Action.AA_8
    assert upper_layer.receive(RJ) is Action.AA_6
    assert upper_layer.receive(RQ) is Action.AA_7
    assert upper_layer.receive(Abort(0, 0)) is Action.AA_2


def test_a_release_is_asked_for_answered_and_closed() -> None:
    requestor, acceptor = machine_in(State.STA7), machine_in(State.STA6)
    acceptor.receive(ReleaseRQ())
    assert list(acceptor.indications) == [ReleaseRequested(collision=False)]
    acceptor.handle(Event.RELEASE_RESPONSE)
    requestor.receive(sent(acceptor)[0])
    assert list(requestor.indications) == [ReleaseConfirmed(), ConnectionClosed("released")]
    assert requestor.close_connection
    acceptor.handle(Event.TRANSPORT_CLOSED)
    assert acceptor.indications[-1] == ConnectionClosed("released")


def test_a_release_collision_ends_on_both_sides() -> None:
    requestor, acceptor = machine(Role.REQUESTOR, 1, 2, 3), machine(Role.ACCEPTOR, 5, 6, 7)
    requestor.handle(Event.RELEASE_REQUEST)
    acceptor.handle(Event.RELEASE_REQUEST)
    requestor.outbox.clear()
    acceptor.outbox.clear()
    requestor.receive(ReleaseRQ())
    acceptor.receive(ReleaseRQ())
    assert (requestor.state, acceptor.state) == (State.STA9, State.STA10)
    assert (
        requestor.indications.popleft() == acceptor.indications.popleft() == ReleaseRequested(collision=True)
    )
    with pytest.raises(LocalMisuse):
        acceptor.handle(Event.RELEASE_RESPONSE)
    requestor.handle(Event.RELEASE_RESPONSE)
    assert sent(requestor) == [ReleaseRP()]
    acceptor.receive(ReleaseRP())
    assert acceptor.indications.popleft() == ReleaseConfirmed()
    acceptor.handle(Event.RELEASE_RESPONSE)
    assert (requestor.state, acceptor.state) == (State.STA11, State.STA13)
    requestor.receive(ReleaseRP())
    acceptor.handle(Event.TRANSPORT_CLOSED)
    assert list(requestor.indications) == [ReleaseConfirmed(), ConnectionClosed("released")]
    assert list(acceptor.indications) == [ConnectionClosed("released")]
