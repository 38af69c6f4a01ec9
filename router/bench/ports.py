"""Ports for peers that are started and started again, each given to one process at a time.

Taken from outside the range that the system gives out by itself: any outgoing connection may take one of
those while nobody listens on it, as long as a killed server is not back. A lock on one byte of a file of all
processes keeps a port for the one that was given it until that ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from router.bench.process import HOST

PORTS = range(15_000, 65_000)
SYSTEMS_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
TRIES_MAX = 1000


def free_port() -> int:
    """Return a loopback port that was free a moment ago, and that no other process is given while this lives.

    Raises OSError if there is none.
    """
    ports, locks = _ports(), _locks()
    for _ in range(TRIES_MAX):
        port = random.choice(ports)
        # The locks of a process are its own, whichever of its threads asks.
        if port not in _given and _lock(locks, port):
            if _is_free(port):
                _given.add(port)
                return port
            fcntl.lockf(locks, fcntl.LOCK_UN, 1, port)
    raise OSError(errno.EADDRINUSE, "no free port was found")


_given: set[int] = set()


@cache
def _ports() -> Sequence[int]:
    first, last = map(int, SYSTEMS_PORTS.read_text().split())
    others = [port for port in PORTS if not first <= port <= last]
    return others or PORTS


@cache
def _locks() -> int:
    path = Path(tempfile.gettempdir(), f"dicom-router-ports-{os.geteuid()}")
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _lock(locks: int, port: int) -> bool:
    try:
        fcntl.lockf(locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
