"""The worker: takes tickets, routes, stores, delivers; owns one spool directory and the pools to all
destinations.

Its parts: handling.py (what becomes of a ticket), owing.py (what destinations are owed, from memory and
ledger), queue_verbs.py (what people ask of the queue). This file wires them to the doorbells, the spool's
callbacks and the supervisor's words.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from router import crash_points
from router.config.schema import Config
from router.delivery.destination import Destination
from router.drivers.event_loop import EventLoopDriver
from router.errors import SpoolError
from router.handoff.channel import RECEIVE_RECORDS_MAX, Channel
from router.handoff.intake import Intake
from router.handoff.slab import Slab
from router.handoff.ticket import WorkerStage
from router.processes import child as child_process
from router.processes.adoption import adopt_absent, list_absent
from router.processes.child import Child
from router.processes.contested import Contested
from router.processes.counters import WorkerCounters
from router.processes.damage import set_aside, tell_recovery
from router.processes.duplicates import Duplicates
from router.processes.forwarding import Forwarding
from router.processes.gauges import Gauges
from router.processes.handling import Handling
from router.processes.instances import read_head_of
from router.processes.owing import Owing
from router.processes.queries import QueryServer
from router.processes.queue_verbs import QueueVerbs
from router.processes.spool_bell import SpoolBell
from router.processes.spool_settings import spool_settings
from router.processes.study_verbs import StudyVerbs
from router.processes.watermark import Fill, Watermark
from router.routing.attributes import read_attributes
from router.routing.facts import Facts
from router.routing.rules import compile_rules
from router.spool.faults import LedgerDamaged, ObjectTooLarge, SpoolFull
from router.spool.layout import worker_directory
from router.spool.record import Entry, Location
from router.spool.spool import Spool, Usage, open_spool
from router.wire.codec import TicketBell

TEND_S = 0.25
"""How often late deliveries, idle associations and gauges are looked at."""

PROOF_S = 0.005
"""How long after a commit the marker that proves it is written at the latest."""

RECLAIM_S = 0.25
"""How often settled data is given back, so that it is written again while it is warm, and the disk looked
at."""

RECLAIM_SOON_S = 0.05
"""The same on a RAM disk while there are closed segments."""

RECLAIM_SOON_MAX = 8
"""Closed segments at most: if there are more, a destination is behind, and they are not settled soon."""

BATCHES_MAX = 16
"""Batches of tickets taken in one turn, so that one busy acceptor does not stall deliveries."""

GONE_CLOSE_S = 5.0
"""How long a destination that a reload took away may finish."""

MB, GB = 1 << 20, 1 << 30

logger = logging.getLogger(__name__)


class Worker:
    """One worker process. Everything runs on its event loop but syncs, the ledger's writes and reclaiming."""

    def __init__(self, child: Child, spool: Spool, spool_bell: SpoolBell) -> None:
        self.child = child
        self.config = child.config
        self.loop = asyncio.get_running_loop()
        self.spool = spool
        self.driver = EventLoopDriver(self.loop)
        self.counters = WorkerCounters(child.page)
        self.rules = compile_rules(child.config.rules, child.config.router.unmatched)
        skips = child.config.router.duplicates == "skip"
        self.duplicates = Duplicates(spool.ledger, spool.payloads) if skips else None
        self.handling = Handling(self)
        self.contested = Contested(self)
        self.owing = Owing(self, self.driver, child.config)
        self._bells: list[TicketBell] = []
        self.forwarding = Forwarding(self)
        self.gauges = Gauges(self)
        self.intakes = [self._attach_intake(i) for i in range(child.config.router.acceptors)]
        self._stage = WorkerStage.ACCEPTING
        self._could_not_store_at = 0.0  # monotonic
        self._answered_seq = spool.writer.appended_seq
        self._groups_seen = 0
        self._seconds_seen = 0.0
        self._has_stopped = False
        self._is_draining = False
        self._given_up: asyncio.Future[float] = self.loop.create_future()
        self._damaged: set[int] = set()
        self._tending: asyncio.TimerHandle | None = None
        self._proving: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._spool_bell = spool_bell

    async def run(self) -> None:
        """Work until the drain is over."""
        self.driver.start()
        tell_recovery(self.spool.report, self.counters, self.spool.directory.root.name)
        verbs = {**QueueVerbs(self).handlers(), **StudyVerbs(self).handlers()}
        queries = QueryServer(self.child.fds("query")[0], verbs)
        self._spool_bell.answer(self._try_to_take_durable)
        self._spawn(self._reclaim())
        await self._prepare_versions()
        self.owing.look_again()
        for intake in self.intakes:
            intake.start()
            self.listen(intake)
        self._tend()
        self.child.on_reload(self._reload)
        self.child.ready()
        if self.child.index == 0:
            self._spawn(adopt_absent(self))
        deadline_s = await self._until_drain()
        await self._drain(monotonic() + deadline_s)
        queries.close()
        self.child.drained()

    async def _prepare_versions(self) -> None:
        """Know which instances other directories owe older versions of, before any version is taken in."""
        if self.child.index == 0:
            await list_absent(self)
        await self.contested.prepare()
        if self.contested.uids:
            self._use_lanes(Forwarding(self, is_shut=True))
            self._spawn(self._open_lanes_later())

    async def _open_lanes_later(self) -> None:
        await self.contested.watch()
        self._use_lanes(Forwarding(self))

    async def _until_drain(self) -> float:
        """Wait until this process shall end; return the seconds it has. Raises LedgerDamaged."""
        drain = asyncio.ensure_future(self.child.drain_requested())
        await asyncio.wait((drain, self._given_up), return_when=asyncio.FIRST_COMPLETED)
        if self._given_up.done():
            drain.cancel()
            return await self._given_up
        return await drain

    def entry_name(self, seq: int | None) -> str:
        """Return the id of an entry that people see, "-" for one that is only in memory."""
        return "-" if seq is None else f"{self.child.index}-{seq}"

    def decide_again(self, entry: Entry) -> tuple[str, ...]:
        """Return the destinations that today's rules choose for an entry of the spool. Raises SpoolError."""
        record = entry.record
        head = read_head_of(self.spool.payloads.open_payload(entry.location))
        facts = Facts(
            record.calling_ae_title,
            record.called_ae_title,
            record.peer_address,
            record.sop_class,
            record.transfer_syntax,
            read_attributes([head], record.transfer_syntax, self.rules.wanted),
        )
        return self.rules.evaluate(facts).destinations

    def set_aside(self, location: Location, seq: int) -> None:
        """Keep the bytes of an entry that turned out damaged for people to look at, and say so."""
        if seq not in self._damaged:  # told once, however many destinations are owed it
            self._damaged.add(seq)
            self._spawn(set_aside(self.spool.payloads, location, self.counters, self.entry_name(seq)))

    def spool_trouble(self, error: SpoolError) -> None:
        """Tell the acceptors that nothing can be stored, and why; a damaged ledger needs a new start."""
        if not isinstance(error, ObjectTooLarge):  # else one that never fits would keep all others out
            self._could_not_store_at = monotonic()
        stage = WorkerStage.SPOOL_FULL if isinstance(error, SpoolFull) else WorkerStage.SPOOL_FAILED
        self._set_stage(stage, str(error))
        if isinstance(error, LedgerDamaged) and not self._given_up.done():
            self._given_up.set_exception(error)

    # Doorbells

    def _attach_intake(self, acceptor: int) -> Intake:
        memory, down_bell, up_bell = self.child.fds(f"channel.{acceptor}")
        end = Channel.attach((memory, down_bell, up_bell)).worker_end()
        intake = Intake(end, Slab.attach(self.child.fds(f"slab.{acceptor}")[0]))
        intake.on_offer = self.owing.expect
        return intake

    def listen(self, intake: Intake) -> None:
        """Take what an acceptor sends from now on, and what it has sent."""
        go_on = partial(self._drain_intake, intake)
        bell = intake.open_bell(go_on, self._sync)
        if bell is not None:
            self._bells.append(bell)
            self._use_lanes(self.forwarding)
        self.loop.add_reader(intake.fileno(), go_on if bell is None else bell.rung)
        go_on()

    def _use_lanes(self, forwarding: Forwarding) -> None:
        """Forward by these lanes from now on."""
        self.forwarding = forwarding
        for bell in self._bells:
            bell.use(forwarding.forwarder, None if forwarding.entries is None else forwarding.entries.lane)

    def _drain_intake(self, intake: Intake, record: bytes | None = None) -> None:
        """Take the tickets that wait, in batches; the spool is asked once for all of them.

        record: one that a lane has left, the oldest of them.
        """
        handling, forwarder = self.handling, self.forwarding.forwarder
        if record is not None and (left := intake.take_record(record)) is not None:
            handling.take(intake, left, None if forwarder is None else forwarder.known)
        for _ in range(BATCHES_MAX):
            if forwarder is not None:
                for _ in range(RECEIVE_RECORDS_MAX):
                    if (ticket := intake.receive_past(forwarder)) is None:
                        break
                    handling.take(intake, ticket, forwarder.known)
            else:
                for ticket in intake.receive():
                    handling.take(intake, ticket)
            self._sync()
            if intake.sleep():
                return
        self.loop.call_soon(self._drain_intake, intake)

    # The spool

    def _sync(self) -> None:
        """Have what was appended made durable; without syncs it is at once, and is answered at once."""
        self._spool_bell.is_expected = True
        self.handling.storing.sync()
        self._spool_bell.is_expected = False
        if self.spool.writer.durable_seq > self._answered_seq:
            self._try_to_take_durable()
        self._leave_proof()

    def _try_to_take_durable(self) -> None:
        try:
            self._take_durable()
        except Exception:  # memory that ran out: who calls must not end by it; the next tick tries again
            logger.exception("spool=watch-failed")

    def _take_durable(self) -> None:
        writer = self.spool.writer
        durable = writer.durable_seq
        if durable > self._answered_seq:
            try:
                self.handling.storing.became_durable(durable)
            except SpoolError as error:
                self.spool_trouble(error)  # the next tick tries again
            else:
                self._count_groups(durable - self._answered_seq)
                self._answered_seq = durable
                if self._proving is None:
                    self._proving = self.loop.call_later(PROOF_S, self._prove)
        failure = writer.failure or self.spool.ledger.failure
        if failure is not None:
            if not self._has_stopped:
                self._has_stopped = True
                self.counters.sync_failed()
                self.spool_trouble(failure)
            # Each time: what was on its way to us is still appended if it is the ledger that has failed.
            self.handling.storing.failed(failure)
        elif (trouble := writer.trouble or self.spool.ledger.trouble) is not None:
            self.spool_trouble(trouble)

    def _leave_proof(self) -> None:
        """Leave proof of what was answered; nobody waits for it, so what is to be synced goes first."""
        try:
            self.spool.writer.take_durable()
        except Exception:  # as above
            logger.exception("spool=proof-failed")

    def _prove(self) -> None:
        """Leave proof if no sync has come since; one timer at a time, however many commits there are."""
        self._proving = None
        self._leave_proof()

    def _count_groups(self, instances: int) -> None:
        writer = self.spool.writer
        groups, seconds = writer.groups - self._groups_seen, writer.commit_seconds - self._seconds_seen
        self._groups_seen, self._seconds_seen = writer.groups, writer.commit_seconds
        if groups > 0:
            self.counters.committed(seconds / groups, instances // groups)

    async def _reclaim(self) -> None:
        """Delete settled data, and see whether a full spool has room again."""
        while True:
            await asyncio.sleep(self._reclaim_after_s())
            try:
                await asyncio.to_thread(self.spool.reclaim)
                usage = await asyncio.to_thread(self.spool.usage)
            except Exception as error:  # without memory or threads too: space must be given back for ever
                logger.error('spool=reclaim-failed why="%s: %s"', type(error).__name__, error)
                self.counters.spool_failed(True)
                continue
            self.counters.spool(
                used_bytes=usage.used_bytes,
                segments=usage.segments,
                free_bytes=usage.free_bytes,
                failed=not self._stage.stores,
            )
            self._look_at_watermark(usage)

    def _reclaim_after_s(self) -> float:
        """Return when to look for settled segments: soon on a RAM disk, whose files are memory."""
        is_soon = not self.config.spool.fsync and 0 < self.spool.payloads.closed_count <= RECLAIM_SOON_MAX
        return RECLAIM_SOON_S if is_soon else RECLAIM_S

    def _look_at_watermark(self, usage: Usage) -> None:
        """Tell the acceptors how full the spool is; one that was full goes on once it has room again."""
        spool = self.config.spool
        quota = int(spool.quota_gb * GB) // self.config.router.workers
        reserve, segment = int(spool.reserve_space_gb * GB), spool.segment_mb * MB
        watermark = Watermark(spool.watermark_percent, quota, reserve, segment)
        fill = Fill(usage.used_bytes - usage.recycled_bytes, usage.free_bytes, usage.total_bytes)
        stage = watermark.stage(fill, self._stage)
        if self._stage is WorkerStage.SPOOL_FULL and stage.stores:
            if self._is_in_trouble(usage):
                return
            if not watermark.may_resume(fill, monotonic() - self._could_not_store_at):
                return
        if stage is WorkerStage.SPOOL_FULL:
            self._set_stage(stage, f"less than reserve_space_gb = {spool.reserve_space_gb:g} is free")
        else:
            self._set_stage(stage, f"{watermark.percent_of(fill):.0f} % full")

    def _is_in_trouble(self, usage: Usage) -> bool:
        """Return whether something beside the lack of room keeps the spool from storing."""
        writer, ledger = self.spool.writer, self.spool.ledger
        troubles = (writer.trouble, ledger.trouble)
        return usage.is_read_only or ledger.congested or any(trouble is not None for trouble in troubles)

    def _set_stage(self, stage: WorkerStage, reason: str) -> None:
        if stage is self._stage or self._stage is WorkerStage.SPOOL_FAILED:
            return
        self._stage = stage
        level = logging.INFO if stage is WorkerStage.ACCEPTING else logging.ERROR
        if stage is WorkerStage.SPOOL_FILLING:
            level = logging.WARNING
        self.counters.spool_stage(int(stage))
        logger.log(level, 'spool=%s why="%s"', stage.name.lower(), reason)
        for intake in self.intakes:
            intake.report_state(stage, reason)

    # From time to time

    def _tend(self) -> None:
        self._tending = self.loop.call_later(
            TEND_S, self._tend
        )  # first, so that no failure below is the last
        now = monotonic()
        for step in (
            self._drain_intakes,
            self._take_durable,
            self._leave_proof,
            partial(self.handling.expire, now),
            self.handling.storing.sync,
            partial(self.owing.tend, now),
            partial(self.gauges.set, now),
        ):
            try:
                step()
            except SpoolError as error:
                self.spool_trouble(error)
            except Exception:  # the other steps are due all the same
                logger.exception("tend=failed")

    def _drain_intakes(self) -> None:
        """Take what waits although no doorbell said so; send what waits for room."""
        for intake in self.intakes:
            self._drain_intake(intake)

    def _reload(self, config: Config) -> None:
        self.rules = compile_rules(config.rules, config.router.unmatched)
        self.config = config
        crash_points.reached("config.swap")
        for destination in self.owing.apply(config):
            logger.warning(
                "reload: destination=%s is gone; what it is owed stays in the spool", destination.name
            )
            self._spawn(self._close_gone(destination))
        self.forwarding.apply()
        self.owing.look_again()

    async def _close_gone(self, destination: Destination) -> None:
        await destination.close(GONE_CLOSE_S)
        is_wanted = destination.name in self.config.destinations and not self._is_draining
        if self.owing.closed(destination) and is_wanted:
            self.owing.apply(self.config)
            self.forwarding.apply()
            self.owing.look_again([destination.name])

    async def _drain(self, deadline: float) -> None:
        """Finish what is in flight; what is owed beyond stays in the spool for the next start."""
        self._is_draining = True
        while self.handling.in_progress and monotonic() < deadline:
            await asyncio.sleep(0.02)
        closings = [
            destination.close(max(0.5, deadline - monotonic()))
            for destination in self.owing.destinations.values()
        ]
        await asyncio.gather(*closings)
        if self._tending is not None:
            self._tending.cancel()
        self.driver.stop()
        for task in self._tasks:
            task.cancel()
        self._take_durable()
        if self._proving is not None:
            self._proving.cancel()
        self._leave_proof()
        self.forwarding.settle()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _serve(child: Child) -> None:
    bell = SpoolBell()
    directory = worker_directory(Path(child.config.spool.path), child.index)
    settings = spool_settings(child.config)
    spool = await asyncio.to_thread(open_spool, directory, bell.ring, settings, bell=bell.fileno())
    try:
        await Worker(child, spool, bell).run()
    finally:
        await asyncio.to_thread(spool.close)
        bell.close()


def main() -> int:
    """Run a worker; started by the supervisor."""
    return child_process.run(_serve)


if __name__ == "__main__":
    sys.exit(main())
