"""Take over what absent workers left: with fewer workers than before, their directories are emptied into
ours.

Each entry that is still owed is stored here with the destinations it is still owed to, and settled there
only once it is durable here. A crash in between costs a duplicate.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING

from router.errors import SpoolError
from router.processes.damage import tell_recovery
from router.spool.layout import worker_directories
from router.spool.record import Entry
from router.spool.spool import Spool, open_spool
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
            theirs = await asyncio.to_thread(open_spool, directory, lambda: None)
            tell_recovery(theirs.report, worker.counters, directory.root.name)
            adopted = await _empty(worker, theirs)
            await asyncio.to_thread(theirs.close)
            if not theirs.report.damages:
                await asyncio.to_thread(shutil.rmtree, directory.root)
        except (SpoolError, OSError, TimeoutError) as error:
            logger.error('adopt=worker-%d failed why="%s"', index, error)
            continue
        logger.info("adopt=worker-%d entries=%d", index, adopted)
        worker.owing.look_again()


async def _empty(worker: Worker, theirs: Spool) -> int:
    adopted = 0
    for state in OPEN_STATES:
        while rows := await asyncio.to_thread(theirs.ledger.find, Selector(state=state), ROWS):
            for row in rows:
                await _adopt(worker, theirs, row)
            adopted += len(rows)
            await asyncio.to_thread(theirs.ledger.flush)
    await asyncio.to_thread(theirs.ledger.make_durable)
    return adopted


async def _adopt(worker: Worker, theirs: Spool, row: Owed) -> None:
    """Store one delivery here; held and dead ones stay what they are."""
    mark = row.mark
    destinations = () if mark.destination == UNDECIDED else (mark.destination,)
    is_held = mark.state is DeliveryState.HELD
    record = replace(row.entry.record, destinations=destinations, action="hold" if is_held else "forward")
    chunks = await asyncio.to_thread(list, theirs.payloads.open_payload(row.entry.location))
    seq, location = worker.spool.writer.append(record, chunks)
    settled = worker.handling.adopt(Entry(seq, record, location))
    worker.spool.writer.sync_soon()
    async with asyncio.timeout(DURABLE_S):
        await settled
    if mark.state is DeliveryState.DEAD:
        worker.spool.ledger.mark([replace(mark, seq=seq)])
    theirs.ledger.mark([Mark(row.seq, mark.destination, DeliveryState.DISCARDED, time_ns())])
