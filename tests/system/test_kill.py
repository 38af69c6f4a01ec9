"""`kill -9` of each process during load: whatever was acknowledged reaches every destination, unchanged.

Two destinations: one takes at once, one lags behind, so that there is always something owed when the kill
comes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from tests.support.fast_peers import FastSender, FastSink, fast_sender, fast_sink
from tests.support.ledger import compare
from tests.support.ram_disk import ram_folder
from tests.support.router_process import RouterProcess, router_process

pytestmark = pytest.mark.system

COUNT = 4000
KILLS_AT = (300, 1500, 2500)  # acknowledged instances
AHEAD = 500  # instances that may be sent beyond those, so that the load is not over when the kill comes
RECONNECT_S = 40


def kill_child(role: str) -> Callable[[RouterProcess], None]:
    """Return a step that kills a child and waits for its successor."""

    def step(router: RouterProcess) -> None:
        router.wait_restarted(role, router.kill(role))

    return step


def kill_supervisor(router: RouterProcess) -> None:
    """Kill the supervisor, see its children follow, start again."""
    router.kill_supervisor()
    router.start()


def kill_everything(router: RouterProcess) -> None:
    """Kill all processes at once and start again."""
    router.kill_everything()
    router.start()


STEPS = {
    "worker": kill_child("worker"),
    "acceptor": kill_child("acceptor"),
    "admin": kill_child("admin"),
    "supervisor": kill_supervisor,
    "everything": kill_everything,
}


def mr_sender(
    directory: Path, router: RouterProcess, **options: object
) -> AbstractContextManager[FastSender]:
    """Send 1,200 MRs, until the kills no more than a few hundred beyond the first of them."""
    return fast_sender(
        directory,
        router.port,
        allowed=200 + AHEAD,
        **{"kind": "mr", "count": 1200, "reconnect_s": RECONNECT_S, "timeout": 30, **options},
    )


@pytest.mark.parametrize("victim", STEPS)
def test_nothing_acknowledged_is_lost_when_it_is_killed(tmp_path: Path, victim: str) -> None:
    with ExitStack() as stack:
        fast = stack.enter_context(fast_sink(tmp_path, "fast"))
        slow = stack.enter_context(fast_sink(tmp_path, "slow", delay_s=0.004))
        router = stack.enter_context(router_process(tmp_path, {"FAST": fast.port, "SLOW": slow.port}))
        sender = stack.enter_context(
            fast_sender(
                tmp_path,
                router.port,
                kind="small",
                count=COUNT,
                allowed=KILLS_AT[0] + AHEAD,
                associations=4,
                reconnect_s=RECONNECT_S,
                timeout=30,
            )
        )
        kill_during_load(router, sender, STEPS[victim], KILLS_AT)
        settle(router, sender, fast, slow)


@pytest.mark.parametrize("victim", ["worker", "acceptor", "everything"])
def test_nothing_is_lost_with_two_of_each_and_an_async_window(tmp_path: Path, victim: str) -> None:
    with ExitStack() as stack:
        fast = stack.enter_context(fast_sink(tmp_path, "fast", window=8))
        slow = stack.enter_context(fast_sink(tmp_path, "slow", delay_s=0.004))
        router = stack.enter_context(
            router_process(
                tmp_path, {"FAST": fast.port, "SLOW": slow.port}, router={"acceptors": 2, "workers": 2}
            )
        )
        sender = stack.enter_context(mr_sender(tmp_path, router, associations=6, window=8))
        kill_during_load(router, sender, STEPS[victim], (200, 700))
        settle(router, sender, fast, slow)


@pytest.mark.parametrize("victim", ["worker", "everything"])
def test_processes_that_are_killed_lose_nothing_on_a_ram_disk(tmp_path: Path, victim: str) -> None:
    """What is written past the system calls outlives who wrote it; a small segment is written again often."""
    with ExitStack() as stack:
        ram = stack.enter_context(ram_folder())
        fast = stack.enter_context(fast_sink(tmp_path, "fast"))
        slow = stack.enter_context(fast_sink(tmp_path, "slow", delay_s=0.004))
        spool = {"path": str(ram / "spool"), "fsync": False, "segment_mb": 16}
        router = stack.enter_context(
            router_process(tmp_path, {"FAST": fast.port, "SLOW": slow.port}, spool=spool)
        )
        sender = stack.enter_context(mr_sender(tmp_path, router, associations=4))
        kill_during_load(router, sender, STEPS[victim], (200, 700))
        settle(router, sender, fast, slow)


def test_spilled_objects_survive_a_kill_of_everything(tmp_path: Path) -> None:
    with ExitStack() as stack:
        sink = stack.enter_context(fast_sink(tmp_path, delay_s=0.05))
        router = stack.enter_context(router_process(tmp_path, {"SINK": sink.port}, limits={"spill_mb": 1}))
        senders = [
            stack.enter_context(
                fast_sender(
                    tmp_path,
                    router.port,
                    name=f"sender-{number}",
                    multiframe_bytes=24 << 20,
                    run=number,
                    reconnect_s=RECONNECT_S,
                )
            )
            for number in range(12)
        ]
        senders[0].wait_acknowledged(1)
        router.kill_everything()
        router.start()
        sent = [attempt for sender in senders for attempt in sender.finish()]
        promised = {attempt.uid for attempt in sent if attempt.acknowledged}
        assert promised
        sink.wait_for_uids(promised)
        # An operation cut off while its dataset was on the way has no digest: it may not arrive at all.
        attempted = [attempt for attempt in sent if attempt.sha256]
        result = compare(attempted, sink.received())
        assert result.kept_the_promise, str(result)


def kill_during_load(
    router: RouterProcess,
    sender: FastSender,
    step: Callable[[RouterProcess], None],
    kills_at: tuple[int, ...],
) -> None:
    """Carry out the step at each of these counts of acknowledged instances, the sender being busy."""
    for count in kills_at:
        sender.allow(count + AHEAD)
        sender.wait_acknowledged(count)
        assert sender.peer.process.poll() is None, sender.peer.log()
        step(router)
    sender.allow(None)


def settle(router: RouterProcess, sender: FastSender, *sinks: FastSink) -> None:
    """Wait for the end of sender and deliveries and compare the books of every destination."""
    sent = sender.finish(120)
    promised = {attempt.uid for attempt in sent if attempt.acknowledged}
    assert promised
    for sink in sinks:
        sink.wait_for_uids(promised, 120)
        result = compare(sent, sink.received())
        assert result.kept_the_promise, f"{sink.peer.name}: {result}"
    # The dead leave nothing behind that keeps the living from stopping in order.
    router.stop()
