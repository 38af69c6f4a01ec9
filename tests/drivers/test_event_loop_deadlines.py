"""Deadlines of associations on an event loop, and connections that end early; the clock is passed in."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest

from router.drivers.event_loop import EventLoopDriver
from router.errors import DeadlineExceeded
from router.services.reply import Reply
from router.standard.dimse_fields import (
    STATUS,
)
from tests.support.event_loop_scp import LATER_S, open_association, requestor, scp
from tests.support.raw_peer import (
    abort_pdu,
    raw_peer,
    store,
)
from tests.support.scripted_scp import Peer, run, scripted_acceptor, until


def test_time_in_which_we_did_not_read_is_not_the_peers_silence() -> None:
    async def test() -> None:
        async with scp() as one, raw_peer(one.port) as peer:
            await peer.associate()
            one.has_room = False
            whole = store(1, payload=b"ab" * 100)
            await peer.send(whole[:-50])
            await until(lambda: one.connections[0].association.blocked)
            connection = one.connections[0]
            connection.traffic.heard_at -= LATER_S
            connection.check_deadlines(monotonic())
            one.has_room = True
            connection.advance()
            connection.check_deadlines(monotonic())
            await peer.send(whole[-50:])
            assert (await peer.read_response())[STATUS] == 0

    run(test())


def test_artim_bounds_the_time_to_the_request_in_total() -> None:
    async def test() -> None:
        async with scp() as one, raw_peer(one.port) as peer:
            await until(lambda: one.connections)
            begun = monotonic()
            for octet in b"\x01\x00\x00\x00\x00\xff\x00":
                await peer.send(bytes([octet]))
            await until(lambda: one.connections[0].traffic.received == 7)
            one.connections[0].check_deadlines(begun + 29)
            assert one.driver.connections
            one.connections[0].check_deadlines(monotonic() + 30.1)
            assert await peer.read_rest() == []

    run(test())


def test_artim_bounds_the_wait_for_the_peer_to_close_after_an_abort() -> None:
    async def test() -> None:
        async with scp() as one, raw_peer(one.port) as peer:
            await peer.send(b"GET / HTTP/1.1\r\n\r\n")
            assert await peer.read_pdu() == abort_pdu(0, 0)
            one.connections[0].check_deadlines(monotonic() + 29)
            assert one.driver.connections
            one.connections[0].check_deadlines(monotonic() + 30.1)
            assert await peer.read_rest() == []

    run(test())


def test_an_idle_association_is_aborted_and_a_busy_one_is_not() -> None:
    async def test() -> None:
        async with scp() as one, raw_peer(one.port) as peer:
            one.answers = []
            await peer.associate()
            await peer.send(store())
            await until(lambda: one.answers)
            connection = one.connections[0]
            connection.check_deadlines(monotonic() + 5 * LATER_S)
            assert connection.association.is_established
            one.answers[0].settle(Reply(0))
            await peer.read_response()
            connection.check_deadlines(connection._patience.busy_at + 599)
            assert connection.association.is_established
            connection.check_deadlines(connection._patience.busy_at + 601)
            assert await peer.read_pdu() == abort_pdu(0, 0)

    run(test())


@pytest.mark.parametrize(
    "octets",
    [store(payload=b"ab" * 100)[:-20], b"\x04\0\0", b"\x05\0\0\0\0\x04\0\0\0", b"\x01\0\0\0\xff\xff\0"],
    ids=["message", "head", "release", "request"],
)
def test_silence_in_the_middle_of_a_message_or_pdu_is_an_abort(octets: bytes) -> None:
    async def test() -> None:
        async with scp() as one, raw_peer(one.port) as peer:
            await peer.associate()
            await peer.send(octets)
            await until(lambda: one.connections[0].association.is_receiving)
            one.connections[0].check_deadlines(monotonic() + 58)
            assert one.connections[0].association.is_established
            one.connections[0].check_deadlines(monotonic() + 61)
            assert await peer.read_pdu() == abort_pdu(2, 0)
            assert one.stored == []

    run(test())


@pytest.mark.parametrize("octets", [b"", b"\x01"], ids=["none", "one"])
def test_a_connection_that_closes_without_a_request_leaves_nothing(octets: bytes) -> None:
    async def test() -> None:
        async with scp() as one:
            async with raw_peer(one.port) as peer:
                await peer.send(octets)
                await until(lambda: one.connections and one.connections[0].traffic.received == len(octets))
            await until(lambda: one.closed)

    run(test())


def test_a_connection_lost_in_the_middle_of_a_dataset_leaves_nothing() -> None:
    async def test() -> None:
        async with scp() as one:
            async with raw_peer(one.port) as peer:
                await peer.associate()
                await peer.send(store(payload=b"ab" * 1000)[:-20])
                await until(lambda: one.connections[0].association.mid_message)
            await until(lambda: one.closed)
            assert one.stored == []

    run(test())


def test_an_answer_that_comes_after_the_connection_was_lost_is_dropped() -> None:
    async def test() -> None:
        async with scp() as one:
            async with raw_peer(one.port) as peer:
                one.answers = []
                await peer.associate()
                await peer.send(store())
                await until(lambda: one.answers)
            await until(lambda: one.closed)
            one.answers[0].settle(Reply(0))
            assert one.connections[0].association.requests_open == 0

    run(test())


def test_the_ticker_survives_a_connection_that_fails() -> None:
    async def test() -> None:
        async with scp() as one, raw_peer(one.port) as bad, raw_peer(one.port) as good:
            await bad.associate()
            await good.associate()
            ticks = 0

            def fail(now: float) -> None:
                raise RuntimeError("deadline")

            def count(now: float) -> None:
                nonlocal ticks
                ticks += 1

            one.connections[0].check_deadlines = fail  # type: ignore[method-assign]
            one.connections[1].check_deadlines = count  # type: ignore[method-assign]
            one.driver.start()
            await until(lambda: ticks >= 2)
            one.driver.stop()
            assert await bad.read_rest() == []
            assert len(one.driver.connections) == 1

    run(test())


def test_an_acceptance_that_never_ends_is_given_up() -> None:
    """Octet by octet does not stretch the deadline."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        for octet in b"\x02\x00\x00\x00\x00\xff\x00\x01":
            peer.send(bytes([octet]))
        await peer.read_pdu()

    async def test() -> None:
        async with scripted_acceptor(script) as acceptor:
            driver = EventLoopDriver(asyncio.get_running_loop())
            connection = requestor(driver)
            opening = asyncio.ensure_future(open_association(driver, connection, acceptor.port))
            begun = monotonic()
            await until(lambda: connection.traffic.received == 8)
            connection.check_deadlines(begun + 9)
            assert not opening.done()
            connection.check_deadlines(monotonic() + 10.1)
            with pytest.raises(DeadlineExceeded):
                await opening
            await until(lambda: not acceptor.open)

    run(test())
