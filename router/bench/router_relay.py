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
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from router.bench.controls import ENVIRONMENT
from router.bench.ports import free_port
from router.bench.process import HOST, START_DEADLINE_S, PeerFailed, PeerProcess, peer_process

RAM_DISK = "/dev/shm"
POLL_S = 0.02

CONFIG = """
[router]
ae_title = "ROUTER"
ack = "{ack}"
unmatched = "{unmatched}"
acceptors = {acceptors}
workers = {workers}
associations_max = 2000
[listener]
host = "{host}"
port = {port}
[admin]
host = "{host}"
port = {admin_port}
[log]
level = "warning"
[spool]
path = {spool}
fsync = {fsync}
{spool_settings}
"""
DESTINATION = """
[destinations.{name}]
ae_title = "{name}"
host = "{host}"
port = {port}
associations_max = {associations}
operations_max = {operations}
{settings}
"""


@dataclass(frozen=True, slots=True)
class RouterSetup:
    """How the router is configured.

    discard: no rule at all, everything is received and dropped. rules: how many rules of three conditions,
    none of which matches, stand before the one that does. idle_destinations: that nothing is sent to.
    others: further destinations of every instance, by name; each value is the lines of its table.
    idle_tables: the same for destinations that no rule names.
    operations: at most under way on one outbound association. ram_disk: the spool lies in RAM_DISK, with
    fsync = false, as one would configure it there.
    """

    ack: str = "delivered"
    discard: bool = False
    acceptors: int = 1
    workers: int = 1
    associations: int = 4
    operations: int = 16
    rules: int = 0
    idle_destinations: int = 0
    ram_disk: bool = False
    spool: Path | None = None
    spool_settings: str = ""
    destination_settings: str = ""
    others: Mapping[str, str] = field(default_factory=dict)
    idle_tables: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def text(self, sink_ports: list[int], port: int, admin_port: int, spool: Path) -> str:
        """Return the configuration file."""
        text = CONFIG.format(
            ack=self.ack,
            unmatched="discard" if self.discard else "hold",
            acceptors=self.acceptors,
            workers=self.workers,
            host=HOST,
            port=port,
            admin_port=admin_port,
            spool=json.dumps(str(spool)),
            fsync="false" if self.ram_disk else "true",
            spool_settings=self.spool_settings,
        )
        if self.discard:
            return text
        names = {f"SINK{number}": sink_port for number, sink_port in enumerate(sink_ports)}
        idle = {f"IDLE{number}": sink_ports[0] for number in range(self.idle_destinations)}
        for name, sink_port in {**names, **idle}.items():
            text += DESTINATION.format(
                name=name,
                host=HOST,
                port=sink_port,
                associations=self.associations,
                operations=self.operations,
                settings=self.destination_settings,
            )
        text += "".join(f"\n[destinations.{name}]\n{lines}\n" for name, lines in self.others.items())
        text += "".join(f"\n[destinations.{name}]\n{lines}\n" for name, lines in self.idle_tables.items())
        return text + self._rules([*names, *self.others], list(idle))

    def _rules(self, names: list[str], idle: list[str]) -> str:
        others = idle or names
        rules = [
            f'\n[[rules]]\nname = "r{number}"\nwhen = {{ Modality = ["PT", "NM"], '
            f'StudyDescription = "*BRAIN {number}*", Rows = {{ ge = 1, lt = 9000 }} }}\n'
            f"to = {json.dumps([others[number % len(others)]])}\n"
            for number in range(max(self.rules, len(idle)))
        ]
        return "".join(rules) + f'\n[[rules]]\nname = "all"\nto = {json.dumps(names)}\n'


@contextmanager
def router_relay(setup: RouterSetup, sink_ports: list[int], directory: Path) -> Iterator[PeerProcess]:
    """Run the router before the sinks until the end of the `with` block."""
    directory.mkdir(parents=True, exist_ok=True)
    spool = setup.spool or (Path(tempfile.mkdtemp(dir=RAM_DISK)) if setup.ram_disk else directory / "spool")
    port, admin_port, path = free_port(), free_port(), directory / "router.toml"
    path.write_text(setup.text(sink_ports, port, admin_port, spool))
    command = [sys.executable, "-m", "router", "serve", str(path)]
    try:
        with peer_process(
            "router", command, directory, environment={**ENVIRONMENT, **setup.environment}
        ) as peer:
            wait_ready(peer, admin_port)
            peer.port, peer.admin_port = port, admin_port
            yield peer
    finally:
        if setup.ram_disk:
            shutil.rmtree(spool, ignore_errors=True)


def wait_ready(peer: PeerProcess, admin_port: int) -> None:
    """Wait until the router says that it is ready. Raises PeerFailed with its log if it does not."""
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
