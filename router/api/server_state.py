"""What a server is for either face: who it serves as, its handlers, and which associations it has."""

from __future__ import annotations

import ssl
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from router.api import events as evt
from router.api.address import AddressInformation
from router.api.association_state import AssociationState, run_handler
from router.api.presentation import PresentationContext
from router.api.utils import make_target

if TYPE_CHECKING:
    from router.api.entity_settings import EntitySettings


class ServerState:
    """Handlers bound here are those of every association, also of those that are open already."""

    def __init__(
        self,
        ae: EntitySettings,
        address: tuple[str, int] | tuple[str, int, int, int],
        ae_title: str,
        contexts: list[PresentationContext],
        ssl_context: ssl.SSLContext | None,
        handlers: evt.Handlers,
    ) -> None:
        self._ae = ae
        self.ae_title = ae_title
        self.contexts = contexts
        self.ssl_context = ssl_context
        self.address_info = AddressInformation.from_tuple(address)
        self._handlers = handlers
        self._active: dict[Any, None] = {}
        self._open: weakref.WeakSet[AssociationState] = weakref.WeakSet()
        self._run_handler = make_target(run_handler)

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

    def shutdown(self) -> None:
        """Accept no more and close the listening socket. Open associations go on."""
        raise NotImplementedError

    def _prepare(self, assoc: AssociationState) -> None:
        """Give an association that is about to be asked for what the server knows."""
        assoc._server = self
        assoc._run_handler = self._run_handler
        assoc._handlers = type(self._handlers)(self._handlers.entries())
        acceptor, ae = assoc.acceptor, self._ae
        acceptor._ae_title = self.ae_title
        acceptor.maximum_length = ae.maximum_pdu_size
        acceptor._implementation_class_uid = ae._implementation_class_uid
        acceptor.implementation_version_name = ae.implementation_version_name
        acceptor.supported_contexts = self.contexts
