"""A server on the event loop: every connection becomes an association; handlers answer what it asks."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

from router._globals import MODE_ACCEPTOR
from router.aio.association import Association
from router.aio.connection import LoopConnection, load_pydicom
from router.aio.handlers import LoopHandlers
from router.api import events as evt
from router.api.address import AddressInformation
from router.api.transport import _accept
from router.drivers.listener import BACKLOG

if TYPE_CHECKING:
    from router.aio.ae import AE
    from router.api.presentation import PresentationContext


class Server:
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
        self.ae = ae
        self.ae_title = ae_title
        self.contexts = contexts
        self.ssl_context = ssl_context
        self.address_info = AddressInformation.from_tuple(address)
        self.server_address: Any = self.address_info.as_tuple
        self._handlers = LoopHandlers(evt_handlers)
        self._active: dict[Association, None] = {}
        self._open: WeakSet[Association] = WeakSet()
        self._server: asyncio.Server | None = None

    @property
    def active_associations(self) -> list[Association]:
        """The associations that are open, from their request on."""
        return list(self._active)

    def bind(self, event: evt.EventType, handler: Callable[..., Any], args: list[Any] | None = None) -> None:
        """Bind a handler, also to the associations that are open."""
        self._handlers.bind(event, handler, args)
        for assoc in list(self._open):
            assoc.bind(event, handler, args)

    def unbind(self, event: evt.EventType, handler: Callable[..., Any]) -> None:
        """Unbind a handler, also from the associations that are open."""
        self._handlers.unbind(event, handler)
        for assoc in list(self._open):
            assoc.unbind(event, handler)

    def get_events(self) -> list[evt.EventType]:
        """Return the events that have handlers."""
        return self._handlers.bound_events()

    def get_handlers(self, event: evt.EventType) -> Any:
        """Return (handler, args) of an intervention event, a list of them of a notification event."""
        return self._handlers.of(event)

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
        self.ae._forget_server(cast("Any", self))

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
        assoc._server = self
        assoc._handlers = LoopHandlers(self._handlers.entries())
        acceptor = assoc.acceptor
        acceptor._ae_title = self.ae_title
        acceptor.maximum_length = self.ae.maximum_pdu_size
        acceptor._implementation_class_uid = self.ae._implementation_class_uid
        acceptor.implementation_version_name = self.ae.implementation_version_name
        acceptor.supported_contexts = self.contexts
        connection = assoc._attach_to_loop()
        self._open.add(assoc)
        assoc._watch_task = connection.start(_accept(assoc))
        return connection
