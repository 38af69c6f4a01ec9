"""A role for tests of the supervisor: does no work, and misbehaves as its environment tells it.

FAKE_<ROLE> is one of: "" (well-behaved), "crash" (after ready), "fail" (before), "hopeless", "deaf" (ignores
a drain), "refuse-reload". A well-behaved acceptor accepts connections and, draining, waits until its peers
close; a worker answers the queue verbs from a small table.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys

from router.errors import ConfigError
from router.processes import child as child_process
from router.processes.child import Child
from router.processes.queries import QueryServer


async def role_main(child: Child) -> None:
    behaviour = os.environ.get(f"FAKE_{child.role.upper()}", "")
    if behaviour == "hopeless":
        raise ConfigError("router.toml", "spool.path", "does not suit this role")
    if behaviour == "fail":
        raise RuntimeError("as it was told")
    if behaviour == "refuse-reload":
        child.on_reload(refuse_reload)
    connections = Connections(child.fds("listener")) if child.role == "acceptor" else None
    if child.role == "worker":
        QueryServer(child.fds("query")[0], {"queue_counts": counts, "queue_retry": lambda **_: 7})
    child.on_message("state", lambda _: None)
    logging.getLogger("tests").info("up run=%d pid=%d", child.run, os.getpid())
    child.ready(fake=1)
    if behaviour == "crash":
        os._exit(9)
    await child.drain_requested()
    if behaviour == "deaf":
        await asyncio.Event().wait()
    if connections is not None:
        connections.stop_accepting()
        child.not_accepting()
        await connections.all_closed()
    child.drained()


def refuse_reload(_: object) -> None:
    raise ValueError("this role keeps what it has")


def counts() -> list[dict[str, object]]:
    return [{"destination": "PACS", "state": "dead", "count": 2, "bytes": 20, "oldest_age_s": 5.0}]


class Connections:
    """Accepts peers and reads from them until they close."""

    def __init__(self, fds: list[int]) -> None:
        self._listener = socket.socket(fileno=fds[0])
        self._tasks: set[asyncio.Task[None]] = set()
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def stop_accepting(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        self._listener.close()

    async def all_closed(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self) -> None:
        peer, _ = self._listener.accept()
        peer.setblocking(False)
        peer.sendall(b"hello")
        task = asyncio.get_running_loop().create_task(self._read(peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, peer: socket.socket) -> None:
        with peer:
            while await asyncio.get_running_loop().sock_recv(peer, 100):
                pass


if __name__ == "__main__":
    sys.exit(child_process.run(role_main))
