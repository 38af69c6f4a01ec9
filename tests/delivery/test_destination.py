"""What one destination does with what it is owed: order, blame, waiting, giving up."""

from __future__ import annotations

import asyncio
from typing import Any

from router.delivery.fair import FLOW_MAX
from router.standard.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN
from tests.support.owed import Bytes, facing, item, offer_all
from tests.support.scripted_scp import Message, Peer, run, until


def test_instances_arrive_whole_and_by_age() -> None:
    async def test() -> None:
        async with facing() as (acceptor, one, outcomes):
            items = [item(seq, payload=Bytes(b"ab" * seq, b"cd")) for seq in range(1, 21)]
            offer_all(one, items)
            await until(lambda: len(outcomes.delivered_items) == 20)
            assert acceptor.uids() == [each.sop_instance for each in items]
            assert [m.dataset for m in acceptor.messages] == [b"ab" * seq + b"cd" for seq in range(1, 21)]
            assert len(acceptor.peers) == 1
            assert one.queued == one.in_flight == 0
            assert all(each.payload.readers == 0 for each in items)

    run(test())


def test_a_window_is_filled_only_as_far_as_the_peer_grants() -> None:
    most = 0

    async def script(peer: Peer) -> None:
        nonlocal most
        await peer.accept(window=3)
        waiting: list[Message] = []
        for _ in range(3):
            message = await peer.read_message()
            assert message is not None
            waiting.append(message)
        most = max(most, one_holder[0].in_flight)
        for message in reversed(waiting):
            peer.respond(message)
        await peer.serve()

    one_holder: list[Any] = []

    async def test() -> None:
        async with facing(script, operations_max=16) as (_, one, outcomes):
            one_holder.append(one)
            offer_all(one, [item(seq) for seq in range(1, 11)])
            await until(lambda: len(outcomes.delivered_items) == 10)
            assert most == 3

    run(test())


def test_two_versions_of_an_instance_are_never_in_flight_together() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(window=16)
        await peer.serve()

    async def test() -> None:
        async with facing(script, operations_max=16) as (_, one, outcomes):
            offer_all(one, [item(1, "1.9"), item(2, "1.9"), item(3, "1.8"), item(4, "1.9")])
            await until(lambda: len(outcomes.delivered_items) == 4)
            versions = [each.seq for each, _ in outcomes.delivered_items if each.sop_instance == "1.9"]
            assert versions == [1, 2, 4]
            assert one.queued == 0

    run(test())


def test_a_later_version_in_another_transfer_syntax_waits_for_the_earlier() -> None:
    """Its presentation context may be there already while the earlier one's must first be negotiated."""

    async def test() -> None:
        async with facing(associations_max=2) as (_, one, outcomes):
            offer_all(one, [item(1, "1.1", transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN)])
            await until(lambda: len(outcomes.delivered_items) == 1)
            offer_all(
                one,
                [item(2, "1.9"), item(3, "1.9", transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN)],
            )
            await until(lambda: len(outcomes.delivered_items) == 3)
            assert outcomes.uids()[1:] == ["1.9", "1.9"]
            assert [each.seq for each, _ in outcomes.delivered_items] == [1, 2, 3]

    run(test())


def test_a_warning_is_a_delivery() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve(lambda _: 0xB007)

    async def test() -> None:
        async with facing(script) as (_, one, outcomes):
            offer_all(one, [item(1)])
            await until(lambda: outcomes.delivered_items)
            assert outcomes.delivered_items[0][1] == 0xB007

    run(test())


def test_a_newer_version_waits_for_the_retry_of_the_older() -> None:
    answers = iter([0xC000, 0, 0])

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve(lambda _: next(answers))

    async def test() -> None:
        async with facing(script) as (_, one, outcomes):
            offer_all(one, [item(1, "1.9"), item(2, "1.9")])
            await until(lambda: len(outcomes.delivered_items) == 2)
            assert [each.seq for each, _ in outcomes.delivered_items] == [1, 2]

    run(test())


def test_what_does_not_fit_waits_in_the_ledger_and_is_fetched_by_age() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(window=16)
        await peer.serve()

    async def test() -> None:
        async with facing(script, operations_max=16) as (acceptor, one, outcomes):
            items = [item(seq) for seq in range(1, FLOW_MAX + 200)]
            outcomes.backlog = [each for each in items if not one.offer(each)]
            assert len(outcomes.backlog) == 199
            assert one.is_backlogged
            assert one.room(items[0].flow) == 0
            one.pump()
            await until(lambda: len(outcomes.delivered_items) == len(items))
            assert acceptor.uids() == [each.sop_instance for each in items]
            assert outcomes.hungry_calls >= 1
            assert not one.is_backlogged
            assert one.room(items[0].flow) == FLOW_MAX

    run(test())


def test_wake_up_ends_the_wait_for_the_destination_and_for_single_instances() -> None:
    answers = iter([0xC000, 0xA700])

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve(lambda _: next(answers, 0))

    async def test() -> None:
        async with facing(script, retry_first_s=60.0, retry_max_s=60.0) as (_, one, outcomes):
            offer_all(one, [item(1), item(2)])
            await until(lambda: len(outcomes.failures) == 2)
            assert one.queued == 2
            one.wake_up()
            await until(lambda: len(outcomes.delivered_items) == 2)

    run(test())


def test_an_instance_that_waits_can_be_withdrawn_wherever_it_waits() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve(lambda _: 0xC000)

    async def test() -> None:
        async with facing(script, retry_first_s=60.0, retry_max_s=60.0) as (_, one, outcomes):
            offer_all(one, [item(1, "1.9"), item(2, "1.9"), item(3, "1.9")])
            await until(lambda: outcomes.failures)
            assert one.queued == 3
            assert one.withdraw(2)
            assert one.queued == 2
            assert one.withdraw(1)
            await until(lambda: len(outcomes.failures) == 2)
            assert outcomes.failures[1][0].seq == 3
            assert not one.withdraw(2)
            assert one.withdraw(3)
            assert one.queued == 0

    run(test())


def test_an_immediate_instance_can_be_recalled_until_it_is_sent() -> None:
    hold = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        await hold.wait()
        await peer.serve()

    async def test() -> None:
        async with facing(script) as (_, one, outcomes):
            items = [item(seq, is_immediate=True) for seq in (1, 2, 3)]
            offer_all(one, items)
            await until(lambda: one.in_flight)
            assert not one.recall(items[0])
            assert one.recall(items[1])
            assert not one.recall(items[1])
            hold.set()
            await until(lambda: len(outcomes.delivered_items) == 2)
            assert outcomes.uids() == ["1.2.1", "1.2.3"]
            assert one.queued == 0

    run(test())


def test_closing_does_not_wait_for_instances_that_are_far_from_their_retry() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve(lambda message: 0xC000 if message.uid == "1.2.1" else 0)

    async def test() -> None:
        async with facing(script, retry_first_s=60.0, retry_max_s=60.0) as (_, one, outcomes):
            offer_all(one, [item(1), item(2)])
            await until(lambda: outcomes.failures)
            async with asyncio.timeout(10):
                await one.close(1000.0)
            assert outcomes.uids() == ["1.2.2"]

    run(test())
