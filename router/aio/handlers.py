"""Handlers that may be asynchronous: coroutine functions and asynchronous generators beside plain ones.

What router/api asks a handler for it wants at once. So an asynchronous handler is awaited first, and what it
gave lies ready when it is asked for: `prepare` an answer, or `Feed` the items of a generator.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from router.api import events as evt
from router.api.event import Event

_ANSWERED_BY_ITEMS = frozenset({evt.EVT_C_FIND, evt.EVT_C_GET, evt.EVT_C_MOVE})
_ANSWERED_ONCE = frozenset(
    {
        evt.EVT_C_ECHO,
        evt.EVT_C_STORE,
        evt.EVT_N_ACTION,
        evt.EVT_N_CREATE,
        evt.EVT_N_DELETE,
        evt.EVT_N_EVENT_REPORT,
        evt.EVT_N_GET,
        evt.EVT_N_SET,
    }
)


class LoopHandlers(evt.Handlers):
    """The handlers of one association or server on the event loop.

    Plain functions run in the loop and must not block it. Asynchronous ones are possible for every DIMSE
    request: coroutine functions, and for C-FIND, C-GET and C-MOVE asynchronous generators.
    """

    _prepared: Outcome | None = None

    def bind(self, event: evt.EventType, handler: Callable[..., Any], args: list[Any] | None = None) -> None:
        """Bind a handler. Raises TypeError for an asynchronous one where none is possible."""
        if is_coroutine_function(handler) and event not in _ANSWERED_ONCE:
            raise TypeError(f"the handler of 'evt.{event}' cannot be a coroutine function")
        if is_asynchronous_generator(handler) and event not in _ANSWERED_BY_ITEMS:
            raise TypeError(f"the handler of 'evt.{event}' cannot be an asynchronous generator")
        super().bind(event, handler, args)

    def is_asynchronous(self, event: evt.InterventionEvent) -> bool:
        """Whether the handler of an event has to be awaited."""
        bound = self._interventions.get(event)
        return bound is not None and (is_coroutine_function(bound[0]) or is_asynchronous_generator(bound[0]))

    def call(self, event: Event) -> Any:
        """Call the handler of an event and return what it returns: a coroutine, an asynchronous generator."""
        return super().ask(event)

    def prepare(self, outcome: Outcome) -> None:
        """Have this ready for the next time that a handler is asked."""
        self._prepared = outcome

    def ask(self, event: Event) -> Any:
        """Return what was prepared, else the answer of the event's handler."""
        if self._prepared is None:
            return super().ask(event)
        outcome, self._prepared = self._prepared, None
        return outcome.take()


class Outcome:
    """What awaiting something came to: a value, or an error."""

    __slots__ = ("_error", "_value")

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self._value = value
        self._error = error

    @classmethod
    async def of(cls, awaitable: Any) -> Outcome:
        """Await something."""
        try:
            return cls(await awaitable)
        except Exception as error:
            # The handler's own: it is raised again where a plain handler's would be.
            return cls(error=error)

    def take(self) -> Any:
        """Return the value, or raise the error."""
        if self._error is not None:
            raise self._error
        return self._value


class Feed(Iterator[Any]):
    """The items of an asynchronous generator, for who iterates over them without awaiting.

    fetch() them before they are asked for: an item that was not fetched is taken for the end.
    """

    def __init__(self, source: AsyncIterator[Any]) -> None:
        self._source = source
        self._fetched: deque[Outcome] = deque()
        self._is_over = False
        self._closing: asyncio.Task[None] | None = None

    async def fetch(self, count: int = 1) -> None:
        """Wait for items, up to so many that have not been taken."""
        while len(self._fetched) < count and not self._is_over:
            try:
                self._fetched.append(Outcome(await anext(self._source)))
            except StopAsyncIteration:
                self._is_over = True
            except Exception as error:
                # The handler's own, as in Outcome.of().
                self._fetched.append(Outcome(error=error))
                self._is_over = True

    def __next__(self) -> Any:
        if not self._fetched:
            raise StopIteration
        return self._fetched.popleft().take()

    def close(self) -> None:
        """Have the generator closed soon."""
        close = getattr(self._source, "aclose", None)
        if close is not None and not self._is_over:
            self._is_over = True
            self._closing = asyncio.ensure_future(close())


def is_coroutine_function(handler: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine."""
    return any(map(inspect.iscoroutinefunction, _called(handler)))


def is_asynchronous_generator(handler: Callable[..., Any]) -> bool:
    """Whether calling it gives an asynchronous generator."""
    return any(map(inspect.isasyncgenfunction, _called(handler)))


def _called(handler: Callable[..., Any]) -> tuple[Any, Any]:
    """Return what may be the function that runs: the handler, or its class's __call__."""
    return handler, type(handler).__call__
