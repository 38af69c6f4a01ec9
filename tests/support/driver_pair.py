"""Two ends of the blocking driver on real sockets: a server that echoes and stores, and a requestor."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from router.drivers.blocking import BlockingConnection
from router.drivers.channel import ConnectionTimeouts
from router.drivers.connect import TlsChoice, open_transport
from router.drivers.listener import Listener
from router.drivers.reactor import Reactor
from router.drivers.tls import PlainTransport, TlsTransport
from router.errors import AssociationAborted
from router.protocol.association import Association, Limits
from router.protocol.indications import MessageReceived
from router.protocol.negotiation import AnyStorage, Roles, negotiate_as_acceptor
from router.protocol.upper_layer import Role
from router.services import c_echo, c_store, establish, release
from router.services.establish import Acceptance
from router.services.reply import RESPONDERS_OF_REFUSAL, Reply
from router.services.steps import Procedure
from router.standard.dimse_fields import C_ECHO_RQ, C_STORE_RQ
from router.standard.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN
from router.standard.uids import (
    CT_IMAGE_STORAGE,
    DICOM_APPLICATION_CONTEXT,
    IMPLEMENTATION_CLASS_UID,
    VERIFICATION,
)
from router.wire.pdus import AssociateAC, AssociateRQ, ProposedContext
from router.wire.user_information import RoleSelection, UserInformation

ECHO_CONTEXT, STORE_CONTEXT = 1, 3

RQ = AssociateRQ(
    "SCP",
    "SCU",
    (
        ProposedContext(ECHO_CONTEXT, VERIFICATION, (IMPLICIT_VR_LITTLE_ENDIAN,)),
        ProposedContext(STORE_CONTEXT, CT_IMAGE_STORAGE, (IMPLICIT_VR_LITTLE_ENDIAN,)),
    ),
    UserInformation(
        maximum_length=16382,
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        role_selections=(RoleSelection(CT_IMAGE_STORAGE, True, True),),
    ),
)


def accept_all(rq: AssociateRQ) -> Acceptance:
    """Accept every storage class and verification."""
    outcome = negotiate_as_acceptor(rq, AnyStorage(roles=Roles(True, True)))
    ac = AssociateAC(
        rq.called_ae_title,
        rq.calling_ae_title,
        outcome.results,
        UserInformation(
            maximum_length=16382,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            role_selections=outcome.role_selections,
        ),
        DICOM_APPLICATION_CONTEXT,
        1,
    )
    return Acceptance(ac, outcome.accepted)


class Server:
    """Accept associations; handlers run where the driver says. `wait_for` waits for a condition."""

    def __init__(self, reactor: Reactor, tls: ssl.SSLContext | None, timeouts: ConnectionTimeouts) -> None:
        self.reactor = reactor
        self.timeouts = timeouts
        self.connections: list[BlockingConnection] = []
        self.closed: list[BlockingConnection] = []
        self.on_store: Callable[[MessageReceived], Reply] = lambda message: Reply(0)
        self.on_echo: Callable[[MessageReceived], Reply] = lambda message: Reply(0)
        self.released = 0
        self._changed = threading.Condition()
        self._tls = tls
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self.sock.getsockname()[1]
        self.listener = Listener(self.sock, reactor, self._take)
        self.listener.start()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Wait until the condition holds; checked whenever a connection begins or ends."""
        with self._changed:
            assert self._changed.wait_for(condition, timeout_s)

    def _take(self, sock: socket.socket, address: Any) -> None:
        transport = TlsTransport(sock, self._tls, server_side=True) if self._tls else PlainTransport(sock)
        association = Association(Role.ACCEPTOR, Limits(pdu_max_bytes=16382))
        connection: BlockingConnection

        def serve_store(association: Association, message: MessageReceived) -> Procedure[None]:
            return c_store.respond(
                association, message, lambda m: connection.invoke(lambda: self.on_store(m))
            )

        def serve_echo(association: Association, message: MessageReceived) -> Procedure[None]:
            return c_echo.respond(association, message, lambda m: connection.invoke(lambda: self.on_echo(m)))

        services = {C_STORE_RQ: serve_store, C_ECHO_RQ: serve_echo, **RESPONDERS_OF_REFUSAL}
        connection = BlockingConnection(association, services, transport, self.reactor, self.timeouts)
        connection.on_closed = lambda: self._end(connection)
        connection.begin(self._begin)

    def _begin(self, connection: BlockingConnection) -> None:
        with self._changed:
            self.connections.append(connection)
            self._changed.notify_all()
        connection.start(self._serve(connection))

    def _serve(self, connection: BlockingConnection) -> Procedure[None]:
        try:
            if (yield from establish.respond(connection.association, accept_all)):
                yield from release.respond(connection.association)
                self.released += 1
        except AssociationAborted:
            pass

    def _end(self, connection: BlockingConnection) -> None:
        with self._changed:
            self.closed.append(connection)
            self._changed.notify_all()

    def close(self) -> None:
        """Stop listening and abort what is left."""
        self.listener.stop()
        self.sock.close()
        for connection in self.connections:
            connection.abort()


@contextmanager
def serving(
    tls: ssl.SSLContext | None = None, timeouts: ConnectionTimeouts | None = None
) -> Iterator[Server]:
    """Run a server on a reactor of its own."""
    server = Server(Reactor(), tls, timeouts or ConnectionTimeouts())
    try:
        yield server
    finally:
        server.close()


def associate(
    port: int,
    reactor: Reactor,
    *,
    tls: TlsChoice | None = None,
    timeouts: ConnectionTimeouts | None = None,
    host: str = "127.0.0.1",
    services: Any = None,
) -> BlockingConnection:
    """Open an association with the server, ready for messages, watched while idle."""
    transport = open_transport(host, port, 5.0, tls=tls, tls_s=5.0)
    association = Association(Role.REQUESTOR, Limits(pdu_max_bytes=16382))
    connection = BlockingConnection(
        association, services or RESPONDERS_OF_REFUSAL, transport, reactor, timeouts or ConnectionTimeouts()
    )
    connection.run(establish.request(association, RQ, 10.0))
    connection.start(release.respond(association))
    return connection


def echo(connection: BlockingConnection, message_id: int = 1, dimse_s: float | None = 10.0) -> int:
    """Send C-ECHO; return the status."""
    response = connection.run(
        c_echo.request(connection.association, ECHO_CONTEXT, message_id, dimse_s), message_id
    )
    status: int = response.command[0x0900]
    return status


def store(
    connection: BlockingConnection, dataset: bytes, message_id: int = 1, dimse_s: float | None = 10.0
) -> int:
    """Send C-STORE; return the status."""
    instance = c_store.Instance(CT_IMAGE_STORAGE, f"1.2.3.{message_id}", (dataset,))
    request = c_store.request(connection.association, STORE_CONTEXT, message_id, instance, dimse_s)
    status: int = connection.run(request, message_id).command[0x0900]
    return status
