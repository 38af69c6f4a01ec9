"""The router under test, as a user starts it: a configuration file and `serve`."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from benchmarks.peers.process import (
    HOST,
    REPOSITORY,
    START_DEADLINE_S,
    PeerFailed,
    PeerProcess,
    free_port,
    peer_process,
)

RAM_DISK = "/dev/shm"

CONFIG = """
[router]
ae_title = "ROUTER"
ack = "{ack}"
unmatched = "{unmatched}"
acceptors = {acceptors}
workers = {workers}
[listener]
host = "{host}"
port = {port}
[admin]
host = "{host}"
port = {admin_port}
[spool]
path = {spool}
fsync = {fsync}
"""
DESTINATION = """
[destinations.SINK{number}]
ae_title = "SINK{number}"
host = "{host}"
port = {port}
associations_max = {associations}
"""
POLL_S = 0.05


class Relay(Protocol):
    """Starts a relay between a sender and sinks for the length of a `with` block."""

    def __call__(self, sink_ports: list[int], directory: Path) -> AbstractContextManager[PeerProcess]: ...


def relay(
    ack: str,
    *,
    discard: bool = False,
    acceptors: int = 1,
    workers: int = 1,
    associations: int = 4,
    environment: dict[str, str] | None = None,
    ram_disk: bool = False,
    others: Mapping[str, str] | None = None,
) -> Relay:
    """Return a relay by the router.

    discard: no rule at all, everything is received and dropped. ram_disk: the spool lies in RAM_DISK, with
    fsync = false, as one would configure it there. others: further destinations of every instance, by name;
    each value is the lines of its table.
    """

    @contextmanager
    def run(sink_ports: list[int], directory: Path) -> Iterator[PeerProcess]:
        directory.mkdir(parents=True, exist_ok=True)
        spool = Path(tempfile.mkdtemp(dir=RAM_DISK)) if ram_disk else directory / "spool"
        port, admin_port, path = free_port(), free_port(), directory / "router.toml"
        text = CONFIG.format(
            ack=ack,
            unmatched="discard" if discard else "hold",
            acceptors=acceptors,
            workers=workers,
            host=HOST,
            port=port,
            admin_port=admin_port,
            spool=json.dumps(str(spool)),
            fsync="false" if ram_disk else "true",
        )
        sinks = [] if discard else list(enumerate(sink_ports))
        for number, sink_port in sinks:
            text += DESTINATION.format(number=number, host=HOST, port=sink_port, associations=associations)
        text += "".join(f"\n[destinations.{name}]\n{lines}\n" for name, lines in (others or {}).items())
        if sinks:
            targets = json.dumps([*(f"SINK{number}" for number, _ in sinks), *(others or {})])
            text += f'\n[[rules]]\nname = "all"\nto = {targets}\n'
        path.write_text(text)
        command = [sys.executable, "-m", "router", "serve", str(path)]
        environment_all = {"PYTHONPATH": str(REPOSITORY), **(environment or {})}
        with peer_process("router", command, directory, environment=environment_all) as peer:
            _wait_ready(peer, admin_port)
            peer.port = port
            yield peer
        if ram_disk:
            shutil.rmtree(spool, ignore_errors=True)

    return run


def _wait_ready(peer: PeerProcess, admin_port: int) -> None:
    end = time.monotonic() + START_DEADLINE_S
    while True:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{admin_port}/ready", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            pass
        if peer.process.poll() is not None or time.monotonic() > end:
            raise PeerFailed(f"the router is not ready:\n{peer.log()}")
        time.sleep(POLL_S)
