"""kill -9 at random moments of random processes under load, recoveries and restarts included."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from itertools import count
from pathlib import Path

from tests.system.stand import Outcome, Stand, restart, roles_alive, stand

LIFE_KILLS = 8
"""Kills in one life of the supervisor, its own the last: fewer than its restart budget allows."""

WEIGHTS = {"worker": 4, "acceptor": 3, "admin": 1}
GAP_S = (0.02, 0.7)


def kill_at_random(directory: Path, kills: int, seed: int, deadline_s: float = 1e9) -> Outcome:
    """Kill so many processes (or as many as the deadline lets); return the books. Raises BrokenPromise."""
    draw = random.Random(seed)
    done: Counter[str] = Counter()
    end = time.monotonic() + deadline_s
    with stand(directory, router={"acceptors": 2, "workers": 2}) as here:
        stop = here.load()
        here.wait_acknowledged(50)
        for life in count():
            if done.total() >= kills or time.monotonic() > end:
                break
            if life % 2 == 0:
                here.close_gate()
            else:
                here.open_gate()
            _one_life(here, draw, min(LIFE_KILLS, kills - done.total()), done)
            here.wait_acknowledged(20)
        outcome = here.settle("kill -9 at random", stop, done.total())
        here.router.stop()
        outcome.seeds, outcome.counts = [seed], dict(done)
        return outcome


def _one_life(here: Stand, draw: random.Random, kills: int, done: Counter[str]) -> None:
    for _ in range(kills - 1):
        time.sleep(draw.uniform(*GAP_S))
        role, pid = _victim(here, draw)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            done[role] += 1
    time.sleep(draw.uniform(*GAP_S))
    if draw.random() < 0.5:
        here.router.kill_supervisor()
        done["supervisor"] += 1
        here.router.start()
    else:
        restart(here.router)
        done["everything"] += 1


def _victim(here: Stand, draw: random.Random) -> tuple[str, int]:
    while True:
        alive = roles_alive(here.router)
        roles = [role for role in WEIGHTS if alive.get(role)]
        if roles:
            role = draw.choices(roles, [WEIGHTS[role] for role in roles])[0]
            return role, draw.choice(alive[role])
        time.sleep(0.02)
