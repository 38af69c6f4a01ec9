"""A door: accept connections on an event loop, with or without TLS; nothing a peer does holds up the next.

The accept loop is our own, because what happens when descriptors run out must be known: a reserved one is
given up for a moment to take a connection and close it, so that its peer is told, and accepting rests
briefly. A TLS handshake is a task of its own with a deadline for all of it; one that fails costs a call.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from router.drivers.connection import Connection
from router.drivers.descriptor_reserve import OUT_OF_DESCRIPTORS, DescriptorReserve
from router.drivers.tls_alerts import HANDSHAKE_SOCKET

ACCEPTS_MAX = 16
"""Connections taken in a row before the loop looks at the others, and other processes get their share."""

PAUSE_S = 0.05
"""How long accepting rests after an error."""

LOG_EVERY_S = 10.0
"""How often the log says that descriptors are used up."""

SHUTDOWN_S = 5.0
"""How long a peer may take to answer close_notify."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsTerms:
    """TLS of a door: the context, and the deadline for a whole handshake."""

    context: ssl.SSLContext
    handshake_s: float


class Door:
    """One listening socket. `tls` may be replaced by another while it is open, never by None; what it says
    counts from the next connection on.

    admit: called with each new peer's address; returns its connection, or None to close it at once. Must not
    block. on_handshake: called with each connection that is open now and None, or with what went wrong before
    its end is told.
    on_turned_away: called for each connection that was closed for want of descriptors.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        admit: Callable[[tuple[Any, ...], socket.socket], Connection | None],
        *,
        tls: TlsTerms | None = None,
        on_handshake: Callable[[Connection, OSError | None], None] = lambda connection, error: None,
        on_turned_away: Callable[[], None] = lambda: None,
    ) -> None:
        self.tls = tls
        self._loop = loop
        self._listening = listening
        self._admit = admit
        self._on_handshake = on_handshake
        self._on_turned_away = on_turned_away
        self._reserve = DescriptorReserve()
        self._opening: set[asyncio.Task[None]] = set()
        self._resting: asyncio.TimerHandle | None = None
        self._said_at = float("-inf")
        self._unsaid = 0
        self._is_open = False
        listening.setblocking(False)

    def open(self) -> None:
        """Begin to accept."""
        self._is_open = True
        self._loop.add_reader(self._listening.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more, and close this process's descriptor of the listening socket."""
        if not self._is_open:
            return
        self._is_open = False
        self._loop.remove_reader(self._listening.fileno())
        if self._resting is not None:
            self._resting.cancel()
        self._reserve.close()
        self._listening.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_MAX):
            try:
                sock, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._refuse(error)
                return
            self._take(sock, address)

    def _take(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        sock.setblocking(False)
        connection = self._admit(address, sock)
        if connection is None:
            sock.close()
            return
        task = self._loop.create_task(self._open_transport(connection, sock))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open_transport(self, connection: Connection, sock: socket.socket) -> None:
        tls, error = self.tls, None
        HANDSHAKE_SOCKET.set(sock)  # in this task's own context
        try:
            if tls is None:
                await self._loop.connect_accepted_socket(lambda: connection, sock)
            else:
                await self._loop.connect_accepted_socket(
                    lambda: connection,
                    sock,
                    ssl=tls.context,
                    ssl_handshake_timeout=tls.handshake_s,
                    ssl_shutdown_timeout=SHUTDOWN_S,
                )
        except OSError as failure:  # ssl.SSLError is one, and so are the time-outs
            error = failure
        if connection.opened_at:
            self._on_handshake(connection, None)
        else:
            sock.close()
            self._on_handshake(connection, error or ConnectionResetError("closed in the handshake"))
            connection.connection_lost(error)

    def _refuse(self, error: OSError) -> None:
        """Out of descriptors, or worse: close one connection if possible, then rest; others get on."""
        if not self._is_open:
            return
        if error.errno in OUT_OF_DESCRIPTORS and self._reserve.turn_away(self._listening):
            self._on_turned_away()
        self._reserve.refill()
        self._say(error)
        self._loop.remove_reader(self._listening.fileno())
        self._resting = self._loop.call_later(PAUSE_S, self.open)

    def _say(self, error: OSError) -> None:
        self._unsaid += 1
        now = self._loop.time()
        if now - self._said_at >= LOG_EVERY_S:
            logger.error('accept=failed times=%d why="%s"', self._unsaid, error.strerror or error)
            self._said_at, self._unsaid = now, 0
