"""What a worker does from time to time, and when a full spool has room again."""

from __future__ import annotations

from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from router.errors import SpoolError
from router.handoff.ticket import WorkerStage
from router.processes.worker import GB, MB, RECLAIM_S, RECLAIM_SOON_S, Worker
from router.spool.faults import ObjectTooLarge, SpoolFull
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
        intakes=[1, 2],
        _drain_intake=failing("drain", MemoryError()),
        _take_durable=failing("durable", gone),
        _leave_proof=failing("proof", gone),
        handling=SimpleNamespace(
            expire=failing("expire", gone),
            storing=SimpleNamespace(sync=failing("sync", OSError(5, "Input/output error"))),
        ),
        owing=SimpleNamespace(tend=failing("tend", gone)),
        gauges=SimpleNamespace(set=failing("gauges", gone)),
        spool_trouble=troubles.append,
    )
    worker._tend()
    assert done == ["again", "drain", "durable", "proof", "expire", "sync", "tend", "gauges"]
    assert troubles == [gone] * 5
    assert caplog.text.count("tend=failed") == 2


def test_every_intake_is_drained_although_no_doorbell_rang() -> None:
    drained: list[int] = []
    worker = worker_of(intakes=[1, 2, 3], _drain_intake=drained.append)
    worker._drain_intakes()
    assert drained == [1, 2, 3]


def full_worker(workers: int = 1, trouble: SpoolError | None = None, since_s: float = 60.0) -> Any:
    """Return a worker whose spool ran full so long ago; `stages` are those that it has told since."""
    stages: list[WorkerStage] = []
    spool = SimpleNamespace(quota_gb=1.0, segment_mb=64, watermark_percent=100.0, reserve_space_gb=0.0)
    return worker_of(
        config=SimpleNamespace(router=SimpleNamespace(workers=workers), spool=spool),
        spool=SimpleNamespace(
            ledger=SimpleNamespace(congested=False, trouble=None), writer=SimpleNamespace(trouble=trouble)
        ),
        stages=stages,
        _could_not_store_at=monotonic() - since_s,
        _given_up=SimpleNamespace(done=lambda: True),
        _set_stage=lambda stage, why: stages.append(stage),
        _stage=WorkerStage.SPOOL_FULL,
    )


@pytest.mark.parametrize(
    ("workers", "used_mb", "recycled_mb", "resumes"),
    [(1, 900, 0, True), (1, 1000, 0, False), (4, 900, 0, False), (4, 180, 0, True), (4, 300, 200, True)],
)
def test_a_worker_has_room_within_its_share_of_the_quota(
    workers: int, used_mb: int, recycled_mb: int, resumes: bool
) -> None:
    worker = full_worker(workers)
    worker._look_at_watermark(Usage(used_mb * MB, 1, 100 * GB, recycled_bytes=recycled_mb * MB))
    assert worker.stages == [WorkerStage.ACCEPTING] * resumes


def test_a_worker_in_trouble_has_no_room() -> None:
    worker = full_worker(trouble=SpoolFull("no descriptors"))
    worker._look_at_watermark(Usage(0, 1, 100 * GB))
    worker.spool.writer.trouble = None
    worker._look_at_watermark(Usage(0, 1, 100 * GB, is_read_only=True))
    assert worker.stages == []


@pytest.mark.parametrize(("fault", "resumes"), [(SpoolFull, False), (ObjectTooLarge, True)])
def test_only_a_segment_that_could_not_be_made_is_a_reason_to_wait(
    fault: type[SpoolFull], resumes: bool
) -> None:
    worker = full_worker()
    worker.spool_trouble(fault("No space left on device"))
    worker.stages.clear()
    worker._look_at_watermark(Usage(0, 1, 100 * GB))
    assert worker.stages == [WorkerStage.ACCEPTING] * resumes


@pytest.mark.parametrize(
    ("fsync", "closed", "is_soon"),
    [(False, 0, False), (False, 1, True), (False, 8, True), (False, 9, False), (True, 1, False)],
)
def test_settled_segments_are_looked_for_soon_on_a_ram_disk_while_few_are_closed(
    fsync: bool, closed: int, is_soon: bool
) -> None:
    worker = worker_of(
        config=SimpleNamespace(spool=SimpleNamespace(fsync=fsync)),
        spool=SimpleNamespace(payloads=SimpleNamespace(closed_count=closed)),
    )
    assert worker._reclaim_after_s() == (RECLAIM_SOON_S if is_soon else RECLAIM_S)
