"""Ask handlers on the event loop: run what router/api wants to run, after what must be awaited for it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from router.aio import moves
from router.aio.handlers import Feed, Outcome
from router.api import events as evt
from router.api.event import Event
from router.api.matches import Produced
from router.api.responders import Responders
from router.api.retrievals import MoveSubOperation, start_get, start_move
from router.protocol.indications import MessageReceived
from router.standard import dimse_fields as fields

if TYPE_CHECKING:
    from router.aio.association import Association

_EVENTS: dict[int, evt.InterventionEvent] = {
    fields.C_ECHO_RQ: evt.EVT_C_ECHO,
    fields.C_STORE_RQ: evt.EVT_C_STORE,
    fields.N_EVENT_REPORT_RQ: evt.EVT_N_EVENT_REPORT,
    fields.N_GET_RQ: evt.EVT_N_GET,
    fields.N_SET_RQ: evt.EVT_N_SET,
    fields.N_ACTION_RQ: evt.EVT_N_ACTION,
    fields.N_CREATE_RQ: evt.EVT_N_CREATE,
    fields.N_DELETE_RQ: evt.EVT_N_DELETE,
}


def coroutine_for(
    assoc: Association, function: Callable[..., Any], args: tuple[Any, ...]
) -> Coroutine[Any, Any, Any] | None:
    """Return a coroutine with the function's result, if it takes one; None: call the function as it is.

    function: one that router/api gives to Association._invoke(), which asks a handler when it is called.
    """
    subject = getattr(function, "__self__", None)
    if isinstance(subject, Produced):
        return _next_item(assoc, subject, function)
    if isinstance(subject, Responders):
        return _answer(assoc, function, args[0])
    if isinstance(subject, MoveSubOperation):
        return moves.store(subject)
    if function is start_move:
        return moves.start(assoc, args[1], args[2])
    if function is start_get:
        return _start_get(assoc, args[1], args[2])
    return None


def _answer(
    assoc: Association, function: Callable[..., Any], message: MessageReceived
) -> Coroutine[Any, Any, Any] | None:
    event = _EVENTS[message.command[fields.COMMAND_FIELD]]
    handlers = assoc._handlers
    if not handlers.is_asynchronous(event):
        return None

    async def answer() -> Any:
        outcome = await Outcome.of(handlers.call(Event.of_message(assoc, event, message)))
        handlers.prepare(outcome)
        return function(message)

    return answer()


def _next_item(
    assoc: Association, produced: Produced, function: Callable[..., Any]
) -> Coroutine[Any, Any, Any] | None:
    if produced._items is None and assoc._handlers.is_asynchronous(produced._event.event):
        produced._items = Feed(assoc._handlers.call(produced._event))
    feed = produced._items
    if not isinstance(feed, Feed):
        return None

    async def next_item() -> Any:
        await feed.fetch()
        return function()

    return next_item()


def _start_get(assoc: Association, message: MessageReceived, table: Any) -> Coroutine[Any, Any, Any] | None:
    handlers = assoc._handlers
    if not handlers.is_asynchronous(evt.EVT_C_GET):
        return None

    async def start() -> Any:
        feed = Feed(handlers.call(Event.of_message(assoc, evt.EVT_C_GET, message)))
        await feed.fetch()
        handlers.prepare(Outcome(feed))
        return start_get(assoc, message, table)

    return start()
