from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from prometheus_client import CollectorRegistry

from router.errors import SpoolError
from router.metrics import catalogue
from router.metrics.exposition import PagesCollector
from router.metrics.page import MetricsPage
from router.processes.admin import BODY_BYTES_MAX, CONNECTIONS_MAX, _FewLines, make_app, serve
from router.processes.admin_queue import EntryId, QueueViews, is_local_host_name
from router.processes.admin_studies import StudyViews
from router.processes.admin_views import HealthViews, MetricsView
from router.processes.logs import PEER_LINES_MAX
from router.processes.queries import QueryClient, QueryServer
from router.processes.resources import listen

HOST = "127.0.0.1"


class Worker:
    """A worker's side of the queue: entries numbered from 1, each with a row per destination."""

    def __init__(self, index: int, entries: int, is_broken: bool = False) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._index = index
        self._entries = entries
        self._is_broken = is_broken

    def handlers(self) -> dict[str, Callable[..., Any]]:
        return {
            "queue_counts": self._counts,
            "destinations": self._destinations,
            "queue_ls": self._ls,
            "study_ledgers": self._study_ledgers,
            "study_rows": self._study_rows,
            "queue_show": lambda entry: {"id": f"{self._index}-{entry}"} if entry <= self._entries else None,
            **{f"queue_{verb}": self._changer(verb) for verb in ("retry", "release", "drop")},
        }

    def _changer(self, verb: str) -> Callable[..., int]:
        def change(**selector: Any) -> int:
            self.calls.append((verb, selector))
            return self._entries

        return change

    def _destinations(self) -> list[dict[str, Any]]:
        return [{"destination": name, "worker": self._index} for name in "BA"]

    def _counts(self) -> list[dict[str, Any]]:
        if self._is_broken:
            raise SpoolError("ledger is gone")
        count = self._entries
        return [
            {"destination": "P", "state": "dead", "count": count, "bytes": 10, "oldest_age_s": float(count)}
        ]

    def _ls(self, limit: int, after: int, **filters: str) -> list[dict[str, Any]]:
        self.calls.append(("ls", {"limit": limit, "after": after, **filters}))
        return [
            {"id": f"{self._index}-{number}", "destination": "P"}
            for number in range(after + 1, min(after + limit, self._entries) + 1)
        ]

    def _study_ledgers(self) -> list[int]:
        return [self._index, *([7] if self._index == 0 else [])]

    def _study_rows(self, study: str, ledger: int, limit: int, after: int) -> list[dict[str, Any]]:
        if self._is_broken:
            raise SpoolError("ledger is gone")
        if study == "1.404":
            return []
        self.calls.append(("study", {"ledger": ledger, "limit": limit, "after": after}))
        return [
            {
                "id": f"{ledger}-{number}",
                "sop_instance": f"1.{number}",
                "bytes": 10,
                "received": f"2026-01-0{number % 9 + 1}T00:00:00.000Z",
                "delivery": {
                    "destination": "P",
                    "state": "pending" if ledger == 1 and number == 1 else "delivered",
                    "error": "moved" if ledger == 7 and number == 2 else None,
                },
            }
            for number in range(after + 1, min(after + limit, self._entries) + 1)
        ]


class Admin:
    """What a test talks to: an HTTP session and the state it shows."""

    def __init__(
        self, session: aiohttp.ClientSession, port: int, health: HealthViews, page: MetricsPage
    ) -> None:
        self.session = session
        self.port = port
        self.health = health
        self.page = page

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self.session.get(f"http://{HOST}:{self.port}{path}", headers=headers) as answer:
            return answer.status, await read(answer)

    async def post(self, path: str, body: Any, content_type: str = "application/json") -> tuple[int, Any]:
        data, headers = json.dumps(body), {"Content-Type": content_type}
        async with self.session.post(
            f"http://{HOST}:{self.port}{path}", data=data, headers=headers
        ) as answer:
            return answer.status, await read(answer)


async def read(answer: aiohttp.ClientResponse) -> Any:
    return await (answer.json() if answer.content_type == "application/json" else answer.text())


@asynccontextmanager
async def running_admin(*workers: Worker) -> AsyncIterator[Admin]:
    """Run admin's HTTP server over workers in this process."""
    clients, closers = [], []
    for index, worker in enumerate(workers):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        clients.append(QueryClient(ours.detach(), f"worker-{index}"))
        closers += [clients[-1].close, QueryServer(theirs.detach(), worker.handlers()).close]
    health, page = HealthViews(), MetricsPage.create()
    page.begin("supervisor", 0)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PagesCollector([page]))
    app = make_app(health, MetricsView(registry), QueueViews(clients), StudyViews(clients))
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    listener = listen(HOST, 0, 64, "admin")
    port = listener.getsockname()[1]
    server = await serve(runner, listener.detach())
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(20):
            yield Admin(session, port, health, page)
    finally:
        server.close()
        await runner.cleanup()
        for close in closers:
            close()
        page.close()


def run(scenario: Callable[[Admin], Awaitable[None]], *workers: Worker) -> None:
    async def running() -> None:
        async with running_admin(*workers) as admin:
            await scenario(admin)

    asyncio.run(running())


def test_live_shows_the_state_and_ready_its_truth() -> None:
    async def scenario(admin: Admin) -> None:
        assert (await admin.get("/ready"))[0] == 503
        admin.health.update({"kind": "state", "ready": True, "codec": "compiled", "started_monotonic": 0.0})
        status, state = await admin.get("/ready")
        assert (status, state["codec"], "kind" in state) == (200, "compiled", False)
        assert state["uptime_s"] > 0
        admin.health.update({"kind": "state", "ready": False})
        assert [(await admin.get(path))[0] for path in ("/ready", "/live", "/")] == [503, 200, 200]

    run(scenario)


def test_metrics_are_those_of_the_pages() -> None:
    async def scenario(admin: Admin) -> None:
        admin.page.add(admin.page.slot(catalogue.PROCESS_RESTARTS, role="worker"), 3)
        status, text = await admin.get("/metrics")
        assert status == 200
        assert 'dicom_router_process_restarts_total{role="worker"} 3.0' in text

    run(scenario)


def test_counts_of_all_workers_are_added_up() -> None:
    async def scenario(admin: Admin) -> None:
        row = {"destination": "P", "state": "dead", "count": 5, "bytes": 20, "oldest_age_s": 3.0}
        assert await admin.get("/queue/counts") == (200, {"counts": [row], "errors": []})

    run(scenario, Worker(0, 2), Worker(1, 3))


def test_destinations_are_shown_as_each_worker_sees_them() -> None:
    async def scenario(admin: Admin) -> None:
        _, answer = await admin.get("/destinations")
        assert [(row["destination"], row["worker"]) for row in answer["destinations"]] == [
            ("A", 0),
            ("A", 1),
            ("B", 0),
            ("B", 1),
        ]

    run(scenario, Worker(0, 2), Worker(1, 3))


def test_a_worker_that_fails_is_named_and_the_others_answer() -> None:
    async def some(admin: Admin) -> None:
        status, answer = await admin.get("/queue/counts")
        assert (status, answer["counts"][0]["count"]) == (200, 3)
        assert answer["errors"] == ["worker-0: ledger is gone"]

    async def none(admin: Admin) -> None:
        assert (await admin.get("/queue/counts"))[0] == 503

    run(some, Worker(0, 2, is_broken=True), Worker(1, 3))
    run(none, Worker(0, 2, is_broken=True))


def test_a_listing_pages_through_every_worker() -> None:
    workers = Worker(0, 150), Worker(1, 3)

    async def scenario(admin: Admin) -> None:
        status, whole = await admin.get("/queue?state=dead&limit=1000")
        assert (status, len(whole["entries"]), whole["next"]) == (200, 153, None)
        assert workers[0].calls[0] == ("ls", {"limit": 100, "after": 0, "state": "dead"})
        seen, after = [], ""
        while after is not None:
            _, page = await admin.get(f"/queue?limit=40&after={after}")
            seen += page["entries"]
            after = page["next"]
        assert seen == whole["entries"]

    run(scenario, *workers)


def test_one_entry_is_asked_of_its_worker() -> None:
    async def scenario(admin: Admin) -> None:
        assert await admin.get("/queue/1-3") == (200, {"id": "1-3"})
        assert (await admin.get("/queue/1-4"))[0] == 404
        assert (await admin.get("/queue/7-1"))[0] == 404

    run(scenario, Worker(0, 2), Worker(1, 3))


def test_a_change_reaches_the_workers_its_selector_means() -> None:
    workers = Worker(0, 2), Worker(1, 3)

    async def scenario(admin: Admin) -> None:
        assert await admin.post("/queue/retry", {"id": "1-9"}) == (200, {"changed": 3, "errors": []})
        assert workers[1].calls == [("retry", {"entry": 9})]
        assert await admin.post("/queue/drop", {"state": "dead"}) == (200, {"changed": 5, "errors": []})
        assert workers[0].calls == [("drop", {"state": "dead"})]
        assert (await admin.post("/queue/release", {"all": True}))[1]["changed"] == 5

    run(scenario, *workers)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        1,
        {"all": False},
        {"sate": "dead"},
        {"state": "deaf"},
        {"id": "x"},
        {"study": ""},
        {"study": "1" * 999},
    ],
)
def test_a_selector_that_is_empty_or_wrong_changes_nothing(body: Any) -> None:
    worker = Worker(0, 2)

    async def scenario(admin: Admin) -> None:
        status, answer = await admin.post("/queue/drop", body)
        assert status == 400
        assert answer["errors"]
        assert worker.calls == []

    run(scenario, worker)


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=10001", "state=x", "after=5", "colour=red"])
def test_a_listing_that_is_wrong_says_so(query: str) -> None:
    async def scenario(admin: Admin) -> None:
        assert (await admin.get(f"/queue?{query}"))[0] == 400

    run(scenario, Worker(0, 2))


def test_a_study_is_told_from_every_ledger_there_is() -> None:
    workers = (Worker(0, 2), Worker(1, 150))

    async def scenario(admin: Admin) -> None:
        status, found = await admin.get("/studies/1.2.3")
        assert status == 200
        assert (found["study"], found["is_whole"], found["next"], found["errors"]) == (
            "1.2.3", True, None, [],
        )  # fmt: skip
        ids = [instance["id"] for instance in found["instances"]]
        assert ids == ["0-1", "0-2", *(f"1-{n}" for n in range(1, 151)), "7-1"]  # 7-2 has moved
        assert found["instances"][0]["deliveries"] == [
            {"destination": "P", "state": "delivered", "error": None}
        ]
        summary = found["summary"]
        assert summary["deliveries"] == {"P": {"delivered": 152, "pending": 1}}
        assert (summary["received"], summary["is_delivered"]) == (153, False)
        assert {call["ledger"] for verb, call in workers[0].calls if verb == "study"} == {0, 7}

    run(scenario, *workers)


def test_a_study_is_paged_and_its_end_is_told() -> None:
    async def scenario(admin: Admin) -> None:
        _, found = await admin.get("/studies/1.2.3?limit=3")
        assert (found["next"], found["is_whole"]) == ("1-1", False)
        _, found = await admin.get("/studies/1.2.3?limit=4&after=1-1")
        assert [instance["id"] for instance in found["instances"]] == ["1-2", "7-1"]
        assert found["is_whole"]
        status, found = await admin.get("/studies/1.2.3?after=7-2")
        assert (status, found["instances"]) == (200, [])

    run(scenario, Worker(0, 2), Worker(1, 2))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/studies/1.404", 404),
        ("/studies/1.2a", 400),
        ("/studies/" + "1" * 65, 400),
        ("/studies/1.2?colour=red", 400),
        ("/studies/1.2?limit=0", 400),
        ("/studies/1.2?after=x", 400),
    ],
)
def test_a_study_that_is_unknown_or_asked_for_wrongly(path: str, status: int) -> None:
    async def scenario(admin: Admin) -> None:
        assert (await admin.get(path))[0] == status

    run(scenario, Worker(0, 2))


def test_a_study_of_which_a_ledger_is_missing_says_so() -> None:
    async def scenario(admin: Admin) -> None:
        status, found = await admin.get("/studies/1.2.3")
        assert (status, found["is_whole"], len(found["errors"])) == (200, False, 1)

    run(scenario, Worker(0, 2), Worker(1, 2, is_broken=True))


def test_a_web_page_cannot_work_the_queue() -> None:
    worker = Worker(0, 2)

    async def scenario(admin: Admin) -> None:
        assert (await admin.post("/queue/drop", {"all": True}, content_type="text/plain"))[0] == 415
        assert (await admin.get("/queue/counts", Host="evil.example"))[0] == 403
        assert (await admin.get("/metrics", Host="router.monitoring"))[0] == 200
        assert worker.calls == []

    run(scenario, worker)


def test_a_body_too_long_is_refused() -> None:
    async def scenario(admin: Admin) -> None:
        assert (await admin.post("/queue/drop", {"study": "1" * BODY_BYTES_MAX}))[0] == 413

    run(scenario, Worker(0, 2))


@pytest.mark.parametrize("field", [b"X: " + b"a" * 9000 + b"\r\n", b"X: a\r\n" * 40_000])
def test_a_head_too_long_is_refused(field: bytes) -> None:
    """Neither one long field nor very many may be collected (CVE-2026-5440 and its like)."""

    async def scenario(admin: Admin) -> None:
        reader, writer = await asyncio.open_connection(HOST, admin.port)
        writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n" + field + b"\r\n")
        with suppress(ConnectionError):
            assert not (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        assert (await admin.get("/live"))[0] == 200

    run(scenario)


def test_what_clients_do_wrong_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    limited = logging.getLogger("aiohttp.server")
    limited.addFilter(few := _FewLines())
    try:
        for _ in range(100):
            try:
                raise BadHttpMessage("Too many headers received")
            except BadHttpMessage:
                limited.exception("Error handling request")
    finally:
        limited.removeFilter(few)
    assert len(caplog.records) == PEER_LINES_MAX
    assert not any(record.exc_info for record in caplog.records)


def test_a_connection_serves_one_request() -> None:
    async def scenario(admin: Admin) -> None:
        reader, writer = await asyncio.open_connection(HOST, admin.port)
        writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
        assert (await reader.read()).count(b"HTTP/1.1 200") == 1
        writer.close()

    run(scenario)


def test_silent_connections_are_bounded_and_scrapes_go_on_once_they_are_gone() -> None:
    async def scenario(admin: Admin) -> None:
        silent = [await asyncio.open_connection(HOST, admin.port) for _ in range(CONNECTIONS_MAX)]
        reader, writer = await asyncio.open_connection(HOST, admin.port)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        for _, one in [*silent, (reader, writer)]:
            one.close()
        while (await try_live(admin)) != 200:
            await asyncio.sleep(0)

    run(scenario)


async def try_live(admin: Admin) -> int:
    try:
        return (await admin.get("/live"))[0]
    except aiohttp.ClientError:
        return 0


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1:8080", True),
        ("localhost", True),
        ("[::1]:8080", True),
        ("10.1.2.3", True),
        (f"{socket.gethostname()}:80", True),
        ("evil.example:8080", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_host_names_of_this_machine(host: str, is_local: bool) -> None:
    assert is_local_host_name(host) is is_local


def test_an_entry_id_names_its_worker() -> None:
    assert EntryId.parse("3-17") == EntryId(3, 17)
    for text in ("", "3", "a-1", "3-17 ", "99999-1", "1-99999999999999999999"):
        with pytest.raises(ValueError, match="no entry id"):
            EntryId.parse(text)
