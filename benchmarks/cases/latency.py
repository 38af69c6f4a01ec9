"""Question: how much later does an answer come through the router than through HAProxy, when nothing else
waits?

Method: one association, one 2 kB object under way, `ack = "delivered"`; the difference of the medians of
each round. What would make it lie: on an idle machine most of it is the wake-up of sleeping cores, which
differs from machine to machine and from moment to moment; look at the noise.
"""

from __future__ import annotations

import statistics

from benchmarks.cases.case import Options, Row, compare, median_and_noise, work_of
from benchmarks.peers.relays import RELAYS

NAME = "latency"
BAR_US = 250.0


def run(options: Options) -> list[Row]:
    """Measure the median of both in paired rounds."""
    names = ("haproxy", "router-delivered")
    results = compare(
        {name: RELAYS[name] for name in names}, work_of("small", options, associations=1), options
    )
    rounds = [results[name]["rounds"][1:] for name in names]
    added = [b["latency_p50_us"] - a["latency_p50_us"] for a, b in zip(*rounds, strict=True)]
    value, noise = median_and_noise(added)
    medians = ", ".join(
        f"{name} {statistics.median(one['latency_p50_us'] for one in found):,.0f} us"
        for name, found in zip(names, rounds, strict=True)
    )
    return [Row("added latency p50, one association, 2 kB", value, "us", ("<=", BAR_US), noise, medians)]
