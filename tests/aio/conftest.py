"""The asyncio face against other halves over real sockets: our blocking one's, and pynetdicom's."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import pytest

from router import aio

T = TypeVar("T")

TEST_DEADLINE_S = 30.0

HandlerList = list[tuple[Any, Callable[..., Any]]]


class Peer(NamedTuple):
    """A library with blocking halves; serve: start a server, which ends with the test; return its port."""

    library: ModuleType
    serve: Callable[..., int]


@pytest.fixture(params=["router", "pynetdicom"])
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    library = importlib.import_module(request.param)
    entities: list[Any] = []

    def serve(contexts: list[Any], handlers: HandlerList | None = None, **settings: Any) -> int:
        ae = library.AE("SCP")
        for name, value in settings.items():
            setattr(ae, name, value)
        add_contexts(ae.add_supported_context, contexts)
        server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers or [])
        entities.append((ae, server))
        port: int = server.server_address[1]
        return port

    yield Peer(library, serve)
    for ae, server in entities:
        with contextlib.suppress(ValueError):
            server.shutdown()
        ae.shutdown()


def add_contexts(add: Callable[..., None], contexts: list[Any]) -> None:
    """Add contexts to an AE: UIDs, or tuples of further arguments."""
    for context in contexts:
        add(*(context if isinstance(context, tuple) else (context,)))


@contextlib.asynccontextmanager
async def associated(port: int, contexts: list[Any], **options: Any) -> AsyncIterator[aio.Association]:
    """Associate with a peer on the loopback. options: of the AE, and arguments of associate()."""
    ae = aio.AE("SCU")
    for name in [name for name in options if hasattr(ae, name)]:
        setattr(ae, name, options.pop(name))
    add_contexts(ae.add_requested_context, contexts)
    async with await ae.associate("127.0.0.1", port, **options) as assoc:
        yield assoc


@contextlib.asynccontextmanager
async def serving(
    contexts: list[Any], handlers: HandlerList | None = None, **settings: Any
) -> AsyncIterator[aio.Server]:
    """Serve on the loop."""
    ssl_context = settings.pop("ssl_context", None)
    async with aio.AE("SCP") as ae:
        for name, value in settings.items():
            setattr(ae, name, value)
        add_contexts(ae.add_supported_context, contexts)
        yield await ae.start_server(("127.0.0.1", 0), ssl_context, handlers or [])


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine in a loop of its own, with a deadline."""

    async def limited() -> T:
        async with asyncio.timeout(TEST_DEADLINE_S):
            return await main

    return asyncio.run(limited())
