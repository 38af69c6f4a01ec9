"""The listener: probes, and a process without descriptors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.driver_pair import associate, echo, serving

OUT_OF_DESCRIPTORS = """
import resource, socket
from tests.support.driver_pair import associate, echo, serving
with serving() as server:
    connection = associate(server.port, server.reactor)
    echo(connection)
    clients = [socket.socket() for _ in range(40)]
    free = socket.socket().fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 10, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    for client in clients:
        client.settimeout(10)
        client.connect(("127.0.0.1", server.port))
    closed = 0
    for client in clients[20:]:
        try:
            closed += client.recv(1) == b""
        except ConnectionResetError:
            closed += 1
    for client in clients:
        client.close()
    server.wait_for(lambda: len(server.closed) == server.listener.accepted - 1)
    again = associate(server.port, server.reactor)
    assert echo(again) == 0 and echo(connection) == 0
    assert server.listener.turned_away >= 20, server.listener.turned_away
    print("closed", closed)
    again.abort()
    connection.abort()
"""


def test_probes_are_counted_and_leave_nothing() -> None:
    with serving() as server:
        import socket

        for _ in range(20):
            socket.create_connection(("127.0.0.1", server.port)).close()
        server.wait_for(lambda: len(server.closed) == 20)
        assert server.listener.accepted == 20
        connection = associate(server.port, server.reactor)
        assert echo(connection) == 0
        connection.abort()


def test_without_descriptors_connections_are_closed_and_the_listener_lives_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_DESCRIPTORS],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "closed 20\n"
