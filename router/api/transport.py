"""Servers: listen, and make an association of every connection. No thread waits for any of them."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from router._globals import MODE_ACCEPTOR
from router.api import events as evt
from router.api import pydicom_loading
from router.api.acceptance import accept
from router.api.acse import AssociationSocket
from router.api.address import AddressInformation
from router.api.association import Association
from router.api.presentation import PresentationContext
from router.api.server_state import ServerState
from router.drivers.blocking import BlockingConnection
from router.drivers.listener import BACKLOG, Listener
from router.drivers.reactor import reactor
from router.drivers.tls import PlainTransport, TlsTransport, Transport
from router.services.steps import Call

if TYPE_CHECKING:
    from router.api.ae import ApplicationEntity

LOGGER = logging.getLogger("router.transport")

SHUTDOWN_POLL_S = 0.5


class AssociationServer(ServerState):
    """Listen on an address for one AE. Made by AE.make_server() or AE.start_server().

    The socket is bound from the start, so that server_address tells the real port; serve_forever() or start()
    begin to accept. Handlers bound here are those of every association, also of those that are open already.
    """

    request_queue_size = BACKLOG
    allow_reuse_address = True

    def __init__(
        self,
        ae: ApplicationEntity,
        address: tuple[str, int] | tuple[str, int, int, int],
        ae_title: str,
        contexts: list[PresentationContext],
        ssl_context: ssl.SSLContext | None = None,
        evt_handlers: list[evt.EventHandlerType] | None = None,
        request_handler: Callable[..., Association] | None = None,
    ) -> None:
        super().__init__(ae, address, ae_title, contexts, ssl_context, evt.Handlers(evt_handlers))
        self.ae = ae
        self._request_handler = request_handler
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.socket = self._bind_socket()
        self.server_address: Any = self.socket.getsockname()
        self._listener = Listener(self.socket, reactor(), self._take)
        self._is_started = False

    @property
    def active_associations(self) -> list[Association]:
        """The associations that are open, from their request on."""
        return list(self._active)

    @property
    def connections_accepted(self) -> int:
        """How many TCP connections were taken, whatever became of them."""
        return self._listener.accepted

    def start(self) -> None:
        """Begin to accept; no thread is needed. pydicom is loaded before, if it was not yet."""
        pydicom_loading.load()
        with self._lock:
            if not self._is_started and not self._stopped.is_set():
                self._is_started = True
                self._listener.start()

    def serve_forever(self, poll_interval: float = SHUTDOWN_POLL_S) -> None:
        """Accept until shutdown() is called; poll_interval has no meaning here."""
        self.start()
        self._stopped.wait()

    def shutdown(self) -> None:
        """Accept no more and close the listening socket. Open associations go on."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._stopped.set()
            self._listener.stop()
            self.socket.close()
        self.ae._forget_server(self)

    def server_close(self) -> None:
        """Close the listening socket."""
        self.shutdown()

    def drain(self, timeout: float | None = None) -> bool:
        """Accept no more and wait until every open association has ended; False if the time was too short."""
        self.shutdown()
        deadline = None if timeout is None else datetime.now().timestamp() + timeout
        for assoc in self.active_associations:
            left = None if deadline is None else max(0.0, deadline - datetime.now().timestamp())
            assoc.join(left)
        return not self._active

    def fileno(self) -> int:
        """Return the listening socket's descriptor."""
        return self.socket.fileno()

    def __enter__(self) -> AssociationServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    # Inside

    def _bind_socket(self) -> socket.socket:
        family = self.address_info.address_family
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(self.address_info.as_tuple)
            sock.listen(self.request_queue_size)
        except BaseException:
            sock.close()
            raise
        return sock

    def _take(self, sock: socket.socket, address: Any) -> None:
        """Make an association of a connection; in the thread that accepts, so without the user's code."""
        transport: Transport
        if self.ssl_context is None:
            transport = PlainTransport(sock)
        else:
            transport = TlsTransport(sock, self.ssl_context, server_side=True)
        assoc = Association(self.ae, MODE_ACCEPTOR)
        self._prepare(assoc)
        connection = assoc._attach(transport, address)
        self._open.add(assoc)
        connection.begin(partial(self._begin, assoc))

    def _begin(self, assoc: Association, connection: BlockingConnection) -> None:
        assoc._notify(evt.EVT_CONN_OPEN, {"address": assoc._peer_address})
        assoc._watch_task = connection.start(accept(assoc))


class ThreadedAssociationServer(AssociationServer):
    """What start_server(block=False) returns; it serves without blocking, like any of our servers."""


class RequestHandler:
    """Kept for programs that name it: connections become associations in AssociationServer itself."""


__all__ = [
    "AddressInformation",
    "AssociationServer",
    "AssociationSocket",
    "Call",
    "RequestHandler",
    "ThreadedAssociationServer",
]
