"""Power loss at random moments under load: what was synced is there, nothing else."""

from __future__ import annotations

import random
import time
from pathlib import Path

from tests.support.mounts import loop_image
from tests.system.stand import Outcome, stand

GAP_S = (0.05, 0.8)
GATE_OPENS_EVERY = 8
"""Losses between two openings of the gate, so that the spool neither runs empty nor full."""


def lose_power_at_random(
    directory: Path, losses: int, seed: int, kind: str = "ext4", deadline_s: float = 1e9, **spool: object
) -> Outcome:
    """Lose power so many times (or as often as the deadline lets). Raises BrokenPromise.

    spool: settings of the router's spool.
    """
    draw = random.Random(seed)
    end = time.monotonic() + deadline_s
    done = 0
    with loop_image(directory, kind) as disk:
        with stand(directory, spool_at=disk.place / "spool", spool=spool) as here:
            stop = here.load()
            here.close_gate()
            here.wait_acknowledged(30)
            while done < losses and time.monotonic() < end:
                time.sleep(draw.uniform(*GAP_S))
                with here.blackout():
                    disk.lose_power()
                # A success that leaves later, with the disk gone, would be a lie that the books show.
                time.sleep(draw.uniform(0, 0.6))
                here.router.kill_everything()
                disk.restore_power()
                here.router.start()
                done += 1
                here.wait_acknowledged(10)
                if done % GATE_OPENS_EVERY == 0:
                    here.open_gate()
                elif done % GATE_OPENS_EVERY == 1:
                    here.close_gate()
            outcome = here.settle(f"power loss, {kind}", stop, done)
            here.router.stop()
            outcome.seeds = [seed]
            return outcome
