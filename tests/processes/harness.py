"""A supervisor in a process of its own, its log readable line by line with a deadline."""

from __future__ import annotations

import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

WAIT_S = 60.0
FAKE = "tests.processes.fake_role"
ROOT = Path(__file__).resolve().parents[2]

CONFIG = """
[router]
drain_s = {drain_s}
acceptors = {acceptors}
{router}
[listener]
host = "127.0.0.1"
port = 0
[admin]
port = 0
[spool]
path = "{spool}"
[limits]
slab_mb = 8
spill_mb = 4
[destinations.PACS]
ae_title = "PACS"
host = "127.0.0.1"
port = 11113
[[rules]]
name = "all"
to = ["PACS"]
"""


class RouterProcess:
    """A running supervisor with fake roles.

    `fakes` names those that are fake, the others are the real ones.
    """

    def __init__(
        self,
        folder: Path,
        *,
        drain_s: float = 10,
        acceptors: int = 1,
        restarts_max: int = 10,
        router: str = "",
        fakes: Iterable[str] = ("acceptor", "worker", "admin"),
        **behaviour: str,
    ) -> None:
        self.spool = folder / "spool"
        self.file = folder / "router.toml"
        self.file.write_text(
            CONFIG.format(drain_s=drain_s, acceptors=acceptors, router=router, spool=self.spool)
        )
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        environment |= {f"FAKE_{role.upper()}": what for role, what in behaviour.items()}
        modules = [f"{role}={FAKE}" for role in fakes]
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.processes.run_supervisor",
                str(self.file),
                str(restarts_max),
                *modules,
            ],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=ROOT,
        )
        self.lines: list[str] = []
        self._new: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> RouterProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(WAIT_S)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def wait_for(self, *words: str) -> str:
        """Return the next log line that holds all words; fail after WAIT_S or at the log's end."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                line = self._new.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            assert line is not None, f"no line with {words} in:\n" + "\n".join(self.lines)
            if all(word in line for word in words):
                return line

    def wait_ready(self) -> dict[str, str]:
        """Wait for the ready line; return its fields."""
        return fields_of(self.wait_for(" ready ", "admin="))

    def wait_end(self) -> int:
        """Return the exit code."""
        try:
            return self.process.wait(WAIT_S)
        finally:
            self._reader.join(WAIT_S)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            self._new.put(line.rstrip())
        self._new.put(None)


def fields_of(line: str) -> dict[str, str]:
    """Split a log line into its key=value fields."""
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def address_of(text: str) -> tuple[str, int]:
    """Split host:port."""
    host, _, port = text.removeprefix("http://").rpartition(":")
    return host, int(port)


def children_of(pid: int) -> list[int]:
    """Return the ids of a process's children."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_gone(pidfds: Iterable[int]) -> bool:
    """Wait until every process is gone; False if WAIT_S did not suffice."""
    deadline = time.monotonic() + WAIT_S
    for fd in pidfds:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return False
    return True
