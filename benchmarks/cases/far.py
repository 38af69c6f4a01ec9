"""Question: does the asynchronous operations window make up for a long way?

Method: a link of 50 ms round-trip time between router and sink (peers/far_link), one outbound association,
2 kB objects; the sink grants a window of 16, and the router uses it (`operations_max = 16`) or does not
(1), in paired rounds. `ack = "delivered"`: the sender waits for the far answer, with enough operations
under way. What would make it lie: a first instance that waits for the association to be made; rounds must
be long beside 150 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.cases.case import Options, Row, compare, rates_text, ratio, work_of
from benchmarks.peers.far_link import far_link
from router.bench.process import PeerProcess
from router.bench.relays import Relay
from router.bench.router_relay import RouterSetup, router_relay

NAME = "far"
ROUND_TRIP_MS = 50.0
WINDOW = 16
BAR = 10.0


def run(options: Options) -> list[Row]:
    """Measure both windows."""
    relays = {f"window {window}": _far(window) for window in (1, WINDOW)}
    results = compare(relays, work_of("small", options, associations=4, window=16), options)
    value, noise = ratio(results, f"window {WINDOW}", "window 1")
    title = "50 ms round trip, window 16, times window 1"
    return [Row(title, value, "x", (">=", BAR), noise, rates_text(results))]


def _far(window: int) -> Relay:
    @contextmanager
    def run_far(sink_ports: list[int], directory: Path) -> Iterator[PeerProcess]:
        directory.mkdir(parents=True, exist_ok=True)
        with far_link(sink_ports[0], ROUND_TRIP_MS, directory) as link:
            setup = RouterSetup("delivered", associations=1, operations=window)
            with router_relay(setup, [link.port], directory) as peer:
                yield peer

    return run_far
