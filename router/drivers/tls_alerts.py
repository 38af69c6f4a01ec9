"""Tell a peer why its handshake failed: the alert that the event loop would throw away with the connection.

OpenSSL leaves the alert in the outgoing buffer when a handshake fails; uvloop closes the connection without
sending it, and the administrator at the other end sees a reset instead of "unknown CA". What a handshake is
about is known by its context (contextvars): the task that opens the connection says which socket it is.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

HANDSHAKE_SOCKET: ContextVar[socket.socket | None] = ContextVar("HANDSHAKE_SOCKET", default=None)
"""The socket of the connection that this context opens."""


class AlertingContext(ssl.SSLContext):
    """A context whose failed handshakes send their alert."""

    def __new__(cls, protocol: int) -> AlertingContext:
        made: AlertingContext = super().__new__(cls, protocol)
        made.sslobject_class = AlertingObject
        return made

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **options: Any) -> ssl.SSLObject:  # type: ignore[override]
        made = super().wrap_bio(incoming, outgoing, **options)
        assert isinstance(made, AlertingObject)
        made.outgoing = outgoing
        return made


class AlertingObject(ssl.SSLObject):
    """The TLS of one connection."""

    outgoing: ssl.MemoryBIO | None = None

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            sock = HANDSHAKE_SOCKET.get()
            if sock is not None and self.outgoing is not None:
                with suppress(OSError):
                    sock.send(self.outgoing.read())  # a few octets, before a connection that has sent little
            raise
