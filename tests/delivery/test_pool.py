"""Associations to a destination: opened with what is needed, filled, kept, released."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from router.standard.dimse_fields import C_ECHO_RQ, COMMAND_FIELD
from router.standard.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN
from router.standard.uids import CT_IMAGE_STORAGE, MR_IMAGE_STORAGE, VERIFICATION
from tests.support.owed import Outcomes, destination, facing, item, offer_all
from tests.support.scripted_scp import Peer, run, scripted_acceptor, until


def test_a_mixed_study_goes_over_one_association() -> None:
    async def test() -> None:
        async with facing() as (acceptor, one, outcomes):
            classes = (CT_IMAGE_STORAGE, MR_IMAGE_STORAGE)
            offer_all(one, [item(seq, sop_class=classes[seq % 2]) for seq in range(1, 9)])
            await until(lambda: len(outcomes.delivered_items) == 8)
            assert len(acceptor.peers) == 1
            rq = acceptor.peers[0].rq
            assert rq is not None
            proposed = {context.abstract_syntax for context in rq.presentation_contexts}
            assert proposed == set(classes)

    run(test())


def test_what_was_needed_once_is_proposed_again() -> None:
    async def test() -> None:
        async with facing(idle_s=0) as (acceptor, one, outcomes):
            for seq, sop_class in enumerate((CT_IMAGE_STORAGE, MR_IMAGE_STORAGE), 1):
                offer_all(one, [item(seq, sop_class=sop_class)])
                await until(lambda seq=seq: len(outcomes.delivered_items) == seq)
                one.tend(float("inf"))
                await until(lambda: not acceptor.open)
            last = acceptor.peers[-1].rq
            assert last is not None
            assert [c.abstract_syntax for c in last.presentation_contexts] == [
                MR_IMAGE_STORAGE,
                CT_IMAGE_STORAGE,
            ]

    run(test())


def test_more_contexts_than_an_association_takes_go_over_further_ones() -> None:
    """130 private SOP classes through one association at a time: the first is retired for the last two."""

    async def script(peer: Peer) -> None:
        await peer.accept(window=16)
        await peer.serve()

    async def test() -> None:
        async with facing(script, operations_max=16) as (acceptor, one, outcomes):
            offer_all(one, [item(seq, sop_class=f"1.2.999.{seq}") for seq in range(1, 131)])
            await until(lambda: len(outcomes.delivered_items) == 130)
            assert all(peer.rq and len(peer.rq.presentation_contexts) <= 128 for peer in acceptor.peers)
            assert 2 <= len(acceptor.peers) <= 4
            assert not outcomes.failures

    run(test())


def test_no_more_associations_are_opened_than_allowed_or_needed() -> None:
    most = 0

    async def test() -> None:
        nonlocal most
        outcomes = Outcomes()
        hold = asyncio.Event()

        async def script(peer: Peer) -> None:
            nonlocal most
            await peer.accept()
            most = max(most, acceptor.open)
            await hold.wait()
            await peer.serve()

        async with (
            scripted_acceptor(script) as acceptor,
            destination(acceptor.port, outcomes, associations_max=3) as one,
        ):
            offer_all(one, [item(seq) for seq in range(1, 30)])
            await until(lambda: one.in_flight == 3)
            hold.set()
            await until(lambda: len(outcomes.delivered_items) == 29)
            assert most == 3

    run(test())


def test_an_idle_association_is_released_in_order() -> None:
    async def test() -> None:
        async with facing(idle_s=0) as (acceptor, one, outcomes):
            offer_all(one, [item(1)])
            await until(lambda: outcomes.delivered_items)
            one.tend(float("inf"))
            assert one.associations_open == 0
            await until(lambda: not acceptor.open)
            assert acceptor.peers[0].last_pdu[0] == 5

    run(test())


def test_keep_alive_tests_the_last_idle_association_with_an_echo() -> None:
    async def test() -> None:
        async with facing(idle_s=0, keep_alive=True) as (acceptor, one, outcomes):
            offer_all(one, [item(1)])
            await until(lambda: outcomes.delivered_items)
            one.tend(float("inf"))
            await until(lambda: len(acceptor.messages) == 2)
            echo = acceptor.messages[1].command
            assert echo[COMMAND_FIELD] == C_ECHO_RQ
            assert one.associations_open == 1
            rq = acceptor.peers[0].rq
            assert rq is not None
            assert VERIFICATION in {context.abstract_syntax for context in rq.presentation_contexts}

    run(test())


def test_an_instance_that_comes_during_the_keep_alive_echo_is_sent_after_it() -> None:
    answer = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        while (message := await peer.read_message()) is not None:
            if message.command[COMMAND_FIELD] == C_ECHO_RQ:
                await answer.wait()
            peer.respond(message)

    async def test() -> None:
        async with facing(script, idle_s=0, keep_alive=True, acse_s=0.2) as (acceptor, one, outcomes):
            offer_all(one, [item(1)])
            await until(lambda: outcomes.delivered_items)
            one.tend(float("inf"))
            await until(lambda: len(acceptor.messages) == 2)
            offer_all(one, [item(2)])
            answer.set()
            await until(lambda: len(outcomes.delivered_items) == 2)

    run(test())


def test_an_instance_that_comes_during_a_failing_keep_alive_echo_is_sent_over_another() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        if peer.number:
            await peer.serve()
            return
        message = await peer.read_message()
        assert message is not None
        peer.respond(message)
        await peer.read_message()
        await fail.wait()

    fail = asyncio.Event()

    async def test() -> None:
        async with facing(script, idle_s=0, keep_alive=True) as (acceptor, one, outcomes):
            offer_all(one, [item(1)])
            await until(lambda: outcomes.delivered_items)
            one.tend(float("inf"))
            await until(lambda: len(acceptor.messages) == 2)
            offer_all(one, [item(2)])
            fail.set()
            await until(lambda: len(outcomes.delivered_items) == 2)
            assert len(acceptor.peers) == 2

    run(test())


def test_a_release_by_the_peer_is_answered_and_the_next_instance_opens_anew() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        message = await peer.read_message()
        assert message is not None
        peer.respond(message)
        peer.send(b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00")
        assert (await peer.read_pdu())[0] == 6

    async def test() -> None:
        async with facing(script) as (_, one, outcomes):
            for seq in (1, 2):
                offer_all(one, [item(seq)])
                await until(lambda seq=seq: len(outcomes.delivered_items) == seq)
                await until(lambda: one.associations_open == 0)
            assert not outcomes.failures

    run(test())


def test_closing_aborts_what_does_not_answer_the_release() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        message = await peer.read_message()
        assert message is not None
        peer.respond(message)
        kinds = []
        while (kind := (await peer.read_pdu())[0]) != 0:
            kinds.append(kind)
        seen.append(kinds)

    seen: list[list[int]] = []

    async def test() -> None:
        outcomes = Outcomes()
        async with scripted_acceptor(script) as acceptor:
            async with destination(acceptor.port, outcomes) as one:
                offer_all(one, [item(1)])
                await until(lambda: outcomes.delivered_items)
                await one.close(0.0)
                await until(
                    lambda: not acceptor.open or seen == [[5, 7]] or acceptor.peers[0].last_pdu[0] == 7
                )
                acceptor.peers[0].writer.close()
            assert acceptor.peers[0].last_pdu[0] == 7

    run(test())


def test_closing_while_an_association_is_being_opened_leaves_nothing() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        asked.set()
        await peer.read_pdu()

    asked = asyncio.Event()

    async def test() -> None:
        async with facing(script) as (_, one, _):
            offer_all(one, [item(1)])
            await asked.wait()
            await one.close(0.0)

    run(test())


def test_a_destination_that_is_down_costs_no_noise_in_the_loop() -> None:
    async def test() -> None:
        outcomes = Outcomes()
        async with scripted_acceptor() as acceptor:
            port = acceptor.port
        async with destination(port, outcomes) as one:
            offer_all(one, [item(1)])
            await until(lambda: one.circuit.setbacks >= 3)
            assert one.queued == 1

    run(test())


def test_the_window_granted_is_remembered_for_how_many_to_open() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(window=16)
        await peer.serve()

    async def test() -> None:
        async with facing(script, operations_max=16, associations_max=4, idle_s=0) as (
            acceptor,
            one,
            outcomes,
        ):
            offer_all(one, [item(1)])
            await until(lambda: outcomes.delivered_items)
            one.tend(float("inf"))
            await until(lambda: not acceptor.open)
            offer_all(one, [item(seq) for seq in range(2, 12)])
            await until(lambda: len(outcomes.delivered_items) == 11)
            assert len(acceptor.peers) == 2

    run(test())


def test_settings_that_change_hold_for_the_next_association() -> None:
    async def test() -> None:
        async with facing(idle_s=0) as (acceptor, one, outcomes):
            offer_all(one, [item(1)])
            await until(lambda: outcomes.delivered_items)
            one.update(one.settings.model_copy(update={"calling_ae_title": "OTHER"}))
            one.tend(float("inf"))
            await until(lambda: not acceptor.open)
            offer_all(one, [item(2, transfer_syntax=IMPLICIT_VR_LITTLE_ENDIAN)])
            await until(lambda: len(outcomes.delivered_items) == 2)
            requests = [peer.rq for peer in acceptor.peers if peer.rq]
            assert [rq.calling_ae_title for rq in requests] == ["ROUTER", "OTHER"]
            assert requests[1] == replace(requests[0], calling_ae_title="OTHER")

    run(test())
