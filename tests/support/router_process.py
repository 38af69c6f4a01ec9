"""A real router for a test: configuration written, `serve` started, readiness awaited, its own tree torn
down.

Processes are found by role through admin's /live; signals go to process ids that this module started or
learnt from there, never to names.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.peers.process import HOST, REPOSITORY, PeerFailed, free_port
from tests.support.fast_peers import wait_until

READY_DEADLINE_S = 90.0
STOP_DEADLINE_S = 60.0
GONE_DEADLINE_S = 60.0
HTTP_TIMEOUT_S = 20.0
LOG_TAIL_CHARS = 8000


@dataclass(slots=True)
class RouterProcess:
    """One router under test.

    tables: the configuration by section; `rules` beside it. It may be changed between starts.
    """

    directory: Path
    tables: dict[str, dict[str, object]]
    rules: list[dict[str, object]]
    port: int = 0
    admin_port: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started: list[psutil.Process] = field(default_factory=list)

    @property
    def config_path(self) -> Path:
        """Where the configuration is written."""
        return self.directory / "router.toml"

    @property
    def log_path(self) -> Path:
        """Where all processes of the router write."""
        return self.directory / "router.log"

    def log(self) -> str:
        """Return the end of the log."""
        return self.log_path.read_text(errors="replace")[-LOG_TAIL_CHARS:] if self.log_path.exists() else ""

    def write_config(self) -> None:
        """Write the tables and rules as TOML."""
        self.config_path.write_text(to_toml(self.tables, self.rules))

    def start(self, deadline_s: float = READY_DEADLINE_S) -> None:
        """Start `serve` and wait until it is ready."""
        self.write_config()
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "router", "serve", str(self.config_path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
                env={**os.environ, **self.environment},
            )
        self.started.append(psutil.Process(self.process.pid))
        self.wait_ready(deadline_s)

    def wait_ready(self, deadline_s: float = READY_DEADLINE_S) -> None:
        """Wait until /ready says so."""
        wait_until(self.is_ready, deadline_s, lambda: f"the router is not ready:\n{self.log()}")

    def is_ready(self) -> bool:
        """Ask /ready once; raise PeerFailed if the supervisor has ended."""
        if self.process is None or self.process.poll() is not None:
            raise PeerFailed(
                f"the router ended with {self.process and self.process.returncode}:\n{self.log()}"
            )
        return self.get("/ready")[0] == 200

    def get(self, path: str) -> tuple[int, str]:
        """Ask admin for a page; return the status and the text; (0, "") if nobody answers."""
        try:
            with urllib.request.urlopen(
                f"http://{HOST}:{self.admin_port}{path}", timeout=HTTP_TIMEOUT_S
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def processes(self) -> list[dict[str, object]]:
        """Return what /live says of the processes: role, index, pid, state."""
        status, text = self.get("/live")
        if status not in {200, 503}:
            raise PeerFailed(f"/live answered {status}\n{self.log()}")
        found: list[dict[str, object]] = json.loads(text)["processes"]
        return found

    def pid_of(self, role: str, index: int = 0) -> int:
        """Return the process id of one child; the supervisor's is that of the process started here."""
        if role == "supervisor":
            assert self.process is not None
            return self.process.pid
        for process in self.processes():
            if process["role"] == role and process["index"] == index:
                pid = process["pid"]
                if isinstance(pid, int):
                    return pid
        raise LookupError(f"no {role} {index} in {self.processes()}")

    def tree(self) -> list[psutil.Process]:
        """Return the supervisor and all its living descendants."""
        assert self.process is not None
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def kill(self, role: str, index: int = 0) -> int:
        """`kill -9` one process; return its process id."""
        pid = self.pid_of(role, index)
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_supervisor(self) -> None:
        """`kill -9` the supervisor and wait until its children have followed by themselves."""
        children = self.tree()[1:]
        self._kill_root()
        _, alive = psutil.wait_procs(children, timeout=GONE_DEADLINE_S)
        if alive:
            raise PeerFailed(f"outlived their supervisor: {described(alive)}\n{self.log()}")

    def kill_everything(self) -> None:
        """`kill -9` all processes at once."""
        tree = self.tree()
        for process in tree:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._kill_root()
        psutil.wait_procs(tree[1:], timeout=GONE_DEADLINE_S)

    def wait_restarted(self, role: str, old_pid: int, index: int = 0) -> None:
        """Wait until a killed child has a successor and the router is ready again."""

        def is_back() -> bool:
            if not self.is_ready():
                return False
            try:
                return self.pid_of(role, index) != old_pid
            except LookupError:  # between two processes
                return False

        wait_until(is_back, READY_DEADLINE_S, lambda: f"{role} {index} did not come back:\n{self.log()}")

    def reload(self) -> None:
        """Write the configuration and send SIGHUP."""
        self.write_config()
        os.kill(self.pid_of("supervisor"), signal.SIGHUP)

    def terminate(self) -> None:
        """Send SIGTERM and return at once."""
        os.kill(self.pid_of("supervisor"), signal.SIGTERM)

    def wait_exit(self, deadline_s: float = STOP_DEADLINE_S) -> int:
        """Wait for the supervisor's end; return its exit code; fail if a child outlives it."""
        assert self.process is not None
        children = self.tree()[1:]
        try:
            code = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise PeerFailed(f"the router did not stop within {deadline_s} s:\n{self.log()}") from None
        _, alive = psutil.wait_procs(children, timeout=GONE_DEADLINE_S)
        if alive:
            raise PeerFailed(f"outlived their supervisor: {described(alive)}\n{self.log()}")
        return code

    def stop(self) -> None:
        """Stop with SIGTERM and insist on exit code 0."""
        self.terminate()
        code = self.wait_exit()
        if code != 0:
            raise PeerFailed(f"the router ended with {code}:\n{self.log()}")

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that carry these labels; 0 if there is none."""
        from prometheus_client.parser import text_string_to_metric_families

        total = 0.0
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    total += sample.value
        return total

    def ask(self, path: str, body: object = None) -> dict[str, Any]:
        """Ask admin a question in JSON (POST if there is a body); raise PeerFailed unless it answers 200."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://{HOST}:{self.admin_port}{path}", data=data, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise PeerFailed(f"{path} answered {error.code}: {error.read().decode()}") from error

    def queue(self, **filters: str) -> list[dict[str, Any]]:
        """Return the queue's entries by destination and state (a thousand at most)."""
        rows: list[dict[str, Any]] = self.ask("/queue?" + urllib.parse.urlencode({**filters, "limit": 1000}))[
            "entries"
        ]
        return rows

    def owed(self, destination: str, *states: str) -> int:
        """Return how many instances are owed to a destination in these states (default: all)."""
        wanted = states or ("pending", "retrying", "dead", "held")
        return sum(
            row["count"]
            for row in self.ask("/queue/counts")["counts"]
            if row["destination"] == destination and row["state"] in wanted
        )

    def memory_bytes(self) -> int:
        """Return the proportional set size of the whole tree: shared pages count once."""
        total = 0
        for process in self.tree():
            with suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().pss
        return total

    def command(self, *words: str, deadline_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run one of the router's own commands, such as `queue ls`."""
        return subprocess.run(
            [sys.executable, "-m", "router", *words],
            cwd=REPOSITORY,
            env={**os.environ, **self.environment, "COLUMNS": "200", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
        )

    def tear_down(self) -> None:
        """End whatever is left of what was started here."""
        left = self.tree() if self.process is not None else []
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _kill_root(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def described(processes: list[psutil.Process]) -> list[str]:
    """Say what processes are, and what they wait for."""
    words = []
    for process in processes:
        with suppress(psutil.NoSuchProcess, OSError):
            waits_in = Path(f"/proc/{process.pid}/wchan").read_text()
            words.append(f"{process.cmdline()[-3:]} {process.status()} in {waits_in}")
    return words


@contextmanager
def router_process(
    directory: Path,
    destinations: Mapping[str, int | Mapping[str, object]],
    rules: list[dict[str, object]] | None = None,
    start: bool = True,
    **sections: Mapping[str, object],
) -> Iterator[RouterProcess]:
    """Run a router for the length of a `with` block.

    destinations: name -> port, or a table with `port` and more. rules: default is one that sends everything
    to
    every destination. sections: tables merged over the defaults (`router={"ack": "delivered"}`).
    """
    directory.mkdir(parents=True, exist_ok=True)
    router = RouterProcess(directory, {}, [], port=free_port(), admin_port=free_port())
    router.tables = {
        "router": {"ae_title": "ROUTER", "drain_s": 20},
        "listener": {"host": HOST, "port": router.port},
        "admin": {"host": HOST, "port": router.admin_port},
        "spool": {"path": str(directory / "spool")},
    }
    for name, target in destinations.items():
        router.tables[f"destinations.{name}"] = destination(name, target)
    for section, table in sections.items():
        if section == "sources":
            for name, source in table.items():
                assert isinstance(source, Mapping)
                router.tables[f"sources.{name}"] = dict(source)
        else:
            router.tables.setdefault(section, {}).update(table)
    router.rules = [{"name": "all", "to": list(destinations)}] if rules is None else rules
    try:
        if start:
            router.start()
        yield router
    finally:
        router.tear_down()


def destination(name: str, target: int | Mapping[str, object]) -> dict[str, object]:
    """Return the table of a destination on loopback that retries quickly."""
    table: dict[str, object] = {"ae_title": name, "host": HOST, "retry_first_s": 0.2, "retry_max_s": 1}
    table.update({"port": target} if isinstance(target, int) else target)
    return table


def to_toml(tables: Mapping[str, Mapping[str, object]], rules: list[dict[str, object]]) -> str:
    """Write sections and rules as TOML."""
    lines = []
    for section, table in tables.items():
        lines += [f"[{section}]", *(f"{key} = {_value(value)}" for key, value in table.items()), ""]
    for rule in rules:
        lines += ["[[rules]]", *(f"{key} = {_value(value)}" for key, value in rule.items()), ""]
    return "\n".join(lines)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(str(k))} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value if isinstance(value, (bool, int, float, str)) else str(value))
