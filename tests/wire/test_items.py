"""Items are cut inside their parent, and texts lose their padding only."""

from __future__ import annotations

import pytest

from router.errors import LocalMisuse, PeerViolation
from router.wire import items


def test_items_are_yielded_with_absolute_offsets() -> None:
    data = b"????" + bytes.fromhex("10 00 0002 AABB 99 FF 0000")
    assert list(items.take_items(data, 4, len(data), "the PDU")) == [(0x10, 4, 8, 10), (0x99, 10, 14, 14)]


def test_no_items_in_an_empty_parent() -> None:
    assert list(items.take_items(b"", 0, 0, "the PDU")) == []


@pytest.mark.parametrize("octets", ["10", "100000", "10 00 0001", "10 00 FFFF AA", "10 00 0001 AA 20 00 00"])
def test_an_item_that_leaves_its_parent_is_a_violation(octets: str) -> None:
    data = bytes.fromhex(octets)
    with pytest.raises(PeerViolation) as caught:
        list(items.take_items(data, 0, len(data), "the PDU"))
    assert caught.value.reason == 6


def test_bytes_after_the_parent_are_never_read() -> None:
    data = bytes.fromhex("10 00 0004 AABBCCDD")
    with pytest.raises(PeerViolation, match="4 bytes leaves its parent item: 2 bytes left; offset 0"):
        list(items.take_items(data, 0, 6, "its parent item"))


def test_a_prefixed_value_ends_inside_its_item() -> None:
    data = bytes.fromhex("0002 AABB CC")
    assert items.take_prefixed(data, 0, 5, "field") == (b"\xaa\xbb", 4)
    with pytest.raises(PeerViolation, match="offset 0"):
        items.take_prefixed(data, 0, 3, "field")
    with pytest.raises(PeerViolation, match="needs 2 bytes, 1 left; offset 4"):
        items.take_prefixed(data, 4, 5, "field")


@pytest.mark.parametrize(
    ("octets", "text"),
    [(b"1.2\0", "1.2"), (b"1.2 ", "1.2"), (b"1.2\0\0 \0", "1.2"), (b"", ""), (b"1\xff\0x", "1\xff\0x")],
)
def test_padding_is_stripped_and_any_other_byte_kept(octets: bytes, text: str) -> None:
    assert items.decode_text(octets) == text


@pytest.mark.parametrize(
    ("octets", "title"),
    [
        (b"STORE           ", "STORE"),
        (b"   STORE SCP    ", "STORE SCP"),
        (b"STORE\0\0\0\0\0\0\0\0\0\0\0", "STORE"),
        (b"                ", ""),
        (b"\0" * 16, ""),
        (b"A\r\nB\x1b[31m\xe9     ", "A\r\nB\x1b[31m\xe9"),
    ],
)
def test_ae_titles_lose_spaces_at_both_ends(octets: bytes, title: str) -> None:
    assert items.decode_ae_title(octets) == title


@pytest.mark.parametrize("uid", ["", "1." * 40, "1.2\0", "1 2", "1.é", "1.2\n"])
def test_what_is_no_uid_is_not_sent(uid: str) -> None:
    with pytest.raises(LocalMisuse):
        items.encode_uid(uid, "abstract-syntax-name")


def test_lengths_that_do_not_fit_their_field_are_refused() -> None:
    with pytest.raises(LocalMisuse, match="allowed 65535"):
        items.encode_item(0x50, bytes(65536))
    with pytest.raises(LocalMisuse, match="allowed 65535"):
        items.encode_prefixed(bytes(65536), "field")
    for value in (-1, 65536):
        with pytest.raises(LocalMisuse):
            items.encode_uint16(value, "field")
    assert len(items.encode_item(0x50, bytes(65535))) == 65539


def test_an_ae_title_is_padded_with_spaces() -> None:
    assert items.encode_ae_title("PACS", "called-AE-title") == b"PACS            "
    assert items.encode_ae_title("é", "called-AE-title")[:1] == b"\xe9"
    for title in ("X" * 17, "\u20ac"):
        with pytest.raises(LocalMisuse):
            items.encode_ae_title(title, "called-AE-title")
