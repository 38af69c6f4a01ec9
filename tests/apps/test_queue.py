from __future__ import annotations

import http.server
import io
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.__main__ import main
from router.apps.queue import age, size

ENTRY = {
    "id": "0-7",
    "destination": "PACS",
    "state": "dead",
    "attempts": 3,
    "age_s": 7200.0,
    "next_attempt_s": None,
    "sop_class": "1.2.840.10008.5.1.4.1.1.2",
    "sop_instance": "1.2.3",
    "study": "1.2",
    "calling": "CT\x1b[2J",
    "bytes": 524288,
    "last_error": "refused",
    "last_status": 0xA900,
}
COUNT = {"destination": "PACS", "state": "dead", "count": 2, "bytes": 20, "oldest_age_s": 90.0}


UP = {
    "destination": "AI", "worker": 0, "circuit": "closed", "down_s": 0.0, "setbacks": 0, "retry_s": None,
    "last_error": "connect", "last_text": "refused once", "alternate": None, "associations": 2,
    "in_flight": 5, "queued": 7, "is_backlogged": False,
}  # fmt: skip
DOWN = {
    **UP, "destination": "PACS", "circuit": "open", "down_s": 7200.0, "setbacks": 9, "retry_s": 40.0,
    "last_text": "ConnectionRefusedError", "alternate": "AI", "in_flight": 0, "queued": 0,
}  # fmt: skip
INSTANCE = {
    "id": "0-7",
    "sop_instance": "1.2.3",
    "received": "2026-01-02T03:04:05.678Z",
    "deliveries": [
        {"destination": "PACS", "state": "delivered", "status": "0000", "at": "T1", "error": None},
        {"destination": "AI", "state": "dead", "status": "A900", "at": "T2", "error": "refused"},
    ],
}


class Admin:
    """An HTTP server in admin's place: what it was asked, and what it answers by path."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.answers: dict[str, tuple[int, Any]] = {
            "/queue/counts": (200, {"counts": [COUNT], "errors": []}),
            "/queue": (200, {"entries": [ENTRY], "next": "0-7", "errors": []}),
            "/queue/0-7": (200, ENTRY),
            "/destinations": (200, {"destinations": [UP, DOWN], "errors": []}),
            "/studies/1.2": (200, {"instances": [INSTANCE], "next": None, "errors": []}),
            **{
                f"/queue/{verb}": (200, {"changed": 2, "errors": []}) for verb in ("retry", "release", "drop")
            },
        }
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self, None)

            def do_POST(self) -> None:
                outer.answer(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def log_message(self, *_: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request: http.server.BaseHTTPRequestHandler, body: Any) -> None:
        self.asked.append((request.path, body))
        status, found = self.answers.get(request.path.partition("?")[0], (404, {"errors": ["no entry 0-8"]}))
        data = json.dumps(found).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)


@pytest.fixture
def admin() -> Iterator[Admin]:
    made = Admin()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def test_ls_counts_by_destination_and_state(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "ls", "--admin", admin.url]) == 0
    assert capsys.readouterr().out == "destination\tstate\tcount\tbytes\toldest\nPACS\tdead\t2\t20\t2m\n"


def test_ls_with_filters_lists_entries_and_escapes_peers_text(
    admin: Admin, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["queue", "ls", "--destination", "PACS", "--state", "dead", "--admin", admin.url]) == 0
    assert admin.asked == [("/queue?destination=PACS&state=dead&limit=100", None)]
    out = capsys.readouterr().out
    assert out.splitlines()[1] == "0-7\tPACS\tdead\t3\t2h\t-\tCT\\x1b[2J\t512k\t1.2.3\trefused"
    assert "--after 0-7" in out


def test_json_is_the_answer_itself(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "ls", "--json", "--admin", admin.url]) == 0
    assert json.loads(capsys.readouterr().out) == {"counts": [COUNT], "errors": []}


def test_a_table_on_a_terminal_shows_every_cell(
    admin: Admin, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["queue", "ls", "--state", "dead", "--admin", admin.url]) == 0
    out = capsys.readouterr().out
    assert "CT\\x1b[2J" in out
    assert "\x1b[2J" not in out


def test_show_prints_every_field_safely(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "show", "0-7", "--admin", admin.url]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "calling: CT\\x1b[2J" in out
    assert "next_attempt_s: -" in out


def test_destinations_says_which_are_down_and_why(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "destinations", "--admin", admin.url]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "AI\t0\tclosed\t-\t-\t5\t7\t\t",
        "PACS\t0\topen\t2h\t40s\t0\t0\tAI\tConnectionRefusedError",
    ]


def test_study_prints_a_line_a_delivery(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "study", "1.2", "--admin", admin.url]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "sop_instance\treceived\tdestination\tstate\tstatus\tat\terror",
        "1.2.3\t2026-01-02T03:04:05.678Z\tPACS\tdelivered\t0000\tT1\t",
        "1.2.3\t2026-01-02T03:04:05.678Z\tAI\tdead\tA900\tT2\trefused",
    ]
    assert main(["queue", "study", "1.2", "--json", "--admin", admin.url]) == 0
    assert json.loads(capsys.readouterr().out)["instances"] == [INSTANCE]


def test_show_of_nothing_is_one_line(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "show", "0-8", "--admin", admin.url]) == 1
    assert capsys.readouterr().err == "dicom-router queue: no entry 0-8\n"


@pytest.mark.parametrize(("verb", "word"), [("retry", "to be tried again"), ("release", "released")])
def test_a_change_sends_its_selector(
    admin: Admin, capsys: pytest.CaptureFixture[str], verb: str, word: str
) -> None:
    assert main(["queue", verb, "--study", "1.2", "--state", "held", "--admin", admin.url]) == 0
    assert main(["queue", verb, "0-7", "--admin", admin.url]) == 0
    assert main(["queue", verb, "--all", "--admin", admin.url]) == 0
    assert [body for _, body in admin.asked] == [
        {"study": "1.2", "state": "held"},
        {"id": "0-7"},
        {"all": True},
    ]
    assert capsys.readouterr().out == f"2 {word}\n" * 3


def test_a_change_without_selector_changes_nothing(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "retry", "--admin", admin.url]) == 1
    assert "retry what?" in capsys.readouterr().err
    assert admin.asked == []


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("\n", 1), ("no\n", 1)])
def test_drop_asks_before(admin: Admin, monkeypatch: pytest.MonkeyPatch, typed: str, code: int) -> None:
    stdin = io.StringIO(typed)
    monkeypatch.setattr(stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", stdin)
    assert main(["queue", "drop", "0-7", "--admin", admin.url]) == code
    assert len(admin.asked) == (1 if code == 0 else 0)


def test_drop_without_terminal_needs_yes(
    admin: Admin, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["queue", "drop", "0-7", "--admin", admin.url]) == 1
    assert "add --yes" in capsys.readouterr().err
    assert main(["queue", "drop", "0-7", "--yes", "--admin", admin.url]) == 0
    assert admin.asked == [("/queue/drop", {"id": "0-7"})]


def test_an_incomplete_answer_says_which_worker_is_missing(
    admin: Admin, capsys: pytest.CaptureFixture[str]
) -> None:
    admin.answers["/queue/retry"] = (200, {"changed": 1, "errors": ["worker-1: no answer"]})
    assert main(["queue", "retry", "--all", "--admin", admin.url]) == 1
    assert "incomplete: worker-1: no answer" in capsys.readouterr().err


def test_no_router_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert main(["queue", "ls", "--admin", f"127.0.0.1:{port}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"dicom-router queue: no router answers at 127.0.0.1:{port} (Connection refused)")
    assert len(error.splitlines()) == 1


def test_another_server_is_one_line(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    admin.answers["/queue/counts"] = (200, ["something", "else"])
    assert main(["queue", "ls", "--admin", admin.url]) == 1
    assert "not what a router's admin says" in capsys.readouterr().err


@pytest.mark.parametrize("is_running", [True, False])
def test_a_router_is_found_by_its_configuration(admin: Admin, tmp_path: Path, is_running: bool) -> None:
    port = 0 if is_running else admin.server.server_port
    (tmp_path / "router.toml").write_text(f'[spool]\npath = "{tmp_path}"\n[admin]\nport = {port}\n')
    if is_running:
        (tmp_path / "run.json").write_text(json.dumps({"admin": admin.url.removeprefix("http://")}))
    assert main(["queue", "ls", "--config", str(tmp_path / "router.toml")]) == 0
    assert admin.asked == [("/queue/counts", None)]


def test_ages_and_sizes_are_short() -> None:
    assert [age(value) for value in (None, 0.4, 59, 60, 7200, 200_000)] == [
        "-",
        "0s",
        "59s",
        "1m",
        "2h",
        "2d",
    ]
    assert [size(value) for value in (0, 1023, 1024, 5 << 30, 3 << 40)] == ["0", "1023", "1k", "5G", "3.0T"]
