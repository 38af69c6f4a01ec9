"""What `router.bench.process` knows of running peers, and where this repository is."""

from __future__ import annotations

from pathlib import Path

from router.bench.ports import free_port
from router.bench.process import (
    HOST,
    START_DEADLINE_S,
    PeerFailed,
    PeerProcess,
    accepts_connections,
    find_program,
    peer_process,
    program,
)

__all__ = [
    "HOST",
    "REPOSITORY",
    "START_DEADLINE_S",
    "PeerFailed",
    "PeerProcess",
    "accepts_connections",
    "find_program",
    "free_port",
    "peer_process",
    "program",
]

REPOSITORY = Path(__file__).parents[2]
