"""Accept connections in the thread that leads; nothing a peer does afterwards can hold up the next one.

When descriptors run out, a reserved one is given up for a moment to take the connection and close it, so that
the peer is told and the listener does not spin.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any

from router.drivers.descriptor_reserve import OUT_OF_DESCRIPTORS, DescriptorReserve
from router.drivers.reactor import Reactor, Timer
from router.drivers.socket_options import set_connection_options

logger = logging.getLogger(__name__)

ACCEPTS_MAX = 64
"""Connections taken in a row before the reactor looks at the others."""

BACKLOG = 1024

PAUSE_S = 0.1
"""How long accepting rests after an error that closing a connection does not cure."""

OnConnection = Callable[[socket.socket, Any], None]


class Listener:
    """One listening socket. on_connection: called with each connected, non-blocking socket; must not block.

    accepted, turned_away: how many connections were taken, and how many closed for want of descriptors.
    """

    def __init__(self, sock: socket.socket, reactor: Reactor, on_connection: OnConnection) -> None:
        self.accepted = 0
        self.turned_away = 0
        self.timer = Timer(self)
        self._sock = sock
        self._reactor = reactor
        self._on_connection = on_connection
        self._reserve = DescriptorReserve()
        self._fd = sock.fileno()
        self._is_closed = False
        sock.setblocking(False)

    def start(self) -> None:
        """Begin to accept."""
        self._reactor.add_callback(self._fd, self._accept)

    def stop(self) -> None:
        """Accept no more; the socket stays open, and is its owner's to close."""
        if self._is_closed:
            return
        self._is_closed = True
        self.timer.target = None
        self._reactor.remove_callback(self._fd)
        self._reserve.close()

    def serve(self) -> None:
        """Go on accepting after a pause."""
        if not self._is_closed:
            self._reactor.pause_callback(self._fd, False)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_MAX):
            try:
                connection, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if self._is_closed:
                    return
                if error.errno not in OUT_OF_DESCRIPTORS or not self._turn_away():
                    self._pause(error)
                    return
                continue
            self.accepted += 1
            connection.setblocking(False)
            set_connection_options(connection)
            try:
                self._on_connection(connection, address)
            except Exception:
                logger.exception("a new connection could not be taken over")
                connection.close()

    def _turn_away(self) -> bool:
        """Close the next connection by the reserved descriptor; False if that is not there either."""
        if not self._reserve.turn_away(self._sock):
            return False
        self.turned_away += 1
        return True

    def _pause(self, error: OSError) -> None:
        logger.error("cannot accept connections for a moment: %s", error)
        self._reserve.refill()
        self._reactor.pause_callback(self._fd, True)
        self._reactor.schedule(self.timer, monotonic() + PAUSE_S)
