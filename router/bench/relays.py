"""What can stand between sender and sink: nothing, the router, HAProxy, a command, or what runs already."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from router.bench import haproxy_relay
from router.bench.ports import free_port
from router.bench.process import PeerProcess, peer_process
from router.bench.process_tree import tree_cpu_s, tree_memory_bytes
from router.bench.router_relay import RouterSetup, router_relay

IDLE_COMMAND = ("sleep", "infinity")


class RelayUnderTest(Protocol):
    """What is measured: where it accepts associations, and what its process tree has used so far."""

    host: str
    port: int

    def cpu_s(self) -> float: ...

    def memory_bytes(self) -> int: ...


class Relay(Protocol):
    """Starts a relay between a sender and sinks for the length of a `with` block."""

    def __call__(self, sink_ports: list[int], directory: Path) -> AbstractContextManager[RelayUnderTest]: ...


@contextmanager
def direct(sink_ports: list[int], directory: Path) -> Iterator[PeerProcess]:
    """Put nothing in between: what sender and sink can do by themselves on this machine."""
    with peer_process("direct", IDLE_COMMAND, directory) as peer:
        peer.port = sink_ports[0]
        yield peer


def by_router(setup: RouterSetup) -> Relay:
    """Return the relay by a router that is configured so."""
    return partial(router_relay, setup)


def by_command(text: str) -> Relay:
    """Return the relay by a command; {port}, {sink_port} and {directory} in it are filled in."""

    @contextmanager
    def run(sink_ports: list[int], directory: Path) -> Iterator[PeerProcess]:
        port = free_port()
        places = {"port": str(port), "sink_port": str(sink_ports[0]), "directory": str(directory)}
        command = [word.format_map(places) for word in shlex.split(text)]
        with peer_process(Path(command[0]).name, command, directory, environment=os.environ) as peer:
            peer.wait_listening(port)
            peer.port = port
            yield peer

    return run


@dataclass(slots=True)
class RunningRelay:
    """A relay that somebody else runs. pid: root of its process tree; 0: unknown, its cost stays unknown."""

    host: str
    port: int
    pid: int = 0

    def cpu_s(self) -> float:
        """Return the CPU time of its tree so far."""
        return tree_cpu_s(self.pid) if self.pid else 0.0

    def memory_bytes(self) -> int:
        """Return the proportional set size of its tree."""
        return tree_memory_bytes(self.pid) if self.pid else 0


def running(host: str, port: int, pid: int = 0) -> Relay:
    """Return the relay that runs there; it must forward to the sink's port by itself."""

    @contextmanager
    def run(sink_ports: list[int], directory: Path) -> Iterator[RunningRelay]:
        del sink_ports, directory
        yield RunningRelay(host, port, pid)

    return run


RELAYS: dict[str, Relay] = {
    "direct": direct,
    "haproxy": haproxy_relay.relay,
    "router-delivered": by_router(RouterSetup("delivered")),
    "router-stored": by_router(RouterSetup("stored")),
    "router-stored-ram": by_router(RouterSetup("stored", ram_disk=True)),
    "router-discard": by_router(RouterSetup("stored", discard=True)),
}

RECEIVE_ONLY = {"router-discard", "dcmtk-receive"}
"""Relays whose sinks get nothing."""
REFERENCE = "haproxy"
