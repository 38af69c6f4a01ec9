"""Associations on an event loop: real sockets on the loopback, deadlines by a clock that is passed in."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic
from typing import Any

import pytest

from router.drivers.connection import ANSWERS_WAITING_MAX, Connection
from router.drivers.event_loop import EventLoopDriver
from router.drivers.pace import PROGRESS_MIN_BYTES
from router.drivers.patience import Deadlines
from router.errors import AssociationAborted, DeadlineExceeded
from router.protocol.association import Association, Limits
from router.protocol.indications import MessageReceived
from router.protocol.messages import Buffer, CommandSet, DatasetSink, MemorySink
from router.protocol.negotiation import AcceptedContext
from router.protocol.states import State
from router.protocol.upper_layer import Role
from router.services import c_echo, c_store, establish, release
from router.services.reply import RESPONDERS_OF_REFUSAL, Reply
from router.services.steps import Deferred, Procedure
from router.standard.dimse_fields import (
    C_ECHO_RQ,
    C_STORE_RQ,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    MESSAGE_ID_BEING_RESPONDED_TO,
    STATUS,
)
from router.standard.uids import CT_IMAGE_STORAGE
from router.wire.pdus import AssociateRQ
from tests.support.driver_pair import accept_all
from tests.support.raw_peer import (
    ECHO_CONTEXT,
    RELEASE_RP,
    RELEASE_RQ,
    STORE_CONTEXT,
    RawAcceptor,
    RawPeer,
    abort_pdu,
    associate_rq,
    command,
    dataset_of,
    echo_rq,
    pdata,
    pdv,
    raw_acceptor,
    raw_peer,
    store,
    store_rq,
)
from tests.support.scripted_scp import Peer, ScriptedAcceptor, run, scripted_acceptor, until

DEADLINES = Deadlines(artim_s=30, idle_s=600, progress_s=60, write_s=60)
LATER_S = 1000.0


class StubbornSink(MemorySink):
    """A sink that has no buffer until told."""

    def __init__(self, scp: Scp) -> None:
        super().__init__()
        self._scp = scp

    def next_buffer(self) -> memoryview | None:
        return super().next_buffer() if self._scp.has_room else None


class Scp:
    """An acceptor on the loop; every connection that came is in `connections`, every instance in `stored`."""

    def __init__(self, deadlines: Deadlines, operations_max: int) -> None:
        self.driver = EventLoopDriver(asyncio.get_running_loop())
        self.connections: list[Connection] = []
        self.closed: list[Connection] = []
        self.stored: list[bytes] = []
        self.has_room = True
        self.answers: list[Deferred] | None = None
        self.port = 0
        self._deadlines = deadlines
        self._operations_max = operations_max

    def connect(self) -> Connection:
        """Make the protocol of a new connection."""
        association = Association(Role.ACCEPTOR, Limits(pdu_max_bytes=1 << 20), self._open_sink)
        services = {
            **RESPONDERS_OF_REFUSAL,
            C_ECHO_RQ: partial(c_echo.respond, on_echo=lambda _: Reply(0)),
            C_STORE_RQ: partial(c_store.respond, on_store=self._on_store),
        }
        connection = Connection(self.driver, association, services, self._deadlines, self.closed.append)
        connection.start(self._serve(association))
        self.connections.append(connection)
        return connection

    def _open_sink(
        self, association: Association, context: AcceptedContext, command_set: CommandSet
    ) -> DatasetSink:
        return StubbornSink(self)

    def _on_store(self, message: MessageReceived) -> Any:
        assert isinstance(message.dataset, bytes)
        self.stored.append(message.dataset)
        if self.answers is None:
            return Reply(0)
        self.answers.append(Deferred())
        return self.answers[-1]

    def _serve(self, association: Association) -> Procedure[None]:
        def decide(rq: AssociateRQ) -> establish.Acceptance:
            answer = accept_all(rq)
            return establish.Acceptance(answer.ac, answer.contexts, self._operations_max)

        if (yield from establish.respond(association, decide)):
            yield from release.respond(association)


@asynccontextmanager
async def scp(deadlines: Deadlines = DEADLINES, operations_max: int = 1) -> AsyncIterator[Scp]:
    """Run an acceptor; at the end no connection may be left that is not closed."""
    one = Scp(deadlines, operations_max)
    server = await asyncio.get_running_loop().create_server(one.connect, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
    await until(lambda: not one.driver.connections)
    assert len(one.closed) == len(one.connections)
    assert all(not connection.conversation.tasks for connection in one.connections)
    assert all(connection.association.state is State.STA1 for connection in one.connections)


def requestor(driver: EventLoopDriver, deadlines: Deadlines = DEADLINES) -> Connection:
    association = Association(Role.REQUESTOR, Limits())
    return Connection(driver, association, RESPONDERS_OF_REFUSAL, deadlines)


async def open_to(acceptor: ScriptedAcceptor | RawAcceptor, deadlines: Deadlines = DEADLINES) -> Connection:
    """Open an association to a scripted acceptor; its ticker stands still."""
    driver = EventLoopDriver(asyncio.get_running_loop())
    connection = requestor(driver, deadlines)
    procedure = establish.request(connection.association, associate_rq(), 10)
    await driver.open(connection, procedure, "127.0.0.1", acceptor.port, 5)
    connection.start(release.respond(connection.association))
    return connection


def store_request(
    connection: Connection, dataset: Any, message_id: int = 1, dimse_s: float | None = 10.0
) -> Procedure[MessageReceived]:
    instance = c_store.Instance(CT_IMAGE_STORAGE, f"1.2.{message_id}", dataset)
    return c_store.request(connection.association, STORE_CONTEXT, message_id, instance, dimse_s)


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
            received = one.connections[0].bytes_received
            one.connections[0].advance()
            assert one.connections[0].association.blocked
            one.has_room = True
            one.connections[0].advance()
            await sending
            assert [(await peer.read_response())[STATUS] for _ in range(2)] == [0, 0]
            assert one.stored == [dataset_of(payload=payload), dataset_of(payload=b"x" * 8)]
            assert received < len(payload)

    run(test())


def test_time_in_which_we_did_not_read_is_not_the_peers_silence() -> None:
    async def test() -> None:
        async with scp() as one, raw_peer(one.port) as peer:
            await peer.associate()
            one.has_room = False
            whole = store(1, payload=b"ab" * 100)
            await peer.send(whole[:-50])
            await until(lambda: one.connections[0].association.blocked)
            connection = one.connections[0]
            connection.last_byte_at -= LATER_S
            connection.check_deadlines(monotonic())
            one.has_room = True
            connection.advance()
            connection.check_deadlines(monotonic())
            await peer.send(whole[-50:])
            assert (await peer.read_response())[STATUS] == 0

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


def test_artim_bounds_the_time_to_the_request_in_total() -> None:
    async def test() -> None:
        async with scp() as one, raw_peer(one.port) as peer:
            await until(lambda: one.connections)
            begun = monotonic()
            for octet in b"\x01\x00\x00\x00\x00\xff\x00":
                await peer.send(bytes([octet]))
            await until(lambda: one.connections[0].bytes_received == 7)
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
                await until(lambda: one.connections and one.connections[0].bytes_received == len(octets))
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


# As requestor


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
            before = connection.bytes_received
            early = {COMMAND_FIELD: 0x8001, MESSAGE_ID_BEING_RESPONDED_TO: 1, COMMAND_DATA_SET_TYPE: 0x0101}
            await peer.send(command(STORE_CONTEXT, {**early, STATUS: 0xA700}))
            await until(lambda: connection.bytes_received > before)
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
            procedure = establish.request(connection.association, associate_rq(), 10)
            opening = asyncio.ensure_future(driver.open(connection, procedure, "127.0.0.1", acceptor.port, 5))
            await until(lambda: acceptor.peers and acceptor.peers[0].rq)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            await until(lambda: not acceptor.open)
            assert acceptor.peers[0].last_pdu == abort_pdu(0, 0)
            await until(lambda: not driver.connections)

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
            procedure = establish.request(connection.association, associate_rq(), 10)
            opening = asyncio.ensure_future(driver.open(connection, procedure, "127.0.0.1", acceptor.port, 5))
            begun = monotonic()
            await until(lambda: connection.bytes_received == 8)
            connection.check_deadlines(begun + 9)
            assert not opening.done()
            connection.check_deadlines(monotonic() + 10.1)
            with pytest.raises(DeadlineExceeded):
                await opening
            await until(lambda: not acceptor.open)

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
            procedure = establish.request(connection.association, associate_rq(), 10)
            await driver.open(connection, procedure, "127.0.0.1", acceptor.port, 5)
            await until(lambda: connection.association.state is State.STA8)
            await connection.run(release.respond(connection.association))
            await until(lambda: not acceptor.open)
            assert acceptor.peers[0].last_pdu == RELEASE_RP

    run(test())


def test_fragments_of_a_command_and_a_dataset_may_come_in_one_pdu() -> None:
    async def test() -> None:
        async with scp() as one, raw_peer(one.port) as peer:
            await peer.associate()
            whole = command(STORE_CONTEXT, store_rq())[6:]
            await peer.send(pdata(whole, pdv(STORE_CONTEXT, 0, b"ab"), pdv(STORE_CONTEXT, 2, b"cd")))
            assert (await peer.read_response())[STATUS] == 0
            assert one.stored == [b"abcd"]

    run(test())
