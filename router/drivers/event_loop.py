"""Run associations on an event loop (uvloop): what they share, how they are opened and looked after.

A ticker looks after every deadline of every connection, so that no message costs a timer.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from time import monotonic
from typing import Any

from router.drivers.connect import connected_socket
from router.drivers.connection import Connection
from router.errors import DeadlineExceeded
from router.services.steps import Procedure

STAGING_BYTES = 262144
"""One recv at most, into the staging buffer."""

FIRST_BYTES = 32768
"""One recv at most between messages: the rest of a long dataset goes past the staging buffer."""

TICK_S = 0.25
"""How exact deadlines are."""

logger = logging.getLogger(__name__)


class EventLoopDriver:
    """What all connections of one event loop share: the staging buffer and the ticker.

    first: what of the buffer is offered between messages.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.staging = memoryview(bytearray(STAGING_BYTES))
        self.first = self.staging[:FIRST_BYTES]
        self.connections: dict[Connection, None] = {}
        self._ticking: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look after deadlines."""
        if self._ticking is None:
            self._tick()

    def stop(self) -> None:
        """Stop looking after deadlines."""
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    async def open(
        self,
        connection: Connection,
        procedure: Procedure[Any],
        host: str,
        port: int,
        connect_s: float | None,
        **options: Any,
    ) -> Any:
        """Open a requestor's association: connect while its establishing procedure waits; return its result.

        options: as for connect. Raises what connecting and the procedure raise.
        """
        _, established = connection.begin(procedure)
        try:
            await self.connect(connection, host, port, connect_s, **options)
        except BaseException:
            established.cancel()  # before its error comes, which nobody would take
            connection.connection_lost(None)
            raise
        try:
            return await established
        except BaseException:
            connection.abort()
            raise

    async def connect(
        self,
        connection: Connection,
        host: str,
        port: int,
        connect_s: float | None,
        *,
        local_address: tuple[str, int] | None = None,
        tls: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> None:
        """Open the transport connection (and its TLS) for a requestor's association.

        Raises OSError, DeadlineExceeded.
        """
        try:
            async with asyncio.timeout(connect_s):
                name = None if tls is None else host if server_hostname is None else server_hostname
                sock = await connected_socket(host, port, local_address)
                await self.loop.create_connection(
                    lambda: connection, sock=sock, ssl=tls, server_hostname=name
                )
        except TimeoutError as error:
            raise DeadlineExceeded("connect_s", connect_s or 0.0) from error

    def _tick(self) -> None:
        self._ticking = self.loop.call_later(TICK_S, self._tick)
        now = monotonic()
        for connection in tuple(self.connections):
            try:
                connection.check_deadlines(now)
            except Exception:
                # The deadlines of all other connections hang on this loop.
                logger.exception("a connection failed at its deadlines and is closed")
                connection.close_now()
