"""What the router's processes share, made once by the supervisor and kept over their restarts.

A listening socket for plain associations and one for those in TLS; a slab per acceptor; a channel per
(acceptor, worker); a page of metrics per role index; the admin socket; a query pair per worker; the
spool's lock. Descriptors are close-on-exec: a child inherits what `for_child` names for it, under these
names:

every child   metrics
acceptor i    listener, tls_listener, slab, channel.<j> for each worker j, lock
worker j      slab.<i> and channel.<i> for each acceptor i, query, lock
admin         admin, query.<j> for each worker j, page.<role>-<index> for every page

The lock is inherited so that it is held until the last process that may touch the spool is gone: a successor
of a killed supervisor cannot start while an old worker still waits for its disk.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from contextlib import suppress

from router.config.schema import Config
from router.errors import ConfigError
from router.handoff.channel import Channel
from router.handoff.slab import create_slab_fd
from router.metrics.page import MetricsPage
from router.processes.prepare import SharedLock
from router.processes.queries import QUERY_BYTES_MAX

BACKLOG_MAX = 4096
"""Connections that the kernel completes before an acceptor takes them, within net.core.somaxconn. If there
are more, a SYN is dropped, and its sender waits a second: a flood of 1,000 a second and an acceptor that was
held up for one were enough for that at 1,024."""

ADMIN_BACKLOG_MAX = 64

KB = 1024
MB = 1024 * KB


class Resources:
    """The shared resources of one router. `lock` is taken over; `close` gives everything back."""

    def __init__(self, config: Config, lock: SharedLock) -> None:
        """Make them all. Raises ConfigError if an address cannot be listened on or a size does not work."""
        self.lock = lock
        router = config.router
        self.acceptors, self.workers = router.acceptors, router.workers
        self.listeners = _listeners(config)
        self.admin = listen(config.admin.host, config.admin.port, ADMIN_BACKLOG_MAX, "admin")
        try:
            self.slabs = [
                create_slab_fd(config.limits.slab_mb * MB, config.limits.slot_kb * KB)
                for _ in range(self.acceptors)
            ]
        except ValueError as error:
            raise ConfigError("", "limits.slab_mb", str(error)) from None
        ring_bytes = config.limits.ring_kb * KB
        self.channels = [
            [Channel.create(ring_bytes) for _ in range(self.workers)] for _ in range(self.acceptors)
        ]
        self.queries = [_query_pair() for _ in range(self.workers)]
        names = [
            *(f"acceptor-{i}" for i in range(self.acceptors)),
            *(f"worker-{j}" for j in range(self.workers)),
        ]
        self.pages = {name: MetricsPage.create() for name in [*names, "admin-0", "supervisor-0"]}

    @property
    def page(self) -> MetricsPage:
        """The supervisor's own page of metrics."""
        return self.pages["supervisor-0"]

    def for_child(self, role: str, index: int) -> dict[str, list[int]]:
        """Return the descriptors of a role index by name; they stay the supervisor's."""
        fds = {"metrics": [self.pages[f"{role}-{index}"].fd]}
        if role == "acceptor":
            fds |= {
                **{name: [end.fileno()] for name, end in self.listeners.items()},
                "slab": [self.slabs[index]],
                "lock": [self.lock.fileno()],
            }
            fds |= {f"channel.{j}": list(self.channels[index][j].fds()) for j in range(self.workers)}
        elif role == "worker":
            fds |= {"query": [self.queries[index][1].fileno()], "lock": [self.lock.fileno()]}
            fds |= {f"slab.{i}": [self.slabs[i]] for i in range(self.acceptors)}
            fds |= {f"channel.{i}": list(self.channels[i][index].fds()) for i in range(self.acceptors)}
        else:
            fds |= {"admin": [self.admin.fileno()]}
            fds |= {f"query.{j}": [self.queries[j][0].fileno()] for j in range(self.workers)}
            fds |= {f"page.{name}": [page.fd] for name, page in self.pages.items()}
        return fds

    def stop_listening(self) -> None:
        """Refuse further connections, in every process that holds the listening sockets."""
        for end in self.listeners.values():
            with suppress(OSError):  # shut down already
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give every resource back, the spool's lock last."""
        for end in self.listeners.values():
            end.close()
        self.admin.close()
        for fd in self.slabs:
            os.close(fd)
        for channel in (channel for row in self.channels for channel in row):
            channel.close()
        for pair in self.queries:
            for end in pair:
                end.close()
        for page in self.pages.values():
            page.close()
        self.lock.release()


def _listeners(config: Config) -> dict[str, socket.socket]:
    """Return the listening sockets: `listener` unless only TLS is spoken, `tls_listener` if TLS is."""
    listener, found = config.listener, {}
    if listener.plain:
        found["listener"] = listen(listener.host, listener.port, BACKLOG_MAX, "listener")
    if listener.tls is not None:
        found["tls_listener"] = listen(listener.tls.host, listener.tls.port, BACKLOG_MAX, "listener.tls")
    return found


def listen(host: str, port: int, backlog_max: int, section: str) -> socket.socket:
    """Return a listening TCP socket, close-on-exec and non-blocking; port 0 takes a free one.

    Raises ConfigError naming the section's key if the address cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigError(
            "", f"{section}.host", f"{host} is no address of this machine: {error.strerror}"
        ) from None
    end = socket.socket(family, kind, protocol)
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # "::" serves IPv4 peers as well
        end.bind(address)
        end.listen(backlog_max)
        end.setblocking(False)
    except OSError as error:
        end.close()
        hint = "is another program, or another router, using it?" if error.errno == errno.EADDRINUSE else ""
        raise ConfigError(
            "", f"{section}.port", f"cannot listen on {host}:{port}: {error.strerror}", hint
        ) from None
    return end


def address_of(end: socket.socket) -> str:
    """Return host:port of a bound socket, an IPv6 host in brackets."""
    host, port = end.getsockname()[:2]
    return (
        f"[{host}]:{port}" if ipaddress.ip_address(host.partition("%")[0]).version == 6 else f"{host}:{port}"
    )


def _query_pair() -> tuple[socket.socket, socket.socket]:
    """Return admin's end and the worker's end."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in pair:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * QUERY_BYTES_MAX)
        end.setblocking(False)
    return pair
