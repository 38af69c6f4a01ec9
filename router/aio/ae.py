"""The application entity on the event loop: as in router/api, but associating and serving are awaited."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from router._globals import DEFAULT_MAX_LENGTH, MODE_REQUESTOR
from router.aio.association import Association
from router.aio.connection import load_pydicom, running_driver
from router.aio.server import Server
from router.api.entity_settings import EntitySettings
from router.api.requesting import negotiate, prepare_request, request_of
from router.errors import AssociationAborted, AssociationRejected, DeadlineExceeded, PeerViolation
from router.services.steps import Procedure

if TYPE_CHECKING:
    from router.api.events import EventHandlerType
    from router.api.negotiation_items import NegotiationItem
    from router.api.presentation import PresentationContext

LOGGER = logging.getLogger("router.association")


class AE(EntitySettings):
    """A DICOM application entity for the coroutines of one event loop.

    Settings and presentation contexts are those of router.AE. As an asynchronous context manager it shuts
    down at the end of the block.
    """

    @property
    def active_associations(self) -> list[Association]:
        """The associations of this AE that are open, on either side."""
        return cast("list[Association]", self._open_associations())

    async def associate(
        self,
        addr: str | tuple[str, int, int],
        port: int,
        contexts: list[PresentationContext] | None = None,
        ae_title: str = "ANY-SCP",
        max_pdu: int = DEFAULT_MAX_LENGTH,
        ext_neg: list[NegotiationItem] | None = None,
        bind_address: tuple[str, int] | tuple[str, int, int, int] | None = None,
        tls_args: tuple[ssl.SSLContext, str | None] | None = None,
        evt_handlers: list[EventHandlerType] | None = None,
    ) -> Association:
        """Request an association with the AE `ae_title` at an address; return when it is there, or is not.

        Arguments and errors are those of router.AE.associate(), which never raises for what happens on the
        network: see `is_established`, `is_rejected` and `is_aborted`. If this is cancelled, what there is of
        the association is aborted.
        """
        assoc = Association(self, MODE_REQUESTOR)
        local = prepare_request(assoc, addr, port, contexts, ae_title, max_pdu, ext_neg, bind_address)
        assoc._bind_all(evt_handlers)
        await _request(assoc, cast("tuple[str, int] | None", local), tls_args)
        return assoc

    def make_server(
        self,
        address: tuple[str, int] | tuple[str, int, int, int],
        ae_title: str | None = None,
        contexts: list[PresentationContext] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        evt_handlers: list[EventHandlerType] | None = None,
        server_class: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return a server that is not started; arguments and errors are those of router.AE.make_server()."""
        kind = Server if server_class is None else server_class
        return self._make_server(kind, address, ae_title, contexts, ssl_context, evt_handlers, **kwargs)

    async def start_server(
        self,
        address: tuple[str, int] | tuple[str, int, int, int],
        ssl_context: ssl.SSLContext | None = None,
        evt_handlers: list[EventHandlerType] | None = None,
        ae_title: str | None = None,
        contexts: list[PresentationContext] | None = None,
    ) -> Server:
        """Listen on an address and return the server, which serves as long as the loop runs.

        contexts: by default those the AE supports. Raises ValueError without contexts, or with one role named
        and not the other; OSError if the address cannot be listened on.
        """
        server: Server = self.make_server(address, ae_title, contexts, ssl_context, evt_handlers)
        await server.start()
        return server

    async def shutdown(self) -> None:
        """Stop every server and abort every open association."""
        for server in list(self._servers):
            server.shutdown()
        for assoc in self.active_associations:
            await assoc.abort()

    async def __aenter__(self) -> AE:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shutdown()


async def _request(
    assoc: Association,
    local: tuple[str, int] | None,
    tls: tuple[ssl.SSLContext, str | None] | None,
) -> None:
    """Connect and negotiate; the association's state tells how it ended."""
    await load_pydicom()
    LOGGER.info("Requesting Association")
    rq, target = request_of(assoc), assoc.acceptor.address_info
    assert target is not None
    connection = assoc._attach_to_loop()
    core = assoc._protocol
    assert core is not None
    negotiation: Procedure[None] = negotiate(assoc, core, rq)
    # An address of a zone is written with it (RFC 4007 section 11).
    host = f"{target.address}%{target.scope_id}" if target.scope_id else target.address
    context, hostname = (None, None) if tls is None else tls
    try:
        await running_driver().open(
            connection,
            negotiation,
            host,
            target.port,
            assoc.connection_timeout,
            local_address=None if local is None else (local[0], local[1]),
            tls=context,
            server_hostname=hostname,
        )
    except socket.gaierror:
        raise
    except (OSError, DeadlineExceeded) as error:
        LOGGER.error(f"TCP Initialisation Error: {error}")
        assoc._note_aborted(AssociationAborted(2, 0))
    except (AssociationAborted, PeerViolation, AssociationRejected):
        pass  # the procedure has taken note of it
