"""Which CPU a process keeps to, and that its threads keep to it too."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from router.config.schema import RouterSection
from router.processes import affinity
from router.processes.affinity import cpu_of, keep_to_one_cpu


@pytest.mark.parametrize(
    ("acceptors", "workers", "cpus", "expected"),
    [
        (1, 1, [0, 1], [1]),
        (1, 1, [3, 7], [7]),
        (2, 2, [0, 1, 2, 3], [3, 2]),
        (1, 4, [0, 1, 2], [2, 1, 0, 2]),
        (1, 1, [0, 1, 2, 3], [None]),
        (1, 1, [0], [None]),
    ],
)
def test_each_worker_has_its_own_where_the_processes_fill_the_machine(
    acceptors: int, workers: int, cpus: list[int], expected: list[int | None]
) -> None:
    router = RouterSection(acceptors=acceptors, workers=workers)
    assert [cpu_of("worker", index, router, cpus, None) for index in range(workers)] == expected
    assert cpu_of("acceptor", 0, router, cpus, None) is None
    assert cpu_of("admin", 0, router, cpus, None) is None


def test_a_share_of_the_cpus_is_shared_with_others() -> None:
    router = RouterSection()
    assert cpu_of("worker", 0, router, [0, 1], 1.5) is None
    assert cpu_of("worker", 0, router, [0, 1], 2.0) == 1
    assert cpu_of("worker", 0, RouterSection(cpu_affinity="on"), [0, 1], 1.5) == 1


def test_it_may_be_forced_or_forbidden() -> None:
    assert cpu_of("worker", 0, RouterSection(cpu_affinity="on"), [0, 1, 2, 3], None) == 3
    assert cpu_of("worker", 0, RouterSection(cpu_affinity="off"), [0, 1], None) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000\n", 9), ("150000 100000\n", 1.5), ("nonsense", 9), ("1 0", 9), (None, None)],
)
def test_the_quota_of_a_container_is_read(
    text: str | None, expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "router" / "inner").mkdir(parents=True)
    (tmp_path / "own").write_text("12:cpu:/else\n0::/router/inner\n")
    monkeypatch.setattr(affinity, "OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(affinity, "CGROUPS", tmp_path)
    if text is not None:
        (tmp_path / "router" / "cpu.max").write_text(text)
        (tmp_path / "router" / "inner" / "cpu.max").write_text("900000 100000\n")
    assert affinity._quota_cpus() == expected


def in_a_thread(function: Callable[[], object]) -> object:
    """Run it in a thread of its own: what it changes is that thread's."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU")
def test_a_thread_and_those_it_starts_keep_to_their_cpu() -> None:
    before = os.sched_getaffinity(0)

    def keep() -> object:
        cpu = keep_to_one_cpu("worker", 0, RouterSection(cpu_affinity="on"))
        return cpu, os.sched_getaffinity(0), in_a_thread(lambda: os.sched_getaffinity(0))

    last = max(before)
    assert in_a_thread(keep) == (last, {last}, {last})
    assert os.sched_getaffinity(0) == before
    assert in_a_thread(lambda: keep_to_one_cpu("admin", 0, RouterSection(cpu_affinity="on"))) is None
