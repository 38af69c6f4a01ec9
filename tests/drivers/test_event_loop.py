"""Associations on an event loop: real sockets on the loopback, deadlines by a clock that is passed in."""

from __future__ import annotations

import asyncio
import socket

import pytest

from router.drivers.connection import ANSWERS_WAITING_MAX
from router.services.reply import Reply
from router.standard.dimse_fields import (
    MESSAGE_ID_BEING_RESPONDED_TO,
    STATUS,
)
from tests.support.event_loop_scp import scp
from tests.support.raw_peer import (
    ECHO_CONTEXT,
    RELEASE_RP,
    RELEASE_RQ,
    STORE_CONTEXT,
    RawPeer,
    command,
    dataset_of,
    echo_rq,
    pdata,
    pdv,
    raw_peer,
    store,
    store_rq,
)
from tests.support.scripted_scp import run, until


def test_datasets_larger_than_the_staging_buffer_arrive_whole() -> None:
    async def test() -> None:
        payload = bytes(range(256)) * 20_000
        async with scp() as one, raw_peer(one.port) as peer:
            await peer.associate()
            for message_id, fragment in enumerate((1_000_000, 16_000, 70_000), 1):
                await peer.send(store(message_id, payload=payload, fragment=fragment))
                assert (await peer.read_response())[STATUS] == 0
            assert one.stored == [dataset_of(payload=payload)] * 3
            await peer.send(RELEASE_RQ)
            assert await peer.read_pdu() == RELEASE_RP

    run(test())


def test_requests_sent_without_waiting_are_served_one_after_the_other() -> None:
    async def test() -> None:
        async with scp() as one, raw_peer(one.port) as peer:
            await peer.associate()
            octets = b"".join(
                store(n, f"1.2.{n}", b"ab" * n) if n % 3 else command(ECHO_CONTEXT, echo_rq(n))
                for n in range(1, 1001)
            )
            sending = asyncio.ensure_future(peer.send(octets + RELEASE_RQ))
            for n in range(1, 1001):
                answer = await peer.read_response()
                assert (answer[MESSAGE_ID_BEING_RESPONDED_TO], answer[STATUS]) == (n, 0)
            assert await peer.read_pdu() == RELEASE_RP
            await sending
            assert one.stored == [dataset_of(f"1.2.{n}", b"ab" * n) for n in range(1, 1001) if n % 3]

    run(test())


@pytest.mark.parametrize("window", [1, 4])
def test_no_more_requests_are_begun_than_the_window_allows(window: int) -> None:
    async def test() -> None:
        async with scp(operations_max=window) as one, raw_peer(one.port) as peer:
            one.answers = []
            await peer.associate()
            await peer.send(b"".join(store(n, f"1.2.{n}") for n in range(1, 21)))
            for n in range(1, 21):
                await until(lambda n=n: len(one.answers or ()) == min(20, n - 1 + window))
                assert one.connections[0].association.requests_open == min(window, 21 - n)
                one.answers[n - 1].settle(Reply(0))
                assert (await peer.read_response())[MESSAGE_ID_BEING_RESPONDED_TO] == n
            assert one.connections[0].association.requests_open == 0

    run(test())


def test_a_dataset_without_memory_waits_and_arrives_whole() -> None:
    async def test() -> None:
        payload = bytes(range(256)) * 10_000
        async with scp() as one, raw_peer(one.port) as peer:
            await peer.associate()
            one.has_room = False
            sending = asyncio.ensure_future(peer.send(store(1, payload=payload) + store(2, payload=b"x" * 8)))
            await until(lambda: one.connections[0].association.blocked)
            received = one.connections[0].traffic.received
            one.connections[0].advance()
            assert one.connections[0].association.blocked
            one.has_room = True
            one.connections[0].advance()
            await sending
            assert [(await peer.read_response())[STATUS] for _ in range(2)] == [0, 0]
            assert one.stored == [dataset_of(payload=payload), dataset_of(payload=b"x" * 8)]
            assert received < len(payload)

    run(test())


def test_a_peer_that_never_takes_its_answers_is_not_read_without_end() -> None:
    async def test() -> None:
        async with scp() as one, raw_peer(one.port, receive_bytes=4096) as peer:
            await peer.associate()
            connection = one.connections[0]
            sock = connection._transport.get_extra_info("socket")  # type: ignore[union-attr]
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            octets = command(ECHO_CONTEXT, echo_rq(7)) * 1000
            sending = asyncio.ensure_future(_send_for_ever(peer, octets))
            await until(lambda: connection._is_reading_paused)
            waiting = len(connection.association.output)
            assert waiting > ANSWERS_WAITING_MAX
            for _ in range(20):
                connection.advance()
                await asyncio.sleep(0)
            assert len(connection.association.output) == waiting
            sent = await _stop(sending)
            for _ in range(sent):
                assert (await peer.read_response())[STATUS] == 0

    run(test())


async def _send_for_ever(peer: RawPeer, octets: bytes) -> int:
    """Send rounds of a thousand requests until told to stop; the last one goes on by itself."""
    rounds = 0
    while True:
        rounds += 1
        try:
            await asyncio.shield(peer.send(octets))
        except asyncio.CancelledError:
            return 1000 * rounds


async def _stop(sending: asyncio.Future[int]) -> int:
    sending.cancel()
    return await sending


def test_fragments_of_a_command_and_a_dataset_may_come_in_one_pdu() -> None:
    async def test() -> None:
        async with scp() as one, raw_peer(one.port) as peer:
            await peer.associate()
            whole = command(STORE_CONTEXT, store_rq())[6:]
            await peer.send(pdata(whole, pdv(STORE_CONTEXT, 0, b"ab"), pdv(STORE_CONTEXT, 2, b"cd")))
            assert (await peer.read_response())[STATUS] == 0
            assert one.stored == [b"abcd"]

    run(test())
