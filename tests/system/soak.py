"""Rounds of load and drain: memory does not grow, and what was taken for a round is given back after it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from router.spool.ledger_schema import CACHE_KIB
from tests.support.fast_peers import wait_until
from tests.system.stand import BrokenPromise, Outcome, Stand, roles_alive, stand

QUIET_S = 30.0
GROWTH_BYTES_MAX = 12 << 20
"""Allowed between the second round and the last, whole tree, beside the page cache of each worker's ledger,
which fills with the rows it has written; allocators warm up in the first round."""

SLOPE_BYTES_MAX = 256 << 10
"""Allowed a round, over the second half of a soak of at least WARM_ROUNDS."""

WARM_ROUNDS = 40
"""The page caches of the ledgers are full after some twenty rounds; before, growth is theirs."""

LAZY_THREADS = 6
"""asyncio's pool for what blocks fills up by and by, to so many."""

IDLE_S = 1
HISTORY_MAX = 2000  # instances remembered: else the ledger grows until it has a million


@dataclass(frozen=True, slots=True)
class Sample:
    """What the router holds when it has nothing to do. descriptors, threads: by role."""

    memory_bytes: int
    descriptors: dict[str, int]
    threads: dict[str, int]
    shared_memory: int
    spool_bytes: int


def soak(directory: Path, rounds: int, seconds: float, deadline_s: float = 1e9) -> Outcome:
    """Load and drain so many rounds. Raises BrokenPromise, PeerFailed."""
    end = time.monotonic() + deadline_s
    with stand(directory, slow_s=0.0, start=False) as here:
        for name in ("FAST", "SLOW"):
            here.router.tables[f"destinations.{name}"]["idle_s"] = IDLE_S
        here.router.tables["spool"]["history_max"] = HISTORY_MAX
        here.router.start()
        baseline = _sample(here)
        samples: list[Sample] = []
        outcome = Outcome("memory, descriptors, threads after each drain")
        while len(samples) < rounds and time.monotonic() < end:
            kind = ("small", "mr", "ct")[len(samples) % 3]
            stop = here.load(kind=kind, pause_s=0.0)
            time.sleep(seconds)
            outcome = here.settle(outcome.scenario, stop, len(samples) + 1)
            samples.append(_quiet(here, baseline))
        _judge(samples, len(roles_alive(here.router)["worker"]))
        here.router.stop()
        grown = samples[-1].memory_bytes - samples[min(1, len(samples) - 1)].memory_bytes
        outcome.note = f"{grown / 1024:+.0f} kB since the second round"
        return outcome


def _quiet(here: Stand, baseline: Sample) -> Sample:
    """Wait until descriptors and threads are what they were before any load; return what is held then."""
    last: list[Sample] = []

    def is_back() -> bool:
        last[:] = [_sample(here)]
        now = last[0]
        return all(now.descriptors[role] <= baseline.descriptors[role] + _LASTING[role] for role in _LASTING)

    wait_until(is_back, QUIET_S, lambda: f"still in use: {last[0]}\nat first: {baseline}")
    return last[0]


_LASTING = {"acceptor": 1, "worker": 12, "admin": 1}
"""Descriptors that stay on purpose: the worker's current segment, its spare, and files kept for reading; the
acceptor's loop opens /dev/null at the first connection and keeps it."""


def _judge(samples: list[Sample], workers: int) -> None:
    first, last = samples[min(1, len(samples) - 1)], samples[-1]
    grown = last.memory_bytes - first.memory_bytes
    if grown > GROWTH_BYTES_MAX + workers * CACHE_KIB * 1024:
        raise BrokenPromise(f"memory grew by {grown >> 10} kB in {len(samples)} rounds")
    if any(last.threads[role] > count + LAZY_THREADS for role, count in first.threads.items()):
        raise BrokenPromise(f"threads: {first.threads} became {last.threads}")
    if last.shared_memory != first.shared_memory:
        raise BrokenPromise(f"shared memory: {first.shared_memory} pieces became {last.shared_memory}")
    half = samples[len(samples) // 2 :]
    if len(samples) >= WARM_ROUNDS:
        slope = _slope([sample.memory_bytes for sample in half])
        if slope > SLOPE_BYTES_MAX:
            raise BrokenPromise(f"memory grows by {slope / 1024:.0f} kB a round")
    if last.spool_bytes > 2 * max(sample.spool_bytes for sample in samples[:3]):
        raise BrokenPromise(f"the spool grew: {[sample.spool_bytes for sample in samples]}")


def _slope(values: list[int]) -> float:
    """Return the least-squares growth from one value to the next."""
    n = len(values)
    middle = (n - 1) / 2
    mean = sum(values) / n
    return sum((x - middle) * (y - mean) for x, y in enumerate(values)) / sum(
        (x - middle) ** 2 for x in range(n)
    )


def _sample(here: Stand) -> Sample:
    roles = roles_alive(here.router)
    processes = {role: [psutil.Process(pid) for pid in pids] for role, pids in roles.items()}
    return Sample(
        here.router.memory_bytes(),
        {role: sum(one.num_fds() for one in some) for role, some in processes.items()},
        {role: sum(one.num_threads() for one in some) for role, some in processes.items()},
        _shared_memory(here),
        _size_of(here.directory / "spool"),
    )


def _shared_memory(here: Stand) -> int:
    """Count the memfds and the files of /dev/shm that the router's processes hold."""
    found = 0
    for process in here.router.tree():
        for link in Path(f"/proc/{process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                found += os.readlink(link).startswith(("/memfd:", "/dev/shm/"))
    return found


def _size_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
