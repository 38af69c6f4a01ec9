"""The tap shows the same PDUs however the bytes are split, and holds nothing back from the association."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from router.drivers.pdu_tap import PduTap
from router.protocol.association import Association, Limits
from router.protocol.upper_layer import Role
from router.wire.pdus import Abort, AssociateRQ, ReleaseRQ, encode_pdu
from tests.support.driver_pair import RQ

STREAM = [encode_pdu(RQ), encode_pdu(ReleaseRQ()), encode_pdu(Abort(0, 0))]


class Recorded(Association):
    """Record what is fed, and consume no more than `takes` bytes of it at a time."""

    def __init__(self, takes: int) -> None:
        super().__init__(Role.ACCEPTOR, Limits())
        self.takes = takes
        self.fed = b""

    def receive(self, data: object, start: int, end: int) -> int:
        assert isinstance(data, bytes)
        stop = min(end, start + self.takes)
        self.fed += data[start:stop]
        return stop


def feed(tap: PduTap, association: Association, pieces: Iterator[bytes]) -> None:
    kept = b""
    for piece in pieces:
        kept += piece
        while kept:
            kept = kept[tap.feed(kept, association) :]


@pytest.mark.parametrize("size", [1, 2, 5, 7, 100, 10_000])
@pytest.mark.parametrize("takes", [1, 9, 10_000])
def test_every_pdu_is_shown_once_and_every_byte_is_fed_once(size: int, takes: int) -> None:
    shown: list[bytes] = []
    data = b"".join(STREAM)
    association = Recorded(takes)
    tap = PduTap(shown.append, lambda _: None)
    feed(tap, association, (data[i : i + size] for i in range(0, len(data), size)))
    assert shown == STREAM
    assert association.fed == data


def test_a_pdu_is_shown_before_it_has_an_effect() -> None:
    association = Association(Role.ACCEPTOR, Limits())
    association.transport_opened()
    seen: list[AssociateRQ | None] = []
    tap = PduTap(lambda _: seen.append(association.rq), lambda _: None)
    tap.feed(STREAM[0], association)
    assert seen == [None]
    assert association.rq is not None


def test_what_is_sent_is_cut_into_pdus() -> None:
    sent: list[bytes] = []
    data = b"".join(STREAM)
    PduTap(lambda _: None, sent.append).sent([data[:9], memoryview(data)[9:50], data[50:]])
    assert sent == STREAM


def test_a_pdu_too_long_to_hold_passes_unshown() -> None:
    shown: list[bytes] = []
    association = Recorded(10_000)
    tap = PduTap(shown.append, lambda _: None)
    tap.feed(b"\x04\x00\xff\xff\xff\xff" + bytes(1000), association)
    assert shown == []
    assert len(association.fed) == 1006
