"""What runs short or goes wrong around the router: disk, descriptors, memory, the clock.

Each scenario insists on the same: while the cause lasts nothing is acknowledged that is not kept, and when it
goes away instances are taken again, by the same processes wherever the volume itself has not failed.
"""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from benchmarks.peers.process import HOST, PeerFailed
from router.processes.watermark import REFUSING_S
from tests.support.fast_peers import wait_until
from tests.support.mounts import loop_image, run, small_tmpfs
from tests.support.strace import tampering
from tests.system.stand import Outcome, Stand, roles_alive, stand

REFUSED_S = 60.0
AGAIN_S = 60.0
HELD_S = 3.0
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
CLOCK_JUMPS = ("+90000", "-90000", "+31536000", "-40", "+0")
SLOW_DISK_S = 4.0
STRANGERS = 40
TRIES = 4
BALLAST_BYTES_MIN = 20 << 20


def disk_full(directory: Path) -> Outcome:
    """Fill a small file system, first with instances nobody takes, then with a stranger's file."""
    with small_tmpfs(directory, 64) as disk, stand(directory, spool_at=disk.place / "spool") as here:
        here.close_gate()
        stop = here.load(kind="ct", pause_s=0.0, reconnect_s=240)
        _wait_refused(here)
        time.sleep(HELD_S)
        here.open_gate()
        _wait_taken_again(here)
        stop.touch()
        # Once all is delivered and deleted, only the stranger's file takes the room.
        _wait_delivered(here, here.acknowledged())
        wait_until(lambda: disk.free_bytes() > BALLAST_BYTES_MIN, AGAIN_S, here.router.log)
        here.close_gate()
        ballast = disk.place / "ballast"
        _fill(ballast)
        stop = here.load(kind="ct", pause_s=0.0, reconnect_s=240)
        _wait_refused(here)
        time.sleep(HELD_S)
        ballast.unlink()
        here.wait_acknowledged(1, AGAIN_S)
        here.open_gate()
        _wait_taken_again(here)
        outcome = _same_processes(here, "disk full (tmpfs)", stop)
        _insist_on_firm_refusals(here, outcome.seconds)
        return outcome


def thin_disk_full(directory: Path) -> Outcome:
    """Let the storage beneath a file system run out, which shows as an error at the sync; then enlarge it."""
    with (
        small_tmpfs(directory, 40, "store") as store,
        loop_image(directory, image_in=store.place) as disk,
        stand(directory, spool_at=disk.place / "spool") as here,
    ):
        here.close_gate()
        stop = here.load(kind="ct", pause_s=0.0, reconnect_s=240)
        _wait_refused(here)
        here.router.kill_everything()
        disk.umount()
        run("mount", "-o", "remount,size=400m", str(store.place))
        _repair(str(disk.source))
        disk.mount()
        here.router.start()
        here.open_gate()
        _wait_taken_again(here)
        outcome = here.settle("thin disk full (EIO at the sync)", stop)
        here.router.stop()
        return outcome


def read_only(directory: Path) -> Outcome:
    """Let ext4 find an error of its own and turn read-only; then repair it."""
    with loop_image(directory) as disk, stand(directory, spool_at=disk.place / "spool") as here:
        here.close_gate()
        stop = here.load(reconnect_s=240)
        here.wait_acknowledged(50)
        with here.blackout():
            disk.abort()
        _wait_refused(here)
        here.router.kill_everything()
        disk.umount()
        _repair(str(disk.source))
        disk.mount()
        here.router.start()
        _wait_taken_again(here)
        outcome = here.settle("file system turns read-only", stop)
        here.router.stop()
        return outcome


def slow_disk(directory: Path, delays_ms: tuple[int, ...] = (10, 200)) -> Outcome:
    """Let every sync of the worker take longer."""
    with stand(directory) as here:
        stop = here.load(associations=8)
        for delay_ms in delays_ms:
            pid = roles_alive(here.router)["worker"][0]
            with tampering(directory, pid, "fdatasync,fsync", f"delay_enter={delay_ms * 1000}") as done:
                time.sleep(SLOW_DISK_S)
                here.wait_acknowledged(10)
            if not done.count:
                raise PeerFailed("no sync was delayed")
        outcome = _same_processes(here, "slow disk", stop)
        outcome.note = ", ".join(f"{delay} ms" for delay in delays_ms)
        return outcome


def few_descriptors(directory: Path) -> Outcome:
    """Leave the acceptor, then the worker, no descriptors beyond those they have, with strangers knocking."""
    with stand(directory) as here, ExitStack() as strangers:
        stop = here.load(associations=4, reconnect_s=240)
        here.wait_acknowledged(50)
        for role in ("acceptor", "worker"):
            with _limited(roles_alive(here.router)[role][0], resource.RLIMIT_NOFILE, 2, _descriptors):
                for _ in range(STRANGERS):
                    strangers.enter_context(_knock(here.router.port))
                here.send("ONE", 7000 + len(role), kind="mr", count=20, timeout=20, reconnect_s=20)
                time.sleep(HELD_S)
            strangers.close()
            _wait_taken_again(here)
        return _same_processes(here, "no descriptors left", stop)


def little_memory(directory: Path) -> Outcome:
    """Let the allocations of worker and acceptor fail; a process that ends by it is started again."""
    with stand(directory) as here:
        stop = here.load(kind="ct", associations=2, reconnect_s=240)
        here.wait_acknowledged(20)
        for role in ("worker", "acceptor"):
            with _limited(roles_alive(here.router)[role][0], resource.RLIMIT_AS, 1 << 20, _address_space):
                here.send("TWO", 7100 + len(role), multiframe_bytes=16 << 20, timeout=20, reconnect_s=20)
                time.sleep(HELD_S)
            _wait_taken_again(here)
        outcome = here.settle("no memory left", stop, 2)
        here.router.stop()
        return outcome


def clock_jumps(directory: Path, jumps: Sequence[str] = CLOCK_JUMPS) -> Outcome:
    """Set the wall clock back and forth by up to a year while something is always owed and retried."""
    clock = directory / "clock"
    clock.write_text("+0\n")
    environment = {
        "LD_PRELOAD": FAKETIME,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }
    with stand(directory, environment=environment) as here:
        stop = here.load()
        for jump in jumps:
            here.close_gate()
            here.wait_acknowledged(20)
            clock.write_text(f"{jump}\n")
            time.sleep(1.5)
            here.wait_acknowledged(20)
            here.open_gate()
            _wait_delivered(here, here.acknowledged())
        outcome = _same_processes(here, "clock jumps", stop)
        outcome.runs, outcome.note = len(jumps), "by up to a year"
        return outcome


def _same_processes(here: Stand, scenario: str, stop: Path) -> Outcome:
    """Settle; insist that no process had to be restarted."""
    outcome = here.settle(scenario, stop)
    restarts = here.router.metric("dicom_router_process_restarts_total")
    if restarts:
        raise PeerFailed(f"{scenario}: {restarts:g} restarts\n{here.router.log()}")
    here.router.stop()
    return outcome


def _wait_refused(here: Stand) -> None:
    """Wait until for more than a second everybody tries and nobody is acknowledged."""
    end = time.monotonic() + REFUSED_S
    while time.monotonic() < end:
        acknowledged, turned_away = here.acknowledged(), here.turned_away()
        time.sleep(1.5)
        # The first answers may have been given before.
        if here.turned_away() > turned_away + TRIES and here.acknowledged() == acknowledged:
            return
    raise PeerFailed(f"instances are still taken\n{here.router.log()}")


def _insist_on_firm_refusals(here: Stand, seconds: float) -> None:
    """Insist that the spool does not turn round with every segment that becomes free."""
    log = here.router.log_path.read_text(errors="replace")
    turns = sum("spool=spool_full" in line and "room=main" in line for line in log.splitlines())
    if turns > 2 + seconds / REFUSING_S:
        raise PeerFailed(f"the spool ran full {turns} times in {seconds:.0f} s\n{here.router.log()}")


def _wait_taken_again(here: Stand) -> None:
    here.wait_acknowledged(10, AGAIN_S)


def _wait_delivered(here: Stand, count: int) -> None:
    wait_until(
        lambda: len(here.slow.taken()) >= count,
        AGAIN_S,
        lambda: f"{len(here.slow.taken())} of {count} are delivered\n{here.router.log()}",
    )


def _fill(path: Path) -> None:
    """Write until the file system is full."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            return


def _repair(image: str) -> None:
    """Check a file system as a boot would; what it had to mend is no failure."""
    try:
        run("e2fsck", "-p", image)
    except PeerFailed:
        run("e2fsck", "-p", image)


@contextmanager
def _limited(pid: int, what: int, spare: int, used: object) -> Iterator[None]:
    """Limit a process to what it uses now and `spare` more."""
    assert callable(used)
    old = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (used(pid) + spare, old[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, what, old)


def _descriptors(pid: int) -> int:
    return max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 1


def _address_space(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


@contextmanager
def _knock(port: int) -> Iterator[None]:
    """Connect and say nothing."""
    sock = socket.socket()
    sock.settimeout(2)
    with suppress(OSError):
        sock.connect((HOST, port))
    try:
        yield
    finally:
        sock.close()
