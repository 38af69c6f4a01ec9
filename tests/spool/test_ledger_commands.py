"""What people find in a ledger, and what they do there."""

from __future__ import annotations

import pytest

from router.spool import ledger_commands
from router.spool.ledger import Ledger
from router.spool.states import UNDECIDED, Selector, Tally

from .ledger_fixtures import (
    DEAD,
    DELIVERED,
    DISCARDED,
    HELD,
    NOW,
    PENDING,
    RETRYING,
    entry_of,
    mark_of,
    seqs,
    states,
)

FOREVER = 2**62

pytestmark = pytest.mark.usefixtures("run_min")


def test_find_by_every_condition(ledger: Ledger) -> None:
    ledger.add([entry_of(seq, ("A", "B")) for seq in range(1, 31)])
    ledger.mark([mark_of(seq, DELIVERED, "B") for seq in range(1, 16)])

    def found(**conditions: object) -> list[tuple[int, str]]:
        selector = Selector(**conditions)  # type: ignore[arg-type]
        return [(one.seq, one.mark.destination) for one in ledger.find(selector, 1000)]

    assert found(seq=5) == [(5, "A"), (5, "B")]
    assert found(seq=5, destination="B") == [(5, "B")]
    assert found(sop_instance="1.2.3.7") == [(7, "A"), (7, "B")]
    assert found(study_uid="1.2.1", destination="A") == [(seq, "A") for seq in range(10, 20)]
    assert found(study_uid="1.2.1", destination="B", state=DELIVERED) == [(seq, "B") for seq in range(10, 16)]
    assert found(destination="B", state=PENDING) == [(seq, "B") for seq in range(16, 31)]
    assert found(destination="B", state=DELIVERED, after=10) == [(seq, "B") for seq in range(11, 16)]
    assert found(state=DELIVERED, received_before_ns=1_000_004) == [(seq, "B") for seq in (1, 2, 3)]
    assert found(state=PENDING, after=14)[:3] == [(15, "A"), (16, "A"), (16, "B")]
    assert found(destination="C") == found(study_uid="9") == found(seq=99) == []
    assert len(ledger.find(Selector(), 7)) == 7


def test_retry_makes_dead_and_waiting_ones_due_from_their_first_attempt(ledger: Ledger) -> None:
    ledger.add([entry_of(seq, ("A", "B")) for seq in range(1, 5)])
    ledger.mark([mark_of(1, DEAD, attempts=3), mark_of(2, RETRYING, next_attempt_ns=FOREVER, attempts=9)])
    ledger.mark([mark_of(3, DELIVERED), mark_of(1, DEAD, "B")])
    assert ledger.retry(Selector(destination="A")) == 2
    assert [(one.seq, one.mark.attempts) for one in ledger.due("A", NOW, 10)] == [(1, 0), (2, 0), (4, 0)]
    assert states(ledger)[1, "B"] is DEAD
    assert ledger.retry(Selector(state=DEAD)) == 1
    assert ledger.retry(Selector(state=DELIVERED)) == 0


def test_drop_discards_what_is_open_and_nothing_else(ledger: Ledger) -> None:
    ledger.add([entry_of(seq) for seq in range(1, 6)] + [entry_of(6, (), action="hold")])
    ledger.mark([mark_of(1, DEAD), mark_of(2, RETRYING), mark_of(3, DELIVERED)])
    assert ledger.drop(Selector(seq=2)) == 1
    assert ledger.drop(Selector()) == 4
    assert set(states(ledger).values()) == {DISCARDED, DELIVERED}
    assert ledger.counts()["A", DISCARDED] == Tally(4, 400)


def test_release_sends_held_ones_where_they_were_held_for_or_elsewhere(ledger: Ledger) -> None:
    ledger.add(
        [entry_of(1, (), action="hold"), entry_of(2, ("A",), action="hold"), entry_of(3, (), action="hold")]
    )
    assert set(states(ledger)) == {(1, UNDECIDED), (2, "A"), (3, UNDECIDED)}
    assert ledger.release(Selector()) == 1
    assert states(ledger) == {(1, UNDECIDED): HELD, (2, "A"): PENDING, (3, UNDECIDED): HELD}
    assert ledger.release(Selector(seq=1), ["B", "C"]) == 1
    assert ledger.release(Selector(seq=2), ["B"]) == 0
    assert states(ledger)[1, "B"] is PENDING
    assert ledger.counts() == {
        ("A", PENDING): Tally(1, 100),
        ("B", PENDING): Tally(1, 100),
        ("C", PENDING): Tally(1, 100),
        (UNDECIDED, HELD): Tally(1, 100),
    }
    assert seqs(ledger, "C") == [1]


def test_commands_see_what_was_told_before_them(slow: Ledger) -> None:
    slow.add([entry_of(1)])
    assert slow.drop(Selector()) == 1
    slow.add([entry_of(2)])
    slow.mark([mark_of(2, DEAD)])
    assert slow.retry(Selector()) == 1


def test_commands_over_more_than_one_transaction(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_commands, "COMMAND_ROWS", 3)
    ledger.add([entry_of(seq, ("A", "B")) for seq in range(1, 12)])
    assert ledger.drop(Selector()) == 22
    assert ledger.drop(Selector()) == 0
