"""Open a transport connection as requestor: every address of a name in turn, with deadlines that hold.

Twice, because a thread waits otherwise than an event loop does: open_transport and connected_socket.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import ssl
from dataclasses import dataclass
from time import monotonic
from typing import Any

from router.drivers.near_peers import NEAR_PEERS
from router.drivers.socket_options import set_connection_options
from router.drivers.tls import PlainTransport, TlsTransport, Transport
from router.errors import DeadlineExceeded


@dataclass(frozen=True, slots=True)
class TlsChoice:
    """TLS for a connection of ours; hostname: what the peer's certificate must say, if the context checks."""

    context: ssl.SSLContext
    hostname: str | None = None


def open_transport(
    host: str,
    port: int,
    connect_s: float | None,
    *,
    bind_address: tuple[Any, ...] | None = None,
    flow_info: int = 0,
    scope_id: int = 0,
    tls: TlsChoice | None = None,
    tls_s: float | None = None,
) -> Transport:
    """Connect, go through the TLS handshake, and return the non-blocking transport.

    connect_s: for the whole attempt, all addresses of the host together; tls_s: for the handshake.
    Raises socket.gaierror for a name that has no address, DeadlineExceeded, OSError (ssl.SSLError is one).
    """
    deadline = None if connect_s is None else monotonic() + connect_s
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError | DeadlineExceeded | None = None
    for family, kind, protocol, _, address in addresses:
        if family == socket.AF_INET6:
            target: Any = (address[0], address[1], flow_info, scope_id or (address[3:4] or (0,))[0])
        else:
            target = address
        sock = socket.socket(family, kind, protocol)
        try:
            _prepare(sock, target, bind_address)
            _connect(sock, target, deadline, connect_s)
            NEAR_PEERS.learn(sock, target[0])
            return _in_tls(sock, tls, tls_s)
        except (OSError, DeadlineExceeded) as error:
            sock.close()
            failure = error
    assert failure is not None
    raise failure


async def connected_socket(host: str, port: int, bind_address: tuple[str, int] | None) -> socket.socket:
    """Connect on the running event loop; return the socket. Raises OSError, socket.gaierror is one."""
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for family, kind, protocol, _, address in await _addresses(loop, host, port):
        sock = socket.socket(family, kind, protocol)
        try:
            _prepare(sock, address, bind_address)
            if not _is_connected(sock, address):
                await _connected(loop, sock)
                _check_connected(sock)
            NEAR_PEERS.learn(sock, address[0])
            return sock
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
    assert failure is not None
    raise failure


def _prepare(sock: socket.socket, target: tuple[Any, ...], bind_address: tuple[Any, ...] | None) -> None:
    """Set what a socket needs before it is connected."""
    sock.setblocking(False)
    set_connection_options(sock)
    NEAR_PEERS.prepare(sock, target[0])
    if bind_address is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(bind_address)


async def _addresses(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[Any]:
    """Return the addresses of a host. One that is written out is not left to uvloop: it forgets the zone."""
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except socket.gaierror:
        return list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))


async def _connected(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    """Wait until it is decided. Not by loop.sock_connect: uvloop's forgets the zone of an address too."""
    decided = loop.create_future()

    def decide() -> None:
        if not decided.done():
            decided.set_result(None)

    loop.add_writer(sock, decide)
    try:
        await decided
    finally:
        loop.remove_writer(sock)


def _connect(
    sock: socket.socket, target: tuple[Any, ...], deadline: float | None, connect_s: float | None
) -> None:
    if not _is_connected(sock, target):
        wait_for(sock, select.POLLOUT, deadline, "connect_s", connect_s)
        _check_connected(sock)


def _is_connected(sock: socket.socket, target: tuple[Any, ...]) -> bool:
    """Begin to connect; True if that is done already. Raises OSError."""
    try:
        sock.connect(target)
    except BlockingIOError:
        return False
    return True


def _check_connected(sock: socket.socket) -> None:
    """Raise the OSError that connecting ended with, if it did."""
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def _in_tls(sock: socket.socket, tls: TlsChoice | None, tls_s: float | None) -> Transport:
    if tls is None:
        return PlainTransport(sock)
    transport = TlsTransport(sock, tls.context, server_side=False, hostname=tls.hostname)
    deadline = None if tls_s is None else monotonic() + tls_s
    try:
        while mask := transport.handshake():
            wait_for(transport.sock, mask, deadline, "tls_s", tls_s)
    except BaseException:
        transport.sock.close()
        raise
    return transport


def wait_for(
    sock: socket.socket, mask: int, deadline: float | None, name: str, timeout_s: float | None
) -> None:
    """Wait until the socket is ready for the poll mask. Raises DeadlineExceeded."""
    poller = select.poll()
    poller.register(sock, mask)
    timeout_ms = None if deadline is None else max(0.0, (deadline - monotonic()) * 1000)
    if not poller.poll(timeout_ms):
        raise DeadlineExceeded(name, timeout_s or 0.0)
