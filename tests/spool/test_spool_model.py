"""The spool against a model: whatever is appended, synced, delivered, lost in a power cut and recovered.

Invariants: what was reported durable and is not delivered is found, byte-identical; what is found was
appended; what was delivered does not come back while the ledger is there; recovering again changes nothing;
no loss of unsynced octets is ever called damage.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from router.spool.ledger import Ledger
from router.spool.payload import PayloadStore
from router.spool.record import Entry
from router.spool.recycled import RecycledSegments, remove_recycled
from router.spool.states import DeliveryState, Mark
from router.spool.writer import SpoolWriter

from .spool_fixtures import (
    DEADLINE_S,
    SMALL,
    ForgetfulDisk,
    append,
    crash,
    dataset_of,
    directory_at,
    recovered,
    reopened,
    writer_at,
)


class SpoolMachine(RuleBasedStateMachine):
    """One spool directory and what is known about it."""

    writer: SpoolWriter
    ledger: Ledger
    store: PayloadStore
    disk: ForgetfulDisk
    recycled: RecycledSegments

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="spool-model-"))
        self.directory = directory_at(self.root)
        self.datasets: dict[str, bytes] = {}  # all ever appended, by UID
        self.undurable: list[Entry] = []
        self.owed: set[str] = set()  # reported durable, not delivered
        self.delivered: set[str] = set()
        self.number = 0

    @initialize()
    def start(self) -> None:
        self.disk = ForgetfulDisk()
        remove_recycled(self.directory)
        self.store, self.ledger, report = reopened(self.directory)
        self.recycled = RecycledSegments(self.directory, self.disk)
        self.writer = writer_at(
            self.directory, self.store, settings=SMALL, disk=self.disk, report=report, recycled=self.recycled
        )
        self.undurable = []

    @rule(length=st.sampled_from([0, 1, 500, 3000, 30_000, 60_000, 90_000]), count=st.integers(1, 4))
    def append_some(self, length: int, count: int) -> None:
        for _ in range(count):
            self.number += 1
            entry = append(self.writer, self.number, length)
            self.datasets[entry.record.sop_instance] = dataset_of(self.number, length)
            self.undurable.append(entry)

    @rule(length=st.sampled_from([500, 30_000, 60_000]), count=st.integers(1, 12))
    def append_and_commit(self, length: int, count: int) -> None:
        self.append_some(length, count)
        self.commit()

    @rule()
    def commit(self) -> None:
        assert self.writer.flush(DEADLINE_S)
        self.take()

    @rule()
    def commit_without_a_marker(self) -> None:
        assert self.writer.flush(DEADLINE_S)
        self.owed.update(entry.record.sop_instance for entry in self.undurable)

    @rule()
    def take(self) -> None:
        durable = self.writer.take_durable()
        ready = [entry for entry in self.undurable if entry.seq <= durable]
        self.undurable = self.undurable[len(ready) :]
        self.owed.update(entry.record.sop_instance for entry in ready)
        self.ledger.add(ready)

    @rule(count=st.integers(1, 40))
    def deliver_and_reclaim(self, count: int) -> None:
        owed = self.ledger.due("PACS", 2**62, count)
        self.ledger.mark([Mark(one.seq, "PACS", DeliveryState.DELIVERED, 1) for one in owed])
        self.ledger.make_durable()
        for one in owed:
            self.owed.discard(one.entry.record.sop_instance)
            self.delivered.add(one.entry.record.sop_instance)
        self.store.delete_files(self.ledger.files_done())
        self.store.delete_segments(self.ledger.segments_done(self.store.closed_segments()), self.recycled)

    @rule(seed=st.integers(0, 2**32), keeps_ledger=st.booleans())
    def lose_power(self, seed: int, keeps_ledger: bool) -> None:
        crash(self.writer)
        self.let_go()
        self.disk.lose(seed)
        self.check(keeps_ledger)
        self.start()

    @rule(keeps_ledger=st.booleans())
    def restart(self, keeps_ledger: bool) -> None:
        self.writer.close()
        self.take_all()
        self.let_go()
        self.check(keeps_ledger)
        self.start()

    def take_all(self) -> None:
        self.owed.update(entry.record.sop_instance for entry in self.undurable)

    def let_go(self) -> None:
        self.ledger.close()
        self.store.close()

    def check(self, keeps_ledger: bool) -> None:
        remove_recycled(self.directory)
        if not keeps_ledger:
            for path in self.directory.root.glob("ledger*"):
                path.unlink()
        found, report, _ = recovered(self.directory)
        assert report.damages == []
        assert report.missing_deliveries == report.damages_uncounted == 0
        assert self.owed <= found.keys()
        assert all(self.datasets[uid] == data for uid, data in found.items())
        if keeps_ledger:
            assert not self.delivered & found.keys()
        self.owed = set(found)
        self.delivered -= found.keys()
        again, report, _ = recovered(self.directory)
        assert again == found
        assert (report.entries_restored, report.torn_records) == (0, 0)

    @invariant()
    def nothing_failed(self) -> None:
        assert not hasattr(self, "writer") or not self.writer.failed

    def teardown(self) -> None:
        if hasattr(self, "writer"):
            self.lose_power(seed=self.number, keeps_ledger=self.number % 2 == 0)
            crash(self.writer)
            self.let_go()
            self.disk.lose(0)
        shutil.rmtree(self.root)


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
