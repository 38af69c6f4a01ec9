"""The application entity: what a program configures, associates as, and serves as. Its calls block."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from router._globals import DEFAULT_MAX_LENGTH, MODE_REQUESTOR
from router.api.association import Association
from router.api.entity_settings import EntitySettings
from router.api.presentation import PresentationContext
from router.api.requesting import prepare_request, request_association
from router.drivers.connect import TlsChoice

if TYPE_CHECKING:
    from router.api.events import EventHandlerType
    from router.api.negotiation_items import NegotiationItem
    from router.api.transport import ThreadedAssociationServer


class ApplicationEntity(EntitySettings):
    """A DICOM application entity: associates with others, and serves them.

    require_called_aet, require_calling_aet: an acceptor rejects who does not call it by its AE title, or is
    not in the list. As a context manager it shuts down at the end of the block.
    """

    @property
    def active_associations(self) -> list[Association]:
        """The associations of this AE that are open, on either side."""
        return cast("list[Association]", self._open_associations())

    def associate(
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
        """Request an association with the AE `ae_title` at an address; block until it is there, or is not.

        addr: name or address, or (address, flowinfo, scope_id) for IPv6. contexts: by default those added to
        the AE. max_pdu: what the peer may send, in bytes; 0: no limit. ext_neg: negotiation items. tls_args:
        a context, and the name that the peer's certificate must have.
        Raises TypeError, ValueError for wrong arguments, RuntimeError without contexts, socket.gaierror for
        a name without address. Never raises for what happens on the network: see `is_established`,
        `is_rejected` and `is_aborted` of the association returned.
        """
        assoc = Association(self, MODE_REQUESTOR)
        bound = prepare_request(assoc, addr, port, contexts, ae_title, max_pdu, ext_neg, bind_address)
        assoc._bind_all(evt_handlers)
        request_association(assoc, bound, None if tls_args is None else TlsChoice(*tls_args))
        return assoc

    # Servers

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
        """Return a server, bound to the address and not yet accepting.

        contexts: by default those the AE supports. server_class: what to make instead of an
        AssociationServer; kwargs go to it.
        Raises ValueError without contexts, or with one role named and not the other.
        """
        from router.api.transport import ThreadedAssociationServer

        kind = ThreadedAssociationServer if server_class is None else server_class
        return self._make_server(kind, address, ae_title, contexts, ssl_context, evt_handlers, **kwargs)

    def start_server(
        self,
        address: tuple[str, int] | tuple[str, int, int, int],
        block: bool = True,
        ssl_context: ssl.SSLContext | None = None,
        evt_handlers: list[EventHandlerType] | None = None,
        ae_title: str | None = None,
        contexts: list[PresentationContext] | None = None,
    ) -> ThreadedAssociationServer | None:
        """Serve: until KeyboardInterrupt, or (block=False) in the background; the server is then returned."""
        server: ThreadedAssociationServer = self.make_server(
            address, ae_title, contexts, ssl_context, evt_handlers
        )
        if not block:
            server.start()
            return server
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            server.shutdown()
        return None

    def shutdown(self) -> None:
        """Abort every open association and stop every server."""
        for server in list(self._servers):
            server.shutdown()
        for assoc in self.active_associations:
            assoc.abort()

    def __enter__(self) -> ApplicationEntity:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()


AE = ApplicationEntity
