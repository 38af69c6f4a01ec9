"""The events of an association, and the handlers that a program binds to them.

Notification events tell any number of handlers, in the order they were bound; what a handler returns means
nothing, and what it raises is logged. Intervention events ask exactly one handler for an answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from router.api.event import Event

if TYPE_CHECKING:
    from router.api.association_state import AssociationState

LOGGER = logging.getLogger("router.events")


class NotificationEvent(NamedTuple):
    """Something that happened."""

    name: str
    description: str
    is_intervention: bool = False
    is_notification: bool = True

    def __str__(self) -> str:
        return self.name


class InterventionEvent(NamedTuple):
    """Something that needs an answer."""

    name: str
    description: str
    is_intervention: bool = True
    is_notification: bool = False

    def __str__(self) -> str:
        return self.name


EventType = NotificationEvent | InterventionEvent
HandlerArgType = tuple[Callable[..., Any], list[Any] | None]
"""A handler and the further arguments it is called with, after the event."""
EventHandlerType = (
    tuple[EventType, Callable[..., Any]] | tuple[EventType, Callable[..., Any], list[Any] | None]
)
"""What `evt_handlers` lists: (event, handler) or (event, handler, further arguments)."""

EVT_ABORTED = NotificationEvent("EVT_ABORTED", "Association aborted")
EVT_ACCEPTED = NotificationEvent("EVT_ACCEPTED", "Association request accepted")
EVT_ACSE_RECV = NotificationEvent("EVT_ACSE_RECV", "ACSE primitive received")
EVT_ACSE_SENT = NotificationEvent("EVT_ACSE_SENT", "ACSE primitive sent")
EVT_CONN_CLOSE = NotificationEvent("EVT_CONN_CLOSE", "Connection closed")
EVT_CONN_OPEN = NotificationEvent("EVT_CONN_OPEN", "Connection opened")
EVT_DATA_RECV = NotificationEvent("EVT_DATA_RECV", "The bytes of a PDU received")
EVT_DATA_SENT = NotificationEvent("EVT_DATA_SENT", "The bytes of a PDU sent")
EVT_DIMSE_RECV = NotificationEvent("EVT_DIMSE_RECV", "DIMSE message received")
EVT_DIMSE_SENT = NotificationEvent("EVT_DIMSE_SENT", "DIMSE message sent")
EVT_ESTABLISHED = NotificationEvent("EVT_ESTABLISHED", "Association established")
EVT_FSM_TRANSITION = NotificationEvent("EVT_FSM_TRANSITION", "The state machine changes its state")
EVT_PDU_RECV = NotificationEvent("EVT_PDU_RECV", "PDU received")
EVT_PDU_SENT = NotificationEvent("EVT_PDU_SENT", "PDU sent")
EVT_REJECTED = NotificationEvent("EVT_REJECTED", "Association request rejected")
EVT_RELEASED = NotificationEvent("EVT_RELEASED", "Association released")
EVT_REQUESTED = NotificationEvent("EVT_REQUESTED", "Association requested")

EVT_ASYNC_OPS = InterventionEvent("EVT_ASYNC_OPS", "Asynchronous operations window proposed")
EVT_C_ECHO = InterventionEvent("EVT_C_ECHO", "C-ECHO request received")
EVT_C_FIND = InterventionEvent("EVT_C_FIND", "C-FIND request received")
EVT_C_GET = InterventionEvent("EVT_C_GET", "C-GET request received")
EVT_C_MOVE = InterventionEvent("EVT_C_MOVE", "C-MOVE request received")
EVT_C_STORE = InterventionEvent("EVT_C_STORE", "C-STORE request received")
EVT_N_ACTION = InterventionEvent("EVT_N_ACTION", "N-ACTION request received")
EVT_N_CREATE = InterventionEvent("EVT_N_CREATE", "N-CREATE request received")
EVT_N_DELETE = InterventionEvent("EVT_N_DELETE", "N-DELETE request received")
EVT_N_EVENT_REPORT = InterventionEvent("EVT_N_EVENT_REPORT", "N-EVENT-REPORT request received")
EVT_N_GET = InterventionEvent("EVT_N_GET", "N-GET request received")
EVT_N_SET = InterventionEvent("EVT_N_SET", "N-SET request received")
EVT_SOP_COMMON = InterventionEvent("EVT_SOP_COMMON", "SOP class common extended negotiation proposed")
EVT_SOP_EXTENDED = InterventionEvent("EVT_SOP_EXTENDED", "SOP class extended negotiation proposed")
EVT_USER_ID = InterventionEvent("EVT_USER_ID", "User identity presented")

_NOTIFICATION_EVENTS: list[NotificationEvent] = [
    event for event in list(globals().values()) if isinstance(event, NotificationEvent)
]
_INTERVENTION_EVENTS: list[InterventionEvent] = [
    event for event in list(globals().values()) if isinstance(event, InterventionEvent)
]


class NoHandlerError(Exception):
    """A request came whose event has no handler."""


def _no_handler(event: Event) -> Any:
    raise NoHandlerError(f"no handler is bound to '{event.event}'")


def _echo_success(event: Event) -> int:
    return 0x0000


def _accept_identity(event: Event) -> tuple[bool, bytes | None]:
    return True, None


def _answer_nothing(event: Event) -> dict[Any, Any]:
    return {}


_DEFAULT_HANDLERS: dict[EventType, Callable[..., Any]] = {
    **dict.fromkeys(_INTERVENTION_EVENTS, _no_handler),
    EVT_C_ECHO: _echo_success,
    EVT_USER_ID: _accept_identity,
    EVT_SOP_EXTENDED: _answer_nothing,
    EVT_SOP_COMMON: _answer_nothing,
}


def get_default_handler(event: InterventionEvent) -> Callable[..., Any]:
    """Return the handler that an intervention event has while none is bound."""
    return _DEFAULT_HANDLERS[event]


class Handlers:
    """Which handlers are bound to which events. Not shared: servers copy theirs into each association."""

    def __init__(self, bound: Iterable[EventHandlerType] | None = None) -> None:
        self._notifications: dict[EventType, list[HandlerArgType]] = {}
        self._interventions: dict[EventType, HandlerArgType] = {}
        for entry in bound or ():
            event, handler, *args = entry
            self.bind(event, handler, args[0] if args else None)

    def bind(self, event: EventType, handler: Callable[..., Any], args: list[Any] | None = None) -> None:
        """Bind a handler; a notification's handler that is bound already stays where it is."""
        if args is not None and not isinstance(args, Sequence):
            raise TypeError("'args' must be a list")
        if not callable(handler):
            raise TypeError("'handler' must be callable")
        if event.is_intervention:
            self._interventions[event] = (handler, args)
            return
        # A new list each time: who iterates over the old one is not disturbed.
        handlers = self._notifications.get(event, [])
        if all(bound != handler for bound, _ in handlers):
            self._notifications[event] = [*handlers, (handler, args)]

    def unbind(self, event: EventType, handler: Callable[..., Any]) -> None:
        """Unbind a handler; one that is not bound is no error."""
        if event.is_intervention:
            bound = self._interventions.get(event)
            if bound is not None and bound[0] == handler:
                del self._interventions[event]
            return
        left = [entry for entry in self._notifications.get(event, []) if entry[0] != handler]
        if left:
            self._notifications[event] = left
        else:
            self._notifications.pop(event, None)

    def bound_events(self) -> list[EventType]:
        """Return the notification events with handlers, and every intervention event."""
        return sorted([*self._notifications, *_INTERVENTION_EVENTS], key=lambda event: event.name)

    def of(self, event: EventType) -> list[HandlerArgType] | HandlerArgType:
        """Return the handlers of a notification event, or the one of an intervention event."""
        if event.is_intervention:
            return self._interventions.get(event) or (_DEFAULT_HANDLERS[event], None)
        return list(self._notifications.get(event, ()))

    def has(self, event: EventType) -> bool:
        """Whether a program has bound a handler to the event."""
        return event in (self._interventions if event.is_intervention else self._notifications)

    def entries(self) -> list[EventHandlerType]:
        """Return everything bound, as `evt_handlers` lists it."""
        bound: list[EventHandlerType] = [
            (event, handler, args)
            for event, handlers in self._notifications.items()
            for handler, args in handlers
        ]
        bound += [(event, handler, args) for event, (handler, args) in self._interventions.items()]
        return bound

    def notify(self, assoc: AssociationState, event: NotificationEvent, attrs: dict[str, Any]) -> None:
        """Tell every handler of a notification event; what they raise is logged."""
        handlers = self._notifications.get(event)
        if not handlers:
            return
        told = Event(assoc, event, attrs)
        for handler, args in handlers:
            try:
                if args is None:
                    handler(told)
                else:
                    handler(told, *args)
            except Exception:
                name = getattr(handler, "__name__", repr(handler))
                LOGGER.exception(f"Exception raised in user's 'evt.{event}' event handler '{name}'")

    def ask(self, event: Event) -> Any:
        """Return the answer of an intervention event's handler. Raises what the handler raises."""
        handler, args = self._interventions.get(event.event) or (_DEFAULT_HANDLERS[event.event], None)
        return handler(event) if args is None else handler(event, *args)


def trigger(assoc: AssociationState, event: EventType, attrs: dict[str, Any] | None = None) -> Any:
    """Tell the handlers of a notification event, or return the answer to an intervention event."""
    handlers = assoc.get_handlers(event)
    if isinstance(event, NotificationEvent):
        Handlers((event, *entry) for entry in handlers).notify(assoc, event, attrs or {})
        return None
    handler, args = handlers
    told = Event(assoc, event, attrs or {})
    return handler(told, *(args or ()))


__all__ = [
    "Event",
    "EventHandlerType",
    "EventType",
    "HandlerArgType",
    "Handlers",
    "InterventionEvent",
    "NoHandlerError",
    "NotificationEvent",
    "get_default_handler",
    "trigger",
]
__all__ += ["EVT_ABORTED", "EVT_ACCEPTED", "EVT_ACSE_RECV", "EVT_ACSE_SENT", "EVT_ASYNC_OPS"]
__all__ += ["EVT_CONN_CLOSE", "EVT_CONN_OPEN", "EVT_C_ECHO", "EVT_C_FIND", "EVT_C_GET", "EVT_C_MOVE"]
__all__ += ["EVT_C_STORE", "EVT_DATA_RECV", "EVT_DATA_SENT", "EVT_DIMSE_RECV", "EVT_DIMSE_SENT"]
__all__ += ["EVT_ESTABLISHED", "EVT_FSM_TRANSITION", "EVT_N_ACTION", "EVT_N_CREATE", "EVT_N_DELETE"]
__all__ += ["EVT_N_EVENT_REPORT", "EVT_N_GET", "EVT_N_SET", "EVT_PDU_RECV", "EVT_PDU_SENT"]
__all__ += ["EVT_REJECTED", "EVT_RELEASED", "EVT_REQUESTED", "EVT_SOP_COMMON", "EVT_SOP_EXTENDED"]
__all__ += ["EVT_USER_ID"]
