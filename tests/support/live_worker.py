"""A worker's handling of tickets behind a live acceptor: real but for its spool, which is in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from router.handoff.intake import Intake
from router.handoff.ticket import Ticket
from router.metrics.page import MetricsPage
from router.processes.counters import WorkerCounters
from router.processes.handling import Handling
from router.routing.rules import compile_rules
from router.spool.record import InstanceRecord, Location
from tests.support.live_acceptor import LiveAcceptor

NO_FORWARDING = SimpleNamespace(in_progress=0, learn=lambda *_: None, expire=lambda now: None, entries=None)
"""No forward lane: every ticket takes the general way."""


NOTHING_CONTESTED = SimpleNamespace(guarded=lambda instance, *_: instance, note=lambda uid: None)


class LiveWorker:
    """`datasets`: what would be in the spool, by SOP Instance UID; `records`: its facts.

    changes: settings of [limits].
    """

    def __init__(self, live: LiveAcceptor, **changes: Any) -> None:
        self.datasets: dict[str, bytes] = {}
        self.records: list[InstanceRecord] = []
        self.appended_seq = 0
        config = live.acceptor.config
        self.config = config.model_copy(update={"limits": config.limits.model_copy(update=changes)})
        self.rules = compile_rules(config.rules, config.router.unmatched)
        self.page = MetricsPage.create()
        self.page.begin("worker", 0)
        self.counters = WorkerCounters(self.page)
        self.duplicates = None
        self.contested = NOTHING_CONTESTED
        self.forwarding = SimpleNamespace(learn=lambda *_: None, in_progress=0)  # no lane
        self.owing = SimpleNamespace(destinations={})
        self.spool = SimpleNamespace(payloads=None, writer=self, ledger=SimpleNamespace(add=lambda _: None))
        self.forwarding = NO_FORWARDING
        self.handling = Handling(self)  # type: ignore[arg-type]
        live.handle = self.take
        live.on_close.append(self.page.close)

    def take(self, intake: Intake, ticket: Ticket) -> None:
        """Handle one ticket as a worker does, with a disk that is done at once."""
        self.handling.take(intake, ticket)
        self.handling.storing.sync()

    def append(self, record: InstanceRecord, views: list[memoryview]) -> tuple[int, Location]:
        """Keep an instance, as SpoolWriter.append does."""
        dataset = b"".join(views)
        self.datasets[record.sop_instance] = dataset
        self.records.append(record)
        self.appended_seq += 1
        return self.appended_seq, Location(1, 0, len(dataset), None)

    def adopt_file(self, record: InstanceRecord, path: Any, length: int, crc: Any) -> tuple[int, Location]:
        """Keep a spilled instance, as SpoolWriter.adopt_file does."""
        dataset = path.read_bytes()
        path.unlink()
        return self.append(record, [memoryview(dataset)])

    def sync_soon(self) -> None:
        """Be durable at once."""
        self.handling.storing.became_durable(self.appended_seq)

    def counted(self, metric: str, **labels: str) -> int:
        """Return a counter of this worker's page."""
        return int(self.page.cells[self.page.slot(metric, **labels)])
