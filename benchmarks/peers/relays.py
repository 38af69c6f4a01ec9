"""All relays by name: those that the package knows, and the peers that it is compared with."""

from __future__ import annotations

from benchmarks.peers import dcmtk_forward, orthanc_route, pynetdicom_forward
from router.bench import relays
from router.bench.relays import RECEIVE_ONLY, REFERENCE, Relay

RELAYS: dict[str, Relay] = {
    **relays.RELAYS,
    "pynetdicom": pynetdicom_forward.relay,
    "orthanc": orthanc_route.relay,
    "dcmtk": dcmtk_forward.relay,
    "dcmtk-receive": dcmtk_forward.receive_only,
}

__all__ = ["RECEIVE_ONLY", "REFERENCE", "RELAYS", "Relay"]
