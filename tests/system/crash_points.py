"""Each named crash point under load: the process dies there, stands still there, or power is lost.

Which process it is follows from the point. With power loss the process stands still at the point, the spool's
file system is shut down, and everything is killed; so the medium is as it was at that very moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from router.crash_points import POINTS, VARIABLE
from tests.support.fast_peers import wait_until
from tests.support.mounts import Mount, loop_image
from tests.system.stand import Outcome, Stand, stand

KILL, PAUSE, POWER = "kill", "pause", "power"
REACH_S = 60.0
FOREVER_S = 600
REACHED_AT = {
    "append.middle": 40,
    "checkpoint.middle": 4,
    "segment.rotate": 2,
    "reclaim.middle": 1,
    "config.swap": 1,
    "send.middle": 5,
}
"""At which arrival, where it is not this:"""
REACHED_AT_ELSE = 12
LARGE_BYTES = 8 << 20
"""An instance of which half is on the wire when the point in the middle of it is reached."""


def crash_at_points(
    directory: Path, action: str, points: Sequence[str] = tuple(POINTS), pause_s: float = 60.0
) -> Outcome:
    """Carry out the action at each point, one after the other. Raises BrokenPromise, PeerFailed."""
    with _disk(directory, action) as disk:
        at = disk.place / "spool" if disk is not None else None
        with stand(directory, spool_at=at, start=False, spool={"segment_mb": 1}) as here:
            here.router.start()
            stop = here.load(kind="small", pause_s=0.002)
            for number, point in enumerate(points):
                here.open_gate() if point == "reclaim.middle" else here.close_gate()
                _crash_at(here, point, action, number, pause_s, disk)
            outcome = here.settle(f"crash points, {action}", stop, len(points))
            here.router.stop()
            if action == PAUSE:
                outcome.scenario += f" of {pause_s:g} s"
            return outcome


@contextmanager
def _disk(directory: Path, action: str) -> Iterator[Mount | None]:
    if action != POWER:
        yield None
        return
    with loop_image(directory) as disk:
        yield disk


def _crash_at(here: Stand, point: str, action: str, number: int, pause_s: float, disk: Mount | None) -> None:
    router = here.router
    flag = here.directory / f"reached-{number}"
    order = {KILL: "kill", PAUSE: f"pause:{pause_s:g}", POWER: f"pause:{FOREVER_S}"}[action]
    router.kill_everything()
    router.environment[VARIABLE] = f"{point} {order} {REACHED_AT.get(point, REACHED_AT_ELSE)} {flag}"
    router.start(REACH_S + pause_s)
    if point == "config.swap":
        router.tables["router"]["ack_wait_s"] = 31 + number  # never what it is
        router.reload()
    if point == "send.middle":
        here.send("ONE", 9000 + number, multiframe_bytes=LARGE_BYTES, reconnect_s=60)
    wait_until(flag.exists, REACH_S, lambda: f"{point} is not reached\n{router.log()}")
    if disk is not None:
        with here.blackout():
            disk.lose_power()
        router.kill_everything()
        disk.restore_power()
    del router.environment[VARIABLE]
    if disk is not None:
        router.start()
    else:
        router.wait_ready()
    here.wait_acknowledged(20, deadline_s=REACH_S + pause_s)
