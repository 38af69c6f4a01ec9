"""Command sets by the octet, both ways, and what is refused."""

from __future__ import annotations

import struct

import pytest

from tests.codec.octets import implicit_element

ECHO_RQ = bytes.fromhex(
    "0000 0000 04000000 38000000"
    "0000 0200 12000000 312e322e3834302e31303030382e312e3100"  # 1.2.840.10008.1.1 and a NUL
    "0000 0001 02000000 3000"
    "0000 1001 02000000 0700"
    "0000 0008 02000000 0101"
)
ECHO_RQ_FIELDS = {0x0002: "1.2.840.10008.1.1", 0x0100: 0x0030, 0x0110: 7, 0x0800: 0x0101}


@pytest.fixture
def c(codec):
    return codec.command


def test_an_echo_request_is_encoded_by_the_octet(c):
    assert c.encode_command(ECHO_RQ_FIELDS) == ECHO_RQ


def test_an_echo_request_is_decoded_without_its_group_length(c):
    assert c.decode_command(ECHO_RQ) == ECHO_RQ_FIELDS


def test_the_order_of_the_fields_does_not_matter_to_the_encoding(c):
    assert c.encode_command(dict(reversed(ECHO_RQ_FIELDS.items()))) == ECHO_RQ


def test_a_given_group_length_is_computed_anew(c):
    assert c.encode_command(ECHO_RQ_FIELDS | {0: 9999}) == ECHO_RQ


def test_no_fields_are_a_group_length_of_zero(c):
    assert c.encode_command({}) == bytes.fromhex("0000 0000 04000000 00000000")
    assert c.decode_command(b"") == {}


@pytest.mark.parametrize("buffer", [bytearray(ECHO_RQ), memoryview(b"." + ECHO_RQ)[1:]])
def test_any_buffer_is_decoded(c, buffer):
    assert c.decode_command(buffer) == ECHO_RQ_FIELDS


@pytest.mark.parametrize(
    ("tag", "octets", "value"),
    [
        (0x0900, b"\x00\xa7", 0xA700),
        (0x0900, b"", ()),
        (0x0900, b"\1\0\2\0", (1, 2)),
        (0x0901, b"\x08\x00\x18\x00", (0x00080018,)),
        (0x0901, b"\x08\x00\x18\x00\xe0\x7f\x10\x00", (0x00080018, 0x7FE00010)),
        (0x1005, b"", ()),
        (0x0902, b"no room ", "no room"),
        (0x0902, b"\xe9t\xe9\0", "\xe9t\xe9"),
        (0x1030, b"STORE   ", "STORE"),
        (0x1030, b"  STORE ", "  STORE"),
        (0x1000, b"1.2\0/../x\0", "1.2\0/../x"),
        (0x1000, b"\0\0", ""),
        (0x0010, b"raw ", b"raw "),
        (0xFFFF, b"", b""),
    ],
)
def test_each_value_representation_is_decoded(c, tag, octets, value):
    decoded = c.decode_command(implicit_element(tag, octets))
    assert decoded == {tag: value}
    assert type(decoded[tag]) is type(value)


@pytest.mark.parametrize(
    ("tag", "value", "octets"),
    [
        (0x0900, (1, 2), b"\1\0\2\0"),
        (0x0900, [], b""),
        (0x0901, (0x00080018,), b"\x08\x00\x18\x00"),
        (0x0901, 0x7FE00010, b"\xe0\x7f\x10\x00"),
        (0x0902, "abc", b"abc "),
        (0x0600, "AE\xe9", b"AE\xe9 "),
        (0x1000, "1.2", b"1.2\0"),
        (0x0010, b"abc", b"abc\0"),
        (0x0100, b"\1\2", b"\1\2"),
        (0x0010, "abc", b"abc "),
    ],
)
def test_each_value_representation_is_encoded_and_padded(c, tag, value, octets):
    assert c.encode_command({tag: value})[12:] == implicit_element(tag, octets)


@pytest.mark.parametrize(
    ("octets", "reason", "offset"),
    [
        (ECHO_RQ[:-1], "takes 2 bytes, 1 left", len(ECHO_RQ) - 6),
        (ECHO_RQ + b"\0" * 7, "head takes 8 bytes, 7 left", len(ECHO_RQ)),
        (implicit_element(0x0100, b"\1\0", length=0xFFFFFFFF), "takes 4294967295 bytes, 2 left", 4),
        (implicit_element(0x00080018, b""), "group 0008", 0),
        (implicit_element(0x0110, b"\1\0") + implicit_element(0x0100, b"\1\0"), "ascending", 10),
        (implicit_element(0x0110, b"\1\0") * 2, "ascending", 10),
        (implicit_element(0x0100, b"\1"), "length 1 does not fit", 4),
        (implicit_element(0x0000, b"\1\0"), "length 2 does not fit", 4),
        (implicit_element(0x0000, bytes(8)), "length 8 does not fit", 4),
        (implicit_element(0x0901, bytes(6)), "length 6 does not fit", 4),
    ],
)
def test_a_malformed_command_set_is_refused_with_its_offset(c, octets, reason, offset):
    with pytest.raises(ValueError, match=reason) as caught:
        c.decode_command(octets)
    assert caught.value.args[1] == offset


@pytest.mark.parametrize(
    ("fields", "reason", "tag"),
    [
        ({0x00080018: "1.2"}, "outside group 0000", 0x00080018),
        ({-1: 1}, "outside group 0000", -1),
        ({0x0100: 0x10000}, r"outside 0\.\.65535", 0x0100),
        ({0x0100: -1}, r"outside 0\.\.65535", 0x0100),
        ({0x0901: 1 << 32}, r"outside 0\.\.FFFFFFFF", 0x0901),
        ({0x0100: "1"}, "text for a command element of numbers", 0x0100),
        ({0x0902: 1}, "numbers for a command element of text", 0x0902),
        ({0x0010: (1,)}, "unknown VR", 0x0010),
        ({0x0902: "\u2713"}, "Latin-1", 0x0902),
    ],
)
def test_what_an_element_cannot_hold_is_refused_with_its_tag(c, fields, reason, tag):
    with pytest.raises(ValueError, match=reason) as caught:
        c.encode_command(fields)
    assert caught.value.args[1] == tag


def test_every_number_element_of_the_standard_is_known(c):
    from router.standard.dimse_fields import VRS

    for tag, vr in VRS.items():
        value = {"US": 513, "AT": (0x00080018,), "UI": "1.2.3", "AE": "AE", "LO": "text"}.get(vr)
        if value is not None:
            octets = c.encode_command({tag: value})
            assert c.decode_command(octets) == {tag: value}, hex(tag)
            assert struct.unpack_from("<HH", octets, 12) == (0, tag)
