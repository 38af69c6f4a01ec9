"""Question: does sending every CT to three destinations cost more than three times one?

Method: one router that forwards to one sink and one that forwards to three, both `ack = "delivered"`, in
paired rounds; deliveries/s are compared. What would make it lie: three sinks share the two cores with the
router.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.cases.case import Options, Row, compare, rates_text, ratio, work_of
from router.bench.process import PeerProcess
from router.bench.relays import Relay, by_router
from router.bench.router_relay import RouterSetup

NAME = "fanout"
SINKS = 3
BAR = 0.8


def run(options: Options) -> list[Row]:
    """Measure the single destination and the three in paired rounds."""
    relays: dict[str, Relay] = {"one": _first_only, "three": by_router(RouterSetup())}
    results = compare(relays, work_of("ct", options), options, sinks=SINKS, sinks_of={"one": 1})
    value, noise = ratio(results, "three", "one", factor=SINKS)
    detail = rates_text(results)
    return [Row("CT to 3 destinations, deliveries/s, of one's", value, "", (">=", BAR), noise, detail)]


@contextmanager
def _first_only(sink_ports: list[int], directory: Path) -> Iterator[PeerProcess]:
    with by_router(RouterSetup())(sink_ports[:1], directory) as peer:
        assert isinstance(peer, PeerProcess)
        yield peer
