"""Question: how much memory does an open association cost that does nothing?

Method: the proportional set size of the router's process tree before and with so many associations open,
each of which has stored one object. What would make it lie: memory that the router keeps free for later
counts too, so the first hundred associations are opened before the first look.
"""

from __future__ import annotations

import socket
import tempfile
import time
from pathlib import Path

from benchmarks.cases.case import Options, Row
from router.bench import wire
from router.bench.controls import SinkControl, run_sender
from router.bench.instances import template
from router.bench.process import HOST
from router.bench.requestor import read_pdu
from router.bench.router_relay import RouterSetup, router_relay
from router.bench.work import Work

NAME = "idle"
FIRST = 100
MORE = 400
SETTLE_S = 1.0
BAR_KB = 40.0


def run(options: Options) -> list[Row]:
    """Measure once."""
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        directory = Path(name)
        with (
            SinkControl.start([], directory) as sink,
            router_relay(RouterSetup(), [sink.port], directory) as router,
        ):
            run_sender((HOST, router.port), Work(count=100, called="ROUTER"), directory)
            held = [associate(router.port) for _ in range(FIRST)]
            time.sleep(SETTLE_S)
            before = router.memory_bytes()
            held += [associate(router.port) for _ in range(MORE)]
            time.sleep(SETTLE_S)
            after = router.memory_bytes()
            for sock in held:
                sock.close()
    each_kb = (after - before) / MORE / 1000
    options.say(f"  {MORE} more associations: {before / 1e6:.1f} MB, then {after / 1e6:.1f} MB")
    detail = f"{MORE} more associations, {before / 1e6:.0f} to {after / 1e6:.0f} MB"
    return [Row("memory per open idle association", each_kb, "kB", ("<=", BAR_KB), 0.0, detail)]


def associate(port: int) -> socket.socket:
    """Open an association that does nothing."""
    kind = template("small")
    sock = socket.create_connection((HOST, port), timeout=30)
    sock.sendall(wire.associate_rq("ROUTER", "IDLE", [(1, kind.sop_class, [kind.transfer_syntax])], 1 << 18))
    read_pdu(sock, wire.ASSOCIATE_AC)
    return sock
