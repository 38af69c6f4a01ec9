"""Alarms about the spool: what a start found damaged or gone, and what turned out so when it was to be sent.

Acknowledged data that is lost is never passed over in silence: one line at level error for each record (a
start tells the first LINES_MAX), a count in the metrics, the bytes in quarantine, the deliveries dead and
visible in the queue.
"""

from __future__ import annotations

import asyncio
import logging

from router.errors import SpoolError
from router.processes.counters import WorkerCounters
from router.spool.payload import PayloadStore
from router.spool.record import Location
from router.spool.recover import RecoveryReport

LINES_MAX = 20

logger = logging.getLogger(__name__)


def tell_recovery(report: RecoveryReport, counters: WorkerCounters, directory: str) -> None:
    """Log and count what a start found. directory: name of the spool directory that was recovered."""
    damaged = len(report.damages) + report.damages_uncounted
    counters.recovered(report.entries_restored, damaged, report.missing_deliveries)
    logger.info(
        "spool=recovered directory=%s segments=%d entries=%d restored=%d torn=%d orphans=%d seconds=%.3f",
        directory, report.segments_read, report.entries_read, report.entries_restored,
        report.torn_records, report.orphans_removed, report.seconds,
    )  # fmt: skip
    if report.ledger_rebuilt:
        logger.error(
            "spool=ledger-rebuilt directory=%s: what was delivered from its segments goes out again",
            directory,
        )
    for damage in report.damages[:LINES_MAX]:
        logger.error(
            "spool=damaged directory=%s segment=%d offset=%d bytes=%d entry=%s",
            directory, damage.segment, damage.offset, damage.length, damage.seq or "unreadable",
        )  # fmt: skip
    if damaged:
        logger.error(
            "spool=damaged directory=%s records=%d: acknowledged data is lost; see quarantine/",
            directory,
            damaged,
        )
    if report.missing_deliveries:
        logger.error("spool=missing directory=%s deliveries=%d", directory, report.missing_deliveries)
    if report.orphans_kept:
        logger.error("spool=orphans-kept directory=%s files=%d", directory, report.orphans_kept)


async def set_aside(payloads: PayloadStore, location: Location, counters: WorkerCounters, entry: str) -> None:
    """Copy what cannot be sent because its bytes are bad into quarantine; count and log it."""
    counters.recovered(0, 1, 0)
    try:
        is_copied = await asyncio.to_thread(payloads.quarantine, location)
    except (OSError, SpoolError):
        is_copied = False
    logger.error(
        "spool=damaged entry=%s segment=%d offset=%d bytes=%d copied=%s",
        entry, location.segment, location.offset, location.length, is_copied,
    )  # fmt: skip
