"""One association on the event loop, either side: its beginning, its end, and what it shares with router/api.

The verbs are in composite_services.py and normalised_services.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from router.aio.asking import coroutine_for
from router.aio.composite_services import CompositeServices
from router.aio.connection import LoopConnection, TappedAssociation, running_driver
from router.aio.handlers import LoopHandlers
from router.aio.normalised_services import NormalisedServices
from router.api import events as evt
from router.api.address import AddressInformation
from router.api.responders import services_of
from router.errors import AssociationAborted, DeadlineExceeded, LocalMisuse
from router.protocol.association import Limits
from router.protocol.upper_layer import Role
from router.services.steps import Deferred

if TYPE_CHECKING:
    from router.aio.ae import AE
    from router.aio.server import Server

LOGGER = logging.getLogger("router.association")

ABORT_WAIT_S = 0.1
"""How long an abort waits for the peer to close the connection."""


class Association(CompositeServices, NormalisedServices):
    """An association with a peer, for the coroutines of one event loop.

    Made by AE.associate(), or by a server for each peer that asks. State, contexts, users, timeouts and
    handlers are as in router.api.association.Association; what waits there is awaited here. As an
    asynchronous context manager it releases itself at the end of the block, and aborts if the block raises.
    Several coroutines may use it at once. An operation that is cancelled is forgotten: its response is
    dropped when it comes, and the association goes on, unless a file was being sent: then it is aborted.
    """

    _handlers: LoopHandlers
    _server: Server | None

    def __init__(self, ae: AE, mode: str) -> None:
        super().__init__(ae, mode)
        self._handlers = LoopHandlers()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._was_open = False

    @property
    def ae(self) -> AE:
        """The application entity it belongs to."""
        return cast("AE", self._ae)

    # The end

    async def release(self) -> None:
        """Release the association and wait for the peer's answer; nothing if it is not established.

        Afterwards it is released, or aborted if the peer did not answer within the ACSE timeout.
        """
        connection, protocol = self._connection, self._protocol
        if not self.is_established or protocol is None or connection is None:
            return
        LOGGER.info("Releasing Association")
        if self._watch_task is not None:
            connection.conversation.abandon(self._watch_task)
        try:
            await connection.run(self._releasing(protocol))
        except asyncio.CancelledError:
            self._abort(0, 0)  # half released, it is of no use any more
            raise
        except DeadlineExceeded:
            LOGGER.error("ACSE timeout reached while waiting for response to release request")
            self._abort(0, 0)
        except (AssociationAborted, LocalMisuse) as error:
            self._note_aborted(error)

    def abort(self, block: bool = True) -> Awaitable[None]:
        """Abort the association at once; awaiting it waits a moment for the peer to close the connection.

        Nothing if it has ended. block: False does not wait, whether it is awaited or not.
        """
        if not (self.is_released or self.is_aborted or self.is_rejected):
            LOGGER.info("Aborting Association")
            self._abort(0, 0)
        return self._spawn(self._close_soon(ABORT_WAIT_S if block else 0.0))

    async def wait_closed(self) -> None:
        """Wait until the connection is closed, whoever closes it."""
        if self._connection is not None:
            await self._connection.closed.wait()

    async def __aenter__(self) -> Association:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.release()
        else:
            await self.abort()

    # Inside

    def _attach_to_loop(self) -> LoopConnection:
        """Make the connection of this association, not yet connected."""
        user = self.requestor if self.is_requestor else self.acceptor
        role = Role.REQUESTOR if self.is_requestor else Role.ACCEPTOR
        self._protocol = TappedAssociation(self, role, Limits(pdu_max_bytes=user.maximum_length or 0))
        connection = LoopConnection(
            running_driver(),
            self._protocol,
            services_of(self),
            self._timeouts,
            on_open=self._opened,
            on_idle=self._idle,
            on_closed=self._closed,
        )
        connection.conversation.on_message = self._protocol.observation.on_message_received
        self._connection = connection
        self._update_tap()
        return connection

    def _opened(self) -> None:
        assert self._connection is not None
        self._was_open = True
        local_address, self._peer_address = self._connection.addresses
        ours, theirs = self.requestor, self.acceptor
        if self.is_acceptor:
            ours, theirs = theirs, ours
        ours.address_info = AddressInformation.from_tuple(local_address)
        theirs.address_info = AddressInformation.from_tuple(self._peer_address)
        self._ae._note_alive(self)
        self._notify(evt.EVT_CONN_OPEN, {"address": self._peer_address})

    def _closed(self) -> None:
        if self._was_open:
            super()._closed()

    def _invoke(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return what the function returns, or a Deferred of it if something must be awaited for it."""
        coroutine = coroutine_for(self, function, args)
        if coroutine is None:
            found = self._run_handler(function, *args)
            if not asyncio.iscoroutine(found):
                return found
            coroutine = found
        deferred = Deferred()
        self._spawn(coroutine).add_done_callback(lambda task: self._settle(deferred, task))
        return deferred

    def _settle(self, deferred: Deferred, task: asyncio.Task[Any]) -> None:
        if self._connection is not None:
            self._connection.conversation.now = monotonic()
        if task.cancelled():
            deferred.settle(RuntimeError("the handler was cancelled"))
        else:
            error = task.exception()
            deferred.settle(task.result() if error is None else error)

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine beside; it is kept until it is done."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _close_soon(self, wait_s: float) -> None:
        connection = self._connection
        if connection is None or connection.is_closed or not wait_s:
            return
        try:
            async with asyncio.timeout(wait_s):
                await connection.closed.wait()
        except TimeoutError:
            connection.close()
            await connection.closed.wait()

    def _release_beside(self) -> None:
        self._spawn(self.release())
