"""What is owed by flow, and deliveries that an alternate takes over; the same whether written or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from router.spool import ledger as module
from router.spool.ledger import Ledger
from router.spool.record import Entry, Location
from router.spool.states import DeliveryState, Mark, Selector, Tally

from .ledger_fixtures import NOW
from .spool_fixtures import record_of

PENDING, RETRYING, DEAD = DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.DEAD
DELIVERED, DIVERTED = DeliveryState.DELIVERED, DeliveryState.DIVERTED


pytestmark = pytest.mark.usefixtures("run_min")


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A ledger that writes only when asked to."""
    monkeypatch.setattr(module, "FLUSH_INTERVAL_S", 3600.0)
    ledger = Ledger(tmp_path / "ledger.sqlite", now_ns=lambda: NOW)
    yield ledger
    ledger.close()


def add(
    ledger: Ledger, seq: int, calling: str, study: str, uid: str = "", to: tuple[str, ...] = ("A",)
) -> None:
    record = record_of(seq, to, calling_ae_title=calling, study_uid=study, sop_instance=uid or f"1.9.{seq}")
    ledger.add([Entry(seq, record, Location(1, seq * 1000, 100, 7))])


def mark(ledger: Ledger, seq: int, state: DeliveryState, to: str = "A") -> None:
    ledger.mark([Mark(seq, to, state, NOW)])


def of_flow(ledger: Ledger, *flow: str, after: int = 0, limit: int = 100) -> list[tuple[int, int | None]]:
    found = ledger.due_of_flow("A", flow, after, limit)  # type: ignore[arg-type]
    return [(one.owed.seq, one.older_seq) for one in found]


def states(ledger: Ledger, seq: int) -> dict[str, DeliveryState]:
    return {one.mark.destination: one.mark.state for one in ledger.find(Selector(seq=seq))}


@pytest.mark.parametrize("written", [(), (4,), (2, 4, 6)])
def test_each_flow_is_found_by_age_without_what_is_settled(ledger: Ledger, written: tuple[int, ...]) -> None:
    for seq in range(1, 7):
        add(ledger, seq, "X" if seq % 2 else "Y", "1.1")
        if seq == 4:
            mark(ledger, 1, DELIVERED)
            mark(ledger, 2, RETRYING)
        if seq in written:
            ledger.flush()
    mark(ledger, 5, DEAD)
    assert of_flow(ledger, "X", "1.1") == [(3, None)]
    assert of_flow(ledger, "Y", "1.1") == [(2, None), (4, None), (6, None)]
    assert of_flow(ledger, "Y", "1.1", after=2, limit=1) == [(4, None)]
    assert of_flow(ledger, "Z", "1.1") == of_flow(ledger, "X", "1.2") == []
    y = ("Y", "1.1")
    assert ledger.flows("A", 0, 10) == [(2, y), (3, ("X", "1.1")), (4, y), (6, y)]
    assert ledger.flows("A", 3, 1) == [(4, y)]
    assert ledger.flows("B", 0, 10) == []


@pytest.mark.parametrize("written", [(), (2,), (3,), (6,)])
def test_the_oldest_come_first_however_many_are_wanted(ledger: Ledger, written: tuple[int, ...]) -> None:
    for seq in range(1, 7):
        add(ledger, seq, "X", "1.1", to=("B",) if seq in (1, 3) else ("A",))
        if seq in written:
            ledger.flush()
    ledger.divert([Mark(1, "B", DIVERTED, NOW), Mark(3, "B", DIVERTED, NOW)], "A")
    mark(ledger, 2, DELIVERED)
    for limit in range(1, 7):
        assert [seq for seq, _ in of_flow(ledger, "X", "1.1", limit=limit)] == [1, 3, 4, 5, 6][:limit]
        assert [seq for seq, _ in of_flow(ledger, "X", "1.1", after=3, limit=limit)] == [4, 5, 6][:limit]


@pytest.mark.parametrize("written", [(), (1,), (2,), (1, 2, 3)])
def test_with_each_delivery_comes_the_newest_older_version_that_is_owed(
    ledger: Ledger, written: tuple[int, ...]
) -> None:
    for seq, calling in enumerate("XYX", 1):
        add(ledger, seq, calling, "1.1", uid="1.7")
        if seq in written:
            ledger.flush()
    assert of_flow(ledger, "X", "1.1") == [(1, None), (3, 2)]
    assert of_flow(ledger, "Y", "1.1") == [(2, 1)]
    mark(ledger, 2, DELIVERED)
    ledger.flush()
    assert of_flow(ledger, "X", "1.1") == [(1, None), (3, 1)]


@pytest.mark.parametrize("is_written", [False, True])
def test_a_diverted_delivery_is_settled_and_owed_to_the_alternate_in_one_go(
    ledger: Ledger, is_written: bool
) -> None:
    add(ledger, 1, "X", "1.1")
    if is_written:
        ledger.flush()
    ledger.divert([Mark(1, "A", DIVERTED, NOW, error_class="connect")], "B")
    assert ledger.due("A", NOW, 10) == []
    (owed,) = ledger.due("B", NOW, 10)
    assert (owed.seq, owed.entry.location.length) == (1, 100)
    assert [one.owed.seq for one in ledger.due_of_flow("B", ("X", "1.1"), 0, 10)] == [1]
    assert ledger.flows("B", 0, 10) == [(1, ("X", "1.1"))]
    ledger.flush()
    assert states(ledger, 1) == {"A": DIVERTED, "B": PENDING}
    assert ledger.counts() == {("A", DIVERTED): Tally(1, 100), ("B", PENDING): Tally(1, 100)}
    assert 1 in ledger.open_segments


def test_what_the_alternate_is_told_before_the_ledger_has_written_is_kept(ledger: Ledger) -> None:
    add(ledger, 1, "X", "1.1")
    ledger.flush()
    ledger.divert([Mark(1, "A", DIVERTED, NOW)], "B")
    mark(ledger, 1, DELIVERED, "B")
    ledger.flush()
    assert states(ledger, 1) == {"A": DIVERTED, "B": DELIVERED}
    assert ledger.open_segments == set()


@pytest.mark.parametrize("state", [PENDING, DELIVERED, DEAD])
def test_an_alternate_that_was_chosen_by_the_rules_as_well_keeps_its_own_delivery(
    ledger: Ledger, state: DeliveryState
) -> None:
    add(ledger, 1, "X", "1.1", to=("A", "B"))
    mark(ledger, 1, state, "B")
    ledger.flush()
    ledger.divert([Mark(1, "A", DIVERTED, NOW)], "B")
    ledger.flush()
    assert states(ledger, 1) == {"A": DIVERTED, "B": state}


def test_a_diverted_delivery_is_not_diverted_again_but_a_late_success_is_the_truth(ledger: Ledger) -> None:
    add(ledger, 1, "X", "1.1")
    ledger.divert([Mark(1, "A", DIVERTED, NOW)], "B")
    ledger.flush()
    mark(ledger, 1, RETRYING)
    ledger.flush()
    assert states(ledger, 1)["A"] is DIVERTED
    mark(ledger, 1, DELIVERED)
    ledger.flush()
    assert states(ledger, 1) == {"A": DELIVERED, "B": PENDING}


@pytest.mark.parametrize("is_written", [False, True])
def test_which_of_some_entries_are_still_owed(ledger: Ledger, is_written: bool) -> None:
    for seq in range(1, 5):
        add(ledger, seq, "X", "1.1")
    mark(ledger, 2, DELIVERED)
    if is_written:
        ledger.flush()
    mark(ledger, 3, DEAD)
    assert ledger.owed_among("A", {1, 2, 3, 4, 9}) == {1, 4}
    assert ledger.owed_among("B", {1}) == set()
