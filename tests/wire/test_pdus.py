"""The seven PDUs: octets written by hand, round trips, and what a peer may send wrongly."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import LocalMisuse, PeerViolation
from router.wire.pdus import (
    Abort,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    PDataTF,
    Pdu,
    Pdv,
    ReleaseRP,
    ReleaseRQ,
    decode_pdu,
    encode_pdu,
)
from tests.support import pdu_strategies as make

SHORT_PDUS = [
    ("03 00 00000004 00 01 01 03", AssociateRJ(1, 1, 3)),
    ("03 00 00000004 00 02 03 02", AssociateRJ(2, 3, 2)),
    ("05 00 00000004 00000000", ReleaseRQ()),
    ("06 00 00000004 00000000", ReleaseRP()),
    ("07 00 00000004 00 00 00 00", Abort(0, 0)),
    ("07 00 00000004 00 00 02 06", Abort(2, 6)),
    ("04 00 00000000", PDataTF(())),
    ("04 00 00000008 00000004 01 03 CAFE", PDataTF((Pdv(1, 3, b"\xca\xfe"),))),
    (
        "04 00 0000000F 00000003 01 01 AA 00000004 FF 02 BBCC",
        PDataTF((Pdv(1, 1, b"\xaa"), Pdv(255, 2, b"\xbb\xcc"))),
    ),
]


@pytest.mark.parametrize(("octets", "pdu"), SHORT_PDUS)
def test_octets_and_value_stand_for_each_other(octets: str, pdu: Pdu) -> None:
    assert decode_pdu(bytes.fromhex(octets)) == pdu
    assert encode_pdu(pdu) == bytes.fromhex(octets)


def test_reserved_octets_are_not_tested() -> None:
    assert decode_pdu(bytes.fromhex("05 FF 00000004 DEADBEEF")) == ReleaseRQ()
    assert decode_pdu(bytes.fromhex("07 FF 00000004 FF FF 02 01")) == Abort(2, 1)
    assert decode_pdu(bytes.fromhex("03 01 00000004 FF 01 02 02")) == AssociateRJ(1, 2, 2)


def test_values_outside_the_tables_are_kept_as_sent() -> None:
    assert decode_pdu(bytes.fromhex("03 00 00000004 00 07 08 09")) == AssociateRJ(7, 8, 9)
    assert decode_pdu(bytes.fromhex("07 00 00000004 00 00 01 03")) == Abort(1, 3)


@pytest.mark.parametrize("pdu_type", [0x00, 0x08, 0x0F, 0x16, 0x47, 0xFF])
def test_unknown_pdu_type_is_an_unrecognised_pdu(pdu_type: int) -> None:
    with pytest.raises(PeerViolation) as caught:
        decode_pdu(bytes([pdu_type, 0, 0, 0, 0, 0]))
    assert (caught.value.source, caught.value.reason, caught.value.offset) == (2, 1, 0)


@pytest.mark.parametrize("pdu_type", [3, 5, 6, 7])
@pytest.mark.parametrize("length", [0, 3, 5, 200])
def test_short_pdus_have_exactly_four_bytes(pdu_type: int, length: int) -> None:
    with pytest.raises(PeerViolation, match="allowed 4") as caught:
        decode_pdu(bytes([pdu_type, 0]) + length.to_bytes(4, "big") + bytes(length))
    assert (caught.value.reason, caught.value.offset) == (6, 2)


@pytest.mark.parametrize(
    "octets",
    ["", "05", "05 00 000000", "05 00 00000004 000000", "05 00 00000004 00000000 00", "01 00 FFFFFFFF 0001"],
)
def test_pdu_length_must_be_what_follows(octets: str) -> None:
    with pytest.raises(PeerViolation) as caught:
        decode_pdu(bytes.fromhex(octets))
    assert caught.value.reason == 6


@pytest.mark.parametrize(
    ("body", "offset"),
    [
        ("00", 6),
        ("00000002 01", 6),
        ("00000000 01 03", 6),
        ("00000001 01 03", 6),
        ("00000003 01 03", 6),
        ("FFFFFFFF 01 03 00", 6),
        ("80000000 01 03 00", 6),
        ("00000003 01 03 AA 00000003 01 03", 13),
        ("00000003 01 03 AA 000000", 13),
    ],
)
def test_pdv_lengths_stay_inside_their_pdu(body: str, offset: int) -> None:
    octets = bytes.fromhex(body)
    with pytest.raises(PeerViolation) as caught:
        decode_pdu(b"\x04\x00" + len(octets).to_bytes(4, "big") + octets)
    assert (caught.value.reason, caught.value.offset) == (6, offset)


def test_empty_fragment_is_a_fragment() -> None:
    assert decode_pdu(bytes.fromhex("04 00 00000006 00000002 03 02")) == PDataTF((Pdv(3, 2, b""),))


@pytest.mark.parametrize(
    "pdu",
    [
        AssociateRJ(0, 1, 1),
        AssociateRJ(3, 1, 1),
        AssociateRJ(1, 0, 1),
        AssociateRJ(1, 1, 4),
        AssociateRJ(1, 2, 7),
        Abort(256, 0),
        Abort(0, -1),
        PDataTF((Pdv(2, 0, b""),)),
        PDataTF((Pdv(257, 0, b""),)),
        PDataTF((Pdv(1, 256, b""),)),
    ],
)
def test_what_the_standard_forbids_is_not_sent(pdu: Pdu) -> None:
    with pytest.raises(LocalMisuse):
        encode_pdu(pdu)


@given(make.pdus)
@settings(max_examples=150, deadline=None)
def test_every_pdu_survives_the_round_trip(pdu: Pdu) -> None:
    assert decode_pdu(encode_pdu(pdu)) == pdu


def violation_of(octets: bytes) -> PeerViolation | None:
    """Decode; any exception but a violation goes through and fails the test."""
    try:
        repr(decode_pdu(octets))
    except PeerViolation as violation:
        return violation
    return None


@given(make.damaged(make.pdus.map(encode_pdu)))
@settings(max_examples=300, deadline=None)
def test_damaged_octets_raise_nothing_but_a_violation_inside_the_pdu(octets: bytes) -> None:
    violation = violation_of(octets)
    if violation is not None:
        assert violation.source == 2
        assert violation.reason in {1, 6}
        assert violation.offset is not None
        assert 0 <= violation.offset <= len(octets)


@given(st.integers(0, 255), st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_random_bodies_raise_nothing_but_a_violation(pdu_type: int, body: bytes) -> None:
    violation = violation_of(bytes([pdu_type, 0]) + len(body).to_bytes(4, "big") + body)
    assert violation is None or violation.offset is not None


@given(make.associate_rqs | make.associate_acs)
@settings(max_examples=20, deadline=None)
def test_a_shortened_associate_pdu_is_a_violation_or_holds_only_whole_items(
    pdu: AssociateRQ | AssociateAC,
) -> None:
    whole = encode_pdu(pdu)
    for cut in range(6, len(whole), 7):
        try:
            decoded = decode_pdu(whole[:2] + (cut - 6).to_bytes(4, "big") + whole[6:cut])
        except PeerViolation:
            continue
        assert cut >= 74
        assert isinstance(decoded, type(pdu))
        kept = decoded.presentation_contexts
        assert kept == pdu.presentation_contexts[: len(kept)]
