"""Invariant: both readers report the same events at the same octets, however the stream is cut.

Allowed exceptions: none.
"""

from __future__ import annotations

import itertools

import _codec.framing
import router.wire.reference.framing
from tests.codec.octets import COMMAND, LAST, message, pdata, pdu, pdv
from tests.differential.test_framing_twins import trace
from tests.differential.twins import octet_by_octet
from tests.fuzz.octets import Octets

CONTEXTS = ((1, 3), (1,), ())
OCTET_BY_OCTET_MAX = 2000


def check(data: bytes) -> None:
    """Feed one stream whole, in pieces and octet by octet."""
    octets = Octets(data)
    contexts, sink_bytes = CONTEXTS[octets.number(3)], 1 + octets.number(20)
    cuts = [octets.number(200) for _ in range(4)]
    stream = octets.rest()
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    splits = [[stream], [stream[a:b] for a, b in itertools.pairwise(edges)]]
    if len(stream) <= OCTET_BY_OCTET_MAX:
        splits.append(octet_by_octet(stream))
    expected = trace(_codec.framing, contexts, sink_bytes, [stream])
    for split in splits:
        assert trace(_codec.framing, contexts, sink_bytes, split) == expected
        assert trace(router.wire.reference.framing, contexts, sink_bytes, split) == expected


def seeds() -> list[bytes]:
    """Return streams that begin well."""
    head = bytes([0, 6, 10, 20, 30, 40])
    return [
        head + message(b"\1C", b"dataset!" * 5, 1, 7) * 2,
        head + message(b"\0C", None, 3) + pdu(5, bytes(4)),
        head + pdu(1, bytes(range(80))) + pdata(),
        head + pdata(pdv(1, COMMAND, b"\1"), pdv(1, COMMAND | LAST, b"x")) + pdata(pdv(1, LAST, b"data")),
        head + pdata(pdv(1, COMMAND, b"")) * 70,
    ]
