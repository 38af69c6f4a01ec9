"""Admin's words on the queue: list, show, retry, release, drop, put to every worker and joined.

An entry's id is "<worker>-<sequence>". Each worker keeps its own entries, so a listing goes through the
workers in order and `after` is the last id seen. The body of a POST must be application/json and the Host a
name of this machine, so that no web page in an operator's browser can work the queue.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from router.errors import RouterError
from router.processes.queries import QueryClient

LIMIT_DEFAULT = 100
LIMIT_MAX = 10_000
PAGE_ROWS = 100  # asked of a worker at a time, so that an answer stays a short message
TEXT_CHARACTERS_MAX = 128
STATES = ("pending", "retrying", "dead", "held", "delivered", "discarded", "diverted")
FILTERS = ("destination", "state", "study", "sop_instance")

_ENTRY = re.compile(r"(\d{1,4})-(\d{1,19})")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EntryId:
    """Which worker holds an entry, and its number there."""

    worker: int
    sequence: int

    @classmethod
    def parse(cls, text: str) -> EntryId:
        """Read "<worker>-<sequence>". Raises ValueError."""
        match = _ENTRY.fullmatch(text)
        if match is None:
            raise ValueError(f"{text[:32]!r} is no entry id; they look like 0-123")
        return cls(int(match[1]), int(match[2]))


class QueueViews:
    """The queue's pages over one query client a worker."""

    def __init__(self, workers: Sequence[QueryClient]) -> None:
        self._workers = workers

    def add_routes(self, app: web.Application) -> None:
        """Add the pages to an application."""
        app.router.add_get("/queue", guarded(self._list))
        app.router.add_get("/queue/counts", guarded(self._counts))
        app.router.add_get("/destinations", guarded(self._destinations))
        app.router.add_get(r"/queue/{entry:\d+-\d+}", guarded(self._show))
        app.router.add_post("/queue/{verb:retry|release|drop}", guarded(self._change))

    async def _counts(self, _: web.Request) -> web.Response:
        answers, errors = await self._ask_all("queue_counts", {})
        totals: dict[tuple[str, str], Json] = {}
        for row in (row for rows in answers for row in rows):
            total = totals.setdefault(
                (row["destination"], row["state"]),
                {
                    "destination": row["destination"],
                    "state": row["state"],
                    "count": 0,
                    "bytes": 0,
                    "oldest_age_s": 0.0,
                },
            )
            total["count"] += row["count"]
            total["bytes"] += row["bytes"]
            total["oldest_age_s"] = max(total["oldest_age_s"], row["oldest_age_s"] or 0.0)
        return _joined({"counts": [totals[key] for key in sorted(totals)]}, errors, len(self._workers))

    async def _destinations(self, _: web.Request) -> web.Response:
        answers, errors = await self._ask_all("destinations", {})
        rows = sorted(
            (row for rows in answers for row in rows), key=lambda r: (r["destination"], r["worker"])
        )
        return _joined({"destinations": rows}, errors, len(self._workers))

    async def _list(self, request: web.Request) -> web.Response:
        unknown = set(request.query) - {*FILTERS, "limit", "after"}
        if unknown:
            raise ValueError(f"unknown parameters: {', '.join(sorted(unknown))[:TEXT_CHARACTERS_MAX]}")
        filters = read_filters({name: request.query[name] for name in FILTERS if request.query.get(name)})
        limit = read_limit(request.query.get("limit") or str(LIMIT_DEFAULT))
        after = EntryId.parse(request.query["after"]) if request.query.get("after") else EntryId(0, 0)
        rows: list[Json] = []
        errors: list[str] = []
        for index in range(after.worker, len(self._workers)):
            start = after.sequence if index == after.worker else 0
            try:
                rows += await self._rows(index, filters, limit - len(rows), start)
            except RouterError as error:
                errors.append(str(error))
            if len(rows) >= limit:
                break
        more = rows[-1]["id"] if len(rows) >= limit else None
        return _joined({"entries": rows, "next": more}, errors, len(self._workers))

    async def _rows(self, index: int, filters: Json, limit: int, after: int) -> list[Json]:
        """Return one worker's rows, asked page by page."""
        rows: list[Json] = []
        while len(rows) < limit:
            count = min(PAGE_ROWS, limit - len(rows))
            page = await self._workers[index].ask("queue_ls", **filters, limit=count, after=after)
            if not page:
                break
            rows += page
            after = EntryId.parse(page[-1]["id"]).sequence
        return rows

    async def _show(self, request: web.Request) -> web.Response:
        entry = EntryId.parse(request.match_info["entry"])
        found = None
        if entry.worker < len(self._workers):
            found = await self._workers[entry.worker].ask("queue_show", entry=entry.sequence)
        if found is None:
            return _error(404, f"no entry {entry.worker}-{entry.sequence}")
        return web.json_response(found)

    async def _change(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return _error(415, "the body must be application/json")
        selector = await request.json()
        if not isinstance(selector, dict):
            raise ValueError("the selector must be a JSON object")
        everything = selector.pop("all", False) is True
        entry = EntryId.parse(str(selector.pop("id"))) if "id" in selector else None
        filters = read_filters(selector)
        if entry is None and not filters and not everything:
            raise ValueError(f"the selector is empty: give id, {', '.join(FILTERS)}, or all = true")
        verb = f"queue_{request.match_info['verb']}"
        if entry is None:
            answers, errors = await self._ask_all(verb, filters)
            return _joined({"changed": sum(answers)}, errors, len(self._workers))
        if entry.worker >= len(self._workers):
            return _error(404, f"no entry {entry.worker}-{entry.sequence}")
        changed = await self._workers[entry.worker].ask(verb, **filters, entry=entry.sequence)
        return web.json_response({"changed": changed, "errors": []})

    async def _ask_all(self, verb: str, arguments: Json) -> tuple[list[Any], list[str]]:
        """Ask every worker at once; return the answers, and why there are not as many as workers."""
        asked = (worker.ask(verb, **arguments) for worker in self._workers)
        results = await asyncio.gather(*asked, return_exceptions=True)
        errors = [str(result) for result in results if isinstance(result, RouterError)]
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, RouterError):
                raise result
        return [result for result in results if not isinstance(result, BaseException)], errors


def read_filters(given: Json) -> Json:
    """Check the filters of a listing or selector. Raises ValueError for an unknown name or value."""
    for name, value in given.items():
        if name not in FILTERS:
            raise ValueError(f"unknown filter {name[:32]!r}; there are {', '.join(FILTERS)}")
        if not isinstance(value, str) or not 0 < len(value) <= TEXT_CHARACTERS_MAX:
            raise ValueError(f"{name} must be text of 1 to {TEXT_CHARACTERS_MAX} characters")
    if given.get("state", STATES[0]) not in STATES:
        raise ValueError(f"unknown state {given['state'][:32]!r}; there are {', '.join(STATES)}")
    return dict(given)


def read_limit(text: str) -> int:
    """Read the most rows wanted. Raises ValueError."""
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= LIMIT_MAX:
        raise ValueError(f"limit must be a number from 1 to {LIMIT_MAX}")
    return int(text)


def is_local_host_name(host: str) -> bool:
    """Whether a Host header names this machine itself: an address, localhost or the machine's own name.

    A page on the web can make a browser resolve its own name to 127.0.0.1, but cannot make it send another
    Host.
    """
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower() in ("localhost", socket.gethostname().lower()):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def guarded(view: Any) -> Any:
    """Answer a view's expected errors as JSON: 400 for the asker's, 503 for a worker's."""

    async def guarded(request: web.Request) -> web.Response:
        if not is_local_host_name(request.host):
            return _error(403, "the queue answers to this machine's own name or address only")
        try:
            response: web.Response = await view(request)
        except (ValueError, json.JSONDecodeError) as error:
            return _error(400, str(error))
        except RouterError as error:
            return _error(503, str(error))
        return response

    return guarded


def _joined(result: Json, errors: list[str], workers: int) -> web.Response:
    """Answer what the workers said together; 503 if none of them could answer."""
    status = 503 if errors and len(errors) == workers else 200
    return web.json_response({**result, "errors": errors}, status=status)


def _error(status: int, why: str) -> web.Response:
    return web.json_response({"errors": [why]}, status=status)
