"""Associations that we open on an event loop: responses, unsent octets, opening given up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from router.drivers.connection import Connection
from router.drivers.event_loop import EventLoopDriver
from router.drivers.pace import PROGRESS_MIN_BYTES
from router.drivers.patience import Deadlines
from router.errors import AssociationAborted, DeadlineExceeded
from router.protocol.indications import MessageReceived
from router.protocol.messages import Buffer
from router.protocol.states import State
from router.services import c_echo, c_store, release
from router.services.steps import Procedure
from router.standard.dimse_fields import (
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    MESSAGE_ID_BEING_RESPONDED_TO,
    STATUS,
)
from router.standard.uids import CT_IMAGE_STORAGE
from tests.support.event_loop_scp import DEADLINES, LATER_S, open_association, requestor
from tests.support.raw_peer import (
    ECHO_CONTEXT,
    RELEASE_RP,
    RELEASE_RQ,
    STORE_CONTEXT,
    RawAcceptor,
    abort_pdu,
    command,
    raw_acceptor,
)
from tests.support.scripted_scp import Peer, ScriptedAcceptor, run, scripted_acceptor, until


async def open_to(acceptor: ScriptedAcceptor | RawAcceptor, deadlines: Deadlines = DEADLINES) -> Connection:
    """Open an association to a scripted acceptor; its ticker stands still."""
    driver = EventLoopDriver(asyncio.get_running_loop())
    connection = requestor(driver, deadlines)
    await open_association(driver, connection, acceptor.port)
    connection.start(release.respond(connection.association))
    return connection


def store_request(
    connection: Connection, dataset: Any, message_id: int = 1, dimse_s: float | None = 10.0
) -> Procedure[MessageReceived]:
    instance = c_store.Instance(CT_IMAGE_STORAGE, f"1.2.{message_id}", dataset)
    return c_store.request(connection.association, STORE_CONTEXT, message_id, instance, dimse_s)


def test_the_wait_for_a_response_begins_when_its_request_is_out() -> None:
    """A peer that takes a large dataset slowly is not late with its answer."""

    async def test() -> None:
        async with raw_acceptor() as acceptor:
            connection, _ = await asyncio.gather(
                open_to(acceptor, Deadlines(write_s=None)), acceptor.accept()
            )
            task, answered = connection.begin(store_request(connection, [bytes(8 << 20)], dimse_s=10), 1)
            for _ in range(3):
                connection.check_deadlines(monotonic() + LATER_S)
                assert not task.done
            connection.close_now()
            with pytest.raises(AssociationAborted):
                await answered

    run(test())


def test_a_response_that_does_not_come_is_a_deadline() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.read_message()
        await peer.read_pdu()

    async def test() -> None:
        async with scripted_acceptor(script) as acceptor:
            connection = await open_to(acceptor)
            _, answered = connection.begin(store_request(connection, [bytes(1000)], dimse_s=10), 1)
            await until(lambda: acceptor.messages)
            connection.check_deadlines(monotonic() + 9)
            assert not answered.done()
            connection.check_deadlines(monotonic() + 11)
            with pytest.raises(DeadlineExceeded):
                await answered
            connection.abort()
            await until(lambda: not acceptor.open)
            assert acceptor.peers[0].last_pdu == abort_pdu(0, 0)

    run(test())


def test_a_peer_that_takes_no_byte_is_dropped_and_one_that_takes_some_is_not() -> None:
    async def test() -> None:
        async with raw_acceptor() as acceptor:
            connection, _ = await asyncio.gather(open_to(acceptor), acceptor.accept())
            _, answered = connection.begin(store_request(connection, [bytes(16 << 20)], dimse_s=None), 1)
            await until(lambda: connection._is_writing_paused)
            now = monotonic()
            connection.check_deadlines(now)
            connection._patience._out_bytes -= PROGRESS_MIN_BYTES  # as if so many had gone out since
            connection.check_deadlines(now + 61)
            assert not answered.done()
            connection.check_deadlines(now + 61 + 61)
            with pytest.raises(AssociationAborted):
                await answered
            await until(lambda: not connection._driver.connections)

    run(test())


def test_a_response_before_the_request_is_out_waits_until_it_is() -> None:
    """Else the memory of the dataset would be given back, and overwritten, while it is still being sent."""

    async def test() -> None:
        async with raw_acceptor() as acceptor:
            connection, peer = await asyncio.gather(open_to(acceptor), acceptor.accept())
            memory = bytearray(b"\x55" * (8 << 20))
            _, answered = connection.begin(store_request(connection, [memory]), 1)
            before = connection.traffic.received
            early = {COMMAND_FIELD: 0x8001, MESSAGE_ID_BEING_RESPONDED_TO: 1, COMMAND_DATA_SET_TYPE: 0x0101}
            await peer.send(command(STORE_CONTEXT, {**early, STATUS: 0xA700}))
            await until(lambda: connection.traffic.received > before)
            connection.check_deadlines(monotonic())
            assert not answered.done()
            dataset = bytearray()
            while len(dataset) < len(memory):
                pdu = await peer.read_pdu()
                dataset += b"" if pdu[11] & 1 else pdu[12:]
            connection.check_deadlines(monotonic())
            assert (await answered).command[STATUS] == 0xA700
            assert dataset == memory
            connection.abort()

    run(test())


@pytest.mark.parametrize("how", ["abort", "peer aborts", "violation"])
def test_what_is_unsent_of_a_dataset_never_leaves_after_its_procedure_ended(how: str) -> None:
    """Its memory holds another patient's dataset by then."""

    async def test() -> None:
        async with raw_acceptor() as acceptor:
            connection, peer = await asyncio.gather(open_to(acceptor), acceptor.accept())
            memory = bytearray(b"\x55" * (8 << 20))
            task, answered = connection.begin(store_request(connection, [memory]), 1)
            await until(lambda: connection._is_writing_paused)
            if how == "abort":
                connection.abort()
            elif how == "peer aborts":
                await peer.send(abort_pdu(0, 0))
            else:
                await peer.send(b"\x0f\x00\x00\x00\x00\x04\x00\x00\x00\x00")
            await until(lambda: task.done)
            memory[:] = b"\xaa" * len(memory)
            with pytest.raises(AssociationAborted):
                await answered
            received = await peer.read_until_closed()
            assert 0 < len(received) < len(memory)
            assert b"\xaa" not in received

    run(test())


def test_a_dataset_that_cannot_be_read_to_its_end_is_an_abort() -> None:
    def chunks() -> Iterator[Buffer]:
        yield bytes(1000)
        yield bytes(1000)
        raise OSError("gone")

    async def script(peer: Peer) -> None:
        await peer.accept()
        while (await peer.read_pdu())[0] == 4:
            pass

    async def test() -> None:
        async with scripted_acceptor(script) as acceptor:
            connection = await open_to(acceptor)
            with pytest.raises(AssociationAborted):
                await connection.run(store_request(connection, chunks()), 1)
            await until(lambda: not acceptor.open)
            assert acceptor.peers[0].last_pdu == abort_pdu(0, 0)

    run(test())


def test_using_a_connection_that_is_closing_does_nothing() -> None:
    async def test() -> None:
        async with scripted_acceptor() as acceptor:
            connection = await open_to(acceptor)
            connection.close_now()
            connection.abort()
            connection.advance()
            connection.check_deadlines(monotonic() + LATER_S)
            with pytest.raises(AssociationAborted):
                await connection.run(c_echo.request(connection.association, ECHO_CONTEXT, 1, 10), 1)
            await until(lambda: not connection._driver.connections)

    run(test())


def test_opening_that_is_cancelled_closes_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.read_pdu()

    async def test() -> None:
        async with scripted_acceptor(script) as acceptor:
            driver = EventLoopDriver(asyncio.get_running_loop())
            connection = requestor(driver)
            opening = asyncio.ensure_future(open_association(driver, connection, acceptor.port))
            await until(lambda: acceptor.peers and acceptor.peers[0].rq)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            await until(lambda: not acceptor.open)
            assert acceptor.peers[0].last_pdu == abort_pdu(0, 0)
            await until(lambda: not driver.connections)

    run(test())


def test_a_release_asked_for_in_the_moment_after_establishing_is_answered() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        peer.send(RELEASE_RQ)
        await peer.read_pdu()

    async def test() -> None:
        async with scripted_acceptor(script) as acceptor:
            driver = EventLoopDriver(asyncio.get_running_loop())
            connection = requestor(driver)
            await open_association(driver, connection, acceptor.port)
            await until(lambda: connection.association.state is State.STA8)
            await connection.run(release.respond(connection.association))
            await until(lambda: not acceptor.open)
            assert acceptor.peers[0].last_pdu == RELEASE_RP

    run(test())
