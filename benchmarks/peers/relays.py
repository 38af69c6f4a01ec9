"""All relays by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers import dcmtk_forward, haproxy, orthanc_route, pynetdicom_forward, router
from benchmarks.peers.process import PeerProcess, peer_process

IDLE_COMMAND = ("sleep", "infinity")


@contextmanager
def direct(sink_ports: list[int], directory: Path) -> Iterator[PeerProcess]:
    """Put nothing in between: what sender and sink can do by themselves on this machine."""
    with peer_process("direct", IDLE_COMMAND, directory) as peer:
        peer.port = sink_ports[0]
        yield peer


RELAYS: dict[str, router.Relay] = {
    "direct": direct,
    "haproxy": haproxy.relay,
    "router-delivered": router.relay("delivered"),
    "router-stored": router.relay("stored"),
    "router-stored-ram": router.relay("stored", ram_disk=True),
    "router-discard": router.relay("stored", discard=True),
    "pynetdicom": pynetdicom_forward.relay,
    "orthanc": orthanc_route.relay,
    "dcmtk": dcmtk_forward.relay,
    "dcmtk-receive": dcmtk_forward.receive_only,
}
RECEIVE_ONLY = frozenset({"router-discard", "dcmtk-receive"})
"""Relays after which nothing arrives at the sink."""
REFERENCE = "haproxy"
