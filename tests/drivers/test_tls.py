"""TLS over real sockets: associations inside it, and clients that do not finish their handshake."""

from __future__ import annotations

import contextlib
import socket
import ssl
from contextlib import closing

import pytest

from router.drivers.channel import ConnectionTimeouts
from router.drivers.connect import TlsChoice, open_transport
from router.drivers.tls import TlsTransport
from router.errors import DeadlineExceeded
from tests.support.certificates import client_context, server_context
from tests.support.driver_pair import associate, echo, serving, store


def test_an_association_in_tls_carries_large_datasets() -> None:
    with serving(server_context()) as server:
        choice = TlsChoice(client_context(), "localhost")
        connection = associate(server.port, server.reactor, tls=choice)
        assert isinstance(connection.sock, ssl.SSLSocket)
        assert echo(connection) == 0
        assert store(connection, bytes(5_000_001), 2) == 0
        connection.abort()


def test_a_silent_client_delays_nobody_and_is_closed_in_time() -> None:
    with (
        serving(server_context(), ConnectionTimeouts(artim_s=0.3)) as server,
        closing(socket.create_connection(("127.0.0.1", server.port))) as silent,
    ):
        connection = associate(server.port, server.reactor, tls=TlsChoice(client_context(), "localhost"))
        assert echo(connection) == 0
        connection.abort()
        silent.settimeout(10)
        assert silent.recv(1) == b""


def test_a_plain_client_on_a_tls_port_is_closed() -> None:
    with (
        serving(server_context()) as server,
        closing(socket.create_connection(("127.0.0.1", server.port))) as plain,
    ):
        plain.settimeout(10)
        plain.sendall(b"\x01\x00\x00\x00\x00\x44" + bytes(0x44))
        seen = b""
        with contextlib.suppress(ConnectionResetError):
            while received := plain.recv(100):
                seen += received
        assert not seen.startswith(b"\x02")
        server.wait_for(lambda: len(server.closed) == 1)


def test_a_certificate_nobody_trusts_fails_the_connection() -> None:
    with serving(server_context()) as server, pytest.raises(ssl.SSLCertVerificationError):
        associate(server.port, server.reactor, tls=TlsChoice(ssl.create_default_context(), "localhost"))


def test_a_server_that_never_answers_the_handshake_exceeds_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        tls = TlsChoice(client_context(), "localhost")
        with pytest.raises(DeadlineExceeded):
            open_transport("127.0.0.1", mute.getsockname()[1], 5.0, tls=tls, tls_s=0.05)


def test_a_piece_that_was_not_taken_is_sent_again_unchanged() -> None:
    near, far = socket.socketpair()
    with closing(near), closing(far):
        near.setblocking(False)
        far.setblocking(False)
        server = TlsTransport(far, server_context(), server_side=True)
        client = TlsTransport(near, client_context(), server_side=False, hostname="localhost")
        while client.handshake() | server.handshake():
            pass
        data = bytes(range(256)) * 16384
        received = bytearray()
        window = memoryview(bytearray(100_000))
        left = memoryview(data)
        while len(received) < len(data):
            sent = client.send([left[:100_000], left[100_000:]]) if left else 0
            left = left[sent:]
            while count := server.receive_into(window):
                received += window[:count]
        assert received == data
