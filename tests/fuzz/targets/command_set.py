"""Invariant: both codecs decode a command set alike, errors and offsets included; what was decoded can be
encoded again, alike, and from then on nothing changes.

Allowed exceptions: ValueError(reason, offset), alike, from decoding; ValueError or TypeError, alike, from
encoding what a peer sent.
"""

from __future__ import annotations

import _codec.command
import router.wire.reference.command
from tests.differential.twins import outcome
from tests.support.raw_peer import echo_rq, store_rq

TWINS = (_codec.command, router.wire.reference.command)


def check(data: bytes) -> None:
    """Decode one command set."""
    results = [outcome(module.decode_command, data) for module in TWINS]
    assert results[0] == results[1]
    if results[0][0] != "result":
        assert isinstance(results[0][1][0], str)
        assert 0 <= results[0][1][1] <= len(data)
        return
    encoded = [outcome(module.encode_command, results[0][1]) for module in TWINS]
    assert encoded[0] == encoded[1]
    if encoded[0][0] == "result":
        again = _codec.command.decode_command(encoded[0][1])
        assert _codec.command.encode_command(again) == encoded[0][1]


def seeds() -> list[bytes]:
    """Return the commands that are sent most."""
    offsets = {**store_rq(), 0x00000901: (0x00100010, 0x00100020), 0x00000902: "a comment"}
    return [_codec.command.encode_command(fields) for fields in (echo_rq(), store_rq(), offsets)]
