"""Admin's page of one study: the proof of what was received and delivered, from the ledger of every worker.

An instance is known as long as the ledger remembers it (`history_s`, `history_max`). What was passed on under
`ack = "delivered"` without being stored left no entry: it is counted in the metrics only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from router.errors import RouterError
from router.processes.admin_queue import LIMIT_MAX, PAGE_ROWS, EntryId, guarded, read_limit
from router.processes.queries import QueryClient

UID_CHARACTERS_MAX = 64
_SERVED = ("delivered", "diverted")  # what is diverted has a delivery to the alternate beside it

_UID = re.compile(r"[0-9.]{1,64}")

Json = dict[str, Any]


class StudyViews:
    """The page over one query client a worker."""

    def __init__(self, workers: Sequence[QueryClient]) -> None:
        self._workers = workers

    def add_routes(self, app: web.Application) -> None:
        """Add the page to an application."""
        app.router.add_get("/studies/{uid}", guarded(self._study))

    async def _study(self, request: web.Request) -> web.Response:
        uid = request.match_info["uid"]
        if not _UID.fullmatch(uid):
            raise ValueError(f"a UID has 1 to {UID_CHARACTERS_MAX} digits and dots")
        if unknown := set(request.query) - {"limit", "after"}:
            raise ValueError(f"unknown parameters: {', '.join(sorted(unknown))[:128]}")
        limit = read_limit(request.query.get("limit") or str(LIMIT_MAX))
        after = EntryId.parse(request.query["after"]) if request.query.get("after") else EntryId(0, 0)
        rows, more, errors = await self._rows(uid, limit, after)
        if not rows and not errors and after == EntryId(0, 0):
            return web.json_response({"errors": [f"no ledger remembers study {uid}"]}, status=404)
        instances = joined(rows)
        answer = {
            "study": uid,
            "summary": summary_of(instances),
            "is_whole": more is None and not errors,
            "instances": instances,
            "next": more,
            "errors": errors,
        }
        return web.json_response(answer, status=503 if errors and not rows else 200)

    async def _rows(self, uid: str, limit: int, after: EntryId) -> tuple[list[Json], str | None, list[str]]:
        """Return rows from every ledger in order, where to go on, and why some are missing."""
        rows: list[Json] = []
        ledgers, errors = await self._ledgers()
        for ledger in ledgers:
            if ledger < after.worker:
                continue
            start = after.sequence if ledger == after.worker else 0
            try:
                rows += await self._rows_of(ledger, uid, limit - len(rows), start)
            except RouterError as error:
                errors.append(str(error))
            if len(rows) >= limit:
                return rows, rows[-1]["id"], errors
        return rows, None, errors

    async def _rows_of(self, ledger: int, uid: str, limit: int, after: int) -> list[Json]:
        """Return one ledger's rows, asked page by page."""
        worker = self._workers[ledger if ledger < len(self._workers) else 0]
        rows: list[Json] = []
        while len(rows) < limit:
            count = min(PAGE_ROWS, limit - len(rows))
            page = await worker.ask("study_rows", study=uid, ledger=ledger, limit=count, after=after)
            if not page:
                break
            rows += page
            after = EntryId.parse(page[-1]["id"]).sequence
        return rows

    async def _ledgers(self) -> tuple[list[int], list[str]]:
        """Return the ledgers there are: one a worker, and those of workers that are no more."""
        try:
            absent = (await self._workers[0].ask("study_ledgers"))[1:]
        except RouterError as error:
            return list(range(len(self._workers))), [str(error)]
        return [*range(len(self._workers)), *absent], []


def joined(rows: list[Json]) -> list[Json]:
    """Return one table an instance, its deliveries in it. What has moved to another ledger stands there."""
    instances: dict[str, Json] = {}
    for row in rows:
        delivery = row.pop("delivery")
        if delivery["error"] == "moved":
            continue
        instances.setdefault(row["id"], {**row, "deliveries": []})["deliveries"].append(delivery)
    return list(instances.values())


def summary_of(instances: list[Json]) -> Json:
    """Return what the rows say together: how many instances, and how many by destination and state."""
    destinations: dict[str, dict[str, int]] = {}
    for instance in instances:
        for delivery in instance["deliveries"]:
            states = destinations.setdefault(delivery["destination"], {})
            states[delivery["state"]] = states.get(delivery["state"], 0) + 1
    received = sorted(instance["received"] for instance in instances)
    return {
        "received": len(instances),
        "distinct_sop_instances": len({instance["sop_instance"] for instance in instances}),
        "bytes": sum(instance["bytes"] for instance in instances),
        "first_received": received[0] if received else None,
        "last_received": received[-1] if received else None,
        "deliveries": destinations,
        "is_delivered": bool(instances)
        and all(state in _SERVED for states in destinations.values() for state in states),
    }
