"""On which CPU a worker runs: where the processes fill the machine, each worker keeps to one of its own.

Acceptors and workers wake each other all the time, and the scheduler likes to run who is woken beside who
woke it; the more so in a virtual machine, whose idle CPUs count as taken. Then one waits for the other while
a CPU is idle. With two CPUs this is worth a third of the rate of small objects that are stored first.
Acceptors, supervisor, admin and all other programs go wherever there is room: an acceptor is best off where
the system has just put what it is to read.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from router.config.schema import RouterSection

QUOTA_PATH = Path("/sys/fs/cgroup/cpu.max")
"""What CPU time the container may use, "max" or microseconds, and in which period (cgroup v2)."""


def keep_to_one_cpu(role: str, index: int, router: RouterSection) -> int | None:
    """Have the calling thread, and those it starts from now on, run on their CPU; None: on any.

    Call it before a process has other threads.
    """
    cpu = cpu_of(role, index, router, sorted(os.sched_getaffinity(0)), _quota_cpus())
    if cpu is not None:
        with contextlib.suppress(OSError):  # it was taken away just now: then there is nothing to keep to
            os.sched_setaffinity(0, {cpu})
    return cpu


def cpu_of(
    role: str, index: int, router: RouterSection, cpus: Sequence[int], quota_cpus: float | None
) -> int | None:
    """Return the CPU that a process keeps to, None for any.

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
    try:
        quota, period = QUOTA_PATH.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
