"""A real worker between a dispatcher and scripted destinations, with its forward lane or without it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time_ns
from types import SimpleNamespace
from typing import Any

from router.config.load import parse_config
from router.handoff.channel import RING_BYTES_MIN, Channel
from router.handoff.dispatch import Dispatcher
from router.handoff.slab import Slab, create_slab_fd
from router.handoff.ticket import Receipt, Ticket
from router.metrics.page import MetricsPage
from router.processes.spool_bell import SpoolBell
from router.processes.worker import Worker
from router.spool.layout import worker_directory
from router.spool.ledger import LedgerSettings
from router.spool.spool import SpoolSettings, open_spool
from router.spool.writer_settings import WriterSettings
from router.standard.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN
from router.standard.uids import CT_IMAGE_STORAGE
from tests.codec.octets import implicit_element, short_element
from tests.support.scripted_scp import until

SLOT = 4096
SLOTS = 64

CONFIG = """
[router]
ack_wait_s = {ack_wait_s}
unmatched = "{unmatched}"
[listener]
host = "127.0.0.1"
port = 0
[spool]
path = "{spool}"
[limits]
structure_scan = "{scan}"
{destinations}
{rules}
"""

DESTINATION = """
[destinations.{name}]
ae_title = "{name}"
host = "127.0.0.1"
port = {port}
retry_first_s = 0.05
retry_max_s = 0.1
{more}
"""

ALL_TO = '[[rules]]\nname = "all"\nto = {names}\n'


def dataset(uid: str, syntax: str = EXPLICIT_VR_LITTLE_ENDIAN, padding: int = 0, **values: str) -> bytes:
    """A dataset that names itself. values: modality, study, series, name; padding: of Pixel Data."""
    big = syntax.endswith("1.2.2")
    elements = [
        (0x00080016, "UI", CT_IMAGE_STORAGE),
        (0x00080018, "UI", uid),
        (0x00080060, "CS", values.get("modality", "CT")),
        (0x00100010, "PN", values.get("name", "A^B")),
        (0x0020000D, "UI", values.get("study", "1.9")),
        (0x0020000E, "UI", values.get("series", "1.9.1")),
    ]
    octets = b""
    for tag, vr, text in elements:
        value = text.encode() + (b"\0" if vr == "UI" else b" ") * (len(text) % 2)
        if syntax.endswith("1.2"):
            octets += implicit_element(tag, value)
        else:
            octets += short_element(tag, vr, value, big)
    if padding:
        value = b"x" * padding
        if syntax.endswith("1.2"):
            octets += implicit_element(0x7FE00010, value)
        else:
            order = "big" if big else "little"
            group = (0x7FE0).to_bytes(2, order) + (0x10).to_bytes(2, order)  # type: ignore[arg-type]
            octets += group + b"OB\0\0" + len(value).to_bytes(4, order) + value  # type: ignore[arg-type]
    return octets


class World:
    """`receipts`: what came for each ticket, by its number. `statuses`: of the first one."""

    def __init__(self, tmp_path: Path, worker: Worker, dispatcher: Dispatcher, slab: Slab) -> None:
        self.folder = tmp_path
        self.worker = worker
        self.dispatcher = dispatcher
        self.slab = slab
        self.receipts: list[list[Receipt]] = []

    @property
    def statuses(self) -> list[int]:
        return [receipts[0].status for receipts in self.receipts]

    @property
    def in_lane(self) -> int:
        """Instances that went past the queues of destinations."""
        outlets = [one.outlet for one in self.worker.owing.destinations.values()]
        return sum(outlet.delivered for outlet in outlets if outlet is not None)

    def submit(self, uid: str, octets: bytes | None = None, **changes: Any) -> None:
        """Lend one dataset to the worker."""
        octets = dataset(uid) if octets is None else octets
        slots = []
        for start in range(0, len(octets), SLOT):
            slot = self.slab.allocate()
            assert slot is not None
            piece = octets[start : start + SLOT]
            self.slab.view(slot)[: len(piece)] = piece
            slots.append(slot)
        ticket = Ticket(
            self.dispatcher.next_ticket_id(), tuple(slots), "", len(octets), CT_IMAGE_STORAGE, uid,
            EXPLICIT_VR_LITTLE_ENDIAN, "MODALITY", "ROUTER", "192.0.2.1", "", "delivered",
            time_ns(), 1,  # now: what was received long ago is forgotten while a test still runs
        )._replace(**changes)  # fmt: skip
        told: list[Receipt] = []
        self.receipts.append(told)
        assert self.dispatcher.submit(ticket, told.append)

    async def answered(self) -> None:
        """Wait until every ticket has its receipt."""
        await until(lambda: all(self.receipts))

    async def at_rest(self) -> None:
        """Wait until nothing is under way and nothing lent; then every account must be even."""
        await self.answered()
        await until(lambda: self.dispatcher.loans_outstanding == 0)
        assert self.slab.slots_used == 0
        assert [len(receipts) for receipts in self.receipts] == [1] * len(self.receipts)
        assert self.worker.handling.in_progress == 0
        for destination in self.worker.owing.destinations.values():
            await until(lambda one=destination: one.in_flight == 0)  # type: ignore[misc]
            if destination.outlet is not None:
                assert destination.outlet.in_flight == 0

    def counted(self, name: str) -> dict[str, int]:
        """Return what was counted of a destination."""
        cells, page = self.worker.counters._of(name), self.worker.child.page.cells
        found = {f"sent {label}": page[cell] for label, cell in cells.sent.items()}
        found |= {f"bytes {label}": page[cell] for label, cell in cells.sent_bytes.items()}
        found |= {error.value: page[cell] for error, cell in cells.errors.items()}
        return {label: count for label, count in found.items() if count}


def configuration(folder: Path, ports: dict[str, int], **changes: Any) -> Any:
    """Return a configuration. changes: rules, more (of every destination), ack_wait_s, unmatched, scan."""
    more = changes.pop("more", "")
    values = {
        "spool": folder, "ack_wait_s": 30.0, "unmatched": "hold", "scan": "nesting",
        "rules": ALL_TO.format(names=list(ports)).replace("'", '"'),
        "destinations": "".join(
            DESTINATION.format(name=name, port=port, more=more) for name, port in ports.items()
        ),
    }  # fmt: skip
    return parse_config(CONFIG.format(**{**values, **changes}))


@asynccontextmanager
async def world(folder: Path, ports: dict[str, int], use_lane: bool, **changes: Any) -> AsyncIterator[World]:
    """Run one worker. ports: destination to port. changes: see configuration."""
    folder.mkdir(exist_ok=True)
    slab_fd, channel = create_slab_fd(SLOTS * SLOT, SLOT), Channel.create(RING_BYTES_MIN)
    page = MetricsPage.create()
    page.begin("worker", 0)
    fds = {"slab.0": [os.dup(slab_fd)], "channel.0": [os.dup(fd) for fd in channel.fds()]}
    child = SimpleNamespace(
        config=configuration(folder, ports, **changes), page=page, index=0, fds=lambda name: fds[name]
    )
    loop, bell = asyncio.get_running_loop(), SpoolBell()
    settings = SpoolSettings(WriterSettings(fsync=False), LedgerSettings(fsync=False))
    spool = await asyncio.to_thread(open_spool, worker_directory(folder, 0), bell.ring, settings)
    worker = Worker(child, spool, bell)  # type: ignore[arg-type]
    if not use_lane:
        worker.forwarding.forwarder = worker.forwarding.entries = None
    slab = Slab.own(slab_fd)
    dispatcher = Dispatcher([channel.acceptor_end()], slab)
    worker.driver.start()
    bell.answer(worker._try_to_take_durable)
    (intake,) = worker.intakes
    intake.start()
    worker.listen(intake)
    worker._tend()
    looking: list[asyncio.TimerHandle] = []

    def look() -> None:
        dispatcher.drain(0)
        looking[:] = [loop.call_later(0.02, look)]

    look()
    try:
        yield World(folder, worker, dispatcher, slab)
    finally:
        await worker._drain(loop.time() + 1.0)
        looking[0].cancel()
        loop.remove_reader(intake.fileno())
        await asyncio.to_thread(spool.close)
        bell.close()
        for fd in (*fds["slab.0"], *fds["channel.0"], slab_fd):
            os.close(fd)  # processes would end
        channel.close()
        page.close()
