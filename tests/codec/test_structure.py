"""The structure of a dataset: nesting, lengths, and what only looks like a sequence."""

from __future__ import annotations

import struct

import pytest

from tests.codec.octets import UNDEFINED, implicit_element, long_element, sequence, short_element

TAG, ITEM, END_OF_ITEM = 0x00081140, 0xFFFEE000, 0xFFFEE00D
PLAIN = short_element(0x00080060, "CS", b"CT")


@pytest.fixture
def s(codec):
    return codec.structure


def scan(s, data, implicit=False, big=False, size=None):
    found = s.StructureScan(len(data) if size is None else size, implicit, big)
    found.feed(data, 0)
    return found


def nested(depth, implicit=False, defined=False):
    """Sequences in each other, so many."""
    data = implicit_element(0x00100010, b"ab") if implicit else short_element(0x00100010, "PN", b"ab")
    for _ in range(depth):
        if defined:
            data = implicit_element(ITEM, data)
            data = implicit_element(TAG, data) if implicit else long_element(TAG, "SQ", data)
        else:
            data = sequence([data])
            head = (TAG >> 16, TAG & 0xFFFF)
            data = (
                struct.pack("<HHI", *head, UNDEFINED)
                if implicit
                else struct.pack("<HH2sxxI", *head, b"SQ", UNDEFINED)
            ) + data
    return data


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("defined", [False, True])
def test_sixty_four_sequences_pass_and_one_more_does_not(s, implicit, defined):
    passed = scan(s, nested(64, implicit, defined), implicit)
    assert (passed.fault, passed.depth_max, passed.done) == ("", 64, True)
    refused = scan(s, nested(65, implicit, defined), implicit)
    assert (refused.fault, refused.is_excessive) == ("sequences nested deeper than 64", True)


def test_a_hundred_thousand_sequences_cost_no_stack(s):
    level = struct.pack("<HH2sxxI", 8, 0x1140, b"SQ", UNDEFINED) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, UNDEFINED
    )
    assert scan(s, level * 100_000).is_excessive


@pytest.mark.parametrize(
    ("data", "fault", "offset"),
    [
        (PLAIN + b"\x08\x00", "cut short", 10),
        (PLAIN + long_element(TAG, "UT", b"")[:10], "cut short", 10),
        (long_element(TAG, "OB", b"xx", length=4), "value of (0008,1140) leaves what it lies in", 0),
        (long_element(TAG, "OB", b"xx", length=0xFFFFFFFE), "value of (0008,1140) leaves what it lies in", 0),
        (
            long_element(TAG, "UT", b"", length=UNDEFINED),
            "undefined length of (0008,1140), which is no sequence",
            0,
        ),
        (long_element(TAG, "SQ", PLAIN), "(0008,0060) where an item or the end of a sequence is due", 12),
        (long_element(TAG, "SQ", implicit_element(ITEM, PLAIN, length=99)), "item leaves its sequence", 12),
        (long_element(TAG, "SQ", implicit_element(ITEM, PLAIN[:7])), "cut short", 20),
        (long_element(TAG, "SQ", implicit_element(ITEM, PLAIN, length=UNDEFINED)), "cut short", 30),
        (long_element(TAG, "SQ", b"", length=UNDEFINED), "cut short", 12),
        (long_element(0x7FE00010, "OB", implicit_element(ITEM, b"", length=UNDEFINED), length=UNDEFINED),
         "fragment of undefined length", 12),
        (PLAIN[:4] + b"\0\1" + PLAIN[6:], "VR of (0008,0060) is not two capital letters", 0),
        (implicit_element(END_OF_ITEM, b""), "(FFFE,E00D) where an element is due", 0),
    ],
)  # fmt: skip
def test_a_fault_says_what_and_where(s, data, fault, offset):
    found = scan(s, data)
    assert (found.fault, found.fault_offset, found.is_excessive) == (fault, offset, False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PLAIN,
        short_element(0x00080060, "CS", b"odd"),
        long_element(TAG, "SQ", b""),
        long_element(TAG, "SQ", sequence([]), length=UNDEFINED),
        long_element(TAG, "SQ", implicit_element(ITEM, PLAIN) * 3) + PLAIN,
        long_element(TAG, "UN", sequence([implicit_element(0x00100010, b"ab")]), length=UNDEFINED) + PLAIN,
        long_element(0x7FE00010, "OB", sequence([b"", b"x" * 99], undefined_items=False), length=UNDEFINED),
    ],
)
def test_what_is_well_formed_passes(s, data):
    found = scan(s, data)
    assert (found.fault, found.done, found.next_offset) == ("", True, len(data))


@pytest.mark.parametrize(
    "value",
    [
        struct.pack("<HHI", 0xFFFE, 0xE000, 200),
        struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED) + b"garbage!",
        struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED),
        struct.pack("<HHI", 0xFFFE, 0xE000, 0) + b"more",
    ],
)
@pytest.mark.parametrize("implicit", [False, True])
def test_a_value_that_only_begins_as_a_sequence_is_a_value(s, implicit, value):
    one = implicit_element(TAG, value) if implicit else long_element(TAG, "UN", value)
    after = implicit_element(TAG + 16, b"ab") if implicit else PLAIN
    assert scan(s, one + after, implicit).fault == ""
    inside = implicit_element(ITEM, one + after)
    outer = implicit_element(TAG, inside) if implicit else long_element(TAG, "SQ", inside)
    assert scan(s, outer + after, implicit).fault == ""


def test_values_need_not_be_fed(s):
    data = long_element(0x7FE00010, "OW", bytes(1000)) + PLAIN
    found = s.StructureScan(len(data), False, False)
    assert found.feed(data[:12], 0)
    assert found.next_offset == 1012
    assert found.feed(data[500:600], 500)
    assert not found.feed(data[1012:], 1012)
    assert (found.done, found.fault) == (True, "")


def test_octets_left_out_or_too_many_are_our_mistake(s):
    found = s.StructureScan(20, False, False)
    with pytest.raises(ValueError, match="octets are missing") as caught:
        found.feed(PLAIN, 5)
    assert caught.value.args[1] == 0
    for octets, offset in ((bytes(21), 0), (b"", 21), (bytes(11), 10)):
        with pytest.raises(ValueError, match="octets leave the dataset"):
            found.feed(octets, offset)


def test_more_elements_than_anybody_has_are_refused(s, codec):
    if codec.name == "reference":
        pytest.skip("minutes in pure Python")
    count = s.STRUCTURE_ELEMENTS_MAX
    piece = short_element(0x00080060, "CS", b"") * (1 << 16)
    found = s.StructureScan((count + 1) * 8, False, False)
    offset = 0
    while found.next_offset < count * 8:
        found.feed(piece, offset)
        offset += len(piece)
    assert not found.fault
    found.feed(piece[:8], offset)
    assert (found.is_excessive, found.fault) == (True, f"more than {count} elements")
