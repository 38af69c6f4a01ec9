"""The admin process: HTTP for metrics, health and the queue. Its faults cannot hurt the data path.

It has no authentication and listens on loopback by default. Hostile clients are bounded, not trusted: heads
and bodies are capped, a connection serves one request and lives CONNECTION_S at most, CONNECTIONS_MAX at a
time; what they do wrong is logged at most some times a minute.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from time import monotonic
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CollectorRegistry

from router.metrics.exposition import PagesCollector
from router.metrics.page import MetricsPage
from router.processes import child as child_process
from router.processes.admin_queue import QueueViews
from router.processes.admin_studies import StudyViews
from router.processes.admin_views import HealthViews, MetricsView, index
from router.processes.child import Child
from router.processes.logs import PeerLogLimit
from router.processes.queries import QueryClient

CONNECTIONS_MAX = 64
CONNECTION_S = 30.0
BODY_BYTES_MAX = 64 * 1024
HEAD_LINE_BYTES_MAX = 8190
REQUEST_BYTES_MAX = BODY_BYTES_MAX + 64 * 1024
"""All that a connection may send: its one request, head and body."""

CLOSE_S = 1.0

log = logging.getLogger(__name__)


def main() -> int:
    """Run the admin process."""
    return child_process.run(role_main)


async def role_main(child: Child) -> None:
    """Serve until drained."""
    health = HealthViews()
    child.on_message("state", health.update)
    clients = [
        QueryClient(child.fds(f"query.{j}")[0], f"worker-{j}") for j in range(child.config.router.workers)
    ]
    app = make_app(health, MetricsView(open_pages(child)), QueueViews(clients), StudyViews(clients))
    logging.getLogger("aiohttp.server").addFilter(_FewLines())
    runner = web.AppRunner(
        app,
        access_log=None,
        max_line_size=HEAD_LINE_BYTES_MAX,
        max_field_size=HEAD_LINE_BYTES_MAX,
        shutdown_timeout=CLOSE_S,
        handle_signals=False,
    )
    await runner.setup()
    server = await serve(runner, child.fds("admin")[0])
    child.ready()
    await child.drain_requested()
    server.close()
    await runner.cleanup()
    child.drained()


def make_app(
    health: HealthViews, metrics: MetricsView, queue: QueueViews, studies: StudyViews
) -> web.Application:
    """Return the application with every route."""
    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[one_request_a_connection])
    app.router.add_get("/", index)
    app.router.add_get("/live", health.live)
    app.router.add_get("/ready", health.ready)
    app.router.add_get("/metrics", metrics.metrics)
    queue.add_routes(app)
    studies.add_routes(app)
    return app


@web.middleware
async def one_request_a_connection(request: web.Request, handler: Any) -> web.StreamResponse:
    """Close the connection after its first answer: a lifetime per connection then bounds each request."""
    response: web.StreamResponse = await handler(request)
    response.force_close()
    return response


async def serve(runner: web.AppRunner, fd: int) -> asyncio.Server:
    """Serve HTTP on a listening socket passed as a descriptor."""
    loop = asyncio.get_running_loop()
    handlers = runner.server
    assert handlers is not None

    def connect() -> asyncio.BaseProtocol:
        if len(handlers.connections) >= CONNECTIONS_MAX:
            return _Refusal()
        handler = handlers()
        loop.call_later(CONNECTION_S, handler.force_close)
        return _Bounded(handler)

    return await loop.create_server(connect, sock=socket.socket(fileno=fd))


def open_pages(child: Child) -> CollectorRegistry:
    """Attach every process's page of metrics; return a registry that collects them."""
    fds = [numbers[0] for name, numbers in child.start.fds.items() if name.startswith("page.")]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PagesCollector([MetricsPage.attach(fd) for fd in fds]))
    return registry


class _Bounded(asyncio.Protocol):
    """Passes a connection on to aiohttp's handler until it has sent more than a request can have."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler
        self._received = 0
        self.connection_lost = handler.connection_lost  # type: ignore[method-assign]
        self.eof_received = handler.eof_received  # type: ignore[method-assign]
        self.pause_writing = handler.pause_writing  # type: ignore[method-assign]
        self.resume_writing = handler.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received <= REQUEST_BYTES_MAX:
            self._handler.data_received(data)
        elif isinstance(self._transport, asyncio.Transport):
            self._transport.abort()


class _FewLines(logging.Filter):
    """Lets aiohttp say what clients did wrong in one line each, and not more often than of a peer."""

    def __init__(self) -> None:
        super().__init__()
        self._limit = PeerLogLimit()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
            record.exc_info = None
        return self._limit.admit("admin", monotonic()) is not None


class _Refusal(asyncio.Protocol):
    """A connection too many: closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


if __name__ == "__main__":
    sys.exit(main())
