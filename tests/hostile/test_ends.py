"""Associations that end in the middle, never, or from both sides at once (rows 20, 44-46, 48)."""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path
from time import monotonic

import pytest

from tests.hostile.message_octets import BEGUN, DATASET, HALF, UNEXPECTED
from tests.support.hostile_octets import pdu
from tests.support.live_acceptor import LiveAcceptor, live_acceptor
from tests.support.raw_peer import (
    ECHO_CONTEXT,
    RELEASE_RP,
    RELEASE_RQ,
    STORE_CONTEXT,
    RawPeer,
    abort_pdu,
    command,
    echo_rq,
    pdata,
    pdv,
    raw_peer,
    store,
)
from tests.support.scripted_scp import run, until


async def end(peer: RawPeer, how: str) -> None:
    """End a connection in one of the ways of row 44."""
    if how == "abort":
        await peer.send(abort_pdu(0, 0))
    elif how == "rst":
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.sock.close()
    else:
        peer.sock.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("how", ["fin", "rst", "abort"])
@pytest.mark.parametrize("size", [100, 200_000, 3 << 20], ids=["small", "several-slots", "spilled"])
def test_row_44_an_end_in_the_middle_of_a_dataset_stores_nothing(tmp_path: Path, how: str, size: int) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            async with raw_peer(live.port) as peer:
                await peer.associate()
                octets = BEGUN + pdata(pdv(STORE_CONTEXT, 0, DATASET))
                octets += pdata(pdv(STORE_CONTEXT, 0, bytes(50_000))) * (size // 50_000)
                await peer.send(octets)
                connection = next(iter(live.acceptor.driver.connections))
                await until(lambda: connection.traffic.received >= len(octets))
                assert connection.association.mid_message
                await end(peer, how)
                await until(lambda: not live.acceptor.incoming)
            await live.echo()
            assert live.stored == []

    run(test())


@pytest.mark.parametrize("how", ["fin", "rst", "abort"])
def test_row_44_an_end_while_the_worker_has_the_instance_leaves_nothing(tmp_path: Path, how: str) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            live.answers_at_once = False
            async with raw_peer(live.port) as peer:
                await peer.associate()
                await peer.send(store())
                await until(lambda: live.stored)
                await end(peer, how)
                await until(lambda: not live.acceptor.incoming)
            live.answer_all()

    run(test())


@pytest.mark.parametrize("how", ["fin", "rst", "abort"])
def test_row_44_an_end_while_a_dataset_waits_for_memory_leaves_nothing(tmp_path: Path, how: str) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            slab = live.acceptor.slab
            taken = []
            while (slot := slab.allocate()) is not None:
                taken.append(slot)
            async with raw_peer(live.port) as peer:
                await peer.associate()
                await peer.send(store(payload=bytes(100)))
                await until(lambda: live.acceptor.arrivals.waiting)
                await end(peer, how)
            for slot in taken:
                slab.free(slot)
            await until(lambda: not live.acceptor.incoming)

    run(test())


def test_row_45_what_follows_the_release_is_ignored(tmp_path: Path) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            async with raw_peer(live.port) as peer:
                await peer.associate()
                await peer.send(RELEASE_RQ)
                assert await peer.read_pdu() == RELEASE_RP
                await peer.send(store())
                live.pass_time(monotonic() + 31)
                assert await peer.read_rest() == []
            await live.echo()
            assert live.stored == []

    run(test())


def test_row_46_a_peer_that_never_takes_its_answers_is_dropped(tmp_path: Path) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live, raw_peer(live.port, receive_bytes=4096) as peer:
            await peer.associate()
            connection = next(iter(live.acceptor.driver.connections))
            sending = asyncio.ensure_future(peer.send(command(ECHO_CONTEXT, echo_rq()) * 200_000))
            await until(lambda: connection._is_reading_paused)
            assert len(connection.association.output) < 10_000
            await live.echo()
            connection.check_deadlines(monotonic())
            connection.check_deadlines(monotonic() + 61)
            await until(lambda: not live.acceptor.incoming)
            await sending

    run(test())


def test_row_20_a_dataset_that_dribbles_in_is_given_up_and_its_memory_freed(tmp_path: Path) -> None:
    """Else a hundred peers that send a byte a minute would hold all the memory for arriving datasets."""

    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            async with raw_peer(live.port) as peer:
                await peer.associate()
                await peer.send(
                    HALF + pdu(4, b"", 60_000) + (50_000).to_bytes(4, "big") + bytes([STORE_CONTEXT, 0])
                )
                connection = next(iter(live.acceptor.driver.connections))
                begun = monotonic()
                for second in range(0, 61, 10):
                    before = connection.traffic.received
                    await peer.send(b"x")
                    await until(lambda before=before: connection.traffic.received > before)
                    connection.traffic.heard_at = begun + second
                    assert connection.association.mid_message
                    connection.check_deadlines(begun + second)
                assert await peer.read_pdu() == abort_pdu(2, 0)
            assert live.stored == []

    run(test())


async def be_asked_for_release(live: LiveAcceptor, peer: RawPeer) -> None:
    await peer.associate()
    for incoming in live.acceptor.incoming:
        incoming.release()
    assert await peer.read_pdu() == RELEASE_RQ


def test_row_48_a_release_collision_is_settled_in_the_standards_order(tmp_path: Path) -> None:
    """The requestor (the peer) answers first; the acceptor's answer comes after it (PS3.8 section 7.2.2)."""

    async def test() -> None:
        async with live_acceptor(tmp_path) as live, raw_peer(live.port) as peer:
            await be_asked_for_release(live, peer)
            await peer.send(RELEASE_RQ)
            connection = next(iter(live.acceptor.driver.connections))
            await until(lambda: connection.association.state.value == 10)
            await peer.send(RELEASE_RP)
            assert await peer.read_pdu() == RELEASE_RP

    run(test())


def test_row_48_data_after_the_collision_is_an_abort(tmp_path: Path) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            async with raw_peer(live.port) as peer:
                await be_asked_for_release(live, peer)
                await peer.send(RELEASE_RQ + store())
                assert await peer.read_pdu() == UNEXPECTED
            await live.echo()
            assert live.stored == []

    run(test())


def test_a_request_that_comes_while_we_ask_for_the_release_is_still_served(tmp_path: Path) -> None:
    """Sta7 takes P-DATA (AR-6), but its answer may not leave any more."""

    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            async with raw_peer(live.port) as peer:
                await be_asked_for_release(live, peer)
                await peer.send(store() + RELEASE_RP)
                assert await peer.read_rest() == []
            await live.echo()

    run(test())
