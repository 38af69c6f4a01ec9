"""Recovery of large objects: found again, orphaned, damaged, settled."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from router.spool.layout import WorkerDirectory, incoming_directory
from router.spool.ledger import Ledger, LedgerSettings
from router.spool.payload import PayloadStore
from router.spool.recover import clean_incoming, recover
from router.spool.scan import Sound
from router.spool.states import DeliveryState, Mark
from tests.spool.recovery_fixtures import ALL, flip, forget_ledger, records

from .spool_fixtures import (
    SMALL,
    append,
    dataset_of,
    directory_at,
    recovered,
    reopened,
    writer_at,
)


def with_large(tmp_path: Path) -> WorkerDirectory:
    directory = directory_at(tmp_path)
    writer = writer_at(directory, settings=SMALL)
    append(writer, 0)
    append(writer, 1, 100_000)
    writer.close()
    Ledger(directory.ledger).close()
    return directory


def test_large_objects_are_found_again(tmp_path: Path) -> None:
    directory = with_large(tmp_path)
    found, report, entries = recovered(directory)
    assert found == {ALL[0]: dataset_of(0), ALL[1]: dataset_of(1, 100_000)}
    assert (report.orphans_removed, entries[1].location.file) == (0, "0000000000000002.dcmds")


def test_large_objects_that_nothing_refers_to_are_removed(tmp_path: Path) -> None:
    directory = with_large(tmp_path)
    directory.large_path("0000000000000009.dcmds").write_bytes(b"x")
    directory.large_path("0000000000000010.dcmds.tmp").write_bytes(b"x")
    _, report, _ = recovered(directory)
    assert os.listdir(directory.large) == ["0000000000000002.dcmds"]
    assert report.orphans_removed == 2


def test_an_orphan_is_kept_when_damage_may_have_eaten_its_reference(tmp_path: Path) -> None:
    directory = with_large(tmp_path)
    reference = [record for record in records(directory) if isinstance(record, Sound) and record.entry][1]
    flip(directory.segment_path(1), reference.offset + 50)
    _, report, _ = recovered(directory)
    assert len(report.damages) == 1
    assert report.orphans_kept == 1
    assert (directory.quarantine / "0000000000000002.dcmds").read_bytes() == dataset_of(1, 100_000)


@pytest.mark.parametrize("length", [None, 99_999])
def test_a_large_object_missing_or_short_is_damage(tmp_path: Path, length: int | None) -> None:
    directory = with_large(tmp_path)
    path = directory.large_path("0000000000000002.dcmds")
    if length is None:
        path.unlink()
    else:
        os.truncate(path, length)
    found, report, _ = recovered(directory)
    assert sorted(found) == [ALL[0]]
    assert [damage.seq for damage in report.damages] == [2]
    forget_ledger(directory)
    found, report, _ = recovered(directory)  # now it may as well have been delivered and deleted
    assert sorted(found) == [ALL[0]]
    assert (report.missing_files, report.damages) == (1, [])


def test_a_settled_large_object_is_removed_at_the_next_start(tmp_path: Path) -> None:
    directory = with_large(tmp_path)
    _, ledger, _ = reopened(directory)
    ledger.mark([Mark(2, "PACS", DeliveryState.DELIVERED, 1)])
    ledger.close()
    _, report, _ = recovered(directory)
    assert os.listdir(directory.large) == []
    assert (report.orphans_removed, report.damages) == (0, [])


def test_a_settled_large_object_is_removed_only_once_its_marks_are_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = with_large(tmp_path)
    _, ledger, _ = reopened(directory)
    ledger.mark([Mark(2, "PACS", DeliveryState.DELIVERED, 1)])
    ledger.flush()  # and the process dies: the next one sees the mark, the disk may not have it
    there: list[list[str]] = []
    original = Ledger.make_durable

    def make_durable(self: Ledger) -> None:
        there.append(os.listdir(directory.large))
        original(self)

    monkeypatch.setattr(Ledger, "make_durable", make_durable)
    recovered(directory)
    assert there[0] == ["0000000000000002.dcmds"]
    assert os.listdir(directory.large) == []
    ledger.close()


def test_a_settled_large_object_that_is_retained_outlives_a_start(tmp_path: Path) -> None:
    directory = with_large(tmp_path)
    _, ledger, _ = reopened(directory)
    ledger.mark([Mark(2, "PACS", DeliveryState.DELIVERED, time.time_ns())])
    ledger.make_durable()
    ledger.close()
    keeping = LedgerSettings(retention_s=3600)
    store = PayloadStore(directory)
    ledger = Ledger(directory.ledger, keeping)
    recover(directory, ledger, store)
    assert os.listdir(directory.large) == ["0000000000000002.dcmds"]
    assert store.used_bytes > 0
    assert ledger.files_done() == []
    ledger.close()


def test_incoming_is_cleaned_of_what_is_older_than_the_start(tmp_path: Path) -> None:
    assert clean_incoming(tmp_path, 2**62) == 0
    incoming = incoming_directory(tmp_path)
    incoming.mkdir()
    (incoming / "old").write_bytes(b"")
    (incoming / "new").write_bytes(b"")
    os.utime(incoming / "old", ns=(1000, 1000))
    assert clean_incoming(tmp_path, 2000) == 1
    assert os.listdir(incoming) == ["new"]
