"""The acceptor: takes connections from the shared listening socket, parses, and lends datasets to the
workers.

Its floor of knowledge is the protocol and the hand-over; it knows no rules, no spool and no destinations.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Barrier
from time import monotonic

from router import crash_points
from router.config.schema import Config
from router.drivers.event_loop import EventLoopDriver
from router.handoff.channel import Channel
from router.handoff.dispatch import Dispatcher
from router.handoff.pressure import Pressure, PressureStage, Thresholds
from router.handoff.sink import Arrivals
from router.handoff.slab import Slab
from router.handoff.spool_pressure import SpoolPressure
from router.handoff.ticket import Receipt, WorkerStage
from router.processes import child as child_process
from router.processes.admission import Admission, Admitted, TurnedAway
from router.processes.child import Child
from router.processes.counters import AcceptorCounters
from router.processes.doors import Doors
from router.processes.incoming import Incoming
from router.processes.logs import PeerLogLimit
from router.standard.reasons import (
    REJECT_SOURCE_SERVICE_PROVIDER_PRESENTATION,
    REJECT_TEMPORARY_CONGESTION,
)
from router.standard.statuses import OUT_OF_RESOURCES
from router.wire.pdus import AssociateRJ, AssociateRQ

MB = 1 << 20
TEND_S = 0.25
"""How often pressure, overdue receipts and gauges are looked at."""

SPILL_THREADS = 2

CONGESTION = (REJECT_SOURCE_SERVICE_PROVIDER_PRESENTATION, REJECT_TEMPORARY_CONGESTION)

logger = logging.getLogger(__name__)


class Acceptor:
    """One acceptor process. Everything runs on its event loop but the writing of spilled datasets."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.config = child.config
        self.loop = asyncio.get_running_loop()
        self.driver = EventLoopDriver(self.loop)
        self.counters = AcceptorCounters(child.page)
        self.slab = Slab.own(child.fds("slab")[0])
        self._threads = started_threads(SPILL_THREADS, "spill")
        self.arrivals = Arrivals(
            self.slab,
            os.path.join(child.config.spool.path, "incoming"),
            spill_bytes=child.config.limits.spill_mb * MB,
            instance_max_bytes=int(child.config.limits.instance_max_gb * 1024 * MB),
            run_aside=self._run_aside,
            name_prefix=f"acceptor-{child.index}-{child.run}-{os.getpid()}",
        )
        ends = [self._attach_channel(j).acceptor_end() for j in range(child.config.router.workers)]
        self.dispatcher = Dispatcher(ends, self.slab)
        # What may become too long for the slab, or for anybody, is the general way's to judge.
        arrivals = self.arrivals
        self.inlet = self.dispatcher.open_inlet(min(arrivals.spill_bytes, arrivals.instance_max_bytes))
        if self.inlet is not None:
            self.counters.count_lane(self.inlet)
            self.inlet.at_last_fragment = crash_points.armed("fragment.last")
        self.pressure = Pressure(Thresholds(child.config.limits.congested_percent))
        self.spool_pressure = SpoolPressure(child.config.spool.back_pressure_s)
        self.stage = PressureStage.OPEN
        self.dispatcher.on_stage = self._look_soon
        self.incoming: dict[Incoming, None] = {}
        self._accepted = 0
        self._open_by_source: Counter[str] = Counter()
        self.admission = Admission(child.config, self._open_by_source)
        self.doors = Doors(self)
        self._log_limit = PeerLogLimit()
        self._last_association_id = child.run * 1_000_000_000 + child.index * 10_000_000
        self._tending: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serve until the drain is over."""
        self.driver.start()
        for worker in self.dispatcher.workers:
            go_on = partial(self._drain_worker, worker)
            bell = self.dispatcher.open_bell(worker, go_on, self.arrivals.queues)
            self.loop.add_reader(self.dispatcher.fileno(worker), go_on if bell is None else bell.rung)
            go_on()
        self._tend()
        self.doors.open()
        self.child.on_reload(self._reload)
        self.child.ready()
        deadline_s = await self.child.drain_requested()
        await self._drain(monotonic() + deadline_s)
        self.child.drained()

    def decide(self, incoming: Incoming, rq: AssociateRQ) -> Admitted | AssociateRJ:
        """Answer an association request, and count it."""
        answer = self.admission.decide(rq, self.doors.applicant(incoming), self._accepted, self._turned_away)
        if isinstance(answer, AssociateRJ):
            self.counters.ended("rejected")
            if (answer.source, answer.reason) == CONGESTION:
                self.counters.relieved("rejected")
        else:
            self._accepted += 1
            self._open_by_source[answer.source] += 1
            self.doors.associated(incoming)
            self.counters.ended("accepted")
            contexts = answer.answer.contexts
            self.dispatcher.announce((one.abstract_syntax, one.transfer_syntax) for one in contexts)
        return answer

    def closed(self, incoming: Incoming) -> None:
        """Take note that an association's connection is gone; say the one line about it."""
        self.incoming.pop(incoming, None)
        self.doors.gone(incoming)
        if incoming.admitted is not None:
            self._accepted -= 1
            self._open_by_source[incoming.admitted.source] -= 1
        if incoming.handshake_error is not None:
            return
        if incoming.association.rq is None and not incoming.association.refused_request:
            self.counters.probe("stray" if incoming.connection.traffic.received else "silent")
            logger.debug("%s", incoming.log_line())
            return
        violated = incoming.association.violation is not None
        if violated:
            self.counters.violated()
        if incoming.admitted is not None:
            self.counters.ended(incoming.outcome)
        self._say(
            logging.WARNING if violated or incoming.rejection else logging.INFO,
            incoming.connection.peer_address[0],
            incoming.log_line,
        )

    def say(self, peer: str, line: str) -> None:
        """Log a warning about a peer, within the peer's limit."""
        self._say(logging.WARNING, peer, lambda: line)

    def _say(self, level: int, peer: str, line: Callable[[], str]) -> None:
        suppressed = self._log_limit.admit(peer, monotonic())
        if suppressed is None:
            self.counters.suppressed()
            return
        tail = f" suppressed={suppressed}" if suppressed else ""
        logger.log(level, "%s%s", line(), tail)

    @property
    def _turned_away(self) -> TurnedAway:
        """Who is told to come back later."""
        if self.stage.rejects_associations or self.child.is_draining:
            return TurnedAway.EVERYBODY
        return TurnedAway.UNKNOWN if self.stage is not PressureStage.OPEN else TurnedAway.NOBODY

    def _attach_channel(self, worker: int) -> Channel:
        memory, down_bell, up_bell = self.child.fds(f"channel.{worker}")
        return Channel.attach((memory, down_bell, up_bell))

    def new_incoming(self) -> Incoming:
        """Begin with a connection that was accepted."""
        self._last_association_id += 1
        incoming = Incoming(self, self._last_association_id)
        self.incoming[incoming] = None
        return incoming

    def _reload(self, config: Config) -> None:
        before, self.admission = self.admission, Admission(config, self._open_by_source)
        try:
            self.doors.reload(config)
        except OSError:
            self.admission = before
            raise
        self.spool_pressure.back_pressure_s = config.spool.back_pressure_s
        self.config = config

    def _drain_worker(self, worker: int, record: bytes | None = None) -> None:
        if not self.dispatcher.drain(worker, record):
            self.loop.call_soon(self._drain_worker, worker)
        if self.arrivals.waiting:
            self._look_at_pressure()
            self.arrivals.wake()

    def _tend(self) -> None:
        self._tending = self.loop.call_later(
            TEND_S, self._tend
        )  # first, so that no failure below is the last
        for loan in self.dispatcher.expire(monotonic()):
            late = Receipt(loan.ticket.ticket_id, OUT_OF_RESOURCES, "no worker answered in time")
            self.loop.call_soon(loan.on_receipt, late)
        for worker in self.dispatcher.workers:
            self._drain_worker(worker)  # releases come without a doorbell
        self._look_at_pressure()
        self.arrivals.wake()
        if self.child.is_draining:
            for incoming in tuple(self.incoming):
                incoming.release()
        self.counters.pending(self.doors.pending)
        self.counters.gauges(
            associations=self._accepted,
            slots_used=self.slab.slots_used,
            slots_total=self.slab.slots_total,
            ring_bytes=self.dispatcher.ring_used_bytes,
            ring_capacity_bytes=self.dispatcher.ring_capacity_bytes,
            stage=int(self.stage),
            loans=self.dispatcher.loans_outstanding,
        )
        self._count_totals()

    def _count_totals(self) -> None:
        arrivals, counts = self.arrivals, self.dispatcher.counts
        self.counters.totals(
            spills=arrivals.spilled_count,
            spilled_bytes=arrivals.spilled_bytes,
            tickets_sent=self.dispatcher.tickets_sent,
            tickets_resent=counts.resent,
            receipts_overdue=counts.expired,
            malformed_records=counts.malformed_records,
        )
        self.counters.relieved("paused", arrivals.paused_count)
        self.counters.relieved("refused", arrivals.refused_count)
        arrivals.paused_count = arrivals.refused_count = 0

    def _look_soon(self) -> None:
        self.loop.call_soon(self._look_at_pressure)

    def _look_at_pressure(self) -> None:
        before, now, workers = self.stage, monotonic(), self.dispatcher.worker_stages
        used = self.slab.slots_used / self.slab.slots_total
        by_memory = self.pressure.update(now, used, self.dispatcher.ring_used_fraction, workers)
        by_spool = self.spool_pressure.update(now, workers)
        stage = self.stage = max(by_memory, by_spool)
        refuses = stage.refuses_instances
        pauses = not refuses and (by_memory.pauses_reading or by_spool is PressureStage.PAUSE_READING)
        self.arrivals.pauses = pauses
        self.arrivals.refuses = refuses
        if self.inlet is not None:
            # Datasets that wait for a slot come first.
            self.inlet.is_closed = pauses or refuses or bool(self.arrivals.waiting)
        if stage is not before:
            level = logging.WARNING if stage > before else logging.INFO
            spool = max(workers, default=WorkerStage.ACCEPTING).name.lower()
            logger.log(
                level, "pressure=%s before=%s slab=%.2f spool=%s", _name(stage), _name(before), used, spool
            )

    def _run_aside(self, function: Callable[[], None], done: Callable[[Future[None]], None]) -> None:
        future = self._threads.submit(function)
        future.add_done_callback(lambda settled: self.loop.call_soon_threadsafe(done, settled))

    async def _drain(self, deadline: float) -> None:
        self.doors.close()
        self.child.not_accepting()
        for incoming in tuple(self.incoming):
            incoming.release()
        while (self.incoming or self.dispatcher.loans_outstanding) and monotonic() < deadline:
            await asyncio.sleep(0.02)
        for incoming in tuple(self.incoming):
            incoming.connection.abort(0, 0, "shutting down")
        if self.incoming:
            await asyncio.sleep(0.1)
        if self._tending is not None:
            self._tending.cancel()
        self.driver.stop()
        self._threads.shutdown(wait=True)


def started_threads(count: int, name: str) -> ThreadPoolExecutor:
    """Return an executor whose threads run already: later there may be no memory for one, in the middle of a
    dataset."""
    executor = ThreadPoolExecutor(count, thread_name_prefix=name)
    everybody = Barrier(count + 1)
    for _ in range(count):
        executor.submit(everybody.wait)
    everybody.wait()
    return executor


def _name(stage: PressureStage) -> str:
    return stage.name.lower()


async def _serve(child: Child) -> None:
    await Acceptor(child).run()


def main() -> int:
    """Run an acceptor; started by the supervisor."""
    return child_process.run(_serve)


if __name__ == "__main__":
    sys.exit(main())
