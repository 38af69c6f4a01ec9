from __future__ import annotations

import resource
import select
import socket
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from router.errors import ConfigError
from router.processes.resources import BACKLOG_MAX, address_of, listen


def test_port_0_takes_a_free_one_and_the_socket_is_not_inheritable() -> None:
    with listen("127.0.0.1", 0, 4, "listener") as end:
        assert not end.get_inheritable()
        with socket.create_connection(end.getsockname()):
            assert address_of(end) == f"127.0.0.1:{end.getsockname()[1]}"


def test_a_port_in_use_is_named_with_its_key() -> None:
    with (
        listen("127.0.0.1", 0, 4, "listener") as end,
        pytest.raises(
            ConfigError, match=r"admin.port: cannot listen on 127.0.0.1:\d+: Address already in use"
        ),
    ):
        listen("127.0.0.1", end.getsockname()[1], 4, "admin")


def test_a_port_whose_last_user_left_connections_behind_is_free() -> None:
    with listen("127.0.0.1", 0, 4, "listener") as end:
        port = end.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            end.accept()[0].close()  # this side closes first, so the connection lingers here
    listen("127.0.0.1", port, 4, "listener").close()


def test_a_foreign_address_is_named_with_its_key() -> None:
    with pytest.raises(ConfigError, match=r"listener\.port: cannot listen on 192\.0\.2\.1"):
        listen("192.0.2.1", 0, 4, "listener")
    with pytest.raises(ConfigError, match=r"listener\.host"):
        listen("no such host", 0, 4, "listener")


def test_ipv6_any_serves_ipv4_peers_too() -> None:
    with listen("::", 0, 4, "listener") as end:
        assert address_of(end).startswith("[::]:")
        socket.create_connection(("127.0.0.1", end.getsockname()[1])).close()


def test_two_seconds_of_a_flood_wait_while_nobody_accepts() -> None:
    crowd = 2000
    if int(Path("/proc/sys/net/core/somaxconn").read_text()) < BACKLOG_MAX:
        pytest.skip("net.core.somaxconn is lower")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with ExitStack() as stack:
            end = stack.enter_context(listen("127.0.0.1", 0, BACKLOG_MAX, "listener"))
            unconnected = select.poll()
            for _ in range(crowd):
                sock = stack.enter_context(closing(socket.socket()))
                sock.setblocking(False)
                with suppress(BlockingIOError):
                    sock.connect(end.getsockname())
                unconnected.register(sock, select.POLLOUT)
            # Loopback completes them at once, or after the second SYN, which is a second away.
            assert len(unconnected.poll(0)) == crowd
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
