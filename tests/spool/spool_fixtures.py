"""What the tests of the spool share: records, a disk that fails on demand, one that forgets the unsynced."""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from crc32c import crc32c

from router.spool.disk import Buffer, Disk
from router.spool.layout import WorkerDirectory, incoming_directory
from router.spool.ledger import Ledger, LedgerSettings
from router.spool.payload import PayloadStore
from router.spool.record import Entry, InstanceRecord
from router.spool.recover import RecoveryReport, recover
from router.spool.recycled import RecycledSegments
from router.spool.writer import SpoolWriter
from router.spool.writer_settings import SEGMENT_BYTES_MIN, WriterSettings

DEADLINE_S = 60.0
SMALL = WriterSettings(segment_bytes=SEGMENT_BYTES_MIN)
UNSYNCED = WriterSettings(segment_bytes=SEGMENT_BYTES_MIN, fsync=False)
SECTOR_BYTES = 512


def record_of(number: int, destinations: tuple[str, ...] = ("PACS",), **changes: object) -> InstanceRecord:
    """Return the facts of an instance that `number` tells from others."""
    facts: dict[str, object] = {
        "sop_class": "1.2.840.10008.5.1.4.1.1.2",
        "sop_instance": f"1.2.3.{number}",
        "transfer_syntax": "1.2.840.10008.1.2.1",
        "study_uid": f"1.2.{number // 10}",
        "series_uid": "1.2.3.4",
        "calling_ae_title": "MODALITY",
        "called_ae_title": "ROUTER",
        "peer_address": "192.0.2.1",
        "source": "ct",
        "received_ns": 1_000_000 + number,
        "destinations": destinations,
        "action": "forward",
        "rules": ("rule",),
    }
    return InstanceRecord(**{**facts, **changes})  # type: ignore[arg-type]


def dataset_of(number: int, length: int = 300) -> bytes:
    """Return a dataset that `number` determines."""
    return random.Random(number).randbytes(length)


def crc_of(data: bytes) -> int:
    """Return the CRC32C of a dataset."""
    return int(crc32c(data))


def directory_at(path: Path) -> WorkerDirectory:
    """Return a worker directory that exists."""
    directory = WorkerDirectory(path / "worker-0")
    directory.create()
    return directory


def writer_at(
    directory: WorkerDirectory,
    store: PayloadStore | None = None,
    *,
    notify: Callable[[], None] = lambda: None,
    settings: WriterSettings = UNSYNCED,
    disk: Disk | None = None,
    report: RecoveryReport | None = None,
    recycled: RecycledSegments | None = None,
    bell: int | None = None,
) -> SpoolWriter:
    """Return a writer in a worker directory."""
    report = report or RecoveryReport()
    return SpoolWriter(
        directory,
        store or PayloadStore(directory),
        notify,
        settings,
        next_seq=report.next_seq,
        next_segment=report.next_segment,
        previous=report.end,
        disk=disk,
        recycled=recycled,
        bell=bell,
    )


def append(writer: SpoolWriter, number: int, length: int = 300, **changes: object) -> Entry:
    """Append the instance of a number; return its entry."""
    record = record_of(number, **changes)  # type: ignore[arg-type]
    seq, location = writer.append(record, [dataset_of(number, length)])
    return Entry(seq, record, location)


def reopened(directory: WorkerDirectory) -> tuple[PayloadStore, Ledger, RecoveryReport]:
    """Recover a directory; the caller closes."""
    store = PayloadStore(directory)
    is_lost = not directory.ledger.exists() and bool(directory.segment_numbers())
    ledger = Ledger(directory.ledger, LedgerSettings(fsync=False))
    return store, ledger, recover(directory, ledger, store, rebuilt=is_lost)


def recovered(directory: WorkerDirectory) -> tuple[dict[str, bytes | None], RecoveryReport, list[Entry]]:
    """Recover a directory and close it; return what can be sent (UID -> dataset), the report, the entries."""
    store, ledger, report = reopened(directory)
    try:
        owed = ledger.due("PACS", 2**62, 1_000_000)
        found = {
            one.entry.record.sop_instance: b"".join(store.open_payload(one.entry.location)) for one in owed
        }
        return dict(found), report, [one.entry for one in owed]
    finally:
        ledger.close()
        store.close()


def crash(writer: SpoolWriter) -> None:
    """Leave a writer as a killed process would: nothing more is committed or closed."""
    assert writer._group.stop(DEADLINE_S)


class FaultyDisk(Disk):
    """Counts every call; fails the one of a number, or every one of a kind."""

    def __init__(self, fail_at: int = -1, error: int = errno.EIO, kind: str = "") -> None:
        super().__init__()
        self.calls: list[str] = []
        self.fail_at = fail_at
        self.error = error
        self.kind = kind
        self.is_partial = False  # a failing write leaves half of its bytes

    def _pass(self, kind: str) -> None:
        self.calls.append(kind)
        if len(self.calls) - 1 == self.fail_at or kind == self.kind:
            raise OSError(self.error, os.strerror(self.error))

    def create(self, path: Path) -> int:
        self._pass("create")
        return super().create(path)

    def open(self, path: Path) -> int:
        self._pass("open")
        return super().open(path)

    def reopen(self, path: Path) -> int:
        self._pass("reopen")
        return super().reopen(path)

    def allocate(self, descriptor: int, length: int, start: int = 0) -> None:
        self._pass("allocate")
        super().allocate(descriptor, length, start)

    def write(self, descriptor: int, buffers: Sequence[Buffer], length: int, offset: int) -> None:
        try:
            self._pass("write")
        except OSError:
            if self.is_partial:
                os.pwrite(descriptor, b"".join(bytes(b) for b in buffers)[: length // 2], offset)
            raise
        super().write(descriptor, buffers, length, offset)

    def fill(self, descriptor: int, start: int, end: int) -> None:
        self._pass("fill")
        super().fill(descriptor, start, end)

    def confirm(self, descriptor: int) -> None:
        self._pass("confirm")
        super().confirm(descriptor)

    def truncate(self, descriptor: int, length: int) -> None:
        self._pass("truncate")
        super().truncate(descriptor, length)

    def sync(self, descriptor: int) -> None:
        self._pass("sync")
        super().sync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        self._pass("sync_folder")
        super().sync_folder(folder)

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        self._pass("close")

    def link(self, source: Path, target: Path) -> None:
        self._pass("link")
        super().link(source, target)

    def rename(self, source: Path, target: Path) -> None:
        self._pass("rename")
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._pass("unlink")
        super().unlink(path)


class ForgetfulDisk(Disk):
    """Remembers what a power cut takes: sectors written since the last sync, names since the folder's.

    `lose` leaves the files in one of the many states a real disk may be in: each unsynced sector and each
    unsynced name is there or not, by a seed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._sectors: dict[Path, dict[int, bytes]] = {}  # what stood there when it was last synced
        self._names: list[tuple[Path | None, Path]] = []  # (old name or None, new name)
        self._paths: dict[int, Path] = {}
        self._is_lost = False

    def create(self, path: Path) -> int:
        descriptor = super().create(path)
        self._paths[descriptor] = path
        self._sectors[path] = {}
        self._names.append((None, path))
        return descriptor

    def reopen(self, path: Path) -> int:
        descriptor = super().reopen(path)
        self._paths[descriptor] = path
        self._sectors.setdefault(path, {})
        return descriptor

    def open(self, path: Path) -> int:
        descriptor = super().open(path)
        self._paths[descriptor] = path
        return descriptor

    def write(self, descriptor: int, buffers: Sequence[Buffer], length: int, offset: int) -> None:
        before = self._sectors[self._paths[descriptor]]
        for sector in range(offset // SECTOR_BYTES, (offset + length - 1) // SECTOR_BYTES + 1):
            if sector not in before:
                before[sector] = os.pread(descriptor, SECTOR_BYTES, sector * SECTOR_BYTES)
        super().write(descriptor, buffers, length, offset)

    def sync(self, descriptor: int) -> None:
        self._sectors[self._paths[descriptor]] = {}

    def sync_folder(self, folder: Path) -> None:
        self._names = [(old, new) for old, new in self._names if new.parent != folder]

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        self._paths.pop(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self._sectors[target] = self._sectors.pop(source, {})
        self._paths = {fd: target if path == source else path for fd, path in self._paths.items()}
        self._names.append((source, target))

    def lose(self, seed: int) -> None:
        """Cut the power."""
        chance = random.Random(seed)
        for path, sectors in self._sectors.items():
            if path.exists():
                self._lose_sectors(path, sectors, chance)
        for old, new in reversed(self._names):
            if new.exists() and chance.random() < 0.5:
                if old is None:
                    new.unlink()
                else:
                    new.rename(old)
        for descriptor in list(self._paths):
            self.close(descriptor)

    @staticmethod
    def _lose_sectors(path: Path, sectors: dict[int, bytes], chance: random.Random) -> None:
        mode = chance.choice(("all", "some", "none"))
        with open(path, "r+b", buffering=0) as file:
            for sector, before in sectors.items():
                if mode == "all" or (mode == "some" and chance.random() < 0.5):
                    # Octets beyond what the file held were a hole or an unwritten extent: zeros.
                    room = max(0, path.stat().st_size - sector * SECTOR_BYTES)
                    os.pwrite(file.fileno(), before.ljust(SECTOR_BYTES, b"\0")[:room], sector * SECTOR_BYTES)


def waiting(semaphore: threading.Semaphore) -> None:
    """Wait until somebody releases it."""
    assert semaphore.acquire(timeout=DEADLINE_S)


def spilled(tmp_path: Path, data: bytes) -> Path:
    """Return a file as an acceptor leaves it of a dataset that was too long for memory."""
    incoming = incoming_directory(tmp_path)
    incoming.mkdir(exist_ok=True)
    path = incoming / "acceptor-0-1"
    path.write_bytes(data)
    return path
