"""The Nth system call of each thread fails, in the worker or the acceptor, while a scripted load passes.

No false success, no wedge: every sender gets an end, and instances are taken again when the fault is over;
after a cause that goes away by itself without a restart, after an input/output error by one at the latest.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.process import PeerFailed
from tests.support.strace import tampering
from tests.system.stand import Outcome, Stand, restart, roles_alive, stand

FINAL = frozenset({"EIO"})
"""After these errors a volume may be given up until a restart; every other cause goes away by itself."""

AGAIN_S = 40.0
PATIENCE_S = 3.0
CUT_SHORT = "cut short"
IMAGES = 6
LARGE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Fault:
    """Which call fails in which process, in which way, at which of its calls."""

    role: str
    syscall: str
    error: str
    when: int

    def __str__(self) -> str:
        return f"{self.role} {self.syscall} {self.error} {self.when}"


KINDS = (
    ("worker", "pwritev2", "EIO"),
    ("worker", "pwritev2", "ENOSPC"),
    ("worker", "pwrite64", "EIO"),
    ("worker", "pwrite64", "ENOSPC"),
    ("worker", "fdatasync", "EIO"),
    ("worker", "fsync", "EIO"),
    ("worker", "fallocate", "ENOSPC"),
    ("worker", "rename", "EIO"),
    ("worker", "rename", "ENOSPC"),
    ("worker", "openat", "EMFILE"),
    ("worker", "openat", "ENFILE"),
    ("worker", "mmap", "ENOMEM"),
    ("worker", "write", "EIO"),
    ("acceptor", "accept4", "EMFILE"),
    ("acceptor", "accept4", "ECONNABORTED"),
    ("acceptor", "openat", "ENOSPC"),
    ("acceptor", "mmap", "ENOMEM"),
)

SAMPLE = (
    Fault("worker", "pwritev2", "ENOSPC", 2),
    Fault("worker", "pwritev2", "EIO", 3),
    Fault("worker", "fdatasync", "EIO", 2),
    Fault("worker", "rename", "EIO", 1),
    Fault("worker", "rename", "ENOSPC", 1),
    Fault("worker", "openat", "EMFILE", 2),
    Fault("worker", "mmap", "ENOMEM", 1),
    Fault("worker", "write", "EIO", 3),
    Fault("acceptor", "accept4", "EMFILE", 1),
    Fault("acceptor", "openat", "ENOSPC", 1),
)


def every_fault(injected: set[tuple[str, str, str]]) -> Iterator[Fault]:
    """Yield every kind at N = 1, then at 2 and so on, as long as the load needs so many of its calls.

    injected: the kinds that happened, as fail_syscalls adds them.
    """
    kinds = KINDS
    for when in itertools.count(1):
        for kind in kinds:
            injected.discard(kind)
            yield Fault(*kind, when)
        kinds = tuple(kind for kind in kinds if kind in injected)
        if not kinds:
            return


def fail_syscalls(
    directory: Path,
    faults: Iterable[Fault],
    deadline_s: float = 1e9,
    injected: set[tuple[str, str, str]] | None = None,
) -> Outcome:
    """Carry out the faults one after the other. Raises BrokenPromise, PeerFailed."""
    end = time.monotonic() + deadline_s
    done: list[str] = []
    is_cut_short = False
    with stand(directory, spool={"segment_mb": 1}, router={"dimse_s": 10}) as here:
        for number, fault in enumerate(faults):
            if time.monotonic() > end:
                is_cut_short = True
                break
            if _carry_out(here, fault, number):
                done.append(str(fault))
                if injected is not None:
                    injected.add((fault.role, fault.syscall, fault.error))
        outcome = here.settle("the Nth system call fails", runs=len(done))
        kinds = {word.rpartition(" ")[0] for word in done}
        outcome.note = f"{len(kinds)} kinds of {len(KINDS)}" + (f", {CUT_SHORT}" if is_cut_short else "")
        return outcome


def _carry_out(here: Stand, fault: Fault, number: int) -> bool:
    """Return whether the fault happened."""
    pid = roles_alive(here.router)[fault.role][0]
    run = 10 * number
    with tampering(here.directory, pid, fault.syscall, f"error={fault.error}:when={fault.when}") as done:
        senders = [
            here.send("ONE", run + 1, kind="ct", count=IMAGES, timeout=15, reconnect_s=4),
            here.send("TWO", run + 2, multiframe_bytes=LARGE_BYTES, timeout=15, reconnect_s=4),
        ]
        for sender in senders:
            sender.finish(90)
    happened = done.count > 0
    if fault.error in FINAL:
        if not _takes_again(here, run + 3, PATIENCE_S):
            restart(here.router)
            _insist(here, run + 4, fault)
    else:
        _insist(here, run + 3, fault)
    return happened


def _insist(here: Stand, run: int, fault: Fault) -> None:
    if not _takes_again(here, run, AGAIN_S):
        raise PeerFailed(f"after {fault} nothing is taken any more\n{here.router.log()}")


def _takes_again(here: Stand, run: int, patience_s: float) -> bool:
    """Send single instances until one is taken, for so long."""
    end = time.monotonic() + patience_s
    for attempt in itertools.count():
        sender = here.send(
            "TWO", run * 1000 + attempt, kind="small", count=1, timeout=15, reconnect_s=patience_s
        )
        if any(sent.acknowledged for sent in sender.finish(60)):
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.3)
    return False
