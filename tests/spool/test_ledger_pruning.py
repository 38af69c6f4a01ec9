"""The ledger forgets as fast as instances come, also when nothing comes any more; and rests while it finds
nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.spool import ledger_pruning, ledger_tables
from router.spool.ledger import Ledger, LedgerSettings
from router.spool.ledger_pruning import PRUNE_INTERVAL_S, PRUNE_ROWS, SWEEP_S, Pass, Pruning
from tests.support.fast_peers import wait_until

from .ledger_fixtures import DELIVERED, NOW, entry_of, mark_of, states
from .spool_fixtures import DEADLINE_S

FULL = Pass(PRUNE_ROWS, PRUNE_ROWS)
IN_VAIN = Pass(PRUNE_ROWS, 0)


def known(ledger: Ledger) -> list[int]:
    return sorted(seq for seq, _ in states(ledger))


@pytest.fixture
def small_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (ledger_pruning, ledger_tables):
        monkeypatch.setattr(module, "PRUNE_ROWS", 10)
    monkeypatch.setattr(ledger_pruning, "PRUNE_INTERVAL_S", 0.0)


@pytest.mark.usefixtures("small_passes")
def test_what_is_too_much_goes_pass_after_pass_although_nothing_else_is_to_do(path: Path) -> None:
    ledger = Ledger(path, LedgerSettings(rows_max=20), now_ns=lambda: NOW)
    ledger.add([entry_of(seq, received_ns=NOW) for seq in range(1, 201)])
    ledger.mark([mark_of(seq, DELIVERED) for seq in range(1, 201)])
    wait_until(lambda: len(known(ledger)) == 20, DEADLINE_S, lambda: str(known(ledger)))
    assert known(ledger) == list(range(181, 201)), "the oldest first"
    ledger.close()


@pytest.mark.usefixtures("small_passes")
def test_what_is_owed_is_passed_by_and_goes_once_it_is_settled(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(path, LedgerSettings(rows_max=20), now_ns=lambda: NOW)
    ledger.add([entry_of(seq, received_ns=NOW) for seq in range(1, 101)])
    ledger.mark([mark_of(seq, DELIVERED) for seq in range(31, 101)])
    wait_until(lambda: len(known(ledger)) == 30, DEADLINE_S, lambda: str(known(ledger)))
    assert known(ledger) == list(range(1, 31)), "all that is owed"
    ledger._pruning._sweep_at = 0.0
    ledger.mark([mark_of(seq, DELIVERED) for seq in range(1, 31)])
    wait_until(lambda: len(known(ledger)) == 20, DEADLINE_S, lambda: str(known(ledger)))
    assert known(ledger) == list(range(11, 31))
    ledger.close()


def test_passes_follow_each_other_while_there_is_too_much_and_they_find_something() -> None:
    pruning = Pruning(100.0)
    assert not pruning.is_due(100.0)
    assert pruning.rest_s(100.0) is None, "for as long as other work takes"
    assert pruning.is_due(100.0 + PRUNE_INTERVAL_S)
    pruning.passed(FULL, 5000, 110.0, 110.1)
    assert pruning.rest_s(110.1) == pytest.approx(0.1)
    pruning.passed(IN_VAIN, 5000, 111.0, 111.1)
    assert pruning.rest_s(111.1) == pytest.approx(0.9)
    pruning.passed(Pass(PRUNE_ROWS, 7), 0, 113.0, 113.1)
    assert pruning.rest_s(113.1) is None
    assert not pruning.is_due(113.2)


def test_too_much_of_which_all_is_owed_is_looked_through_once_a_sweep() -> None:
    pruning = Pruning(100.0)
    pruning.passed(Pass(3, 0), 5000, 110.0, 110.1)
    assert pruning.rest_s(110.1) is None
    assert not pruning.begins_anew(110.0)
    assert pruning.begins_anew(100.0 + SWEEP_S)
    assert not pruning.begins_anew(100.0 + SWEEP_S)


def test_what_is_too_old_goes_pass_after_pass_as_well() -> None:
    pruning = Pruning(100.0)
    pruning.passed(FULL, -10, 110.0, 110.1)
    assert pruning.is_behind
