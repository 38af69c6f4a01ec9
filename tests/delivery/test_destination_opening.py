"""What one destination does when an association cannot be opened, or is of no use."""

from __future__ import annotations

import asyncio

from router.delivery.retry import ErrorClass
from router.standard.uids import MR_IMAGE_STORAGE
from router.wire.pdus import Abort, AssociateRJ, ContextResult, encode_pdu
from tests.support.owed import Outcomes, destination, facing, item, offer_all
from tests.support.scripted_scp import Peer, acceptance, rejecting, run, scripted_acceptor, until


def test_a_peer_that_aborts_as_soon_as_it_has_accepted_is_not_hammered() -> None:
    async def script(peer: Peer) -> None:
        rq = await peer.read_request()
        peer.send(encode_pdu(acceptance(rq)) + encode_pdu(Abort(2, 0)))

    async def test() -> None:
        async with facing(script, retry_first_s=60.0, retry_max_s=60.0) as (acceptor, one, _):
            offer_all(one, [item(1)])
            await until(lambda: not one.is_up)
            await until(lambda: not acceptor.open)
            assert len(acceptor.peers) == 1

    run(test())


def test_a_peer_that_releases_as_soon_as_it_has_accepted_is_answered_and_not_hammered() -> None:
    async def script(peer: Peer) -> None:
        rq = await peer.read_request()
        peer.send(encode_pdu(acceptance(rq)) + b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00")
        answers.append((await peer.read_pdu())[0])

    answers: list[int] = []

    async def test() -> None:
        async with facing(script, retry_first_s=60.0, retry_max_s=60.0) as (acceptor, one, _):
            offer_all(one, [item(1)])
            await until(lambda: not one.is_up)
            await until(lambda: not acceptor.open)
            assert len(acceptor.peers) == 1
            assert answers == [6]

    run(test())


def test_an_abort_while_opening_is_nobodys_poison() -> None:
    """Instances that were never sent cannot have made the peer abort."""
    is_down = False

    async def script(peer: Peer) -> None:
        if is_down:
            return
        await peer.accept()
        await peer.serve()

    async def test() -> None:
        nonlocal is_down
        async with facing(script, idle_s=0) as (acceptor, one, outcomes):
            for round_ in range(1, 5):
                is_down = True
                one.tend(float("inf"))
                await until(lambda: not acceptor.open)
                offer_all(one, [item(round_)])
                await until(lambda: not one.is_up)
                is_down = False
                await until(lambda r=round_: len(outcomes.delivered_items) == r)
            assert all(each.aborts == 0 for each, _ in outcomes.delivered_items)
            assert not outcomes.dead_items

    run(test())


def test_a_permanent_rejection_counts_against_the_oldest_only() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        peer.send(encode_pdu(AssociateRJ(1, 1, 7)))

    async def test() -> None:
        async with facing(script, attempts_max=2) as (_, one, outcomes):
            offer_all(one, [item(1), item(2)])
            await until(lambda: len(outcomes.dead_items) == 1)
            assert outcomes.dead_items[0][0].seq == 1
            assert outcomes.dead_items[0][1].error_class is ErrorClass.REJECTED_PERMANENT
            await until(lambda: len(outcomes.dead_items) == 2)
            assert one.queued == 0

    run(test())


def test_a_transient_rejection_is_tried_again_for_ever() -> None:
    async def test() -> None:
        async with facing(rejecting(6), attempts_max=1) as (_, one, outcomes):
            offer_all(one, [item(1)])
            await until(lambda: outcomes.delivered_items)
            assert not outcomes.dead_items

    run(test())


def test_a_refused_context_does_not_hold_up_the_others() -> None:
    async def script(peer: Peer) -> None:
        rq = await peer.read_request()
        whole = acceptance(rq)
        results = tuple(
            ContextResult(result.context_id, 3, "") if context.abstract_syntax == MR_IMAGE_STORAGE else result
            for context, result in zip(rq.presentation_contexts, whole.presentation_contexts, strict=True)
        )
        peer.send(encode_pdu(type(whole)(*(
            whole.called_ae_title, whole.calling_ae_title, results, whole.user_information
        ))))  # fmt: skip
        await peer.serve()

    async def test() -> None:
        async with facing(script, attempts_max=2) as (_, one, outcomes):
            offer_all(one, [item(1, sop_class=MR_IMAGE_STORAGE), item(2), item(3)])
            await until(lambda: len(outcomes.delivered_items) == 2 and outcomes.dead_items)
            assert outcomes.dead_items[0][1].error_class is ErrorClass.NO_CONTEXT
            assert outcomes.dead_items[0][0].seq == 1
            assert one.is_up

    run(test())


def test_immediate_instances_are_returned_when_no_association_can_be_opened() -> None:
    async def test() -> None:
        outcomes = Outcomes()
        async with scripted_acceptor() as acceptor:
            port = acceptor.port
        async with destination(port, outcomes, retry_first_s=60.0, retry_max_s=60.0) as one:
            older = item(1, "1.9")
            offer_all(one, [older, item(2, "1.9", is_immediate=True), item(3, is_immediate=True)])
            await until(lambda: len(outcomes.returned_items) == 2)
            assert {failure.error_class for _, failure in outcomes.returned_items} == {ErrorClass.CONNECT}
            assert one.queued == 1

    run(test())


def test_a_retired_association_on_which_an_operation_fails_gives_its_place_back() -> None:
    """Retired for want of a context, it must not be waited for once it has failed."""

    async def script(peer: Peer) -> None:
        await peer.accept()
        if peer.number == 0:
            await peer.read_message()
            await gone.wait()
            return
        await peer.serve()

    gone = asyncio.Event()

    async def test() -> None:
        async with facing(script, dimse_s=0.3) as (acceptor, one, outcomes):
            offer_all(one, [item(1)])
            await until(lambda: len(acceptor.messages) == 1)
            offer_all(one, [item(2, sop_class=MR_IMAGE_STORAGE)])
            await until(lambda: len(outcomes.delivered_items) == 2)
            assert outcomes.failures[0][1].error_class is ErrorClass.TIMEOUT
            assert one.associations_open == 1
            gone.set()

    run(test())
