"""What a worker does from time to time, and when a full spool has room again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from router.errors import SpoolError
from router.handoff.ticket import WorkerStage
from router.processes.worker import GB, MB, Worker
from router.spool.spool import Usage


def worker_of(**parts: Any) -> Any:
    """Return a worker that has these parts only."""
    worker: Any = Worker.__new__(Worker)
    for name, part in parts.items():
        setattr(worker, name, part)
    return worker


def test_a_step_that_fails_stands_in_no_other_steps_way(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []
    troubles: list[SpoolError] = []

    def failing(name: str, error: Exception) -> Any:
        def step(*_: object) -> None:
            done.append(name)
            raise error

        return step

    gone = SpoolError("ledger: disk I/O error")
    worker = worker_of(
        loop=SimpleNamespace(call_later=lambda delay_s, callback: done.append("again")),
        _intakes=[1, 2],
        _drain_intake=failing("drain", MemoryError()),
        _take_durable=failing("durable", gone),
        handling=SimpleNamespace(
            expire=failing("expire", gone), sync=failing("sync", OSError(5, "Input/output error"))
        ),
        owing=SimpleNamespace(tend=failing("tend", gone)),
        _set_gauges=failing("gauges", gone),
        spool_trouble=troubles.append,
    )
    worker._tend()
    assert done == ["again", "drain", "durable", "expire", "sync", "tend", "gauges"]
    assert troubles == [gone] * 4
    assert caplog.text.count("tend=failed") == 2


def test_every_intake_is_drained_although_no_doorbell_rang() -> None:
    drained: list[int] = []
    worker = worker_of(_intakes=[1, 2, 3], _drain_intake=drained.append)
    worker._drain_intakes()
    assert drained == [1, 2, 3]


@pytest.mark.parametrize(
    ("workers", "used_mb", "recycled_mb", "has_room"),
    [(1, 900, 0, True), (1, 1000, 0, False), (4, 900, 0, False), (4, 180, 0, True), (4, 300, 200, True)],
)
def test_a_worker_has_room_within_its_share_of_the_quota(
    workers: int, used_mb: int, recycled_mb: int, has_room: bool
) -> None:
    worker = worker_of(
        config=SimpleNamespace(
            router=SimpleNamespace(workers=workers), spool=SimpleNamespace(quota_gb=1.0, segment_mb=64)
        ),
        spool=SimpleNamespace(
            ledger=SimpleNamespace(congested=False, trouble=None), writer=SimpleNamespace(trouble=None)
        ),
        _stage=WorkerStage.SPOOL_FULL,
    )
    usage = Usage(used_mb * MB, 1, 100 * GB, recycled_bytes=recycled_mb * MB)
    assert worker._has_room(usage) == has_room
