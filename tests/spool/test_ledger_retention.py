"""When data may go: settled, durable, old enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.spool import ledger_pruning
from router.spool.ledger import Ledger, LedgerSettings
from router.spool.payload import ClosedSegment
from router.spool.states import Selector, Tally

from .ledger_fixtures import DEAD, DELIVERED, NOW, PENDING, entry_of, mark_of, states
from .spool_fixtures import DEADLINE_S

pytestmark = pytest.mark.usefixtures("run_min")

CLOSED = [ClosedSegment(1, 2, 1000), ClosedSegment(2, 4, 1000)]


def test_a_segment_is_done_only_when_all_is_settled_and_the_marks_are_durable(slow: Ledger) -> None:
    assert slow.segments_done(CLOSED) == []  # its entries are not even known
    slow.add([entry_of(1, ("A", "B")), entry_of(2), entry_of(3, segment=2), entry_of(4, segment=2)])
    slow.mark([mark_of(1, DELIVERED), mark_of(2, DELIVERED), mark_of(3, DELIVERED)])
    slow.make_durable()
    assert slow.segments_done(CLOSED) == []
    slow.mark([mark_of(1, DEAD, "B")])
    slow.make_durable()
    assert slow.segments_done(CLOSED) == []
    slow.mark([mark_of(1, DELIVERED, "B")])
    assert slow.segments_done(CLOSED) == []  # told, not written
    slow.flush()
    with slow._changed:
        slow._retention.wants_sync = True  # so that asking does not start a sync of its own
    assert slow.segments_done(CLOSED) == []  # written, not durable
    slow.make_durable()
    assert slow.segments_done(CLOSED) == [1]
    assert slow.drop(Selector(seq=4)) == 1
    assert slow.segments_done(CLOSED[1:]) == [2]


def test_asking_makes_the_missing_marks_durable(ledger: Ledger) -> None:
    ledger.add([entry_of(1), entry_of(2)])
    ledger.mark([mark_of(1, DELIVERED), mark_of(2, DELIVERED)])
    ledger.flush()
    assert ledger.segments_done(CLOSED) == []
    with ledger._changed:
        assert ledger._changed.wait_for(lambda: not ledger._retention.wants_sync, DEADLINE_S)
    assert ledger.segments_done(CLOSED) == [1]


def test_retention_keeps_settled_segments(path: Path) -> None:
    now = [NOW]
    ledger = Ledger(path, LedgerSettings(retention_s=60), now_ns=lambda: now[0])
    ledger.add([entry_of(1), entry_of(2)])
    ledger.mark([mark_of(1, DELIVERED), mark_of(2, DELIVERED)])
    ledger.make_durable()
    assert ledger.segments_done(CLOSED) == []
    now[0] += 60 * 10**9
    assert ledger.segments_done(CLOSED) == [1]
    ledger.close()


def test_a_large_object_is_done_when_all_its_destinations_are(ledger: Ledger) -> None:
    ledger.add([entry_of(1, ("A", "B"), file="1.dcmds"), entry_of(2, file="2.dcmds")])
    assert ledger.is_file_open("1.dcmds") is None
    ledger.mark([mark_of(1, DELIVERED), mark_of(2, DELIVERED)])
    ledger.make_durable()
    assert ledger.files_done() == ["2.dcmds"]
    ledger.mark([mark_of(1, DELIVERED, "B")])
    assert ledger.is_file_open("1.dcmds") is True
    ledger.make_durable()
    assert ledger.files_done() == ["1.dcmds"]
    assert ledger.files_done() == []
    assert ledger.is_file_open("1.dcmds") is False
    assert ledger.is_file_open("3.dcmds") is None


def test_settled_rows_are_forgotten_when_too_old_or_too_many(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_pruning, "PRUNE_INTERVAL_S", 0.0)
    ledger = Ledger(path, LedgerSettings(rows_max=6, rows_age_s=1.0), now_ns=lambda: NOW)
    ledger.add([entry_of(seq, received_ns=NOW) for seq in range(1, 11)])
    ledger.mark([mark_of(seq, DELIVERED) for seq in range(2, 11)])
    ledger.flush()
    ledger.make_durable()
    assert sorted(seq for seq, _ in states(ledger)) == [1, 6, 7, 8, 9, 10]
    ledger.add([entry_of(11, received_ns=NOW - 2 * 10**9)])
    ledger.mark([mark_of(11, DELIVERED)])
    ledger.flush()
    ledger.make_durable()
    assert 11 not in {seq for seq, _ in states(ledger)}
    assert ledger.counts() == {("A", PENDING): Tally(1, 100), ("A", DELIVERED): Tally(4, 400)}
    ledger.close()


def test_retention_keeps_settled_large_objects(path: Path) -> None:
    clock = [NOW]
    ledger = Ledger(path, LedgerSettings(retention_s=10.0), now_ns=lambda: clock[0])
    ledger.add([entry_of(1, file="x.dcmds"), entry_of(2, file="y.dcmds")])
    ledger.mark([mark_of(1, DELIVERED)])
    ledger.make_durable()
    assert ledger.files_done() == []
    ledger.close()
    ledger = Ledger(path, LedgerSettings(retention_s=10.0), now_ns=lambda: clock[0])
    assert ledger.is_retained("x.dcmds")
    assert ledger.files_done() == []
    clock[0] += 11 * 10**9
    ledger.make_durable()
    assert ledger.files_done() == ["x.dcmds"]
    assert not ledger.is_retained("x.dcmds")
    ledger.close()
