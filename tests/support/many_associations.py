"""Open many associations with a server from plain sockets, all idle at once, and look at the process."""

from __future__ import annotations

import resource
import socket
from dataclasses import dataclass

import psutil

from router.wire.pdus import encode_pdu
from tests.support.driver_pair import RQ, Server


@dataclass(frozen=True)
class Outcome:
    """What was seen while all were open; resident_bytes counts what opening them added."""

    established: int
    resident_bytes: int
    threads: int


def open_many(server: Server, count: int) -> Outcome:
    """Open the associations and close them again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 3 * count)), hard))
    process = psutil.Process()
    before = process.memory_info().rss
    request = encode_pdu(RQ)
    clients = []
    established = 0
    try:
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", server.port))
            client.settimeout(30)
            client.sendall(request)
            clients.append(client)
        for client in clients:
            established += client.recv(1) == b"\x02"
        return Outcome(established, process.memory_info().rss - before, server.reactor.threads.count)
    finally:
        for client in clients:
            client.close()
