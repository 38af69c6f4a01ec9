"""The segment format, octet by octet and there and back."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.spool import segment as form
from router.spool.faults import UnknownFormat
from router.spool.record import InstanceRecord, decode_record, encode_record

from .spool_fixtures import record_of

NONCE = 0x1122334455667788


def test_a_header_has_64_octets_in_the_documented_places() -> None:
    header = form.encode_header(7, NONCE, form.Position(6, 1000))
    assert len(header) == form.HEADER_BYTES == 64
    assert header[:8] == b"DRSPOOL\0"
    assert struct.unpack("<HHIQQQQ", header[8:48]) == (2, 64, 0, 7, NONCE, 6, 1000)
    assert header[48:60] == bytes(12)


def test_a_header_is_read_back_only_for_its_own_segment() -> None:
    header = form.encode_header(7, NONCE, form.Position(6, 1000))
    assert form.decode_header(header, 7) == form.Header(NONCE, form.Position(6, 1000))
    assert form.decode_header(header, 8) is None
    assert form.decode_header(header[:-1], 7) is None


@pytest.mark.parametrize("octet", range(64))
def test_a_header_with_one_changed_octet_is_none(octet: int) -> None:
    header = bytearray(form.encode_header(7, NONCE))
    header[octet] ^= 1
    assert form.decode_header(bytes(header), 7) is None


def test_a_header_of_a_later_version_is_refused_and_not_called_damage() -> None:
    with pytest.raises(UnknownFormat, match="version 3"):
        form.decode_header(header_of(3), 7)


def test_a_header_of_version_1_says_nothing_of_the_segment_before() -> None:
    assert form.decode_header(header_of(1), 7) == form.Header(NONCE, form.NOWHERE, 1)


def header_of(version: int) -> bytes:
    body = struct.pack("<8sHHIQQ28s", b"DRSPOOL\0", version, 64, 0, 7, NONCE, bytes(28))
    return body + struct.pack("<I", form.crc32c(body))


def test_a_record_head_has_48_octets_in_the_documented_places() -> None:
    head = form.encode_head(form.Kind.INSTANCE, 7, NONCE, 640, 9, b"meta", 5)
    assert len(head) == form.HEAD_BYTES == 48
    assert head[:4] == b"\xc5DRr"
    assert struct.unpack("<QBBHQQI", head[4:36]) == (NONCE, 1, 0, 48, 9, 5, 4)
    assert head[40:44] == b"\x07\0\0\0"
    assert form.decode_head(head, NONCE, 640) == form.Head(1, 9, 5, 4, form.crc32c(b"meta"))


def test_a_head_at_another_place_is_none() -> None:
    head = form.encode_head(form.Kind.INSTANCE, 7, NONCE, 640, 9, b"meta", 5)
    assert form.decode_head(head, NONCE, 648) is None
    assert form.header_of_head(head, 7, 648) is None


def test_a_head_of_version_1_stands_anywhere() -> None:
    head = form.encode_head(form.Kind.INSTANCE, 7, NONCE, form.Header(NONCE, version=1).seed(640), 9, b"", 5)
    assert (
        form.header_of_head(head, 7, 64) == form.header_of_head(head, 7, 640) == form.Header(NONCE, version=1)
    )


def test_a_head_of_another_segment_is_none() -> None:
    head = form.encode_head(form.Kind.INSTANCE, 7, NONCE, 640, 9, b"meta", 5)
    assert form.decode_head(head, NONCE + 1, 640) is None
    assert form.header_of_head(head, 7, 640) == form.Header(NONCE)
    assert form.header_of_head(head, 8, 640) is None


@pytest.mark.parametrize("octet", range(48))
def test_a_head_with_one_changed_octet_is_none(octet: int) -> None:
    head = bytearray(form.encode_head(form.Kind.INSTANCE, 7, NONCE, 640, 9, b"meta", 5))
    head[octet] ^= 0x80
    assert form.decode_head(head, NONCE, 640) is None


@given(st.integers(0, 70000), st.integers(0, 1 << 40))
def test_every_record_ends_where_the_next_may_start(meta_bytes: int, payload_bytes: int) -> None:
    size = form.record_bytes(meta_bytes, payload_bytes)
    unpadded = form.HEAD_BYTES + meta_bytes + payload_bytes
    assert size % form.ALIGNMENT == 0
    assert 0 <= size - unpadded - form.TRAILER_BYTES < form.ALIGNMENT
    assert unpadded + len(form.encode_trailer(0, unpadded)) == size
    assert form.record_end(64 + form.HEAD_BYTES + meta_bytes, payload_bytes) == 64 + size


def test_a_marker_is_read_back() -> None:
    marker = form.Marker(12, form.Position(3, 4096), form.Position(2, 64))
    data = form.encode_marker(7, NONCE, 640, marker)
    head = form.decode_head(data, NONCE, 640)
    assert len(data) == form.MARKER_BYTES
    assert head is not None
    assert form.decode_marker(head.seq, data[form.HEAD_BYTES : form.HEAD_BYTES + head.meta_bytes]) == marker
    assert form.decode_marker(1, b"short") is None


@pytest.mark.parametrize("crc", [None, 0, 0xFFFFFFFF])
def test_a_reference_is_read_back(crc: int | None) -> None:
    assert form.decode_reference(form.encode_reference(1 << 33, crc)) == (1 << 33, crc)
    assert form.decode_reference(b"") is None


def test_a_void_record_covers_exactly_the_space_it_was_made_for() -> None:
    head_data, trailer = form.encode_void(7, NONCE, 640, 4096)
    head = form.decode_head(head_data, NONCE, 640)
    assert head is not None
    assert head.record_bytes == 4096
    assert len(trailer) == form.TRAILER_BYTES


texts = st.text(max_size=64)


@given(
    texts, texts, st.lists(texts, max_size=5), st.integers(0, 2**63 - 1), st.sampled_from(["forward", "hold"])
)
def test_facts_are_read_back(uid: str, source: str, names: list[str], received_ns: int, action: str) -> None:
    record = record_of(
        1,
        tuple(names),
        study_uid=uid,
        source=source,
        received_ns=received_ns,
        action=action,
        rules=tuple(names),
    )
    assert decode_record(encode_record(record)) == record


def test_facts_of_a_later_version_are_read_without_what_it_added() -> None:
    import msgpack

    fields = msgpack.unpackb(encode_record(record_of(1)), use_list=False)
    assert decode_record(msgpack.packb((*fields, "more", 2))) == record_of(1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x93\x01\x02\x03",
        b"\x01",
        b"\x91" * 3000,
        b"\xdd\xff\xff\xff\xff",
        b"\x9d" + b"\x01" * 13,
    ],
)
def test_what_is_no_facts_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="record facts"):
        decode_record(data)


def test_facts_are_complete() -> None:
    assert len(encode_record(record_of(1))) < 300
    assert len(InstanceRecord._fields) == 13
