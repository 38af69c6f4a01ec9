"""Question: how long from the command to `/ready`?

Method: `serve` with an empty spool, time from starting the process until /ready answers 200, polled every
20 ms; the first start, which reads the files into memory, does not count. What would make it lie: other
load on the machine.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.cases.case import Options, Row, median_and_noise
from router.bench.router_relay import RouterSetup, router_relay

NAME = "start"
BAR_S = 1.5


def run(options: Options) -> list[Row]:
    """Start several times."""
    seconds = []
    for round_number in range(options.rounds + 1):
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            began = time.monotonic()
            with router_relay(RouterSetup(), [9], Path(directory)):
                took = time.monotonic() - began
        options.say(f"  start {round_number}: {took:.2f} s")
        if round_number:
            seconds.append(took)
    value, noise = median_and_noise(seconds)
    return [Row("start to ready", value, "s", ("<=", BAR_S), noise)]
