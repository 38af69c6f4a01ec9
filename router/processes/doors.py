"""The doors of an acceptor: its listening sockets, and what it does before there is an association.

Who connects is admitted at once; the TLS handshake goes on beside everything else. What is pending is
bounded and fair among addresses (pending.py). A handshake that fails, or a flood that is cut, costs a count
and a log line within its peer's limit.
"""

from __future__ import annotations

import logging
import socket
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from router.config.schema import Config
from router.config.sources import Credentials
from router.drivers.certificates import credentials_of
from router.drivers.connection import Connection
from router.drivers.door import Door, TlsTerms
from router.drivers.tls_context import handshake_outcome, listener_context
from router.processes.admission import Applicant
from router.processes.incoming import Incoming
from router.processes.pending import Pending, group_of

if TYPE_CHECKING:
    from router.processes.acceptor import Acceptor

logger = logging.getLogger(__name__)


class Doors:
    """All doors of one acceptor, and the connections on their way to an association."""

    def __init__(self, acceptor: Acceptor) -> None:
        config = acceptor.config
        self._acceptor = acceptor
        self._pending: Pending[Incoming] = Pending(
            config.router.pending_max, acceptor.admission.sources.may_know
        )
        self._opening: dict[Connection, tuple[Incoming, socket.socket]] = {}
        self._open_by_address: Counter[str] = Counter()
        self._doors = [self._door(socket.socket(fileno=fd)) for fd in acceptor.child.fds("listener")]
        self._tls_socket = next((socket.socket(fileno=fd) for fd in acceptor.child.fds("tls_listener")), None)
        self._tls: Door | None = None
        self._is_open = False

    def open(self) -> None:
        """Begin to accept. A door whose certificates cannot be used stays shut until a reload brings others:
        the plain one must go on, and TLS is never left out."""
        self._is_open = True
        for door in self._doors:
            door.open()
        try:
            self._open_tls(self._acceptor.config)
        except OSError as error:
            logger.error('tls_listener=closed why="%s"', error)

    def close(self) -> None:
        """Accept no more; what is open stays."""
        self._is_open = False
        for door in self._doors:
            door.close()

    def reload(self, config: Config) -> None:
        """Take over a configuration for the connections to come. Raises OSError and changes nothing."""
        self._open_tls(config)
        self._pending.pending_max = config.router.pending_max
        self._pending.may_know = self._acceptor.admission.sources.may_know

    @property
    def pending(self) -> int:
        """Connections without an association."""
        return len(self._pending)

    def applicant(self, incoming: Incoming) -> Applicant:
        """Return what is known of who asks for an association."""
        tls = incoming.connection.tls
        credentials: Credentials | None = None if tls is None else credentials_of(tls)
        address = incoming.connection.peer_address[0]
        return Applicant(address, credentials, self._open_by_address[group_of(address)])

    def associated(self, incoming: Incoming) -> None:
        """Take note that an association was accepted."""
        self._pending.discard(incoming)
        self._open_by_address[group_of(incoming.address)] += 1

    def gone(self, incoming: Incoming) -> None:
        """Take note that a connection is closed."""
        self._pending.discard(incoming)
        if incoming.admitted is not None:
            key = group_of(incoming.address)
            self._open_by_address[key] -= 1
            if not self._open_by_address[key]:
                del self._open_by_address[key]

    def _open_tls(self, config: Config) -> None:
        """Open the door for TLS, or give it the certificates as they are now. Raises OSError."""
        if config.listener.tls is None or self._tls_socket is None or not self._is_open:
            return
        terms = TlsTerms(listener_context(config.listener.tls), config.listener.tls.handshake_s)
        if self._tls is not None:
            self._tls.tls = terms
            return
        self._tls = self._door(self._tls_socket, terms)
        self._doors.append(self._tls)
        self._tls.open()

    def _door(self, listening: socket.socket, terms: TlsTerms | None = None) -> Door:
        return Door(
            self._acceptor.loop,
            listening,
            self._admit,
            tls=terms,
            on_handshake=self._opened,
            on_turned_away=lambda: self._acceptor.counters.turned_away("descriptors"),
        )

    def _admit(self, address: tuple[Any, ...], sock: socket.socket) -> Connection:
        incoming = self._acceptor.new_incoming()
        incoming.address = address[0]
        self._opening[incoming.connection] = incoming, sock
        victim = self._pending.add(incoming, incoming.address)
        if victim is not None:
            self._turn_away(victim)
        return incoming.connection

    def _turn_away(self, victim: Incoming) -> None:
        acceptor = self._acceptor
        acceptor.counters.turned_away("pending")
        acceptor.say(victim.address, f'connection=closed peer={victim.address} why="too many are pending"')
        opening = self._opening.get(victim.connection)
        if opening is None:
            victim.connection.close_now()
        else:
            with suppress(OSError):
                opening[1].shutdown(socket.SHUT_RDWR)  # its transport sees the end, and takes itself apart

    def _opened(self, connection: Connection, error: OSError | None) -> None:
        incoming, _ = self._opening.pop(connection)
        if error is None:
            if connection.tls is not None:
                self._acceptor.counters.handshake("done")
            return
        incoming.handshake_error = error
        outcome, why = handshake_outcome(error)
        self._acceptor.counters.handshake(outcome)
        self._acceptor.say(
            incoming.address, f'tls=failed peer={incoming.address} cause={outcome} why="{why}"'
        )
