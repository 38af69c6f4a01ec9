"""Take over what absent workers left: with fewer workers than before, their directories are emptied into
ours.

Each entry that is still owed is stored here with the destinations it is still owed to, and settled there
only once it is durable here, in our ledger too, where other workers look for older versions of what they have
(contested.py). Newer versions that are here already are put behind it. A crash in between costs a duplicate.
What they had settled stays in their
ledgers, as proof, until it is too old; then the directory goes. What is damaged stays where it is.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING

from router.errors import SpoolError
from router.processes.contested import add_to_list, make_list, read_list, write_list
from router.processes.damage import tell_recovery
from router.processes.spool_settings import ledger_settings
from router.processes.study_verbs import ENTRY_ROWS_MAX, MOVED
from router.spool.faults import RecordDamaged, Unreadable
from router.spool.layout import WorkerDirectory, incoming_directory, worker_directories
from router.spool.record import Action, Entry, InstanceRecord, Location
from router.spool.recycled import remove_recycled
from router.spool.spool import Spool, SpoolSettings, open_spool
from router.spool.states import UNDECIDED, DeliveryState, Mark, Owed, Selector

if TYPE_CHECKING:
    from router.processes.worker import Worker

ROWS = 200
DURABLE_S = 60.0
OPEN_STATES = (DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.HELD, DeliveryState.DEAD)

logger = logging.getLogger(__name__)


async def adopt_absent(worker: Worker) -> None:
    """Empty the directories of workers that are configured no more."""
    workers = worker.config.router.workers
    for index, directory in worker_directories(Path(worker.config.spool.path)).items():
        if index < workers:
            continue
        try:
            adopted = await _adopt_directory(worker, directory)
        except (SpoolError, OSError, TimeoutError) as error:
            logger.error('adopt=worker-%d failed why="%s"', index, error)
            continue
        logger.info("adopt=worker-%d entries=%d", index, adopted)
        worker.owing.look_again()


async def list_absent(worker: Worker) -> None:
    """Make the lists of what absent workers owe, after a start with another number of workers."""
    workers = worker.config.router.workers
    for index, directory in worker_directories(Path(worker.config.spool.path)).items():
        if index < workers or read_list(directory)[0] == workers:
            continue
        try:
            theirs = await asyncio.to_thread(open_spool, directory, lambda: None, _settings(worker))
            tell_recovery(theirs.report, worker.counters, directory.root.name)
            await asyncio.to_thread(theirs.close)
            await asyncio.to_thread(make_list, directory, index, workers)
        except (SpoolError, OSError) as error:
            logger.error('adopt=worker-%d failed why="%s"', index, error)
            with suppress(OSError):  # nobody waits for what cannot be adopted
                write_list(directory, workers, set())


def _settings(worker: Worker) -> SpoolSettings:
    return SpoolSettings(ledger=ledger_settings(worker.config))


async def _adopt_directory(worker: Worker, directory: WorkerDirectory) -> int:
    """Empty one directory; return how many entries were taken over."""
    theirs = await asyncio.to_thread(open_spool, directory, lambda: None, _settings(worker))
    try:
        tell_recovery(theirs.report, worker.counters, directory.root.name)
        await asyncio.to_thread(add_to_list, worker.spool.directory, read_list(directory)[1])
        adopted = await _empty(worker, theirs)
        await asyncio.to_thread(theirs.ledger.make_durable)
        await asyncio.to_thread(theirs.reclaim)
        await asyncio.to_thread(theirs.ledger.forget_old)
        is_remembered = bool(theirs.ledger.counts())
    finally:
        await asyncio.to_thread(theirs.close)
    await asyncio.to_thread(remove_recycled, directory)
    if not is_remembered and not any(directory.quarantine.iterdir()):
        await asyncio.to_thread(shutil.rmtree, directory.root)
    return adopted


async def _empty(worker: Worker, theirs: Spool) -> int:
    adopted, after = 0, 0
    for state in OPEN_STATES:
        while rows := await asyncio.to_thread(theirs.ledger.find, Selector(state=state, after=after), ROWS):
            moved: list[Mark] = []
            for seq in dict.fromkeys(row.seq for row in rows):
                adopted += await _adopt(worker, theirs, seq, moved)
            await asyncio.to_thread(worker.spool.ledger.make_durable)
            theirs.ledger.mark(moved)
            after = rows[-1].seq
        after = 0
    return adopted


async def _adopt(worker: Worker, theirs: Spool, seq: int, moved: list[Mark]) -> bool:
    """Store here what is open of one entry; False if its bytes are bad. Held and dead ones stay so.

    moved: gets the marks for their ledger.
    """
    rows = await asyncio.to_thread(theirs.ledger.find, Selector(seq=seq), ENTRY_ROWS_MAX)
    rows = [row for row in rows if row.mark.state in OPEN_STATES]
    for is_held in (False, True):
        some = [row for row in rows if (row.mark.state is DeliveryState.HELD) == is_held]
        if not some:
            continue
        destinations = tuple(row.mark.destination for row in some if row.mark.destination != UNDECIDED)
        action: Action = "hold" if is_held else "forward"
        record = some[0].entry.record._replace(destinations=destinations, action=action)
        try:
            entry = await _store(worker, theirs, record, some[0].entry.location)
        except (RecordDamaged, Unreadable) as error:
            logger.error('adopt=%s entry=%d why="%s"', theirs.directory.root.name, seq, error)
            return False
        dead = [row.mark for row in some if row.mark.state is DeliveryState.DEAD]
        worker.spool.ledger.mark([mark._replace(seq=entry.seq) for mark in dead])
        if not is_held:
            worker.owing.owe(entry)
            await _put_behind(worker, entry)
        moved += _moved(seq, [row.mark.destination for row in some])
    return True


async def _put_behind(worker: Worker, old: Entry) -> None:
    """Let the newer versions of an adopted instance that are here follow it."""
    ledger, uid = worker.spool.ledger, old.record.sop_instance
    if uid in worker.contested.arrived:
        await asyncio.to_thread(ledger.flush)
    rows = await asyncio.to_thread(ledger.find, Selector(sop_instance=uid), ENTRY_ROWS_MAX)
    for seq, some in groupby(sorted(rows, key=lambda row: row.seq), key=lambda row: row.seq):
        newer = [row for row in some if _is_newer(row, old)]
        if not newer:
            continue
        names = tuple(row.mark.destination for row in newer)
        entry = newer[0].entry
        for name in names:
            worker.owing.take_back(name, seq)
        if seq < old.seq:
            record = entry.record._replace(destinations=names)
            entry = await _store(worker, worker.spool, record, entry.location)
            ledger.mark(_moved(seq, names))
        worker.owing.owe(entry)


def _is_newer(row: Owed, old: Entry) -> bool:
    is_owed = row.mark.state in (DeliveryState.PENDING, DeliveryState.RETRYING)
    is_other = row.seq != old.seq and row.mark.destination in old.record.destinations
    return is_owed and is_other and row.entry.record.received_ns > old.record.received_ns


def _moved(seq: int, destinations: Iterable[str]) -> list[Mark]:
    now_ns = time_ns()
    return [Mark(seq, name, DeliveryState.DISCARDED, now_ns, error_class=MOVED) for name in destinations]


async def _store(worker: Worker, theirs: Spool, record: InstanceRecord, location: Location) -> Entry:
    """Append one instance to our spool and wait until it is durable and in our ledger."""
    writer = worker.spool.writer
    if location.file is not None:
        # A name of its own, for the writer removes it, and that some time after the entry is durable: theirs
        # goes only when their ledger says so, and no other object may have that name by then.
        name = f"adopted-{writer.appended_seq + 1}-{location.file}"
        source = incoming_directory(Path(worker.config.spool.path)) / name
        source.unlink(missing_ok=True)
        try:
            os.link(theirs.directory.large_path(location.file), source)
        except FileNotFoundError as error:
            raise RecordDamaged("its large object is gone") from error
        seq, place = writer.adopt_file(record, source, location.length, location.crc)
    else:
        chunks = await asyncio.to_thread(list, theirs.payloads.open_payload(location))
        seq, place = writer.append(record, chunks)
    entry = Entry(seq, record, place)
    settled = worker.handling.storing.adopt(entry)
    writer.sync_soon()
    async with asyncio.timeout(DURABLE_S):
        await settled
    return entry
