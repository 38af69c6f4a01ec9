"""Storing when memory runs out: what is answered is somebody's, what failed is left to the ledger."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from router.processes.storing import Storing
from router.wire.codec import CODEC_NAME
from tests.support import forwarding_world
from tests.support.forwarding_scenes import outcome
from tests.support.forwarding_world import SLOT, SLOTS, World, dataset
from tests.support.scripted_scp import until
from tests.support.stored_scenes import ONE_BY_ONE, UIDS, Gate, all_settled, rows, store, store_in_bundles

pytestmark = pytest.mark.skipif(CODEC_NAME == "reference", reason="there is no lane")


@pytest.mark.parametrize(
    ("up_to", "durable", "left"),
    [
        (0, [], [[1, 2], [3, 4, 5]]),
        (2, [1, 2], [[1, 2], [3, 4, 5]]),
        (4, [1, 2, 3, 4], [[1, 2, 3, 4], [5]]),
        (9, [1, 2, 3, 4, 5], [[1, 2, 3, 4, 5]]),
    ],
)
def test_entries_that_are_durable_are_answered_as_one_run_and_the_others_wait(
    up_to: int, durable: list[int], left: list[list[int]]
) -> None:
    storing: Any = object.__new__(Storing)
    storing._unsynced = deque([[SimpleNamespace(seq=seq) for seq in run] for run in ([1, 2], [3, 4, 5])])
    assert [entry.seq for entry in storing._first_run(up_to)] == durable
    assert [[entry.seq for entry in run] for run in storing._unsynced] == left
    assert storing.in_progress == 5


def fail_once(owner: Any, name: str, after: int) -> None:
    """Let memory run out in the call of a method after so many."""
    original, calls = getattr(owner, name), iter(range(after + 1))

    def method(*arguments: Any) -> Any:
        if next(calls, None) == after:
            raise MemoryError
        return original(*arguments)

    setattr(owner, name, method)


@pytest.mark.parametrize("use_lane", [True, False])
@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize(
    ("part", "method"),
    [
        ("loans", "may_keep"),  # before anybody has it
        ("backlog", "adopt"),  # when another has it already
        ("backlog", "offer"),
        ("backlog", "leave_run"),
        ("entries", "handled_of"),
    ],
)
def test_what_memory_lacks_for_one_instance_leaves_it_to_the_ledger_and_the_others_go_on(
    tmp_path: Path, part: str, method: str, is_open: bool, use_lane: bool
) -> None:
    gate = Gate()
    large = dataset(UIDS[7], padding=(SLOTS // 2 + 1) * SLOT)  # takes the general way

    async def scene(one: World, _: Any) -> None:
        gate.open.set()
        await store(one, UIDS[:2])
        await all_settled(one)
        if not is_open:
            gate.open.clear()
        owners = {
            "loans": one.worker.handling.storing.hot_loans,
            "backlog": one.worker.owing.backlogs["B"],
            "entries": one.worker.forwarding.entries,
        }
        if owners[part] is not None:
            fail_once(owners[part], method, after=0 if part == "entries" else 2)
        for uid in UIDS[2:7]:
            one.submit(uid, ack="stored")
        one.submit(UIDS[7], large, ack="stored")
        await one.answered()
        gate.open.set()
        await all_settled(one)

    found = outcome(tmp_path, use_lane, scene, {"A": None, "B": gate.script}, more=ONE_BY_ONE)
    assert found["statuses"] == [0] * len(UIDS)
    assert sorted(found["A"]) == sorted(found["B"]) == UIDS


@pytest.mark.parametrize("method", ["add", "add_run"])
def test_what_memory_lacks_for_the_ledger_is_told_it_later_and_answered_once(
    tmp_path: Path, method: str
) -> None:
    async def scene(one: World, _: Any) -> None:
        await store(one, UIDS[:2])
        await all_settled(one)
        fail_once(one.worker.spool.ledger, method, after=0)
        for uid in UIDS[2:]:
            one.submit(uid, ack="stored")
        await one.answered()
        await until(lambda: len(rows(one)) == len(UIDS))  # they are answered first
        await all_settled(one)

    found = outcome(tmp_path, method == "add_run", scene, {"A": None}, more=ONE_BY_ONE)
    assert found["statuses"] == [0] * len(UIDS)
    assert found["A"] == UIDS


def test_what_waits_for_a_lane_is_not_lost_when_memory_runs_out_while_it_is_left_to_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding_world, "SLOTS", 4 * SLOTS)
    gate = Gate()
    many = [f"1.2.100.{number}" for number in range(400)]

    async def scene(one: World, _: Any) -> None:
        gate.open.set()
        await store(one, UIDS[:2])
        await all_settled(one)
        gate.open.clear()
        fail_once(one.worker.owing.backlogs["A"], "give_back", after=10)
        fail_once(one.worker.owing.backlogs["A"], "leave_run", after=1)
        await store_in_bundles(one, many)
        gate.open.set()
        await all_settled(one)

    found = outcome(tmp_path, True, scene, {"A": gate.script}, more=ONE_BY_ONE)
    assert sorted(found["A"]) == sorted(UIDS[:2] + many)
