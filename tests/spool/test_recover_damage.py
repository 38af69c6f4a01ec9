"""Recovery after damage: torn tails at every octet, damage before and after the marker, sectors gone."""

from __future__ import annotations

import errno
import os
import random
import shutil
from pathlib import Path

import pytest

from router.spool.faults import RecordDamaged
from router.spool.layout import WorkerDirectory
from router.spool.scan import SegmentScan, Sound
from router.spool.segment import (
    HEADER_BYTES,
    encode_head,
    encode_trailer,
)
from router.spool.states import DeliveryState, Mark, Selector
from tests.spool.recovery_fixtures import ALL, flip, forget_ledger, records, rotated, written

from .spool_fixtures import (
    DEADLINE_S,
    append,
    crash,
    dataset_of,
    directory_at,
    record_of,
    recovered,
    reopened,
    writer_at,
)


def used_bytes(directory: WorkerDirectory) -> int:
    scan = SegmentScan(directory.segment_path(1), 1)
    list(scan)
    return scan.end


def test_a_tail_torn_at_any_octet_leaves_what_was_whole(tmp_path: Path) -> None:
    source = written(tmp_path / "source", marked=2, unmarked=2)
    image = source.segment_path(1).read_bytes()
    sound = [record for record in records(source) if isinstance(record, Sound) and record.entry]
    path = source.segment_path(1)
    for cut in range(sound[1].end, used_bytes(source) + 1):
        path.write_bytes(image[:cut])
        scan = SegmentScan(path, 1)
        found = [record for record in scan if isinstance(record, Sound) and record.entry]
        assert len(found) == sum(record.end <= cut for record in sound)
        assert scan.end <= cut
    for cut in range(sound[1].end, used_bytes(source), 61):
        directory = directory_at(tmp_path / str(cut))
        directory.segment_path(1).write_bytes(image[:cut].ljust(len(image), b"\0"))
        found_uids, report, _ = recovered(directory)
        assert sorted(found_uids) == ALL[: sum(record.end <= cut for record in sound)]
        assert report.damages == []


def test_a_torn_tail_is_truncated_silently_and_is_gone_the_second_time(tmp_path: Path) -> None:
    directory = written(tmp_path, marked=2, unmarked=1)
    last = [record for record in records(directory) if isinstance(record, Sound) and record.entry][-1]
    flip(directory.segment_path(1), last.offset + 100)
    found, report, _ = recovered(directory)
    assert sorted(found) == ALL[:2]
    assert (report.torn_records, report.torn_bytes, report.damages) == (1, last.end - last.offset, [])
    assert directory.segment_path(1).stat().st_size == last.offset
    forget_ledger(directory)
    found, report, _ = recovered(directory)
    assert sorted(found) == ALL[:2]
    assert report.torn_records == 0


def test_a_torn_record_between_whole_ones_is_given_up_and_they_are_kept(tmp_path: Path) -> None:
    directory = written(tmp_path, marked=1, unmarked=3)
    torn = [record for record in records(directory) if isinstance(record, Sound) and record.entry][2]
    with open(directory.segment_path(1), "r+b") as file:
        file.seek(torn.offset)
        file.write(bytes(torn.end - torn.offset))
    found, report, _ = recovered(directory)
    assert sorted(found) == [ALL[0], ALL[1], ALL[3]]
    assert (report.torn_records, report.damages) == (1, [])
    writer = writer_at(directory, report=report)
    append(writer, 10)
    writer.close()
    forget_ledger(directory)
    found, report, _ = recovered(directory)
    assert sorted(found) == sorted([ALL[0], ALL[1], ALL[3], "1.2.3.10"])
    assert (report.torn_records, report.damages) == (0, [])


def test_a_torn_end_that_the_next_segment_tells_of_is_never_called_damage(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    writer = writer_at(directory)
    for number in range(12):
        append(writer, number, 20_000)
    assert writer.flush(DEADLINE_S)
    writer.take_durable()
    append(writer, 12, 20_000)
    crash(writer)
    marker = [found for found in SegmentScan(directory.segment_path(1), 1) if isinstance(found, Sound)][-1]
    assert marker.marker is not None
    os.truncate(directory.segment_path(1), marker.offset)  # it was not durable itself
    for number in (100, 101):  # what is appended after a start makes durable what stood before it
        forget_ledger(directory)
        store, ledger, report = reopened(directory)
        assert report.damages == []
        writer = writer_at(directory, store, report=report)
        append(writer, number)
        writer.close()
        ledger.close()


@pytest.mark.parametrize("starts_before", [0, 1])
def test_a_header_that_never_was_durable_is_torn_like_the_records_after_it(
    tmp_path: Path, starts_before: int
) -> None:
    directory = written(tmp_path, marked=2) if starts_before else directory_at(tmp_path)
    store, ledger, report = reopened(directory)
    writer = writer_at(directory, store, report=report)
    for number in (7, 8, 9):
        append(writer, number)
    crash(writer)
    ledger.close()
    path = directory.segment_path(report.next_segment)
    first = next(record for record in SegmentScan(path, report.next_segment) if isinstance(record, Sound))
    with open(path, "r+b") as file:
        file.write(bytes(first.end))
    found, report, _ = recovered(directory)
    assert sorted(found) == [*ALL[: 2 * starts_before], "1.2.3.8", "1.2.3.9"]
    assert report.damages == []
    assert recovered(directory)[1].damages == []
    # Nor is it when what comes later has made durable what stood before it, and only the segments tell.
    store, ledger, report = reopened(directory)
    writer = writer_at(directory, store, report=report)
    append(writer, 10)
    writer.close()
    ledger.close()
    forget_ledger(directory)
    assert recovered(directory)[1].damages == []


@pytest.mark.parametrize("is_shorter", [True, False])
def test_acknowledged_records_at_the_end_of_a_segment_that_became_zeros_are_reported(
    tmp_path: Path, is_shorter: bool
) -> None:
    directory = rotated(tmp_path)
    path = directory.segment_path(2)
    last = [found for found in SegmentScan(path, 2) if isinstance(found, Sound) and found.entry][-1]
    size = path.stat().st_size
    os.truncate(path, last.offset)
    if not is_shorter:
        os.truncate(path, size)
    forget_ledger(directory)
    found, report, _ = recovered(directory)
    assert len(found) == 59
    assert [(d.segment, d.offset, d.length) for d in report.damages] == [(2, last.offset, size - last.offset)]


@pytest.mark.parametrize("place", ["magic", "head", "facts", "dataset", "trailer"])
def test_damage_before_the_marker_is_set_aside_reported_and_the_rest_kept(tmp_path: Path, place: str) -> None:
    directory = written(tmp_path, marked=4)
    hurt = [record for record in records(directory) if isinstance(record, Sound) and record.entry][1]
    image = directory.segment_path(1).read_bytes()
    location = hurt.entry.location
    places = {"magic": hurt.offset, "head": hurt.offset + 20, "facts": hurt.offset + 60}
    places |= {"dataset": location.offset + 9, "trailer": location.offset + location.length + 5}
    flip(directory.segment_path(1), places[place])
    store, ledger, report = reopened(directory)
    found = [one.entry.record.sop_instance for one in ledger.due("PACS", 2**62, 100)]
    assert found == [ALL[0], ALL[2], ALL[3]]
    assert [(d.segment, d.offset, d.length) for d in report.damages] == [
        (1, hurt.offset, hurt.end - hurt.offset)
    ]
    copy = directory.quarantine / f"{1:010d}-{hurt.offset:010d}.bin"
    original = image[hurt.offset : hurt.end]
    assert sum(a != b for a, b in zip(copy.read_bytes(), original, strict=True)) == 1
    assert report.torn_records == 0
    dead = ledger.find(Selector(state=DeliveryState.DEAD))
    if place in ("dataset", "trailer"):
        assert [(one.seq, one.mark.error_class) for one in dead] == [(2, "damaged")]
        with pytest.raises(RecordDamaged):
            list(store.open_payload(dead[0].entry.location))
        assert store.closed_segments()[0].number == 1
        ledger.mark([Mark(seq, "PACS", DeliveryState.DELIVERED, 1) for seq in (1, 3, 4)])
        ledger.make_durable()
        assert ledger.segments_done(store.closed_segments()) == []
    else:
        assert dead == []
    ledger.close()


def test_damage_is_reported_once_and_not_at_every_start(tmp_path: Path) -> None:
    directory = written(tmp_path, marked=4)
    flip(directory.segment_path(1), 300)
    assert len(recovered(directory)[1].damages) == 1
    assert recovered(directory)[1].damages == []
    forget_ledger(directory)
    assert len(recovered(directory)[1].damages) == 1
    assert len(os.listdir(directory.quarantine)) == 1


def test_a_lost_header_is_replaced_by_the_first_record(tmp_path: Path) -> None:
    directory = written(tmp_path, marked=4)
    with open(directory.segment_path(1), "r+b") as file:
        file.write(bytes(HEADER_BYTES))
    found, report, _ = recovered(directory)
    assert sorted(found) == ALL[:4]
    assert report.damages == []


def test_a_file_of_which_nothing_is_ours_is_kept_when_it_was_acknowledged(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    writer = writer_at(directory)
    numbers = range(60)
    for number in numbers:
        append(writer, number, 20_000)
        writer.sync_soon()
        writer.take_durable()
    writer.close()
    first = directory.segment_path(1)
    size = first.stat().st_size
    first.write_bytes(random.Random(1).randbytes(size))
    store, ledger, report = reopened(directory)
    assert [(d.segment, d.offset, d.length) for d in report.damages] == [(1, 0, size)]
    assert len(ledger.due("PACS", 2**62, 100)) == 60 - 12
    assert (directory.quarantine / f"{1:010d}-{0:010d}.bin").stat().st_size == size
    ledger.close()
    store.close()


@pytest.mark.parametrize("left", [0, 100, 50_000])
def test_a_closed_segment_that_became_shorter_is_damage(tmp_path: Path, left: int) -> None:
    directory = rotated(tmp_path)
    path = directory.segment_path(2)
    size = path.stat().st_size
    os.truncate(path, left)
    found, report, _ = recovered(directory)
    kept = left // 20_000
    assert len(found) == 60 - 12 + kept
    assert report.damages[-1].offset + report.damages[-1].length == size
    assert sum(damage.length for damage in report.damages) >= size - max(left, HEADER_BYTES) - 1
    assert recovered(directory)[1].damages == []


@pytest.mark.parametrize("is_marked", [True, False])
def test_a_sector_that_cannot_be_read_costs_its_record_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_marked: bool
) -> None:
    directory = written(tmp_path, marked=40 * is_marked, unmarked=40 * (not is_marked))
    sound = [record for record in records(directory) if isinstance(record, Sound) and record.entry]
    bad = sound[20].offset // 4096 * 4096
    lost = {
        record.entry.seq
        for record in sound
        if record.offset < bad + 4096 and bad < record.end and record.entry
    }
    whole = os.pread

    def pread(descriptor: int, length: int, offset: int) -> bytes:
        if offset < bad + 4096 and bad < offset + length:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return whole(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", pread)
    store, ledger, report = reopened(directory)
    found = {one.seq for one in ledger.due("PACS", 2**62, 100)}
    assert found == {*range(1, 41)} - lost
    assert bool(report.damages) == is_marked
    assert bool(report.torn_records) != is_marked
    ledger.close()
    store.close()


def test_a_record_forged_inside_a_dataset_is_not_taken_for_one(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    writer = writer_at(directory)
    meta = b"\x93\x01\x02\x03"
    forged = encode_head(1, 1, 0, 64, 99, meta, 8) + meta + bytes(8) + encode_trailer(0, 60)  # type: ignore[arg-type]
    writer.append(record_of(0), [forged * 50])
    append(writer, 1)
    writer.flush(DEADLINE_S)
    writer.take_durable()
    crash(writer)
    flip(directory.segment_path(1), HEADER_BYTES + 3)
    found, report, _ = recovered(directory)
    assert sorted(found) == [ALL[1]]
    assert len(report.damages) == 1


def test_no_mutation_makes_recovery_fail_or_changes_a_delivered_byte(tmp_path: Path) -> None:
    source = directory_at(tmp_path / "source")
    writer = writer_at(source)
    for number in range(40):
        append(writer, number, 40 + number * 7)
        if number % 4 == 0:
            writer.sync_soon()
            writer.take_durable()
    writer.close()
    image = source.segment_path(1).read_bytes()
    whole = {f"1.2.3.{number}": dataset_of(number, 40 + number * 7) for number in range(40)}
    path = tmp_path / "mutated"
    for seed in range(1500):
        chance = random.Random(seed)
        path.write_bytes(mutated(image, chance))
        descriptor = os.open(path, os.O_RDONLY)
        found = {
            record.entry.record.sop_instance: os.pread(
                descriptor, record.entry.location.length, record.entry.location.offset
            )
            for record in SegmentScan(path, 1)
            if isinstance(record, Sound) and record.entry
        }
        os.close(descriptor)
        assert found.items() <= whole.items()
        assert len(found) >= 36
    for seed in range(10):
        directory = WorkerDirectory(tmp_path / f"mutated-{seed}")
        directory.create()
        directory.segment_path(1).write_bytes(mutated(image, random.Random(seed)))
        found_again, report, _ = recovered(directory)
        assert found_again.items() <= whole.items()
        assert len(report.damages) + report.torn_records <= 4
        shutil.rmtree(directory.root)


def mutated(image: bytes, chance: random.Random) -> bytes:
    """Return the segment with some octets behind its header changed, zeroed or shifted by garbage."""
    data = bytearray(image)
    at = chance.randrange(HEADER_BYTES + 500, len(data))
    kind = chance.choice(("flip", "zero", "garbage", "copy"))
    length = chance.randrange(1, 200)
    if kind == "flip":
        data[at] ^= 1 << chance.randrange(8)
    elif kind == "zero":
        data[at : at + length] = bytes(len(data[at : at + length]))
    elif kind == "garbage":
        data[at : at + length] = chance.randbytes(len(data[at : at + length]))
    else:
        piece = data[HEADER_BYTES : HEADER_BYTES + length]
        data[at : at + length] = piece[: len(data[at : at + length])]
    return bytes(data)
