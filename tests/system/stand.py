"""The stand on which the system's proofs run: two senders, a router, two destinations, and all their books.

Sender ONE's instances are owed to FAST and SLOW, those of TWO to SLOW alone. SLOW stands behind a gate: while
it is closed everything that SLOW is owed must outlive whatever happens. The verdict is made of what senders
were told and sinks wrote down.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.peers.process import PeerFailed
from tests.support.fast_peers import FastSender, FastSink, fast_sender, fast_sink, wait_until
from tests.support.ledger import Comparison, Sent, compare
from tests.support.router_process import RouterProcess, router_process

RULES: list[dict[str, object]] = [
    {"name": "one", "when": {"calling_ae_title": "ONE"}, "to": ["FAST"]},
    {"name": "all", "to": ["SLOW"]},
]
SETTLE_S = 120.0
RECONNECT_S = 60.0
MANY = 10_000_000
SETTLE_POLL_S = 0.25
BLACKOUT_NS = 300_000_000
"""From the end of a shutdown until an answer that relied on what was synced in it has come."""


class BrokenPromise(AssertionError):
    """Something acknowledged is lost or altered, or something arrived that was never sent there.

    outcome: the books, where they could be joined.
    """

    outcome: Outcome | None = None


@dataclass(slots=True)
class Outcome:
    """One row of the table of results.

    runs: how many faults; done: how many of those that the full tier wants. seeds: that the runs began with;
    counts: of what it was done to.
    """

    scenario: str
    runs: int = 0
    acknowledged: int = 0
    delivered: int = 0
    lost: int = 0
    altered: int = 0
    extra: int = 0
    repeated: int = 0
    seconds: float = 0.0
    note: str = ""
    done: int = 0
    seeds: list[int] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, result: Comparison) -> None:
        """Add one destination's comparison."""
        self.acknowledged += result.acknowledged
        self.delivered += result.delivered
        self.lost += len(result.lost)
        self.altered += len(result.altered)
        self.extra += len(result.extra)
        self.repeated += len(result.repeated)

    def join(self, other: Outcome) -> None:
        """Add the books of another run of the same scenario."""
        self.runs += other.runs
        self.note = other.note
        self.seeds = [*self.seeds, *other.seeds]
        self.counts = dict(Counter(self.counts) + Counter(other.counts))
        for name in ("acknowledged", "delivered", "lost", "altered", "extra", "repeated", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class Stand:
    """What is running, and what has been sent so far."""

    directory: Path
    router: RouterProcess
    fast: FastSink
    slow: FastSink
    stack: ExitStack
    senders: dict[str, list[FastSender]] = field(default_factory=lambda: {"ONE": [], "TWO": []})
    started: float = field(default_factory=time.monotonic)
    loads: int = 0
    blackouts: list[tuple[int, int]] = field(default_factory=list)
    entry_ports: dict[str, int] = field(default_factory=dict)  # where a sender connects, if not at the router

    @property
    def gate(self) -> Path:
        """While this file exists SLOW answers nothing."""
        return self.directory / "gate"

    def close_gate(self) -> None:
        """Let everything that SLOW is owed gather."""
        self.gate.touch()

    def open_gate(self) -> None:
        """Let SLOW take what it is owed."""
        self.gate.unlink(missing_ok=True)

    def load(self, kind: str = "small", **options: object) -> Path:
        """Start both senders; they send until the file returned exists. options: as of fast_sender."""
        stop = self.directory / f"stop-{self.loads}"
        shared = {
            "count": MANY,
            "associations": 2,
            "pause_s": 0.004,
            "timeout": 30,
            "reconnect_s": RECONNECT_S,
        }
        for title, run in (("ONE", 1), ("TWO", 2)):
            self.send(title, 100 * self.loads + run, kind=kind, stop_file=stop, **{**shared, **options})
        self.loads += 1
        return stop

    def send(self, title: str, run: int, **options: object) -> FastSender:
        """Start one sender."""
        manager = fast_sender(
            self.directory,
            self.entry_ports.get(title, self.router.port),
            f"{title}-{run}",
            calling=title,
            run=run,
            **options,
        )
        sender = self.stack.enter_context(manager)
        self.senders[title].append(sender)
        return sender

    def sent(self, title: str) -> list[Sent]:
        """Return all attempts of a sender; one cut off in the middle of its dataset has no digest.

        An answer that came in a blackout counts as none: where power is lost, none comes.
        """
        attempts = [attempt for sender in self.senders[title] for attempt in sender.sent() if attempt.sha256]
        return [
            replace(attempt, status=None)
            if any(begin <= attempt.answered_ns <= end for begin, end in self.blackouts)
            else attempt
            for attempt in attempts
        ]

    @contextmanager
    def blackout(self) -> Iterator[None]:
        """Do something during which, and for a moment after which, the kernel itself may tell a lie.

        A file system that is shut down in the middle of an fdatasync returns success from it now and then
        (Linux 6.18, ext4, preallocated extents). No process would live to see that where power is lost.
        """
        begin = time.monotonic_ns()
        yield
        self.blackouts.append((begin, time.monotonic_ns() + BLACKOUT_NS))

    def acknowledged(self) -> int:
        """Count what senders were told is safe."""
        return sum(attempt.acknowledged for title in self.senders for attempt in self.sent(title))

    def turned_away(self) -> int:
        """Count the instances answered with a failure, and the associations rejected for lack of room."""
        attempts = [attempt for title in self.senders for attempt in self.sent(title)]
        refused = sum(attempt.status is not None and not attempt.acknowledged for attempt in attempts)
        return refused + int(self.router.metric("dicom_router_pressure_reliefs_total", relief="rejected"))

    def wait_acknowledged(self, more: int, deadline_s: float = 60) -> None:
        """Wait until so many more instances than now are acknowledged."""
        wanted = self.acknowledged() + more
        wait_until(
            lambda: self.acknowledged() >= wanted,
            deadline_s,
            lambda: f"{self.acknowledged()} of {wanted} acknowledged\n{self.router.log()}",
        )

    def settle(self, scenario: str, stop: Path | None = None, runs: int = 1) -> Outcome:
        """Wait for senders and deliveries; return the joined books. Raises BrokenPromise."""
        self.open_gate()
        if stop is not None:
            stop.touch()
        for senders in self.senders.values():
            for sender in senders:
                sender.finish(RECONNECT_S + 60)
        one, two = self.sent("ONE"), self.sent("TWO")
        outcome = Outcome(scenario, runs)
        results = []
        for sink, sent in ((self.fast, one), (self.slow, one + two)):
            wait_until_taken(sink, sent, self.router)
            results.append(compare(sent, sink.received()))
            outcome.add(results[-1])
        outcome.seconds = time.monotonic() - self.started
        if not all(result.kept_the_promise for result in results):
            broken = BrokenPromise(f"{scenario}: " + "; ".join(map(str, results)))
            broken.outcome = outcome
            raise broken
        return outcome


def wait_until_taken(sink: FastSink, sent: list[Sent], router: RouterProcess) -> None:
    """Wait until everything promised has come, as long as anything still comes; the rest is lost then."""
    missing = {attempt.uid for attempt in sent if attempt.acknowledged}
    count, end = -1, time.monotonic() + SETTLE_S
    while True:
        taken = sink.taken()
        missing.difference_update([one.uid for one in taken])
        if not missing:
            return
        if len(taken) != count:
            count, end = len(taken), time.monotonic() + SETTLE_S
        if time.monotonic() > end:
            raise BrokenPromise(
                f"{len(missing)} acknowledged instances, such as {sorted(missing)[:3]}, have not reached "
                f"{sink.peer.name} {SETTLE_S:g} s after the last one\n{router.log()}"
            )
        time.sleep(SETTLE_POLL_S)


@contextmanager
def stand(
    directory: Path,
    spool_at: Path | None = None,
    start: bool = True,
    slow_s: float = 0.003,
    environment: Mapping[str, str] | None = None,
    **sections: Mapping[str, object],
) -> Iterator[Stand]:
    """Build the stand for the length of a `with` block. sections: of the router's configuration."""
    with ExitStack() as stack:
        fast = stack.enter_context(fast_sink(directory, "fast", window=8))
        slow = stack.enter_context(fast_sink(directory, "slow", delay_s=slow_s, gate=directory / "gate"))
        spool_section = {"segment_mb": 4, **sections.pop("spool", {})}
        if spool_at is not None:
            spool_section["path"] = str(spool_at)
        manager = router_process(
            directory,
            {"FAST": fast.port, "SLOW": slow.port},
            RULES,
            start=False,
            spool=spool_section,
            **{"limits": {"slab_mb": 16, "slot_kb": 32, "spill_mb": 2}, **sections},
        )
        router = stack.enter_context(manager)
        router.environment.update(environment or {})
        if start:
            router.start()
        yield Stand(directory, router, fast, slow, stack)


def roles_alive(router: RouterProcess) -> dict[str, list[int]]:
    """Return the process ids of the living children by role, asked from the system, not from the router."""
    import psutil

    found: dict[str, list[int]] = {}
    for process in router.tree()[1:]:
        try:
            module = next(word for word in process.cmdline() if word.startswith("router.processes."))
        except (psutil.NoSuchProcess, StopIteration):
            continue
        found.setdefault(module.rpartition(".")[2], []).append(process.pid)
    return found


def restart(router: RouterProcess) -> None:
    """Kill whatever is left of the router and start it again."""
    try:
        router.kill_everything()
    except PeerFailed:
        router.kill_everything()
    router.start()


def shorter(counts: Mapping[str, int]) -> str:
    """Write a count of words as text."""
    return ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
