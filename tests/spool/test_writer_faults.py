"""Every way a disk can fail while instances are appended and committed."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from router.errors import SpoolError
from router.spool.disk import Disk
from router.spool.faults import NotYet, ObjectTooLarge, SpoolFailed, SpoolFull
from router.spool.payload import PayloadStore
from router.spool.writer import SpoolWriter
from router.spool.writer_settings import SEGMENT_BYTES_MIN, WriterSettings

from .spool_fixtures import (
    DEADLINE_S,
    SMALL,
    UNSYNCED,
    FaultyDisk,
    append,
    crash,
    dataset_of,
    directory_at,
    record_of,
    recovered,
    spilled,
    waiting,
    writer_at,
)


def test_a_failed_sync_stops_the_volume_and_is_never_tried_again(tmp_path: Path) -> None:
    calls: list[int] = []
    notified = threading.Event()

    def sync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")

    writer = writer_at(directory_at(tmp_path), settings=SMALL, disk=Disk(sync), notify=notified.set)
    append(writer, 1)
    writer.sync_soon()
    assert notified.wait(DEADLINE_S)
    assert writer.failed
    assert isinstance(writer.failure, SpoolFailed)
    assert writer.take_durable() == 0
    with pytest.raises(SpoolFailed, match="durable"):
        append(writer, 2)
    writer.sync_soon()
    assert not writer.flush(DEADLINE_S)
    with pytest.raises(SpoolFailed):
        writer.close()
    assert len(calls) == 2


def test_space_that_only_runs_out_at_the_sync_is_final_too(tmp_path: Path) -> None:
    disk = FaultyDisk(error=errno.ENOSPC)
    writer = writer_at(directory_at(tmp_path), settings=SMALL, disk=disk)
    append(writer, 1)
    disk.kind = "sync"
    assert not writer.flush(DEADLINE_S)
    assert isinstance(writer.failure, SpoolFailed)
    crash(writer)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EMFILE, errno.ENOMEM])
@pytest.mark.parametrize("kind", ["create", "allocate", "write"])
def test_a_full_disk_or_a_lack_of_descriptors_refuses_and_recovers(
    tmp_path: Path, kind: str, error: int
) -> None:
    directory = directory_at(tmp_path)
    disk = FaultyDisk(kind=kind, error=error)
    disk.is_partial = True
    writer = writer_at(directory, settings=SMALL, disk=disk)
    for number in range(3):
        with pytest.raises(SpoolFull):
            append(writer, number)
    assert not writer.failed
    assert os.listdir(directory.segments) == []
    disk.kind = ""
    append(writer, 3)
    disk.kind = kind
    for number in range(10, 13):
        with pytest.raises(ObjectTooLarge):
            append(writer, number, SEGMENT_BYTES_MIN // 2)
    if kind == "write":
        with pytest.raises(SpoolFull):
            append(writer, 13)
    disk.kind = ""
    append(writer, 4)
    writer.close()
    found, report, _ = recovered(directory)
    assert found == {"1.2.3.3": dataset_of(3), "1.2.3.4": dataset_of(4)}
    assert (report.damages, report.torn_records, report.orphans_removed) == ([], 0, 0)


def test_a_disk_that_takes_no_zeros_refuses_and_recovers(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    disk = FaultyDisk(kind="fill", error=errno.ENOSPC)
    writer = writer_at(directory, settings=SMALL, disk=disk)
    for number in range(3):
        with pytest.raises(SpoolFull):
            append(writer, number)
    assert (writer.failed, writer.take_durable()) == (False, 0)
    disk.kind = ""
    writer.take_durable()
    waited = threading.Event()
    while writer.trouble is not None:
        waited.wait(0.01)
    append(writer, 3)
    writer.close()
    found, report, _ = recovered(directory)
    assert found == {"1.2.3.3": dataset_of(3)}
    assert (report.damages, report.torn_records) == ([], 0)


def test_a_write_error_that_is_not_a_full_disk_stops_the_volume(tmp_path: Path) -> None:
    disk = FaultyDisk()
    writer = writer_at(directory_at(tmp_path), settings=SMALL, disk=disk)
    append(writer, 1)
    disk.kind = "write"
    with pytest.raises(SpoolFailed, match="appending"):
        append(writer, 2)
    disk.kind = ""
    with pytest.raises(SpoolFailed, match="appending"):
        append(writer, 3)
    crash(writer)


def test_short_writes_are_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = directory_at(tmp_path)
    store = PayloadStore(directory)
    writer = writer_at(directory, store)
    real: Callable[..., int] = os.pwritev

    def short(descriptor: int, buffers: list[bytes], offset: int) -> int:
        return real(descriptor, [memoryview(buffers[0])[:100]], offset)

    monkeypatch.setattr(os, "pwritev", short)
    _, location = writer.append(record_of(1), [dataset_of(1, 1000), dataset_of(2, 1000)])
    monkeypatch.undo()
    assert b"".join(store.open_payload(location)) == dataset_of(1, 1000) + dataset_of(2, 1000)
    writer.close()


def test_a_write_that_makes_no_progress_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = writer_at(directory_at(tmp_path))
    append(writer, 1)
    monkeypatch.setattr(os, "pwritev", lambda *_: 0)
    with pytest.raises(SpoolFailed, match="no progress"):
        append(writer, 2)


@pytest.mark.parametrize("settings", [SMALL, UNSYNCED])
def test_a_large_object_waits_while_there_is_no_room_for_its_name(
    tmp_path: Path, settings: WriterSettings
) -> None:
    directory = directory_at(tmp_path)
    disk = FaultyDisk(kind="rename", error=errno.ENOSPC)
    told = threading.Semaphore(0)
    writer = writer_at(directory, settings=settings, disk=disk, notify=told.release)
    append(writer, 1)
    append(writer, 2, SEGMENT_BYTES_MIN // 2)
    writer.sync_soon()
    waiting(told)
    assert isinstance(writer.trouble, SpoolFull)
    assert (writer.failed, writer.take_durable()) == (False, 0)
    with pytest.raises(SpoolFull, match="making a group durable"):
        append(writer, 3)
    disk.kind = ""
    assert writer.take_durable() in (0, 2)
    assert writer.wait_durable(2, DEADLINE_S)
    assert writer.trouble is None
    append(writer, 4)
    writer.close()
    found, report, _ = recovered(directory)
    assert set(found) == {"1.2.3.1", "1.2.3.2", "1.2.3.4"}
    assert (report.damages, report.torn_records, report.orphans_removed) == ([], 0, 0)


def test_a_folder_that_cannot_be_opened_for_its_sync_yet_is_synced_later(tmp_path: Path) -> None:
    class Busy(Disk):
        is_busy = False

        def sync_folder(self, folder: Path) -> None:
            if self.is_busy:
                raise NotYet(errno.EMFILE, "no descriptor")
            super().sync_folder(folder)

    directory, disk, told = directory_at(tmp_path), Busy(), threading.Semaphore(0)
    writer = writer_at(directory, settings=SMALL, disk=disk, notify=told.release)
    append(writer, 1)
    append(writer, 2, SEGMENT_BYTES_MIN // 2)
    disk.is_busy = True
    writer.sync_soon()
    waiting(told)
    disk.is_busy = False
    writer.take_durable()
    assert writer.wait_durable(2, DEADLINE_S)
    writer.close()
    assert set(recovered(directory)[0]) == {"1.2.3.1", "1.2.3.2"}


def fill(writer: SpoolWriter) -> None:
    """Append until it is refused."""
    for number in range(1000):
        append(writer, number, 20_000)
        writer.sync_soon()


def test_the_quota_refuses_what_would_exceed_it(tmp_path: Path) -> None:
    settings = WriterSettings(segment_bytes=SEGMENT_BYTES_MIN, quota_bytes=3 * SEGMENT_BYTES_MIN, fsync=False)
    writer = writer_at(directory_at(tmp_path), settings=settings)
    with pytest.raises(SpoolFull, match="quota"):
        fill(writer)
    assert writer.appended_seq >= 24
    assert writer.used_bytes <= 3 * SEGMENT_BYTES_MIN
    with pytest.raises(SpoolFull, match="quota"):
        append(writer, 0, SEGMENT_BYTES_MIN)
    assert not writer.failed
    writer.close()


def scenario(writer: SpoolWriter, source: Path) -> list[tuple[int, int]]:
    """Append small, large and spilled instances with commits between; return (number, seq) of those kept."""
    accepted: list[tuple[int, int]] = []

    def attempt(number: int, length: int) -> None:
        try:
            accepted.append((number, append(writer, number, length).seq))
        except SpoolError:
            return

    for number in range(4):
        attempt(number, 50_000)
    writer.flush(DEADLINE_S)
    attempt(4, 100_000)
    with contextlib.suppress(SpoolError):
        accepted.append((5, writer.adopt_file(record_of(5), source, 1000)[0]))
    writer.flush(DEADLINE_S)
    for number in range(6, 12):
        attempt(number, 50_000)
    writer.flush(DEADLINE_S)
    writer.take_durable()
    with contextlib.suppress(SpoolError):
        writer.close()
    return accepted


def dataset_in_scenario(number: int) -> bytes:
    return dataset_of(number, {4: 100_000, 5: 1000}.get(number, 50_000))


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_whichever_call_fails_what_was_called_durable_is_there(tmp_path: Path, error: int) -> None:
    disk = FaultyDisk()
    first = directory_at(tmp_path / "first")
    scenario(writer_at(first, settings=SMALL, disk=disk), spilled(tmp_path / "first", dataset_of(5, 1000)))
    assert len(recovered(first)[0]) == 12
    for fail_at in range(len(disk.calls)):
        root = tmp_path / str(fail_at)
        directory = directory_at(root)
        faulty = FaultyDisk(fail_at, error)
        faulty.is_partial = True
        writer = writer_at(directory, settings=SMALL, disk=faulty)
        accepted = scenario(writer, spilled(root, dataset_of(5, 1000)))
        durable = writer.take_durable()
        found, report, _ = recovered(directory)
        assert all(
            found[f"1.2.3.{number}"] == dataset_in_scenario(number)
            for number, seq in accepted
            if seq <= durable
        )
        assert all(found[uid] == dataset_in_scenario(int(uid.rpartition(".")[2])) for uid in found)
        assert report.damages == []
