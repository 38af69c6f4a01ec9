"""Recovery: torn tails at every octet, damage before and after the marker, orphans, doing it twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.spool.faults import UnknownFormat
from router.spool.ledger import Ledger
from router.spool.recover import RESTORE_ROWS
from router.spool.scan import SegmentScan
from router.spool.segment import (
    Position,
    crc32c,
    encode_header,
)
from router.spool.states import DeliveryState, Mark, Selector
from tests.spool.recovery_fixtures import ALL, forget_ledger, rotated, written

from .spool_fixtures import (
    append,
    crash,
    dataset_of,
    directory_at,
    record_of,
    recovered,
    reopened,
    writer_at,
)


def test_everything_written_is_found_again(tmp_path: Path) -> None:
    found, report, entries = recovered(written(tmp_path, marked=3, unmarked=3))
    assert found == {uid: dataset_of(number) for number, uid in enumerate(ALL)}
    assert entries[5].record == record_of(5)
    assert (report.entries_read, report.entries_restored, report.next_seq, report.next_segment) == (
        6,
        6,
        7,
        2,
    )
    assert (report.damages, report.torn_records) == ([], 0)


def test_a_start_goes_on_where_the_last_segment_ended(tmp_path: Path) -> None:
    directory = rotated(tmp_path)
    store, ledger, report = reopened(directory)
    writer = writer_at(directory, store, report=report)
    append(writer, 100)
    writer.close()
    ledger.close()
    last = SegmentScan(directory.segment_path(report.next_segment), report.next_segment)
    list(last)
    assert last.header is not None
    assert last.header.previous == Position(5, directory.segment_path(5).stat().st_size) == report.end


def test_an_empty_or_foreign_file_that_nobody_was_promised_is_removed(tmp_path: Path) -> None:
    directory = written(tmp_path, marked=1)
    directory.segment_path(2).write_bytes(b"")
    directory.segment_path(3).write_bytes(bytes(1000))
    directory.segment_path(4).write_bytes(b"x" * 1000)
    directory.segment_path(5).write_bytes(encode_header(5, 1).ljust(10_000, b"\0"))
    _, report, _ = recovered(directory)
    assert directory.segment_numbers() == [1]
    assert report.next_segment == 6
    assert report.damages == []


def test_a_newer_format_stops_the_start(tmp_path: Path) -> None:
    directory = written(tmp_path, marked=1)
    header = bytearray(encode_header(2, 5))
    header[8] = 9
    header[60:] = crc32c(bytes(header[:60])).to_bytes(4, "little")
    directory.segment_path(2).write_bytes(header)
    ledger = Ledger(directory.ledger)
    ledger.close()
    with pytest.raises(UnknownFormat, match="version 9"):
        recovered(directory)


@pytest.mark.parametrize("is_lost", [False, True])
def test_more_items_than_are_restored_at_once_are_all_found(tmp_path: Path, is_lost: bool) -> None:
    count = RESTORE_ROWS + 1000
    directory = directory_at(tmp_path)
    writer = writer_at(directory)
    for number in range(count):
        append(writer, number, 40)
        if number % 100 == 99:
            writer.sync_soon()
            writer.take_durable()
    crash(writer)
    if not is_lost:
        Ledger(directory.ledger).close()
    store, ledger, report = reopened(directory)
    assert (report.entries_read, report.entries_restored, report.damages) == (count, count, [])
    assert [one.seq for one in ledger.due("PACS", 2**62, 2 * count)] == list(range(1, count + 1))
    ledger.close()
    store.close()


def test_recovery_a_second_time_finds_nothing_to_do(tmp_path: Path) -> None:
    directory = written(tmp_path, marked=3, unmarked=2)
    first = recovered(directory)
    again = recovered(directory)
    assert again[0] == first[0]
    assert (again[1].segments_read, again[1].entries_restored) == (0, 0)
    assert again[1].next_seq == 6
    assert again[1].next_segment == 2


def test_a_ledger_that_lost_marks_costs_duplicates_only(tmp_path: Path) -> None:
    directory = written(tmp_path, marked=3)
    _, ledger, _ = reopened(directory)
    ledger.mark([Mark(1, "PACS", DeliveryState.DELIVERED, 1)])
    ledger.close()
    assert sorted(recovered(directory)[0]) == ALL[1:3]
    forget_ledger(directory)
    assert sorted(recovered(directory)[0]) == ALL[:3]


def test_entries_keep_their_frozen_destinations_and_holds(tmp_path: Path) -> None:
    directory = directory_at(tmp_path)
    writer = writer_at(directory)
    append(writer, 0, destinations=("A", "B"))
    append(writer, 1, destinations=(), action="hold")
    append(writer, 2, destinations=("A",), action="hold")
    writer.close()
    _, ledger, _ = reopened(directory)
    states = {(one.seq, one.mark.destination, one.mark.state.text) for one in ledger.find(Selector())}
    assert states == {(1, "A", "pending"), (1, "B", "pending"), (2, "", "held"), (3, "A", "held")}
    ledger.close()


def test_numbers_go_on_after_everything_has_been_delivered_and_deleted(tmp_path: Path) -> None:
    directory = written(tmp_path, marked=3)
    store, ledger, _ = reopened(directory)
    ledger.mark([Mark(seq, "PACS", DeliveryState.DELIVERED, 1) for seq in (1, 2, 3)])
    ledger.make_durable()
    done = ledger.segments_done(store.closed_segments())
    assert done == [1]
    store.delete_segments(done)
    ledger.close()
    _, report, _ = recovered(directory)
    assert (report.next_seq, report.next_segment) == (4, 2)


def test_a_segment_that_is_gone_makes_its_deliveries_dead_once(tmp_path: Path) -> None:
    directory = written(tmp_path, marked=3)
    recovered(directory)
    directory.segment_path(1).unlink()
    _, ledger, report = reopened(directory)
    assert report.missing_deliveries == 3
    assert {one.mark.error_class for one in ledger.find(Selector(state=DeliveryState.DEAD))} == {"missing"}
    ledger.close()
    assert recovered(directory)[1].missing_deliveries == 0
