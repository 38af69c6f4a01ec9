"""Instances of which another directory owes an older version: who lists them, and when they may go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from router.handoff.dispatch import worker_of
from router.processes.contested import Contested, OlderVersionOwed, add_to_list, make_list, read_list
from router.processes.instances import InstanceBytes
from router.spool.layout import worker_directory
from router.spool.record import Entry
from router.spool.spool import Spool, SpoolSettings, open_spool
from router.spool.states import DeliveryState, Mark
from router.spool.writer_settings import SEGMENT_BYTES_MIN, WriterSettings
from tests.spool.spool_fixtures import DEADLINE_S, dataset_of, record_of

HERE, ELSEWHERE = 1, 0
UID = next(f"1.2.3.{n}" for n in range(100) if worker_of(f"1.2.3.{n}", 2) == HERE)
AT_HOME = next(f"1.2.3.{n}" for n in range(100) if worker_of(f"1.2.3.{n}", 2) == ELSEWHERE)


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[list[Spool]]:
    settings = SpoolSettings(WriterSettings(segment_bytes=SEGMENT_BYTES_MIN, fsync=False))
    with ExitStack() as stack:
        spools = []
        for index in range(2):
            spool = open_spool(worker_directory(tmp_path, index), lambda: None, settings)
            stack.callback(spool.close)
            spools.append(spool)
        yield spools


def store(spool: Spool, uid: str, received_ns: int) -> Entry:
    record = record_of(1, ("A", "B"), sop_instance=uid, received_ns=received_ns)
    seq, location = spool.writer.append(record, [dataset_of(1)])
    assert spool.writer.flush(DEADLINE_S)
    entry = Entry(seq, record, location)
    spool.ledger.add([entry])
    spool.ledger.flush()
    return entry


def settle(spool: Spool, entry: Entry, *names: str) -> None:
    spool.ledger.mark([Mark(entry.seq, name, DeliveryState.DELIVERED, 9) for name in names])
    spool.ledger.flush()


def contested_at(tmp_path: Path, spools: list[Spool], woken: list[str]) -> Contested:
    destination = SimpleNamespace(wake_up=lambda: woken.append("A"))
    worker: Any = SimpleNamespace(
        child=SimpleNamespace(index=HERE),
        config=SimpleNamespace(router=SimpleNamespace(workers=2), spool=SimpleNamespace(path=str(tmp_path))),
        spool=spools[HERE],
        owing=SimpleNamespace(destinations={"A": destination}),
    )
    return Contested(worker)


def test_a_list_has_what_belongs_elsewhere_and_is_made_once_for_a_number_of_workers(
    spools: list[Spool],
) -> None:
    directory = spools[ELSEWHERE].directory
    assert read_list(directory) == (0, set())
    store(spools[ELSEWHERE], UID, 1)
    store(spools[ELSEWHERE], AT_HOME, 2)
    make_list(directory, ELSEWHERE, 2)
    assert read_list(directory) == (2, {UID})
    settle(spools[ELSEWHERE], Entry(1, record_of(1), None), "A", "B")  # type: ignore[arg-type]
    make_list(directory, ELSEWHERE, 2)
    assert read_list(directory) == (2, {UID})
    make_list(directory, ELSEWHERE, 1)
    assert read_list(directory) == (1, set())
    add_to_list(directory, {"1.2"})
    assert read_list(directory) == (1, {"1.2"})


def test_a_version_goes_when_no_older_one_is_owed_elsewhere(
    tmp_path: Path, spools: list[Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.processes.contested.LOOK_EVERY_S", 0.01)
    old = store(spools[ELSEWHERE], UID, 5)
    make_list(spools[ELSEWHERE].directory, ELSEWHERE, 2)
    woken: list[str] = []
    contested = contested_at(tmp_path, spools, woken)
    asyncio.run(contested.prepare())
    assert contested.uids == {UID}
    new = store(spools[HERE], UID, 6)
    bytes_of_new = InstanceBytes.of_spool(spools[HERE].payloads, new.location)
    assert contested.guarded(bytes_of_new, AT_HOME, "A", 6) is bytes_of_new
    to_a = contested.guarded(bytes_of_new, UID, "A", 6)
    with pytest.raises(OlderVersionOwed, match="worker-0"):
        to_a.buffers()
    with pytest.raises(OlderVersionOwed):
        contested.check(UID, "B", 6)
    contested.check(UID, "A", 4)  # an older one than that
    settle(spools[ELSEWHERE], old, "A")
    assert b"".join(to_a.buffers()) == dataset_of(1)
    to_a.close()
    with pytest.raises(OlderVersionOwed):
        contested.check(UID, "B", 6)
    settle(spools[ELSEWHERE], old, "B")
    asyncio.run(asyncio.wait_for(contested.watch(), DEADLINE_S))
    assert contested.uids == set()
    assert woken == ["A"]


def test_a_start_waits_for_the_lists_of_the_others(
    tmp_path: Path, spools: list[Spool], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        preparing = asyncio.create_task(contested_at(tmp_path, spools, []).prepare())
        done, _ = await asyncio.wait([preparing], timeout=0.2)
        assert not done
        make_list(spools[ELSEWHERE].directory, ELSEWHERE, 2)
        await asyncio.wait_for(preparing, DEADLINE_S)

    asyncio.run(test())
    monkeypatch.setattr("router.processes.contested.LISTS_S", 0.0)
    spools[ELSEWHERE].directory.misplaced.unlink()
    asyncio.run(contested_at(tmp_path, spools, []).prepare())
    assert "contested=unknown directories=[0]" in caplog.text
