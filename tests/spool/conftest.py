"""Ledgers for the tests of the spool."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from router.spool import ledger as module
from router.spool import ledger_tables
from router.spool.ledger import Ledger

from .ledger_fixtures import NOW


@pytest.fixture(params=[1, ledger_tables.RUN_MIN], ids=["in-runs", "in-rows"])
def run_min(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """All that is pending is written as runs, or as these are few, a row each."""
    monkeypatch.setattr(ledger_tables, "RUN_MIN", request.param)
    return int(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(path, now_ns=lambda: NOW)
    yield ledger
    ledger.close()


@pytest.fixture
def slow(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A ledger that writes only when asked to."""
    monkeypatch.setattr(module, "FLUSH_INTERVAL_S", 3600.0)
    ledger = Ledger(path, now_ns=lambda: NOW)
    yield ledger
    ledger.close()
