"""The circuit breaker alone, and a destination that is tested before it is sent to again."""

from __future__ import annotations

from router.delivery.blame import REFUSED_IN_A_ROW_MAX
from router.delivery.circuit import Circuit, CircuitState
from router.delivery.retry import ErrorClass, Failure
from router.standard.dimse_fields import AFFECTED_SOP_INSTANCE_UID, C_ECHO_RQ, COMMAND_FIELD
from router.standard.uids import VERIFICATION
from router.wire.pdus import Abort, AssociateRJ, ContextResult, encode_pdu
from tests.support.owed import Outcomes, destination, facing, item, offer_all
from tests.support.scripted_scp import Peer, acceptance, rejecting, run, scripted_acceptor, until

REFUSED = Failure(ErrorClass.CONNECT, None, "refused")
BUSY = Failure(ErrorClass.BUSY, 0xA700, "status A700H")


def test_it_opens_half_opens_and_closes() -> None:
    circuit = Circuit("PACS")
    assert circuit.is_closed
    assert circuit.down_s(50.0) == 0.0
    circuit.set_back(REFUSED, 100.0, 5.0)
    assert (circuit.state, circuit.blocked_until, circuit.is_tested) == (CircuitState.OPEN, 105.0, False)
    circuit.half_open()
    assert circuit.state is CircuitState.HALF_OPEN
    circuit.set_back(REFUSED, 106.0, 10.0)
    assert (circuit.state, circuit.setbacks, circuit.opened) == (CircuitState.OPEN, 2, 1)
    assert circuit.down_s(110.0) == 10.0
    circuit.half_open()
    circuit.close(120.0)
    assert (circuit.state, circuit.setbacks, circuit.down_since) == (CircuitState.CLOSED, 0, None)
    assert circuit.closed_at == 120.0
    assert circuit.last is REFUSED
    circuit.set_back(BUSY, 200.0, 1.0)
    assert circuit.opened == 2
    assert circuit.is_tested, "it has just answered"


def echoes(peer: Peer) -> int:
    return sum(message.command[COMMAND_FIELD] == C_ECHO_RQ for message in peer.messages)


def test_a_peer_that_was_down_is_asked_by_c_echo_before_an_instance_is_risked() -> None:
    async def test() -> None:
        async with facing(rejecting(1)) as (acceptor, one, outcomes):
            offer_all(one, [item(1), item(2)])
            await until(lambda: len(outcomes.delivered_items) == 2)
            assert len(acceptor.peers) == 2
            first = acceptor.peers[1].messages[0]
            assert first.command[COMMAND_FIELD] == C_ECHO_RQ
            assert echoes(acceptor.peers[1]) == 1
            assert acceptor.uids() == ["1.2.1", "1.2.2"]
            assert one.circuit.state is CircuitState.CLOSED

    run(test())


def test_no_instance_is_sent_while_c_echo_fails() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        message = await peer.read_message()
        assert message is not None
        if peer.number >= 4:
            peer.respond(message)
            await peer.serve()
            return
        peer.send(encode_pdu(Abort(0, 0)))

    async def test() -> None:
        async with facing(script) as (acceptor, one, outcomes):
            offer_all(one, [item(1), item(2)])
            await until(lambda: len(outcomes.delivered_items) == 2)
            sent = [m for peer in acceptor.peers[1:4] for m in peer.messages]
            assert [message.command[COMMAND_FIELD] for message in sent] == [C_ECHO_RQ] * 3
            assert len(outcomes.unreached) == 3
            assert outcomes.delivered_items[0][0].aborts == 1

    run(test())


def test_a_peer_without_verification_is_tested_by_one_instance() -> None:
    most = 0

    async def script(peer: Peer) -> None:
        nonlocal most
        rq = await peer.read_request()
        if peer.number == 0:
            peer.send(encode_pdu(AssociateRJ(2, 3, 1)))
            return
        whole = acceptance(rq, 4)
        results = tuple(
            ContextResult(result.context_id, 3, "") if context.abstract_syntax == VERIFICATION else result
            for context, result in zip(rq.presentation_contexts, whole.presentation_contexts, strict=True)
        )
        fields = (whole.called_ae_title, whole.calling_ae_title, results, whole.user_information)
        peer.send(encode_pdu(type(whole)(*fields)))
        message = await peer.read_message()
        assert message is not None
        most = one_holder[0].in_flight
        peer.respond(message)
        await peer.serve()

    one_holder = []

    async def test() -> None:
        async with facing(script, operations_max=4) as (acceptor, one, outcomes):
            one_holder.append(one)
            offer_all(one, [item(seq) for seq in range(1, 9)])
            await until(lambda: len(outcomes.delivered_items) == 8)
            assert most == 1
            assert all(AFFECTED_SOP_INSTANCE_UID in message.command for message in acceptor.messages)

    run(test())


def test_a_destination_that_is_owed_nothing_is_tested_and_is_up_again() -> None:
    """An immediate item leaves at once; nothing that waits would find out that the peer is back."""

    async def test() -> None:
        async with facing(rejecting(1)) as (acceptor, one, outcomes):
            offer_all(one, [item(1, is_immediate=True)])
            await until(lambda: outcomes.returned_items)
            assert not one.is_up
            await until(lambda: one.is_up)
            assert echoes(acceptor.peers[1]) == 1

    run(test())


def test_a_peer_that_takes_no_more_associations_goes_on_with_those_it_has() -> None:
    async def script(peer: Peer) -> None:
        if peer.number:
            await peer.read_request()
            peer.send(encode_pdu(AssociateRJ(2, 3, 2)))
            return
        await peer.accept()
        await peer.serve()

    async def test() -> None:
        outcomes = Outcomes()
        async with (
            scripted_acceptor(script) as acceptor,
            destination(
                acceptor.port, outcomes, associations_max=4, retry_first_s=60.0, retry_max_s=60.0
            ) as one,
        ):
            offer_all(one, [item(1)])
            await until(lambda: outcomes.delivered_items)
            offer_all(one, [item(seq) for seq in range(2, 42)])
            await until(lambda: len(outcomes.delivered_items) == 41)
            assert one.is_up
            assert len(outcomes.unreached) <= 3
            assert not outcomes.failures

    run(test())


def test_one_that_flaps_comes_back_slowly() -> None:
    circuit = Circuit("PACS")
    circuit.set_back(REFUSED, 100.0, 1.0)
    circuit.half_open()
    assert circuit.in_flight_max(101.0) == 1
    circuit.close(101.0)
    assert circuit.in_flight_max(101.0) is None
    assert not circuit.is_restrained
    circuit.set_back(REFUSED, 110.0, 1.0)
    circuit.close(111.0)
    assert [circuit.in_flight_max(111.0 + step) for step in range(6)] == [1, 2, 4, 8, 16, 32]
    assert circuit.is_restrained
    assert circuit.in_flight_max(117.0) is None
    assert not circuit.is_restrained
    circuit.set_back(REFUSED, 500.0, 1.0)
    circuit.close(501.0)
    assert not circuit.is_restrained


def test_one_that_refuses_everything_is_tried_from_time_to_time_and_its_instances_are_kept() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve(lambda _: 0xC000)

    async def test() -> None:
        async with facing(script, retry_first_s=60.0, retry_max_s=60.0, attempts_max=1) as (
            _,
            one,
            outcomes,
        ):
            offer_all(one, [item(seq) for seq in range(1, 101)])
            await until(lambda: not one.is_up)
            assert len(outcomes.dead_items) == REFUSED_IN_A_ROW_MAX
            assert one.queued == 100 - REFUSED_IN_A_ROW_MAX
            assert one.circuit.state is CircuitState.OPEN

    run(test())
