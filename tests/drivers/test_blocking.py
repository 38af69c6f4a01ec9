"""The blocking driver over real sockets: our own other half, and raw sockets that misbehave."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from router.drivers.blocking import BlockingConnection
from router.drivers.channel import ConnectionTimeouts
from router.drivers.procedure_iterator import ProcedureIterator
from router.drivers.reactor import Reactor
from router.drivers.tls import PlainTransport
from router.errors import AssociationAborted, DeadlineExceeded
from router.protocol.association import Association, Limits
from router.protocol.indications import MessageReceived
from router.protocol.upper_layer import Role
from router.services import c_echo, c_store, release
from router.services.reply import RESPONDERS_OF_REFUSAL, Reply, send_reply
from router.services.steps import Emit, NextIndication, Procedure
from router.standard.dimse_fields import C_STORE_RQ
from router.wire.pdus import Abort, ReleaseRQ, encode_pdu
from tests.support.driver_pair import ECHO_CONTEXT, RQ, Server, associate, echo, serving, store
from tests.support.raw_acceptor import raw_acceptor


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def test_run_returns_the_result_of_a_procedure(server: Server) -> None:
    connection = associate(server.port, server.reactor)
    assert echo(connection) == 0
    assert store(connection, bytes(3_000_001), 2) == 0
    connection.run(release.request(connection.association, 5.0))
    server.wait_for(lambda: len(server.closed) == 1)
    assert server.released == 1
    assert connection.wait_closed(5.0)


def test_what_arrives_before_a_connection_begins_is_not_read_until_it_does() -> None:
    # Another thread leads by now, as when the one that accepts is held up by a full table of descriptors.
    reactor, begun, looked = Reactor(), threading.Event(), threading.Event()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with closing(theirs):
        association = Association(Role.ACCEPTOR, Limits(pdu_max_bytes=16382))
        connection = BlockingConnection(
            association, RESPONDERS_OF_REFUSAL, PlainTransport(ours), reactor, ConnectionTimeouts()
        )
        theirs.sendall(encode_pdu(RQ))
        connection.set_tap(None)
        with socket.socket(type=socket.SOCK_DGRAM) as bell:
            bell.bind(("127.0.0.1", 0))
            bell.sendto(b"!", bell.getsockname())
            reactor.add_callback(bell.fileno(), looked.set)
            assert looked.wait(20)  # whatever was to be reported has been
            reactor.remove_callback(bell.fileno())
        assert connection.bytes_received == 0
        connection.begin(lambda connection: begun.set())
        assert begun.wait(20)
        connection.close()


def test_handlers_run_in_handler_threads_and_their_errors_become_failures(server: Server) -> None:
    names: list[str] = []

    def fail(message: MessageReceived) -> Reply:
        names.append(threading.current_thread().name)
        raise RuntimeError("no")

    server.on_store = fail
    connection = associate(server.port, server.reactor)
    assert store(connection, b"12") == 0x0110
    assert names == ["dicom-handler"]
    assert echo(connection) == 0
    connection.abort()


def test_of_twenty_thousand_stores_on_one_association_no_response_is_lost(server: Server) -> None:
    """How long the longest takes is measured by benchmarks/library_limits.py."""
    connection = associate(server.port, server.reactor)
    for number in range(20_000):
        assert store(connection, b"\x00" * 200, number % 65535 + 1, dimse_s=10.0) == 0
    connection.abort()


def test_both_sides_may_send_at_once_without_a_deadlock(server: Server) -> None:
    received: list[int] = []

    def take(association: Association, message: MessageReceived) -> Procedure[None]:
        def count(message: MessageReceived) -> Reply:
            assert isinstance(message.dataset, bytes)
            received.append(len(message.dataset))
            return Reply(0)

        return c_store.respond(association, message, count)

    connection = associate(server.port, server.reactor, services={C_STORE_RQ: take, **RESPONDERS_OF_REFUSAL})
    size = 24 << 20
    answers: list[int] = []
    back = threading.Thread(target=lambda: answers.append(store(server.connections[0], bytes(size))))
    back.start()
    assert store(connection, bytes(size)) == 0
    back.join(30)
    assert answers == [0]
    assert received == [size]
    connection.abort()


def test_a_deadline_fires_when_the_peer_does_not_answer() -> None:
    with raw_acceptor() as peer:
        connection = associate(peer.port, Reactor())
        with pytest.raises(DeadlineExceeded):
            echo(connection, dimse_s=0.05)
        connection.abort()
        assert peer.read_until(encode_pdu(Abort(0, 0)))


def test_an_idle_association_notices_that_the_peer_aborts() -> None:
    with raw_acceptor() as peer:
        connection = associate(peer.port, Reactor())
        gone = threading.Event()
        connection.on_closed = gone.set
        peer.send(encode_pdu(Abort(0, 0)))
        assert gone.wait(10)
        with pytest.raises(AssociationAborted):
            echo(connection)


def test_an_idle_association_confirms_the_release_of_its_peer() -> None:
    with raw_acceptor() as peer:
        connection = associate(peer.port, Reactor())
        peer.send(encode_pdu(ReleaseRQ()))
        assert peer.read_until(b"\x06\x00\x00\x00\x00\x04")
        peer.close()
        assert connection.wait_closed(10)


def test_a_lost_connection_ends_the_procedure_that_waits() -> None:
    with raw_acceptor() as peer:
        connection = associate(peer.port, Reactor())
        threading.Timer(0.05, peer.close).start()
        with pytest.raises(AssociationAborted):
            echo(connection)
        assert connection.is_closed


def test_another_thread_can_abort_while_one_waits() -> None:
    with raw_acceptor() as peer:
        connection = associate(peer.port, Reactor())
        threading.Timer(0.05, connection.abort).start()
        with pytest.raises(AssociationAborted):
            echo(connection, dimse_s=None)


def test_an_abort_is_noticed_while_a_handler_runs(server: Server) -> None:
    entered, checked = threading.Event(), threading.Event()
    seen: list[bool] = []

    def wait_for_the_end(message: MessageReceived) -> Reply:
        entered.set()
        seen.append(server.connections[0].wait_closed(10))
        checked.set()
        return Reply(0)

    server.on_echo = wait_for_the_end
    connection = associate(server.port, server.reactor)
    connection.start(c_echo.request(connection.association, ECHO_CONTEXT, 1, None), 1)
    assert entered.wait(10)
    connection.abort()
    assert checked.wait(10)
    assert seen == [True]


def test_a_handler_may_use_its_own_association(server: Server) -> None:
    def echo_back(message: MessageReceived) -> Reply:
        return Reply(echo(server.connections[0], 77))

    server.on_store = echo_back

    def answer(association: Association, message: MessageReceived) -> Procedure[None]:
        return c_echo.respond(association, message, lambda _: Reply(0x0001))

    services = {0x0030: answer, **RESPONDERS_OF_REFUSAL}
    connection = associate(server.port, server.reactor, services=services)
    assert store(connection, b"12") == 0x0001
    connection.abort()


def test_threads_take_turns_on_one_association(server: Server) -> None:
    connection = associate(server.port, server.reactor)
    statuses: list[int] = []

    def many(first: int) -> None:
        statuses.extend(echo(connection, number) for number in range(first, first + 50))

    threads = [threading.Thread(target=many, args=(first,)) for first in (1, 1001, 2001, 3001)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert statuses == [0] * 200
    connection.abort()


def three_answers(connection: BlockingConnection, message_id: int) -> Procedure[str]:
    request = c_echo.request(connection.association, ECHO_CONTEXT, message_id, 5.0)
    response = yield next(request)
    while response.command[0x0900] == 0xFF00:
        yield Emit(response.command[0x0900])
        response = yield NextIndication(5.0, message_id)
    return "end"


def answer_thrice(association: Association, message: MessageReceived) -> Procedure[None]:
    for status in (0xFF00, 0xFF00, 0xFF00, 0):
        send_reply(association, message, Reply(status))
    return
    yield


def test_iterate_hands_out_what_is_emitted_and_may_be_left_early(server: Server) -> None:
    services = {0x0030: answer_thrice, **RESPONDERS_OF_REFUSAL}
    connection = associate(server.port, server.reactor)
    server.connections[0].conversation.services = services
    assert list(ProcedureIterator(connection, three_answers(connection, 5), 5)) == [0xFF00] * 3
    left = ProcedureIterator(connection, three_answers(connection, 6), 6)
    abandoned: list[bool] = []
    left.on_abandoned = lambda: abandoned.append(True)
    assert next(left) == 0xFF00
    del left
    gc.collect()
    assert abandoned == [True]
    server.connections[0].conversation.services = {
        0x0030: lambda a, m: c_echo.respond(a, m, lambda _: Reply(0)),
        **RESPONDERS_OF_REFUSAL,
    }
    assert echo(connection, 7) == 0
    connection.abort()


def test_an_idle_connection_is_aborted_after_its_time_or_does_what_it_is_told(server: Server) -> None:
    connection = associate(server.port, server.reactor, timeouts=ConnectionTimeouts(idle_s=0.05))
    assert connection.wait_closed(10)
    told = associate(server.port, server.reactor, timeouts=ConnectionTimeouts(idle_s=0.05))
    idle = threading.Event()
    told.on_idle = idle.set
    assert idle.wait(10)
    told.abort()


def test_a_peer_that_stops_in_the_middle_of_a_message_is_aborted() -> None:
    with serving(timeouts=ConnectionTimeouts(artim_s=0.2, idle_s=0.05)) as server:
        connection = associate(server.port, server.reactor, timeouts=ConnectionTimeouts(idle_s=None))

        def stall() -> Iterator[bytes]:
            yield bytes(1 << 20)
            yield bytes(2)
            server.wait_for(lambda: len(server.closed) == 1)

        instance = c_store.Instance("1.2.840.10008.5.1.4.1.1.2", "1.2.3", stall())
        with pytest.raises(AssociationAborted):
            connection.run(c_store.request(connection.association, 3, 1, instance, 5.0), 1)


def test_a_dataset_that_cannot_be_read_aborts_and_tells(server: Server) -> None:
    connection = associate(server.port, server.reactor)

    def fail() -> Iterator[bytes]:
        yield bytes(20_000)
        raise OSError("gone")

    instance = c_store.Instance("1.2.840.10008.5.1.4.1.1.2", "1.2.3", fail())
    with pytest.raises(AssociationAborted, match="could not be read: OSError"):
        connection.run(c_store.request(connection.association, 3, 1, instance, 5.0), 1)


def test_no_request_within_artim_closes_the_connection() -> None:
    with (
        serving(timeouts=ConnectionTimeouts(artim_s=0.05)) as server,
        closing(socket.create_connection(("127.0.0.1", server.port))) as silent,
    ):
        silent.settimeout(10)
        assert silent.recv(1) == b""


@pytest.mark.parametrize("stray", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100, b"\xff"])
def test_stray_bytes_are_answered_and_leave_nothing(server: Server, stray: bytes) -> None:
    with closing(socket.create_connection(("127.0.0.1", server.port))) as client:
        client.settimeout(10)
        client.sendall(stray)
        assert client.recv(100)[:1] in (b"", b"\x07")
    server.wait_for(lambda: len(server.closed) == 1)
    assert server.listener.accepted == 1


def test_two_thousand_idle_associations_cost_no_thread_and_little_memory() -> None:
    from tests.support.many_associations import open_many

    with serving(timeouts=ConnectionTimeouts(idle_s=None)) as server:
        outcome = open_many(server, 2000)
        assert outcome.established == 2000
        assert outcome.resident_bytes < 400 << 20
        assert outcome.threads < 64
