"""A server on the event loop: every connection becomes an association; handlers answer what it asks."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from router._globals import MODE_ACCEPTOR
from router.aio.association import Association
from router.aio.connection import LoopConnection, load_pydicom
from router.aio.handlers import LoopHandlers
from router.api import events as evt
from router.api.acceptance import accept
from router.api.server_state import ServerState
from router.drivers.listener import BACKLOG

if TYPE_CHECKING:
    from router.aio.ae import AE
    from router.api.presentation import PresentationContext


class Server(ServerState):
    """Listen on an address for one AE. Made by AE.start_server().

    server_address: where it listens, with the real port, once it is started. As an asynchronous context
    manager it shuts down at the end of the block. Handlers bound here are those of every association, also
    of those that are open already.
    """

    def __init__(
        self,
        ae: AE,
        address: tuple[str, int] | tuple[str, int, int, int],
        ae_title: str,
        contexts: list[PresentationContext],
        ssl_context: ssl.SSLContext | None = None,
        evt_handlers: list[evt.EventHandlerType] | None = None,
    ) -> None:
        super().__init__(ae, address, ae_title, contexts, ssl_context, LoopHandlers(evt_handlers))
        self.ae = ae
        self.server_address: Any = self.address_info.as_tuple
        self._server: asyncio.Server | None = None

    @property
    def active_associations(self) -> list[Association]:
        """The associations that are open, from their request on."""
        return list(self._active)

    async def start(self) -> None:
        """Begin to accept. Raises OSError if the address cannot be listened on."""
        await load_pydicom()
        self._server = await asyncio.get_running_loop().create_server(
            self._make_connection,
            self.address_info.address,
            self.address_info.port,
            family=self.address_info.address_family,
            backlog=BACKLOG,
            ssl=self.ssl_context,
        )
        self.server_address = self._server.sockets[0].getsockname()

    async def serve_forever(self) -> None:
        """Serve until this is cancelled, then shut down."""
        assert self._server is not None
        try:
            await self._server.serve_forever()
        finally:
            self.shutdown()

    def shutdown(self) -> None:
        """Accept no more and close the listening socket. Open associations go on."""
        if self._server is not None:
            self._server.close()
        self.ae._forget_server(self)

    async def drain(self, timeout: float | None = None) -> bool:
        """Accept no more and wait until every open association has ended; False if the time was too short."""
        self.shutdown()
        try:
            async with asyncio.timeout(timeout):
                for assoc in self.active_associations:
                    await assoc.wait_closed()
        except TimeoutError:
            return False
        return not self._active

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.shutdown()

    # Inside

    def _make_connection(self) -> LoopConnection:
        assoc = Association(self.ae, MODE_ACCEPTOR)
        self._prepare(assoc)
        connection = assoc._attach_to_loop()
        self._open.add(assoc)
        assoc._watch_task = connection.start(accept(assoc))
        return connection
