"""A real acceptor in the test's own event loop, between raw sockets and a worker that stores everything."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from router.config.load import parse_config
from router.config.schema import Config
from router.handoff.channel import RING_BYTES_MIN, Channel
from router.handoff.intake import Intake
from router.handoff.slab import Slab, create_slab_fd
from router.handoff.ticket import Ticket
from router.metrics.page import MetricsPage
from router.processes.acceptor import Acceptor
from tests.support.raw_peer import ECHO_CONTEXT, RELEASE_RP, RELEASE_RQ, command, echo_rq, raw_peer
from tests.support.scripted_scp import until

SLOT_BYTES = 65536
SLOTS = 16

LIBUVS_OWN = 1
"""A descriptor that libuv opens for itself with the first connection."""

CONFIG = """
[router]
ae_title = "ROUTER"
{router}
[listener]
host = "127.0.0.1"
port = 0
{tls}
[spool]
path = "{spool}"
[limits]
spill_mb = 1
{limits}
[destinations.PACS]
ae_title = "PACS"
host = "127.0.0.1"
port = 11113
[[rules]]
name = "all"
to = ["PACS"]
{sources}
"""


class OnlyChild:
    """What an acceptor asks of its process, without one."""

    index = 0
    run = 1

    def __init__(self, config: Config, fds: dict[str, list[int]], page: MetricsPage) -> None:
        self.config = config
        self.page = page
        self.end: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.is_ready = asyncio.Event()
        self._fds = fds

    def fds(self, name: str) -> list[int]:
        return self._fds.get(name, [])

    @property
    def is_draining(self) -> bool:
        return self.end.done()

    def on_reload(self, handler: Any) -> None:
        self.reload = handler

    def ready(self) -> None:
        self.is_ready.set()

    async def drain_requested(self) -> float:
        return await self.end

    def not_accepting(self) -> None:
        pass

    def drained(self) -> None:
        pass


class LiveAcceptor:
    """`acceptor` is the real one; `stored` holds (ticket, dataset) of all that its worker took.

    handle: takes the tickets in place of the worker. on_file: told of every spilled dataset.
    """

    def __init__(self, acceptor: Acceptor, child: OnlyChild, intake: Intake, port: int) -> None:
        self.acceptor = acceptor
        self.child = child
        self.port = port
        self.tls_port = 0
        self.stored: list[tuple[Ticket, bytes]] = []
        self.answers_at_once = True
        self.status = 0
        self.handle: Callable[[Intake, Ticket], None] | None = None
        self.on_file: Callable[[str], None] | None = None
        self.on_close: list[Callable[[], None]] = []
        self.fds_at_start = 0
        self._intake = intake

    def work(self) -> None:
        """Take tickets, copy their datasets, answer."""
        while True:
            for ticket in self._intake.receive():
                if self.handle is not None:
                    self.handle(self._intake, ticket)
                    continue
                if ticket.file:
                    if self.on_file is not None:
                        self.on_file(ticket.file)
                    dataset = Path(ticket.file).read_bytes()
                    os.unlink(ticket.file)
                else:
                    dataset = b"".join(self._intake.views(ticket))
                self.stored.append((ticket, dataset))
                if self.answers_at_once:
                    self._intake.answer(ticket, self.status, release=True)
            if self._intake.sleep():
                return

    def answer_all(self) -> None:
        """Answer the tickets that were left without."""
        for ticket, _ in self.stored:
            self._intake.answer(ticket, self.status, release=True)

    async def echo(self) -> None:
        """An honest peer, on a new association, must be served."""
        async with raw_peer(self.port) as peer:
            answer = await peer.associate()
            assert answer[:1] == b"\x02", answer[:16]
            await peer.send(command(ECHO_CONTEXT, echo_rq(1)))
            assert (await peer.read_response())[0x00000900] == 0
            await peer.send(RELEASE_RQ)
            assert await peer.read_pdu() == RELEASE_RP

    async def assert_nothing_left(self) -> None:
        """An honest peer is served at once; then nothing may be left of anybody.

        No connection, association, slot, loan, waiting dataset, file or descriptor.
        """
        acceptor = self.acceptor
        await until(lambda: not acceptor.incoming and not acceptor.stage.rejects_associations)
        await self.echo()
        await until(lambda: not acceptor.incoming and not acceptor.driver.connections)
        assert acceptor.doors.pending == 0
        await until(lambda: not acceptor.dispatcher.loans_outstanding)
        assert acceptor._accepted == 0
        assert not +acceptor._open_by_source
        assert acceptor.slab.slots_used == 0
        assert acceptor.arrivals.waiting == 0
        assert os.listdir(acceptor.arrivals.incoming) == []
        for close in self.on_close:
            close()
        await until(lambda: _descriptors() <= self.fds_at_start)

    def pass_time(self, now: float) -> None:
        """Let every connection look at its deadlines as if it were this late."""
        for connection in tuple(self.acceptor.driver.connections):
            connection.check_deadlines(now)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@asynccontextmanager
async def live_acceptor(
    folder: Path, router: str = "", sources: str = "", limits: str = "", tls: str = ""
) -> AsyncIterator[LiveAcceptor]:
    """Run an acceptor with one worker. router, sources, limits: further lines of the configuration.

    tls: lines of [listener.tls] without its port; with them there is a second door.
    """
    loop = asyncio.get_running_loop()
    tls_table = f"[listener.tls]\nport = 0\n{tls}" if tls else ""
    values = {"router": router, "sources": sources, "limits": limits, "tls": tls_table}
    config = parse_config(CONFIG.format(spool=folder, **values))
    os.makedirs(folder / "incoming", exist_ok=True)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port: int = listener.getsockname()[1]
    slab_fd = create_slab_fd(SLOTS * SLOT_BYTES, SLOT_BYTES)
    channel = Channel.create(RING_BYTES_MIN)
    page = MetricsPage.create()
    page.begin("acceptor", 0)
    intake = Intake(channel.worker_end(), Slab.attach(os.dup(slab_fd)))
    intake.start()
    fds = {
        "listener": [listener.detach()],
        "slab": [slab_fd],
        "channel.0": [os.dup(fd) for fd in channel.fds()],
    }
    tls_port = 0
    if tls:
        tls_listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        tls_port = tls_listener.getsockname()[1]
        fds["tls_listener"] = [tls_listener.detach()]
    child = OnlyChild(config, fds, page)
    acceptor = Acceptor(child)  # type: ignore[arg-type]
    live = LiveAcceptor(acceptor, child, intake, port)
    live.tls_port = tls_port
    loop.add_reader(intake.fileno(), live.work)
    live.work()
    running = asyncio.ensure_future(acceptor.run())
    try:
        await child.is_ready.wait()
        live.fds_at_start = _descriptors() + LIBUVS_OWN
        yield live
        await live.assert_nothing_left()
    finally:
        if not child.end.done():
            child.end.set_result(0.5)
        await running
        loop.remove_reader(intake.fileno())
        for worker in acceptor.dispatcher.workers:
            loop.remove_reader(acceptor.dispatcher.fileno(worker))
        for fd in (*fds["slab"], *fds["channel.0"], intake._slab.fd):
            os.close(fd)  # a process would end
        channel.close()
        page.close()
