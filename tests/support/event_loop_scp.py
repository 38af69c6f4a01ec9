"""An acceptor and a requestor on one event loop, with deadlines of the test's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from router.drivers.connection import Connection
from router.drivers.event_loop import EventLoopDriver
from router.drivers.patience import Deadlines
from router.protocol.association import Association, Limits
from router.protocol.indications import MessageReceived
from router.protocol.messages import CommandSet, DatasetSink, MemorySink
from router.protocol.negotiation import AcceptedContext
from router.protocol.states import State
from router.protocol.upper_layer import Role
from router.services import c_echo, c_store, establish, release
from router.services.reply import RESPONDERS_OF_REFUSAL, Reply
from router.services.steps import Deferred, Procedure
from router.standard.dimse_fields import (
    C_ECHO_RQ,
    C_STORE_RQ,
)
from router.wire.pdus import AssociateRQ
from tests.support.driver_pair import accept_all
from tests.support.raw_peer import associate_rq
from tests.support.scripted_scp import until

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


async def open_association(driver: EventLoopDriver, connection: Connection, port: int) -> None:
    """Connect and negotiate, with an ACSE deadline of 10 s; raises as driver.open does."""
    procedure = establish.request(connection.association, associate_rq(), 10)
    await driver.open(connection, procedure, "127.0.0.1", port, 5)
