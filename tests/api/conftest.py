"""Both halves of the API over real sockets: ours with ours, ours with pynetdicom's, pynetdicom's with ours.

A test that takes `pair` is written once and runs three times; what it expects is the inventory's behaviour.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import pytest

PAIRS = [("router", "router"), ("router", "pynetdicom"), ("pynetdicom", "router")]

HandlerList = list[tuple[Any, Callable[..., Any]]]


class Pair(NamedTuple):
    """The library on each side, and what makes servers and associations that end with the test."""

    scu: ModuleType
    scp: ModuleType
    serve: Callable[..., Any]
    associate: Callable[..., Any]


def make_pair(scu_name: str, scp_name: str) -> Iterator[Pair]:
    """Make a pair; abort and shut down what is left at the end."""
    scu, scp = importlib.import_module(scu_name), importlib.import_module(scp_name)
    servers: list[Any] = []
    associations: list[Any] = []

    def serve(contexts: list[Any], handlers: HandlerList | None = None, **options: Any) -> Any:
        """Start a server. contexts: UIDs, or (UID, transfer syntaxes, scu_role, scp_role)."""
        ae = scp.AE(options.pop("ae_title", "SCP"))
        ssl_context = options.pop("ssl_context", None)
        for name, value in options.items():
            setattr(ae, name, value)
        for context in contexts:
            if isinstance(context, tuple):
                ae.add_supported_context(*context)
            else:
                ae.add_supported_context(context)
        server = ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=handlers or [], ssl_context=ssl_context
        )
        servers.append((ae, server))
        return server

    def associate(server: Any, contexts: list[Any], **options: Any) -> Any:
        """Associate with a server. contexts: UIDs, or (UID, transfer syntaxes)."""
        ae = options.pop("ae", None) or scu.AE("SCU")
        for context in contexts:
            if isinstance(context, tuple):
                ae.add_requested_context(*context)
            else:
                ae.add_requested_context(context)
        port = server if isinstance(server, int) else server.server_address[1]
        association = ae.associate("127.0.0.1", port, **options)
        associations.append(association)
        return association

    yield Pair(scu, scp, serve, associate)
    for association in associations:
        if association.is_established:
            association.abort()
    for ae, server in servers:
        with contextlib.suppress(ValueError):  # pynetdicom's, if the test has shut its server down itself
            server.shutdown()
        ae.shutdown()


@pytest.fixture(params=PAIRS, ids=[f"{scu}-{scp}" for scu, scp in PAIRS])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    yield from make_pair(*request.param)


@pytest.fixture
def ours() -> Iterator[Pair]:
    """Our own two halves, for what pynetdicom does not do."""
    yield from make_pair("router", "router")
