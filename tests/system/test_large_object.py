"""A multi-frame object of any size passes with the whole system's memory bounded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.fast_peers import fast_sink, send_all
from tests.support.ledger import compare
from tests.support.router_process import RouterProcess, router_process

pytestmark = pytest.mark.system

MEMORY_ABOVE_IDLE_MAX_BYTES = 300 << 20
SAMPLE_S = 0.1


@contextmanager
def memory_peak(router: RouterProcess) -> Iterator[list[int]]:
    """Sample the memory of the router's process tree; the list's one entry is the peak in bytes."""
    peak, done = [0], threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_S):
            peak[0] = max(peak[0], router.memory_bytes())

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield peak
    finally:
        done.set()
        sampler.join()


@pytest.mark.parametrize(
    ("ack", "pixel_bytes"),
    [
        pytest.param("stored", 96 << 20, id="stored-96MB"),
        pytest.param("delivered", 96 << 20, id="delivered-96MB"),
        # Beyond a signed 32 bit length. What is so large is spilled alike before either answer.
        pytest.param("stored", 2 << 30, id="stored-2GB", marks=[pytest.mark.slow, pytest.mark.timeout(400)]),
    ],
)
def test_a_multi_frame_object_passes_in_bounded_memory(tmp_path: Path, ack: str, pixel_bytes: int) -> None:
    with (
        fast_sink(tmp_path) as sink,
        router_process(tmp_path, {"SINK": sink.port}, router={"ack": ack}) as router,
    ):
        send_all(tmp_path, router.port, name="before", kind="ct", count=20, run=1)
        sink.wait_for(20)
        idle = router.memory_bytes()
        with memory_peak(router) as peak:
            sent = send_all(
                tmp_path, router.port, multiframe_bytes=pixel_bytes, run=2, timeout=300, deadline_s=300
            )
            assert [attempt.status for attempt in sent] == [0]
            sink.wait_for(21, 300)
        arrived = [record for record in sink.received() if record.uid == sent[0].uid]
        result = compare(sent, arrived)
        assert result.kept_the_promise, str(result)
        assert arrived[0].dataset_bytes > pixel_bytes
        assert 0 < peak[0] < idle + MEMORY_ABOVE_IDLE_MAX_BYTES
        router.stop()


def test_large_objects_and_small_ones_share_the_router(tmp_path: Path) -> None:
    with fast_sink(tmp_path) as sink, router_process(tmp_path, {"SINK": sink.port}) as router:
        threads = [
            threading.Thread(
                target=send_all,
                args=(tmp_path, router.port, f"large-{number}"),
                kwargs={"multiframe_bytes": 60 << 20, "run": number},
            )
            for number in range(3)
        ]
        for thread in threads:
            thread.start()
        sent = send_all(tmp_path, router.port, name="small", kind="small", count=500, run=99)
        for thread in threads:
            thread.join()
        sink.wait_for(503)
        assert all(attempt.acknowledged for attempt in sent)
        assert len({record.uid for record in sink.taken() if record.dataset_bytes > 60 << 20}) == 3
