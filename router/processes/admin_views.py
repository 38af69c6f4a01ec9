"""Admin's pages without arguments: index, liveness, readiness, metrics."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

import router
from router.processes.control import Message

INDEX = """dicom-router {version}

/metrics                  metrics, in Prometheus format
/live                     200 while this process runs, with the router's state as JSON
/ready                    200 while every acceptor and worker does its work, else 503
/destinations             each worker's circuit breaker of each destination, and what it holds
/queue/counts             entries by destination and state
/queue?destination=&state=&study=&sop_instance=&limit=&after=
/queue/<entry>            one entry
/studies/<uid>            what was received of a study; what was delivered where and when, with which status
POST /queue/retry         with a JSON selector: id, destination, state, study, sop_instance, or all = true
POST /queue/release       as retry, for held entries
POST /queue/drop          as retry, for good
"""


async def index(_: web.Request) -> web.Response:
    """Say which pages there are."""
    return web.Response(text=INDEX.format(version=router.__version__))


class HealthViews:
    """Liveness and readiness, from the state the supervisor last told."""

    def __init__(self) -> None:
        self._state: dict[str, Any] = {"version": router.__version__, "ready": False, "processes": []}

    def update(self, message: Message) -> None:
        """Take the supervisor's state message."""
        self._state = {key: value for key, value in message.items() if key != "kind"}

    async def live(self, _: web.Request) -> web.Response:
        """Answer 200: this process runs, and so does its supervisor, or this process would have ended."""
        return web.json_response(self._snapshot())

    async def ready(self, _: web.Request) -> web.Response:
        """Answer 200 if instances are received and forwarded, else 503."""
        state = self._snapshot()
        return web.json_response(state, status=200 if state["ready"] else 503)

    def _snapshot(self) -> dict[str, Any]:
        state = dict(self._state)
        started = state.pop("started_monotonic", None)
        if started is not None:
            state["uptime_s"] = round(time.monotonic() - started, 3)
        return state


class MetricsView:
    """The metrics of every process of the router."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer a scrape, in the format the scraper asks for."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})
