"""A process and its descendants as the kernel counts them: CPU time and memory, read from /proc.

Times come in steps of 10 ms (USER_HZ); a descendant that has ended counts with the parent that awaited it.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat after the name, from 0 (proc(5) counts from 3).
PARENT, USER, SYSTEM, CHILDREN_USER, CHILDREN_SYSTEM, STARTED = 1, 11, 12, 13, 14, 19


@dataclass(frozen=True, slots=True)
class Member:
    """One process of a tree. started: tells it from a later process with the same id; cpu_s: so far."""

    pid: int
    parent: int
    started: int
    cpu_s: float

    def memory_bytes(self) -> int:
        """Return its proportional set size: pages shared with others count by their share."""
        with suppress(OSError):
            for line in (PROC / str(self.pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        return 0

    def kill(self) -> None:
        """Kill it if it is still the same process."""
        now = member(self.pid)
        if now is not None and now.started == self.started:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def member(pid: int) -> Member | None:
    """Read one process; None if there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    ticks = sum(int(fields[place]) for place in (USER, SYSTEM, CHILDREN_USER, CHILDREN_SYSTEM))
    return Member(pid, int(fields[PARENT]), int(fields[STARTED]), ticks / TICKS_PER_S)


def tree_of(pid: int) -> list[Member]:
    """Return a process and all its descendants, it first; empty if it is gone."""
    everyone = [found for name in os.listdir(PROC) if name.isdigit() and (found := member(int(name)))]
    by_parent: dict[int, list[Member]] = {}
    for one in everyone:
        by_parent.setdefault(one.parent, []).append(one)
    tree = [one for one in everyone if one.pid == pid]
    for one in tree:
        tree += by_parent.get(one.pid, ())
    return tree


def tree_cpu_s(pid: int) -> float:
    """Return the CPU time of a tree so far, ended and awaited children included."""
    return sum(one.cpu_s for one in tree_of(pid))


def tree_memory_bytes(pid: int) -> int:
    """Return the proportional set size of a tree."""
    return sum(one.memory_bytes() for one in tree_of(pid))
