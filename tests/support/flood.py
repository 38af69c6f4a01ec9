"""A flood: connections at a steady rate from one address, each silent or asking for an association, none
closed before it must be. Run as `python -m tests.support.flood PORT RATE SECONDS [ADDRESS]`; prints what came
of it as JSON.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections import deque
from contextlib import suppress

from router.wire.pdus import encode_pdu
from tests.support.raw_peer import associate_rq

HELD_MAX = 4000
"""Connections kept open; the oldest go first."""

STEP_S = 0.01


def flood(port: int, rate: float, seconds: float, address: str) -> dict[str, float]:
    """Open rate connections a second; return how many were opened, and how many failed."""
    request = encode_pdu(associate_rq(calling_ae_title="FLOOD"))
    held: deque[socket.socket] = deque()
    opened = failed = 0
    began = time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        while opened + failed < (now - began) * rate:
            sock = socket.socket()
            sock.setblocking(False)
            try:
                sock.bind((address, 0))
                with suppress(BlockingIOError):
                    sock.connect(("127.0.0.1", port))
            except OSError:
                failed += 1
                sock.close()
                continue
            opened += 1
            held.append(sock)
            if len(held) > 50 and opened % 2:  # loopback has connected it by now
                with suppress(OSError):
                    held[-50].send(request)
            if len(held) > HELD_MAX:
                held.popleft().close()
        time.sleep(STEP_S)
    return {"opened": opened, "failed": failed, "seconds": time.monotonic() - began}


if __name__ == "__main__":
    arguments = sys.argv[1:]
    source = arguments[3] if len(arguments) > 3 else "127.0.0.2"
    print(json.dumps(flood(int(arguments[0]), float(arguments[1]), float(arguments[2]), source)), flush=True)
