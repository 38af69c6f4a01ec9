"""What an association is, on either side and for either face: its users, its contexts, its beginning and end.

Nothing here waits. association.py blocks for what it asks of the peer, router/aio awaits it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from router import _config
from router._globals import MODE_ACCEPTOR, MODE_REQUESTOR
from router.api import events as evt
from router.api.acse import ACSE, DUL
from router.api.exchange import FailuresNoted, check_message_id, id_of
from router.api.normalised_preparation import NormalisedPreparation
from router.api.observation import ObservedAssociation
from router.api.preparation import Preparation
from router.api.presentation import PresentationContext
from router.api.received_files import ReceiveTo, check_place
from router.api.service_user import ServiceUser
from router.api.utils import make_target
from router.drivers.channel import ConnectionTimeouts
from router.drivers.pdu_tap import PduTap
from router.errors import AssociationAborted, AssociationRejected
from router.services import c_cancel, release
from router.services.conversation import Conversation, Task
from router.services.steps import Procedure
from router.wire.pdus import Abort, AssociateRJ

if TYPE_CHECKING:
    from router.api.entity_settings import EntitySettings
    from router.api.server_state import ServerState

LOGGER = logging.getLogger("router.association")

_handling = threading.local()
"""Its `depth` is positive in a thread that runs a handler."""


class AnyConnection(Protocol):
    """What both drivers' connections have, and what can be done to them without waiting."""

    conversation: Conversation

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone."""

    @property
    def sock(self) -> Any:
        """The socket."""

    def start(self, procedure: Procedure[Any]) -> Task:
        """Start a procedure that nobody waits for."""

    def submit(self, action: Callable[[], None]) -> None:
        """Run an action as who owns the connection."""

    def set_tap(self, tap: PduTap | None) -> None:
        """Show PDUs from the next message on, or no longer."""

    def close(self) -> None:
        """Close the connection at once."""

    def abort(self, source: int = 0, reason: int = 0, text: str = "") -> None:
        """Send A-ABORT and end every procedure."""


class AssociationState(Preparation, NormalisedPreparation):
    """The state of one association, on either side; the faces that programs use are built on it.

    network_timeout_response: what happens after network_timeout seconds without traffic: "A-ABORT" or
    "A-RELEASE".
    """

    def __init__(self, ae: EntitySettings, mode: str) -> None:
        self._mode = mode
        self._ae = ae
        self.requestor = ServiceUser(self, MODE_REQUESTOR)
        self.acceptor = ServiceUser(self, MODE_ACCEPTOR)
        self.is_established = False
        self.is_released = False
        self.is_aborted = False
        self.is_rejected = False
        self.lock = threading.Lock()
        self.name = f"{mode.capitalize()}Thread@{datetime.now():%Y%m%d%H%M%S}"
        self.acse = ACSE(self)
        self.dul = DUL(self)
        self._network_timeout_response = "A-ABORT"
        self._acse_timeout = ae.acse_timeout
        self._dimse_timeout = ae.dimse_timeout
        self.connection_timeout = ae.connection_timeout
        self._receive_to = ae.receive_to
        self._timeouts = ConnectionTimeouts(ae.acse_timeout, ae.network_timeout)
        self._handlers = evt.Handlers()
        self._is_logging = _config.LOG_HANDLER_LEVEL != "none"
        self._run_handler = make_target(run_handler)
        self._contexts: dict[int, PresentationContext] = {}
        self._rejected: list[PresentationContext] = []
        self._connection: AnyConnection | None = None
        self._protocol: ObservedAssociation | None = None
        self._watch_task: Task | None = None
        self._server: ServerState | None = None
        self._rejection: AssociateRJ | None = None
        self._abort_sent = Abort(0, 0)
        self._abort_source = 0
        self._service_classes: dict[str, Any] = {}
        self._failures_noted = FailuresNoted(self)
        self._ended = threading.Event()
        self._ending = threading.Lock()
        self._peer_address: tuple[Any, ...] = ("", 0)

    # What it is

    @property
    def ae(self) -> Any:
        """The application entity it belongs to."""
        return self._ae

    @property
    def mode(self) -> str:
        """ "requestor" or "acceptor": which side this is."""
        return self._mode

    @property
    def is_requestor(self) -> bool:
        """Whether this side asked for the association."""
        return self._mode == MODE_REQUESTOR

    @property
    def is_acceptor(self) -> bool:
        """Whether the peer asked for the association."""
        return self._mode == MODE_ACCEPTOR

    @property
    def local(self) -> dict[str, Any]:
        """Facts about this side."""
        return (self.requestor if self.is_requestor else self.acceptor).info

    @property
    def remote(self) -> dict[str, Any]:
        """Facts about the peer."""
        return (self.acceptor if self.is_requestor else self.requestor).info

    @property
    def accepted_contexts(self) -> list[PresentationContext]:
        """The presentation contexts in use, by ID."""
        return [self._contexts[context_id] for context_id in sorted(self._contexts)]

    @property
    def rejected_contexts(self) -> list[PresentationContext]:
        """The presentation contexts that were refused, by ID."""
        return sorted(self._rejected, key=lambda context: context.context_id or 0)

    # Timeouts, in seconds; None: for ever

    @property
    def acse_timeout(self) -> float | None:
        """How long the answer to a request for association or release may take."""
        return self._acse_timeout

    @acse_timeout.setter
    def acse_timeout(self, value: float | None) -> None:
        self._acse_timeout = value
        self._timeouts.artim_s = value

    @property
    def dimse_timeout(self) -> float | None:
        """How long one DIMSE response may take."""
        return self._dimse_timeout

    @dimse_timeout.setter
    def dimse_timeout(self, value: float | None) -> None:
        self._dimse_timeout = value

    @property
    def network_timeout(self) -> float | None:
        """How long the association may be idle."""
        return self._timeouts.idle_s

    @network_timeout.setter
    def network_timeout(self, value: float | None) -> None:
        self._timeouts.idle_s = value
        if self._connection is not None and not self._connection.is_closed:
            self._connection.submit(lambda: None)  # its next timer is worked out anew

    @property
    def network_timeout_response(self) -> str:
        """What is done about an idle peer: "A-ABORT" or "A-RELEASE"."""
        return self._network_timeout_response

    @network_timeout_response.setter
    def network_timeout_response(self, value: str) -> None:
        if value not in ("A-ABORT", "A-RELEASE"):
            raise ValueError("'network_timeout_response' must be 'A-ABORT' or 'A-RELEASE'")
        self._network_timeout_response = value

    @property
    def receive_to(self) -> ReceiveTo:
        """Where datasets of C-STORE requests go as they arrive, see AE.receive_to."""
        return self._receive_to

    @receive_to.setter
    def receive_to(self, place: ReceiveTo) -> None:
        self._receive_to = check_place(place)

    # Handlers

    def bind(self, event: evt.EventType, handler: Callable[..., Any], args: list[Any] | None = None) -> None:
        """Bind a handler to an event; args: what it is called with after the event."""
        self._handlers.bind(event, handler, args)
        self._update_tap()

    def _bind_all(self, handlers: Iterable[evt.EventHandlerType] | None) -> None:
        """Bind what `evt_handlers` lists."""
        for event, handler, *args in handlers or ():
            self._handlers.bind(event, handler, args[0] if args else None)

    def unbind(self, event: evt.EventType, handler: Callable[..., Any]) -> None:
        """Unbind a handler; an intervention event then has its default handler again."""
        self._handlers.unbind(event, handler)
        self._update_tap()

    def get_events(self) -> list[evt.EventType]:
        """Return the events that have handlers."""
        return self._handlers.bound_events()

    def get_handlers(self, event: evt.EventType) -> Any:
        """Return (handler, args) of an intervention event, a list of them of a notification event."""
        return self._handlers.of(event)

    def kill(self) -> None:
        """Close the connection without a word."""
        if self._connection is not None:
            self._connection.close()

    def is_alive(self) -> bool:
        """Whether the connection stands."""
        return self._connection is not None and not self._connection.is_closed

    # Inside

    def _update_tap(self) -> None:
        if self._protocol is not None and self._connection is not None:
            self._connection.set_tap(self._protocol.observation.make_tap())

    def _notify(self, event: evt.NotificationEvent, attrs: dict[str, Any] | None = None) -> None:
        if not self._handlers.has(event):
            return
        _handling.depth = getattr(_handling, "depth", 0) + 1
        try:
            self._handlers.notify(self, event, attrs or {})
        finally:
            _handling.depth -= 1

    def _invoke(self, function: Callable[..., Any], *args: Any) -> Any:
        """Have a function that calls the user's code run where handlers run; the result is for `Call`."""
        raise NotImplementedError

    def _open_lane(self, context_id: int, store: Callable[[Any], Any]) -> None:
        """Let C-STOREs of this context reach their handler by a short cut from now on, if there is one.

        store: answers them, as it does on the general way.
        """

    def _take_cancel(self, message_id: int) -> bool:
        """Whether a C-CANCEL came for this request; it is then forgotten."""
        cancelled = self._protocol.cancelled if self._protocol is not None else set()
        if message_id not in cancelled:
            return False
        cancelled.discard(message_id)
        return True

    def _service_class_of(self, context_id: int) -> Any:
        """Return the service class of a context in use."""
        from router.api.sop_class import uid_to_service_class

        abstract_syntax = self._contexts[context_id].abstract_uid
        found = self._service_classes.get(abstract_syntax)
        if found is None:
            found = self._service_classes[abstract_syntax] = uid_to_service_class(abstract_syntax)
            if found.requests == frozenset() and _config.UNRESTRICTED_STORAGE_SERVICE:
                from router.api.service_class import StorageServiceClass

                found = self._service_classes[abstract_syntax] = StorageServiceClass
        return found

    def _operations_granted(self) -> int:
        """Return how many operations this side may have outstanding; 0: any number."""
        if self.is_acceptor:
            return 1
        proposed, granted = (
            self.requestor.asynchronous_operations[0],
            self.acceptor.asynchronous_operations[0],
        )
        return max(proposed, granted) if 0 in (proposed, granted) else min(proposed, granted)

    def _watch(self) -> Procedure[None]:
        """The main procedure of an idle association: take note of how it ends."""
        assert self._protocol is not None
        try:
            yield from release.respond(self._protocol)
        except (AssociationAborted, AssociationRejected) as error:
            self._note_aborted(error)
            return
        self._note_released()

    def _releasing(self, protocol: ObservedAssociation) -> Procedure[None]:
        yield from release.request(protocol, self.acse_timeout)
        self._note_released()

    def _cancel(self, message_id: int, context_id: int | None, query_model: str | None) -> None:
        """Send C-CANCEL in a context that is named by its ID or by the query model."""
        self._require_established("C-CANCEL")
        if context_id is None and query_model is None:
            raise ValueError("'send_c_cancel' needs the 'query_model' of the operation or its 'context_id'")
        check_message_id(message_id)
        if context_id is None:
            context_id = id_of(self._find_context(str(query_model)))
        self._send_cancel(context_id, message_id)

    def _send_cancel(self, context_id: int, message_id: int) -> None:
        """Ask the peer to end the operation with this Message ID."""
        connection, core = self._connection, self._protocol
        assert connection is not None
        assert core is not None

        def send() -> None:
            try:
                c_cancel.cancel(core, context_id, message_id)
            except AssociationAborted as error:
                LOGGER.error(f"C-CANCEL could not be sent: {error}")

        connection.submit(send)

    def _start_watching(self) -> None:
        assert self._connection is not None
        self._watch_task = self._connection.start(self._watch())

    def _abort(self, source: int, reason: int) -> None:
        self._abort_sent = Abort(source, reason)
        if self._connection is not None:
            self._connection.abort(source, reason)
        self._note_aborted(AssociationAborted(source, reason))

    def _note_aborted(self, error: BaseException) -> None:
        with self._ending:
            if self.is_aborted or self.is_released or self.is_rejected:
                return
            self._abort_source = getattr(error, "source", 0)
            self.is_aborted = True
            self.is_established = False
        if self._is_logging:
            LOGGER.info("Association Aborted")
        self._leave_server()
        self._notify(evt.EVT_ABORTED)

    def _note_released(self) -> None:
        with self._ending:
            if self.is_aborted or self.is_released:
                return
            self.is_released = True
            self.is_established = False
        if self._is_logging:
            LOGGER.info("Association Released")
        self._leave_server()
        self._notify(evt.EVT_RELEASED)

    def _idle(self) -> None:
        """Nothing has come for network_timeout seconds; called by the owner of the connection."""
        if self._network_timeout_response == "A-RELEASE" and self._protocol is not None:
            LOGGER.info("Network timeout reached: releasing the association")
            self._timeouts.idle_s = None
            self._release_beside()
            return
        LOGGER.error("Network timeout reached")
        self._abort(0, 0)

    def _release_beside(self) -> None:
        """Release the association without waiting for it."""
        raise NotImplementedError

    def _dimse_timed_out(self) -> None:
        LOGGER.error("DIMSE timeout reached while waiting for message response")
        self.abort()

    def abort(self, block: bool = True) -> Any:
        """Abort the association."""
        raise NotImplementedError

    def _closed(self) -> None:
        self._notify(evt.EVT_CONN_CLOSE, {"address": self._peer_address})
        self._leave_server()
        self._ae._note_ended(self)
        self._ended.set()

    def _leave_server(self) -> None:
        if self._server is not None:
            with contextlib.suppress(KeyError):
                self._server._active.pop(self)


def run_handler(function: Callable[..., Any], *args: Any) -> Any:
    """Run the user's code, and know that it does."""
    _handling.depth = getattr(_handling, "depth", 0) + 1
    try:
        return function(*args)
    finally:
        _handling.depth -= 1


def is_handling() -> bool:
    """Whether this thread runs a handler."""
    return bool(getattr(_handling, "depth", 0))
