"""The same attributes are read in every transfer syntax, over any chain of buffers, within bounds."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from router.routing.attributes import (
    INFLATE_HEAD_MAX_BYTES,
    SCAN_JOIN_MAX_BYTES,
    VALUE_MAX_CHARACTERS,
    VALUES_MAX,
    Wanted,
    decode_values,
    read_attributes,
)

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

SEQUENCE = 0x00081140
ROWS = 0x00280010
PRIVATE = 0x00091001
ELEMENTS: list[tuple[int, str, bytes]] = [
    (0x00080005, "CS", b"ISO_IR 192"),
    (0x00080008, "CS", b"ORIGINAL\\PRIMARY "),
    (0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.2\x00"),
    (0x00080018, "UI", b"1.2.3\x00"),
    (0x00081030, "LO", "Hüfte ".encode()),
    (SEQUENCE, "SQ", b""),
    (PRIVATE, "LO", b"private "),
    (0x00100020, "LO", b""),
    (0x00180050, "DS", b" 2.50 "),
    (0x0020000D, "UI", b"1.2.3.4\x00"),
    (0x0020000E, "UI", b"1.2.3.4.5\x00"),
    (ROWS, "US", b"\x00\x02"),
    (0x7FE00010, "OW", bytes(3000)),
]
VALUES = {
    0x00080005: ("ISO_IR 192",),
    0x00080008: ("ORIGINAL", "PRIMARY"),
    0x00080016: ("1.2.840.10008.5.1.4.1.1.2",),
    0x00080018: ("1.2.3",),
    0x00081030: ("Hüfte",),
    PRIVATE: ("private",),
    0x00100020: ("",),
    0x00180050: ("2.50",),
    0x0020000D: ("1.2.3.4",),
    0x0020000E: ("1.2.3.4.5",),
    ROWS: ("512",),
}
WANTED = Wanted.of(
    {
        0x00080008: "CS",
        0x00081030: "LO",
        0x00100010: "PN",
        0x00100020: "LO",
        0x00180050: "DS",
        ROWS: "US",
        PRIVATE: "UN",
    }
)


def encoded(implicit: bool, big: bool) -> bytes:
    """Encode ELEMENTS; the sequence has undefined lengths and an item whose element must not be found."""
    order = ">" if big else "<"

    def head(tag: int, vr: str, length: int) -> bytes:
        start = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
        if implicit or tag >> 16 == 0xFFFE:
            return start + struct.pack(f"{order}I", length)
        if vr in ("SQ", "OW"):
            return start + vr.encode() + b"\x00\x00" + struct.pack(f"{order}I", length)
        return start + vr.encode() + struct.pack(f"{order}H", length)

    parts = []
    for tag, vr, value in ELEMENTS:
        if vr == "SQ":
            parts += [head(tag, vr, 0xFFFFFFFF), head(0xFFFEE000, "", 0xFFFFFFFF)]
            parts += [head(ROWS, "US", 2), b"\xff\xff", head(0xFFFEE00D, "", 0), head(0xFFFEE0DD, "", 0)]
        else:
            parts += [head(tag, vr, len(value)), value[::-1] if vr == "US" and big else value]
    return b"".join(parts)


def deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


DATASETS = {
    IMPLICIT: encoded(True, False),
    EXPLICIT: encoded(False, False),
    BIG_ENDIAN: encoded(False, True),
    DEFLATED: deflate(encoded(False, False)),
}


def whole(data: bytes) -> list[bytes]:
    return [data]


def single_bytes(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def at_random(data: bytes) -> list[bytes]:
    generator = random.Random(len(data))
    cuts = sorted(generator.randrange(len(data) + 1) for _ in range(12))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@pytest.mark.parametrize("transfer_syntax", DATASETS)
@pytest.mark.parametrize("split", [whole, single_bytes, at_random])
def test_the_same_attributes_in_every_syntax_and_split(
    transfer_syntax: str, split: Callable[[bytes], list[bytes]]
) -> None:
    assert read_attributes(split(DATASETS[transfer_syntax]), transfer_syntax, WANTED) == VALUES


def test_buffers_may_be_views_of_writable_memory() -> None:
    view = memoryview(bytearray(DATASETS[EXPLICIT]))
    assert read_attributes([view[:100], view[100:]], EXPLICIT, WANTED) == VALUES


@pytest.mark.parametrize("buffers", [[], [b""], [b"", b""]])
def test_an_empty_dataset_has_no_attributes(buffers: list[bytes]) -> None:
    for transfer_syntax in (IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED):
        assert read_attributes(buffers, transfer_syntax, WANTED) == {}


def test_a_dataset_cut_short_gives_what_is_before_the_cut() -> None:
    cut = DATASETS[EXPLICIT].index(b"1.2.3.4.5")
    found = read_attributes(at_random(DATASETS[EXPLICIT][:cut]), EXPLICIT, WANTED)
    assert found == {tag: values for tag, values in VALUES.items() if tag < 0x0020000E}


def test_implicit_vr_under_an_explicit_syntax_is_read_as_what_it_is() -> None:
    assert read_attributes([DATASETS[IMPLICIT]], EXPLICIT, WANTED) == VALUES


def test_what_cannot_be_parsed_says_why_and_where() -> None:
    dataset = DATASETS[EXPLICIT][:18] + b"\x08\x00\x16\x00??\x00\x00" + bytes(64)
    with pytest.raises(ValueError, match=r"0008,0016|VR") as caught:
        read_attributes([dataset], EXPLICIT, WANTED)
    reason, offset = caught.value.args
    assert isinstance(reason, str)
    assert offset == 18


def test_a_deflated_dataset_that_does_not_inflate_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not inflate"):
        read_attributes([b"\xff" * 64], DEFLATED, WANTED)


def test_a_deflate_bomb_inflates_no_more_than_its_head() -> None:
    bomb = deflate(encoded(False, False)[:-3000] + bytes(64 << 20))
    tracemalloc.start()
    found = read_attributes([bomb], DEFLATED, WANTED)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == VALUES
    assert peak < 8 * INFLATE_HEAD_MAX_BYTES


def test_an_element_behind_the_inflated_head_counts_as_missing() -> None:
    long = struct.pack("<HH2sHI", 0x0009, 0x1000, b"OB", 0, INFLATE_HEAD_MAX_BYTES) + bytes(
        INFLATE_HEAD_MAX_BYTES
    )
    rows = struct.pack("<HH2sHH", *(0x0028, 0x0010), b"US", 2, 512)
    assert read_attributes([deflate(long + rows)], DEFLATED, WANTED) == {}
    assert read_attributes([long + rows], EXPLICIT, WANTED) == {ROWS: ("512",)}


def test_joining_across_buffers_is_bounded() -> None:
    # A sequence of undefined length is joined to find its end; beyond the bound, what follows is missing.
    rows = struct.pack("<HH2sHH", *(0x0028, 0x0010), b"US", 2, 512)

    def dataset(payload_bytes: int) -> list[bytes]:
        item = struct.pack("<HHI", 0xFFFE, 0xE000, payload_bytes)
        sequence = struct.pack("<HH2sHI", *(0x0008, 0x1140), b"SQ", 0, 0xFFFFFFFF) + item
        inner = struct.pack("<HH2sHI", *(0x0009, 0x1000), b"OB", 0, payload_bytes - 12) + bytes(
            payload_bytes - 12
        )
        data = sequence + inner + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) + rows
        return [data[i : i + (256 << 10)] for i in range(0, len(data), 256 << 10)]

    assert read_attributes(dataset(1 << 20), EXPLICIT, WANTED) == {ROWS: ("512",)}
    assert read_attributes(dataset(SCAN_JOIN_MAX_BYTES + (1 << 20)), EXPLICIT, WANTED) == {}


@pytest.mark.parametrize(
    ("vr", "raw", "values"),
    [
        ("US", struct.pack("<HH", 1, 65535), ("1", "65535")),
        ("SS", struct.pack("<h", -5), ("-5",)),
        ("UL", struct.pack("<I", 70000), ("70000",)),
        ("SL", struct.pack("<i", -70000), ("-70000",)),
        ("FL", struct.pack("<ff", 0.1, 16777216), ("0.1", "16777216")),
        ("FL", struct.pack("<ff", 3.4028234663852886e38, float("nan")), ("3.4028235e+38", "nan")),
        ("FD", struct.pack("<d", 0.1234567890123), ("0.1234567890123",)),
        ("AT", struct.pack("<HH", 0x0028, 0x0010), ("00280010",)),
        ("US", b"", ("",)),
        ("US", b"\x01", ("",)),
        ("AT", b"", ("",)),
        ("IS", b" 5 \\ 6 ", ("5", "6")),
        ("LO", b"a\\\\b", ("a", "", "b")),
        ("LT", b" a\\b ", (" a\\b",)),
        ("UI", b"1.2\x00", ("1.2",)),
    ],
)
def test_values_become_text(vr: str, raw: bytes, values: tuple[str, ...]) -> None:
    assert decode_values(vr, raw, "<", "latin-1") == values


def test_values_are_bounded_in_number_and_length() -> None:
    assert len(decode_values("LO", b"a\\" * 10_000, "<", "latin-1")) == VALUES_MAX
    assert len(decode_values("US", bytes(16384), "<", "latin-1")) == VALUES_MAX
    assert [len(one) for one in decode_values("UT", b"a" * 16384, "<", "latin-1")] == [VALUE_MAX_CHARACTERS]
