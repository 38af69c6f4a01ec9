"""Versions of one instance in directories of several workers, after a start with another number of workers.

An instance goes to the worker that its UID hashes to. With another number of workers new versions come to
another worker than the one that still owes older ones. Each directory therefore has a list of the UIDs it
owes that do not belong there any more, made by its owner (by worker 0 for those of absent workers) before
anything new is taken in; every worker reads all of these lists. A version of a UID on them leaves for a
destination only when no other directory owes that destination an older one, by the time of arrival. Until
then it waits as what cannot be read just now does: without count, and its neighbours pass.
As long as any such UID is owed elsewhere, nothing takes the short cuts (forwarding.py).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from router.delivery.sender import Payload
from router.errors import SpoolError
from router.handoff.dispatch import worker_of
from router.processes.instances import InstanceBytes
from router.protocol.messages import Buffer
from router.spool.elsewhere import owed_uids, owes_older
from router.spool.layout import WorkerDirectory, private, sync_folder, worker_directories
from router.spool.record import Location

if TYPE_CHECKING:
    from router.processes.worker import Worker

LISTS_S = 60.0
"""How long a start waits for the lists of the others: as long as their recovery takes."""

POLL_S = 0.05
LOOK_EVERY_S = 2.0
"""Between two looks at what the others still owe."""

logger = logging.getLogger(__name__)


class OlderVersionOwed(SpoolError):
    """Another worker's directory owes an older version of this instance to the same destination."""


class Contested:
    """What one worker knows of it. uids: those of which another directory may owe a version."""

    def __init__(self, worker: Worker) -> None:
        self.uids: set[str] = set()
        self.arrived: set[str] = set()  # of these, since the start: the ledger may not know them yet
        self._worker = worker
        self._root = Path(worker.config.spool.path)
        self._refused: set[str] = set()

    async def prepare(self) -> None:
        """Have this worker's list made if it needs one; read those of the others."""
        worker = self._worker
        await asyncio.to_thread(make_list, worker.spool.directory, worker.child.index, self._workers)
        await self._await_lists()
        listed = await asyncio.to_thread(self._listed)
        if listed:
            self.uids = listed & await asyncio.to_thread(self._owed_elsewhere)
            logger.info("contested=%d listed=%d", len(self.uids), len(listed))

    async def watch(self) -> None:
        """Forget UIDs when the others owe them no more; wake the destinations that waited for it."""
        while self.uids:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                left = self.uids & await asyncio.to_thread(self._owed_elsewhere)
            except (SpoolError, OSError) as error:
                logger.error('contested=%d why="%s"', len(self.uids), error)
                continue
            if len(left) < len(self.uids):
                self.uids = left
                names, self._refused = self._refused, set()
                for name in names:
                    if (destination := self._worker.owing.destinations.get(name)) is not None:
                        destination.wake_up()

    def note(self, sop_instance: str) -> None:
        """Take note of a new version that is durable."""
        if sop_instance in self.uids:
            self.arrived.add(sop_instance)

    def guarded(
        self, instance: InstanceBytes, sop_instance: str, destination: str, received_ns: int
    ) -> Payload:
        """Return an instance's bytes as they may be sent to a destination."""
        if sop_instance not in self.uids:
            return instance
        return Guarded(self, instance, sop_instance, destination, received_ns)

    def check(self, sop_instance: str, destination: str, received_ns: int) -> None:
        """Raise OlderVersionOwed, or SpoolError, while a version may not be sent."""
        if sop_instance not in self.uids:
            return
        for index, directory in self._others():
            if owes_older(directory.ledger, sop_instance, received_ns, destination):
                self._refused.add(destination)
                raise OlderVersionOwed(f"worker-{index} owes an older version")

    @property
    def _workers(self) -> int:
        return self._worker.config.router.workers

    def _others(self) -> list[tuple[int, WorkerDirectory]]:
        """Return the other directories, absent workers' first: what moves, moves from these to worker 0's."""
        found = worker_directories(self._root)
        found.pop(self._worker.child.index, None)
        return [(i, found[i]) for i in sorted(found, reverse=True) if found[i].ledger.exists()]

    def _owed_elsewhere(self) -> set[str]:
        return {uid for _, directory in self._others() for uid in owed_uids(directory.ledger)}

    def _listed(self) -> set[str]:
        return {
            uid for directory in worker_directories(self._root).values() for uid in read_list(directory)[1]
        }

    async def _await_lists(self) -> None:
        end = monotonic() + LISTS_S
        while missing := [i for i, one in self._others() if read_list(one)[0] != self._workers]:
            if monotonic() > end:
                logger.error("contested=unknown directories=%s: versions may overtake each other", missing)
                return
            await asyncio.sleep(POLL_S)


class Guarded:
    """The bytes of a contested instance on their way to one destination (delivery.sender.Payload)."""

    __slots__ = ("_contested", "_destination", "_instance", "_received_ns", "_sop_instance")

    def __init__(
        self,
        contested: Contested,
        instance: InstanceBytes,
        sop_instance: str,
        destination: str,
        received_ns: int,
    ) -> None:
        self._contested = contested
        self._instance = instance
        self._sop_instance = sop_instance
        self._destination = destination
        self._received_ns = received_ns

    @property
    def location(self) -> Location | None:
        """Where the bytes are in the spool."""
        return self._instance.location

    def buffers(self) -> Iterable[Buffer]:
        """Return the bytes; raises OlderVersionOwed while another directory owes an older version."""
        self._contested.check(self._sop_instance, self._destination, self._received_ns)
        return self._instance.buffers()

    def close(self) -> None:
        """End one use of buffers()."""
        self._instance.close()


def make_list(directory: WorkerDirectory, index: int, workers: int) -> None:
    """List what a directory owes that belongs to another worker, unless that was done for as many workers.

    What comes in later belongs there, so that the list stays true. Raises SpoolError, OSError.
    """
    if read_list(directory)[0] != workers:
        uids = owed_uids(directory.ledger) if directory.ledger.exists() else set()
        write_list(directory, workers, {uid for uid in uids if worker_of(uid, workers) != index})


def add_to_list(directory: WorkerDirectory, uids: set[str]) -> None:
    """Note that a directory is going to owe UIDs that do not belong there. Raises OSError."""
    workers, before = read_list(directory)
    if not uids <= before:
        write_list(directory, workers, before | uids)


def read_list(directory: WorkerDirectory) -> tuple[int, set[str]]:
    """Return the number of workers a list was made for, and its UIDs; 0 and nothing if there is none."""
    try:
        first, *uids = directory.misplaced.read_text("latin-1").split("\n")
        return int(first), set(uids) - {""}
    except (FileNotFoundError, ValueError):
        return 0, set()


def write_list(directory: WorkerDirectory, workers: int, uids: set[str]) -> None:
    """Write a list, durably, in place of the one before. Raises OSError."""
    part = directory.misplaced.with_suffix(".tmp")
    with open(part, "w", encoding="latin-1", errors="replace", opener=private) as file:
        file.write("\n".join([str(workers), *sorted(uids)]))
        file.flush()
        os.fsync(file.fileno())
    part.rename(directory.misplaced)
    sync_folder(directory.root)
