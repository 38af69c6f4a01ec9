"""Invariant: a dataset in any buffers is cut alike by both twins, in PDUs no longer than the peer's maximum
and fragments of even length but the last, and a reader gets back the bytes that went in.

Allowed exceptions: ValueError, alike, for a maximum that leaves no room and for an odd part before the last.
"""

from __future__ import annotations

import _codec.framing
import _codec.pdata
import router.wire.reference.pdata
from tests.codec.octets import COMMAND, LAST, pdata, pdv
from tests.differential.twins import outcome
from tests.fuzz.octets import Octets

TWINS = (_codec.pdata, router.wire.reference.pdata)
OVERHEAD_BYTES = 6


def check(data: bytes) -> None:
    """Cut one dataset."""
    octets = Octets(data)
    context_id, maximum, is_last = octets.number(256), octets.number(600), bool(octets.number(4))
    parts = octets.pieces(octets.rest())
    results = [
        outcome(
            lambda module=module: list(map(bytes, module.dataset_pdus(context_id, parts, maximum, is_last)))
        )
        for module in TWINS
    ]
    assert results[0] == results[1]
    heads = [outcome(module.command_pdus, context_id, b"".join(parts), maximum) for module in TWINS]
    assert heads[0] == heads[1]
    if results[0][0] != "result":
        return
    stream, whole = b"".join(results[0][1]), b"".join(parts)
    assert _sizes_are_right(stream, maximum, is_last)
    if is_last and context_id % 2:
        assert _read_back(context_id, stream, len(whole)) == whole


def _sizes_are_right(stream: bytes, maximum: int, is_last: bool) -> bool:
    at, is_right = 0, True
    while at < len(stream):
        length = int.from_bytes(stream[at + 2 : at + 6], "big")
        payload = length - OVERHEAD_BYTES
        last = bool(stream[at + 11] & LAST)
        at += 6 + length
        is_right = is_right and (not maximum or length <= maximum) and (last or payload % 2 == 0)
        is_right = is_right and last == (is_last and at == len(stream))
    return is_right and at == len(stream)


def _read_back(context_id: int, stream: bytes, size: int) -> bytes:
    reader = _codec.framing.PduReader(0)
    reader.set_contexts([context_id])
    sink = bytearray(size + 1)
    stream = pdata(pdv(context_id, COMMAND | LAST, b"c")) + stream
    at = 0
    while at < len(stream):
        event = reader.feed(stream, at, len(stream))
        at = reader.consumed
        if event == _codec.framing.COMMAND:
            reader.expect_dataset(True)
        elif event == _codec.framing.SINK_FULL:
            reader.attach(sink)
    assert event == _codec.framing.DATASET_END
    return bytes(sink[: reader.dataset_bytes])


def seeds() -> list[bytes]:
    """Return datasets of some sizes under some maxima."""
    return [
        bytes([1]) + maximum.to_bytes(2, "big") + bytes([1, 0, 3, 0, 9, 0, 50, 0, 60]) + bytes(range(200))
        for maximum in (0, 5, 8, 9, 13, 100, 599)
    ]
