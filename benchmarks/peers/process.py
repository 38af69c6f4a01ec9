"""Where the programs of peers are found, beside what `router.bench.process` knows of running them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from router.bench.process import (
    HOST,
    START_DEADLINE_S,
    PeerFailed,
    PeerProcess,
    accepts_connections,
    free_port,
    peer_process,
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


def find_program(name: str) -> str | None:
    """Return the path of a system program; this Python's own scripts of the same name are passed over.

    pynetdicom installs scripts called storescp, storescu and echoscu, like DCMTK's.
    """
    own = {str(Path(sys.prefix, "bin")), str(Path(sys.executable).parent)}
    folders = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder not in own]
    return shutil.which(name, path=os.pathsep.join([*folders, "/usr/sbin", "/usr/local/bin", "/usr/bin"]))


def program(name: str) -> str:
    """Return the path of a system program that must be there."""
    path = find_program(name)
    if path is None:
        raise PeerFailed(f"{name} is not installed")
    return path
