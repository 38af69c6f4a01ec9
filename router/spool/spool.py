"""One worker's spool, opened whole: lock, ledger, recovery, writer; and closed in the order that loses
nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from router.errors import SpoolError
from router.spool.disk import Disk
from router.spool.faults import LedgerDamaged, SpoolFailed, spool_error
from router.spool.layout import SpoolLock, WorkerDirectory, sync_folder
from router.spool.ledger import Ledger, LedgerSettings
from router.spool.ledger_verify import is_sound, opening_error, suspicion
from router.spool.payload import PayloadStore
from router.spool.recover import RecoveryReport, recover
from router.spool.recycled import RecycledSegments, remove_recycled
from router.spool.writer import SpoolWriter
from router.spool.writer_settings import WriterSettings


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """The settings of both halves."""

    writer: WriterSettings = field(default_factory=WriterSettings)
    ledger: LedgerSettings = field(default_factory=LedgerSettings)


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes on disk, segment files closed, what the file system has left, whether it takes nothing in, its
    size, and how many of the bytes on disk are kept for use again only."""

    used_bytes: int
    segments: int
    free_bytes: int
    is_read_only: bool = False
    total_bytes: int = 0
    recycled_bytes: int = 0


class Spool:
    """The parts of one worker directory: `writer`, `payloads`, `ledger`, and the `report` of the recovery."""

    def __init__(
        self,
        directory: WorkerDirectory,
        lock: SpoolLock,
        ledger: Ledger,
        payloads: PayloadStore,
        writer: SpoolWriter,
        report: RecoveryReport,
        recycled: RecycledSegments | None = None,
    ) -> None:
        self.directory = directory
        self._recycled = recycled
        self.ledger = ledger
        self.payloads = payloads
        self.writer = writer
        self.report = report
        self._lock = lock

    def reclaim(self) -> int:
        """Delete data that is settled for good; return how many segments and large objects went.

        Call it from time to time; from a thread of its own where deleting a big file may be slow.
        Raises SpoolError.
        """
        segments = self.ledger.segments_done(self.payloads.closed_segments())
        files = self.ledger.files_done()
        try:
            self.payloads.delete_files(files)
            self.payloads.delete_segments(segments, self._recycled)
        except OSError as error:
            failure = spool_error("deleting settled data", error)
            if isinstance(failure, SpoolFailed):
                self.writer.give_up(failure)
            raise failure from error
        return len(segments) + len(files)

    def usage(self) -> Usage:
        """Return how full the spool is. Raises OSError."""
        room = os.statvfs(self.directory.root)
        segments = len(self.payloads.closed_segments())
        is_read_only = bool(room.f_flag & os.ST_RDONLY)
        recycled = self._recycled.held_bytes if self._recycled is not None else 0
        return Usage(
            self.writer.used_bytes,
            segments,
            room.f_bavail * room.f_frsize,
            is_read_only,
            room.f_blocks * room.f_frsize,
            recycled,
        )

    def close(self) -> None:
        """Make everything durable and let go; harmless twice. Raises SpoolError if that was not possible."""
        try:
            self.writer.close()
        finally:
            try:
                self.ledger.close()
            finally:
                self.payloads.close()
                self._lock.release()


def open_spool(
    directory: WorkerDirectory,
    notify: Callable[[], None],
    settings: SpoolSettings | None = None,
    disk: Disk | None = None,
    bell: int | None = None,
) -> Spool:
    """Open a worker directory: make it if need be, take its lock, recover, and be ready to append.

    Also opens the directory of a worker that is configured no more, to deliver what is left in it. Blocks for
    the length of the recovery. notify, bell: see SpoolWriter. Raises SpoolError.
    """
    settings = settings or SpoolSettings()
    lock = SpoolLock(directory.lock)
    try:
        lock.acquire()
        directory.create()
        with contextlib.ExitStack() as stack:
            remove_recycled(directory)
            ledger, payloads, report = _recovered(directory, settings.ledger)
            stack.callback(ledger.close)
            recycled = RecycledSegments(directory, disk or Disk())
            writer = SpoolWriter(
                directory,
                payloads,
                notify,
                settings.writer,
                next_seq=report.next_seq,
                next_segment=report.next_segment,
                previous=report.end,
                disk=disk,
                recycled=recycled,
                bell=bell,
            )
            stack.pop_all()
    except OSError as error:
        lock.release()
        raise spool_error(f"opening the spool {directory.root.name}", error) from error
    except BaseException:
        lock.release()
        raise
    return Spool(directory, lock, ledger, payloads, writer, report, recycled)


def _recovered(
    directory: WorkerDirectory, settings: LedgerSettings
) -> tuple[Ledger, PayloadStore, RecoveryReport]:
    """Open the ledger and let it catch up with the segments; make it anew if it turns out to be damaged."""
    try:
        return _recover(directory, *_open_ledger(directory, settings))
    except LedgerDamaged:
        _set_ledger_aside(directory)
        return _recover(directory, Ledger(directory.ledger, settings), is_rebuilt=True)


def _recover(
    directory: WorkerDirectory, ledger: Ledger, is_rebuilt: bool
) -> tuple[Ledger, PayloadStore, RecoveryReport]:
    payloads = PayloadStore(directory)
    try:
        return ledger, payloads, recover(directory, ledger, payloads, rebuilt=is_rebuilt)
    except BaseException:
        with contextlib.suppress(SpoolError):
            ledger.close()
        raise


def _open_ledger(directory: WorkerDirectory, settings: LedgerSettings) -> tuple[Ledger, bool]:
    """Return the ledger, and whether it had to be made although there are segments."""
    is_new = not directory.ledger.exists()
    try:
        if not is_sound(directory.ledger, directory.segment_numbers()):
            # The segments know everything but what was delivered: duplicates, no loss.
            _set_ledger_aside(directory)
            is_new = True
        return Ledger(directory.ledger, settings), is_new and bool(directory.segment_numbers())
    except sqlite3.Error as error:
        raise opening_error(error) from error
    except UnicodeDecodeError as error:
        raise LedgerDamaged("ledger: a text is none") from error


def _set_ledger_aside(directory: WorkerDirectory) -> None:
    number = sum(path.name.startswith("ledger") for path in Path(directory.quarantine).iterdir())
    for suffix in ("", "-wal", "-shm"):
        path = directory.ledger.with_name(directory.ledger.name + suffix)
        if path.exists():
            shutil.move(path, directory.quarantine / f"ledger-{number}.sqlite{suffix}")
    suspicion(directory.ledger).unlink(missing_ok=True)
    for folder in (directory.quarantine, directory.root):
        sync_folder(folder)
