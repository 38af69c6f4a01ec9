"""Reading datasets back, sharing descriptors, deleting."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from router.spool.faults import RecordDamaged, Unreadable
from router.spool.payload import CHUNK_BYTES, ClosedSegment, PayloadStore
from router.spool.quarantine import Quarantine
from router.spool.record import Location

from .spool_fixtures import append, crc_of, dataset_of, directory_at, writer_at


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_changed_octet_is_noticed_before_the_last_chunk_leaves(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    data = dataset_of(1, 2 * CHUNK_BYTES + 10)
    directory.large_path("x").write_bytes(b"!" + data[1:])
    store = PayloadStore(directory)
    chunks = iter(store.open_payload(Location(1, 0, len(data), crc_of(data), "x")))
    assert len(next(chunks)) == len(next(chunks)) == CHUNK_BYTES
    with pytest.raises(RecordDamaged, match="checksum mismatch: segment 1 offset 0"):
        next(chunks)
    store.close()


def test_missing_bytes_and_files_are_damage(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    store = PayloadStore(directory)
    directory.segment_path(1).write_bytes(bytes(100))
    with pytest.raises(RecordDamaged, match="missing"):
        list(store.open_payload(Location(1, 90, 20, 0)))
    with pytest.raises(RecordDamaged, match="segment 2 is gone"):
        store.open_payload(Location(2, 64, 20, 0))
    store.close()


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOMEM])
def test_a_read_that_fails_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    store = PayloadStore(directory_at(tmp_path))
    store._directory.segment_path(1).write_bytes(dataset_of(1, 100))
    location = Location(1, 0, 100, crc_of(dataset_of(1, 100)))

    def fail(*_: object) -> bytes:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr("router.spool.payload.os.pread", fail)
        with pytest.raises(Unreadable, match="segment 1 offset 0"):
            list(store.open_payload(location))
    assert b"".join(store.open_payload(location)) == dataset_of(1, 100)
    store.close()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.EIO])
def test_a_file_that_cannot_be_opened_just_now_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store = PayloadStore(directory_at(tmp_path))
    store._directory.segment_path(1).write_bytes(bytes(100))

    def fail(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr("router.spool.payload.os.open", fail)
        with pytest.raises(Unreadable, match="segment 1 cannot be opened"):
            store.open_payload(Location(1, 0, 100, None))
    assert b"".join(store.open_payload(Location(1, 0, 100, None))) == bytes(100)
    store.close()


def test_descriptors_are_shared_bounded_and_given_back(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    for number in range(10):
        directory.segment_path(number).write_bytes(dataset_of(number, 100))
    store = PayloadStore(directory, files_max=3)
    before = open_descriptors()
    payloads = [store.open_payload(Location(number, 0, 100, None)) for number in range(10)]
    payloads += [store.open_payload(Location(9, 50, 50, None)) for _ in range(5)]
    assert open_descriptors() == before + 10
    for number, payload in enumerate(payloads[:10]):
        assert b"".join(payload) == dataset_of(number, 100)
    for payload in payloads[10:]:
        with payload:
            pass
        payload.close()
    assert open_descriptors() == before + 3
    store.close()
    assert open_descriptors() == before


def test_a_payload_is_read_once(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    directory.segment_path(1).write_bytes(bytes(100))
    store = PayloadStore(directory)
    payload = store.open_payload(Location(1, 0, 10, None))
    assert list(payload) == [bytes(10)]
    with pytest.raises(ValueError, match="closed"):
        list(payload)
    store.close()


def test_a_payload_outlives_its_segment(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    store = PayloadStore(directory)
    writer = writer_at(directory, store)
    entry = append(writer, 1)
    writer.close()
    payload = store.open_payload(entry.location)
    assert [segment.number for segment in store.closed_segments()] == [1]
    store.delete_segments([1])
    assert store.closed_segments() == []
    assert directory.segment_numbers() == []
    assert b"".join(payload) == dataset_of(1)
    with pytest.raises(RecordDamaged, match="is gone"):
        store.open_payload(entry.location)
    store.delete_segments([1])
    store.close()


def test_used_bytes_count_segments_and_large_objects(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    store = PayloadStore(directory)
    store.add_closed(ClosedSegment(1, 1, 1000))
    store.add_file("x", 500)
    assert store.used_bytes == 1500
    directory.large_path("x").write_bytes(b"")
    store.delete_files(["x", "y"])
    assert store.used_bytes == 1000
    assert os.listdir(directory.large) == []


def test_quarantine_copies_once_and_only_into_its_room(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    store = PayloadStore(directory)
    entry = append(writer_at(directory, store), 1)
    assert store.quarantine(entry.location)
    assert store.quarantine(entry.location._replace(crc=1))
    (name,) = os.listdir(directory.quarantine)
    assert (directory.quarantine / name).read_bytes() == dataset_of(1)
    small = Quarantine(directory.quarantine, bytes_max=350)
    assert not small.copy(directory.segment_path(1), "more", 0, 51)
    assert small.copy(directory.segment_path(1), "more", 0, 50)
    assert not small.copy(directory.segment_path(1), "most", 0, 1)
    few = Quarantine(directory.quarantine, files_max=2)
    assert not few.copy(directory.segment_path(1), "most", 0, 1)
    store.close()
