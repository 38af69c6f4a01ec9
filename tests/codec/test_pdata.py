"""Outbound P-DATA-TF: heads by the octet, fragments within the peer's maximum length, no copies."""

from __future__ import annotations

import pytest

from tests.codec.octets import COMMAND, LAST, pdata, pdv


@pytest.fixture
def p(codec):
    return codec.pdata


def payloads(octets: bytes) -> list[bytes]:
    """Cut P-DATA-TFs of one PDV each back into payloads."""
    found = []
    while octets:
        size = int.from_bytes(octets[2:6], "big")
        assert int.from_bytes(octets[6:10], "big") == size - 4
        found.append(octets[12 : 6 + size])
        octets = octets[6 + size :]
    return found


def test_a_short_command_is_one_pdu_by_the_octet(p):
    assert p.command_pdus(5, b"\xaa\xbb", 16384) == bytes.fromhex("0400 00000008 00000004 05 03 aabb")


def test_a_long_command_is_cut_and_only_its_last_fragment_says_so(p):
    assert p.command_pdus(1, b"abcdefghij", 10) == (
        pdata(pdv(1, COMMAND, b"abcd"))
        + pdata(pdv(1, COMMAND, b"efgh"))
        + pdata(pdv(1, COMMAND | LAST, b"ij"))
    )


def test_a_command_that_fills_its_last_pdu_has_no_empty_one_after_it(p):
    assert p.command_pdus(1, b"abcd", 8) == pdata(pdv(1, COMMAND, b"ab")) + pdata(
        pdv(1, COMMAND | LAST, b"cd")
    )


def test_an_empty_command_is_one_empty_fragment(p):
    assert p.command_pdus(1, b"", 0) == pdata(pdv(1, COMMAND | LAST, b""))


def test_fragments_are_even_except_the_last(p):
    assert [len(piece) for piece in payloads(b"".join(p.dataset_pdus(1, [bytes(11)], 11)))] == [4, 4, 3]


def test_a_dataset_is_heads_and_views_of_its_buffers(p):
    data = bytearray(b"0123456789")
    pdus = p.dataset_pdus(3, [data], 12)
    assert [bytes(piece) for piece in pdus] == [
        bytes.fromhex("0400 0000000c 00000008 03 00"),
        b"012345",
        bytes.fromhex("0400 0000000a 00000006 03 02"),
        b"6789",
    ]
    data[0] = ord("X")
    assert bytes(pdus[1]) == b"X12345"


def test_a_fragment_goes_on_in_the_next_buffer(p):
    pdus = p.dataset_pdus(1, [b"012", b"", memoryview(b"3456"), bytearray(b"789")], 14)
    assert [bytes(piece) for piece in pdus[1:4]] == [b"012", b"3456", b"7"]
    assert [bytes(piece) for piece in pdus[5:]] == [b"89"]
    assert b"".join(pdus) == pdata(pdv(1, 0, b"01234567")) + pdata(pdv(1, LAST, b"89"))


def test_a_dataset_in_pieces_ends_only_with_the_last(p):
    assert b"".join(p.dataset_pdus(1, [b"0123"], 0, False)) == pdata(pdv(1, 0, b"0123"))
    assert p.dataset_pdus(1, [], 0, False) == []
    assert b"".join(p.dataset_pdus(1, [], 0)) == pdata(pdv(1, LAST, b""))


def test_an_odd_piece_before_the_last_is_refused(p):
    with pytest.raises(ValueError, match="odd number") as caught:
        p.dataset_pdus(1, [b"012"], 0, False)
    assert caught.value.args[1] == 3


@pytest.mark.parametrize("maximum_length", [0, 0xFFFFFFFF, (1 << 20) + 7])
def test_fragments_have_a_maximum_of_their_own(p, maximum_length):
    data = bytes((1 << 20) + 2)
    assert [len(piece) for piece in payloads(b"".join(p.dataset_pdus(1, [data], maximum_length)))] == [
        1 << 20,
        2,
    ]
    assert [len(piece) for piece in payloads(p.command_pdus(1, data, maximum_length))] == [1 << 20, 2]


def test_a_pdu_may_be_as_long_as_the_peer_allows(p):
    pdus = p.dataset_pdus(1, [bytes(50000)], 16384)
    assert [len(piece) for piece in payloads(b"".join(pdus))] == [16378, 16378, 16378, 866]


@pytest.mark.parametrize("maximum_length", [-1, 1, 5, 7])
def test_a_maximum_length_without_room_for_a_fragment_is_refused(p, maximum_length):
    with pytest.raises(ValueError, match="no room for a fragment") as caught:
        p.dataset_pdus(1, [b"data"], maximum_length)
    assert caught.value.args[1] == maximum_length
    with pytest.raises(ValueError, match="no room for a fragment"):
        p.command_pdus(1, b"data", maximum_length)


@pytest.mark.parametrize("context_id", [-1, 256])
def test_a_context_id_that_is_no_octet_is_refused(p, context_id):
    with pytest.raises(ValueError, match=r"outside 0\.\.255"):
        p.command_pdus(context_id, b"", 0)


def test_buffers_of_wider_items_are_sent_as_their_octets(p):
    assert b"".join(p.dataset_pdus(1, [memoryview(b"01234567").cast("I")], 10)) == (
        pdata(pdv(1, 0, b"0123")) + pdata(pdv(1, LAST, b"4567"))
    )
