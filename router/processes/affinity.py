"""On which CPU a worker's event loop runs: where the processes fill the machine, each has one of its own.

Acceptors and workers wake each other all the time, and the scheduler likes to run who is woken beside who
woke it; the more so in a virtual machine, whose idle CPUs count as taken. Then one waits for the other while
a CPU is idle. With two CPUs this is worth a third of the rate of small objects that are stored first.
A worker's other threads (those that sync and keep the ledger) stay with its loop where that waits for a disk
anyway; elsewhere they would hold it up. Acceptors and all other programs go wherever there is room: an
acceptor is best off where the system has just put what it is to read.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from router.config.schema import RouterSection

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def keep_to_one_cpu(role: str, index: int, router: RouterSection) -> int | None:
    """Have the calling thread run on its CPU from now on; return which, None for any.

    Threads that it starts from now on keep to it too; those it has started go on anywhere.
    """
    cpu = cpu_of(role, index, router, sorted(os.sched_getaffinity(0)), _quota_cpus())
    if cpu is not None:
        with contextlib.suppress(OSError):  # it was taken away just now: then there is nothing to keep to
            os.sched_setaffinity(0, {cpu})
    return cpu


def cpu_of(
    role: str, index: int, router: RouterSection, cpus: Sequence[int], quota_cpus: float | None
) -> int | None:
    """Return the CPU that a process's event loop keeps to, None for any.

    cpus: that may be used. quota_cpus: how many of them at a time, None for all.
    """
    if role != "worker" or router.cpu_affinity == "off" or len(cpus) < 2:
        return None
    if router.cpu_affinity == "auto" and (
        router.acceptors + router.workers < len(cpus) or (quota_cpus is not None and quota_cpus < len(cpus))
    ):
        return None  # others are likely to use them too
    return cpus[-1 - index % len(cpus)]


def _quota_cpus() -> float | None:
    """Return how many CPUs the narrowest quota around this process gives it; None: no quota (cgroup v2)."""
    try:
        own = next(line for line in OWN_CGROUP.read_text().splitlines() if line.startswith("0::"))[3:]
    except (OSError, StopIteration):
        own = "/"
    folder = Path(own.lstrip("/"))
    quotas = [_quota_of(CGROUPS / one / "cpu.max") for one in (folder, *folder.parents)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota_of(path: Path) -> float | None:
    try:
        quota, period = path.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
