"""The spool against a model: whatever is appended, synced, lost in a power cut and recovered, in any order.

Invariants: what was reported durable is found, byte-identical; what is found was appended; recovering again
changes nothing; no loss of unsynced octets is ever called damage.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

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
    writer_at,
)


class SpoolMachine(RuleBasedStateMachine):
    """One spool directory and what is known about it."""

    writer: SpoolWriter

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="spool-model-"))
        self.directory = directory_at(self.root)
        self.appended: dict[str, tuple[int, bytes]] = {}  # UID -> (seq, dataset), of this run
        self.durable: dict[str, bytes] = {}
        self.number = 0

    @initialize()
    def start(self) -> None:
        self.disk = ForgetfulDisk()
        _, report, _ = recovered(self.directory)
        self.writer = writer_at(self.directory, settings=SMALL, disk=self.disk, report=report)
        self.appended = {}

    @rule(length=st.sampled_from([0, 1, 500, 3000, 30_000, 60_000, 90_000]), count=st.integers(1, 4))
    def append_some(self, length: int, count: int) -> None:
        for _ in range(count):
            self.number += 1
            entry = append(self.writer, self.number, length)
            self.appended[entry.record.sop_instance] = entry.seq, dataset_of(self.number, length)

    @rule(length=st.sampled_from([500, 30_000, 90_000]), count=st.integers(1, 4))
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
        for uid, (_, data) in self.appended.items():
            self.durable[uid] = data

    @rule()
    def take(self) -> None:
        durable = self.writer.take_durable()
        for uid, (seq, data) in self.appended.items():
            if seq <= durable:
                self.durable[uid] = data

    @rule(seed=st.integers(0, 2**32), keeps_ledger=st.booleans())
    def lose_power(self, seed: int, keeps_ledger: bool) -> None:
        crash(self.writer)
        self.disk.lose(seed)
        if not keeps_ledger:
            self.lose_ledger()
        self.check_and_restart()

    @rule(keeps_ledger=st.booleans())
    def restart(self, keeps_ledger: bool) -> None:
        self.writer.close()
        self.durable.update({uid: data for uid, (_, data) in self.appended.items()})
        if not keeps_ledger:
            self.lose_ledger()
        self.check_and_restart()

    def lose_ledger(self) -> None:
        for path in self.directory.root.glob("ledger*"):
            path.unlink()

    def check_and_restart(self) -> None:
        found, report, _ = recovered(self.directory)
        assert report.damages == []
        assert report.damages_uncounted == 0
        assert self.durable.items() <= found.items()
        known = self.durable | {uid: data for uid, (_, data) in self.appended.items()}
        assert found.items() <= known.items()
        again, report, _ = recovered(self.directory)
        assert again == found
        assert (report.entries_restored, report.torn_records) == (0, 0)
        self.durable = {uid: data for uid, data in found.items() if data is not None}
        self.start()

    @invariant()
    def nothing_failed(self) -> None:
        assert not hasattr(self, "writer") or not self.writer.failed

    def teardown(self) -> None:
        if hasattr(self, "writer"):
            self.lose_power(seed=self.number, keeps_ledger=self.number % 2 == 0)
            crash(self.writer)
            self.disk.lose(0)
        shutil.rmtree(self.root)


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
