"""Lost data is told: in the log, in the metrics, and by a copy in quarantine."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.metrics.page import MetricsPage
from router.processes.counters import WorkerCounters
from router.processes.damage import LINES_MAX, set_aside, tell_recovery
from router.spool.layout import WorkerDirectory
from router.spool.payload import PayloadStore
from router.spool.record import Location
from router.spool.recover import Damage, RecoveryReport


@pytest.fixture
def page() -> Iterator[MetricsPage]:
    page = MetricsPage.create()
    page.begin("worker", 0)
    yield page
    page.close()


def value(page: MetricsPage, name: str) -> int:
    return int(page.cells[page.slot(name)])


def test_a_start_that_found_nothing_wrong_says_one_line(
    page: MetricsPage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tell_recovery(RecoveryReport(entries_restored=3, torn_records=1), WorkerCounters(page), "worker-0")
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "restored=3 torn=1" in caplog.text
    assert value(page, "recovered_entries") == 3
    assert value(page, "quarantined_entries") == value(page, "missing_deliveries") == 0


def test_every_kind_of_loss_is_an_alarm(page: MetricsPage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    report = RecoveryReport(
        damages=[Damage(1, 64 * n, 64, n) for n in range(30)],
        damages_uncounted=5,
        missing_deliveries=2,
        orphans_kept=1,
        ledger_rebuilt=True,
    )
    tell_recovery(report, WorkerCounters(page), "worker-0")
    assert value(page, "quarantined_entries") == 35
    assert value(page, "missing_deliveries") == 2
    assert caplog.text.count("spool=damaged") == LINES_MAX + 1
    for word in ("records=35", "deliveries=2", "files=1", "ledger-rebuilt"):
        assert word in caplog.text


def test_what_turns_out_damaged_when_it_is_sent_is_copied_counted_and_told(
    page: MetricsPage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = WorkerDirectory(tmp_path / "worker-0")
    directory.create()
    directory.segment_path(1).write_bytes(bytes(range(200)))
    counters = WorkerCounters(page)
    asyncio.run(set_aside(PayloadStore(directory), Location(1, 100, 50, 0), counters, "0-7"))
    assert (directory.quarantine / "0000000001-0000000100.bin").read_bytes() == bytes(range(100, 150))
    assert "entry=0-7 segment=1 offset=100 bytes=50 copied=True" in caplog.text
    os.unlink(directory.segment_path(1))
    asyncio.run(set_aside(PayloadStore(directory), Location(1, 10, 50, 0), counters, "0-8"))
    assert "copied=False" in caplog.text
    assert value(page, "quarantined_entries") == 2
