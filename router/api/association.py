"""One association as programs see it: what it asks of the peer blocks until there is an answer.

Its state is in association_state.py. Exchanges are run by the connection of router/drivers/blocking.py; the
verbs are in composite_services.py and normalised_services.py, what answers the peer in responders.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from router.api.address import AddressInformation
from router.api.association_state import is_handling
from router.api.composite_services import CompositeServices
from router.api.direct_stores import DirectStores
from router.api.normalised_services import NormalisedServices
from router.api.observation import ObservedAssociation
from router.api.responders import services_of
from router.api.service_user import ServiceUser
from router.drivers.blocking import BlockingConnection
from router.drivers.reactor import reactor
from router.drivers.tls import Transport
from router.errors import AssociationAborted, DeadlineExceeded, LocalMisuse
from router.protocol.association import Limits
from router.protocol.upper_layer import Role
from router.wire import codec

if TYPE_CHECKING:
    from router.api.ae import ApplicationEntity

LOGGER = logging.getLogger("router.association")

ABORT_WAIT_S = 0.1
"""How long abort() waits for the peer to close the connection."""


class Association(CompositeServices, NormalisedServices):
    """An association with a peer. Made by AE.associate(), or by a server for each peer that asks.

    It may be used from any thread, one operation at a time. As a context manager it releases itself at the
    end of the block, and aborts if the block raises. network_timeout_response: what happens after
    network_timeout seconds without traffic: "A-ABORT" or "A-RELEASE".
    """

    daemon = True
    _direct_stores: DirectStores | None = None

    @property
    def ae(self) -> ApplicationEntity:
        """The application entity it belongs to."""
        return cast("ApplicationEntity", self._ae)

    def release(self) -> None:
        """Release the association and wait for the peer's answer; nothing if it is not established.

        Afterwards it is released, or aborted if the peer did not answer within the ACSE timeout.
        """
        connection, protocol = self._connection, self._protocol
        if not self.is_established or connection is None or protocol is None:
            return
        LOGGER.info("Releasing Association")
        try:
            with connection.owned():
                if not self.is_established:
                    return
                if self._watch_task is not None:
                    connection.conversation.abandon(self._watch_task)
                connection.run(self._releasing(protocol))
        except DeadlineExceeded:
            LOGGER.error("ACSE timeout reached while waiting for response to release request")
            self._abort(0, 0)
        except (AssociationAborted, LocalMisuse) as error:
            self._note_aborted(error)

    def abort(self, block: bool = True) -> None:
        """Abort the association; nothing if it has ended. Never blocks in a handler.

        block: wait a moment for the peer to close the connection.
        """
        if self.is_released or self.is_aborted or self.is_rejected:
            return
        LOGGER.info("Aborting Association")
        self._abort(0, 0)
        if block and self._connection is not None and not is_handling():
            self._connection.wait_closed(ABORT_WAIT_S)
            self._connection.close()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the connection is closed."""
        if self._connection is not None:
            self._ended.wait(timeout)

    def start(self) -> None:
        """Nothing: an association is no thread of its own. Kept for programs that call it."""

    def __enter__(self) -> Association:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.release()
        else:
            self.abort()

    def __repr__(self) -> str:
        state = "established" if self.is_established else "alive" if self.is_alive() else "ended"
        return f"<Association({self.name}, {state})>"

    # Inside

    def _attach(self, transport: Transport, peer_address: tuple[Any, ...]) -> BlockingConnection:
        """Take over a connected transport; peer_address: where it leads to."""
        user = self.requestor if self.is_requestor else self.acceptor
        role = Role.REQUESTOR if self.is_requestor else Role.ACCEPTOR
        self._protocol = ObservedAssociation(self, role, Limits(pdu_max_bytes=user.maximum_length or 0))
        connection = BlockingConnection(
            self._protocol, services_of(self), transport, reactor(), self._timeouts
        )
        connection.on_idle = self._idle
        connection.on_closed = self._closed
        connection.conversation.on_message = self._protocol.observation.on_message_received
        self._connection = connection
        self._peer_address = peer_address
        local_address = transport.sock.getsockname()
        ours, theirs = (
            (self.requestor, self.acceptor) if self.is_requestor else (self.acceptor, self.requestor)
        )
        ours.address_info = AddressInformation.from_tuple(local_address)
        theirs.address_info = AddressInformation.from_tuple(peer_address)
        self._ae._note_alive(self)
        self._update_tap()
        return connection

    def _invoke(self, function: Callable[..., Any], *args: Any) -> Any:
        """Have a function that calls the user's code run while nobody owns the connection.

        Returns a Deferred of its result, for `Call`.
        """
        assert self._connection is not None
        return self._connection.invoke(self._run_handler, function, *args)

    def _open_lane(self, context_id: int, store: Callable[[Any], Any]) -> None:
        if codec.HandlerLane is None or self.is_requestor:
            return
        if self._direct_stores is None:
            assert self._protocol is not None
            self._direct_stores = DirectStores(self, self._protocol, store)
        self._direct_stores.serve(context_id)

    def _release_beside(self) -> None:
        reactor().threads.submit(self.release)


__all__ = ["Association", "ServiceUser"]
