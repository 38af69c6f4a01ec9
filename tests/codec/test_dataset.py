"""The attribute scan: what is found, where it resumes, and what it refuses, in every encoding."""

from __future__ import annotations

import pytest

from tests.codec.octets import UNDEFINED, implicit_element, long_element, sequence, short_element

SOP_CLASS = 0x00080016
MODALITY = 0x00080060
REFERENCED = 0x00081140
PATIENT_ID = 0x00100020
ROWS = 0x00280010
PIXEL_DATA = 0x7FE00010

LONG_VRS = ["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV", "ZZ"]
SHORT_VRS = [
    *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO"),
    *("LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
]

HEAD = short_element(SOP_CLASS, "UI", b"1.2\0") + short_element(MODALITY, "CS", b"CT")
NAME = short_element(PATIENT_ID, "LO", b"ID")


@pytest.fixture
def d(codec):
    return codec.dataset


def scan(d, data, *wanted, start=0, implicit=False, big=False):
    return d.scan_attributes(data, start, implicit, big, wanted)


def test_wanted_elements_are_found_and_the_scan_ends_with_the_last(d):
    found, resume, done = scan(d, HEAD + NAME + b"\xff" * 99, MODALITY, PATIENT_ID)
    assert found == {MODALITY: ("CS", b"CT"), PATIENT_ID: ("LO", b"ID")}
    assert (resume, done) == (len(HEAD + NAME), True)


def test_the_scan_ends_at_the_first_tag_behind_the_last_wanted(d):
    data = HEAD + NAME[:4]
    assert scan(d, data, 0x00080050, 0x00080061) == ({}, len(HEAD), True)


def test_the_end_of_the_data_at_an_elements_end_is_an_end(d):
    assert scan(d, HEAD, PATIENT_ID) == ({}, len(HEAD), True)
    assert scan(d, b"", PATIENT_ID) == ({}, 0, True)
    assert scan(d, HEAD, SOP_CLASS, PATIENT_ID, start=12) == ({}, len(HEAD), True)


def test_nothing_wanted_is_done_at_once(d):
    assert scan(d, b"\xff" * 9, start=3) == ({}, 3, True)


@pytest.mark.parametrize("cut", range(1, len(HEAD)))
def test_an_element_that_is_wanted_and_not_whole_is_where_to_resume(d, cut):
    found, resume, done = scan(d, HEAD[:cut], SOP_CLASS, MODALITY)
    if cut == 12:
        assert (found, resume, done) == ({SOP_CLASS: ("UI", b"1.2\0")}, 12, True)
    else:
        assert (len(found), resume, done) == ((0, 0, False) if cut < 12 else (1, 12, False))


def test_a_value_nobody_wants_may_leave_the_data(d):
    data = HEAD + long_element(0x00090010, "OB", b"", length=1000)
    assert scan(d, data, PATIENT_ID) == ({}, len(data) + 1000, False)
    assert scan(d, b"", PATIENT_ID, start=1000) == ({}, 1000, False)


@pytest.mark.parametrize("vr", LONG_VRS)
def test_long_value_representations_have_a_32_bit_length(d, vr):
    data = long_element(MODALITY, vr, b"x" * 70000) + NAME
    found, _, done = scan(d, data, MODALITY, PATIENT_ID)
    assert found == {MODALITY: (vr, b"x" * 16384), PATIENT_ID: ("LO", b"ID")}
    assert done


@pytest.mark.parametrize("vr", SHORT_VRS)
def test_short_value_representations_have_a_16_bit_length(d, vr):
    found, _, _ = scan(d, short_element(MODALITY, vr, b"1234") + NAME, MODALITY, PATIENT_ID)
    assert found == {MODALITY: (vr, b"1234"), PATIENT_ID: ("LO", b"ID")}


def test_a_long_value_is_cut_and_needs_only_what_is_kept(d):
    data = long_element(MODALITY, "UT", b"x" * 16384, length=50000)
    assert scan(d, data, MODALITY, PATIENT_ID) == ({MODALITY: ("UT", b"x" * 16384)}, 12 + 50000, False)
    assert scan(d, data[:-1], MODALITY, PATIENT_ID) == ({}, 0, False)


def test_implicit_elements_have_no_vr(d):
    data = implicit_element(SOP_CLASS, b"1.2\0") + implicit_element(MODALITY, b"CT")
    found, _, done = scan(d, data, MODALITY, PATIENT_ID, implicit=True)
    assert (found, done) == ({MODALITY: ("UN", b"CT")}, True)


def test_big_endian_elements_are_found_with_their_octets_as_they_are(d):
    data = short_element(MODALITY, "CS", b"MR", big=True) + long_element(0x00090010, "OB", b"1234", big=True)
    data += short_element(ROWS, "US", b"\x02\x00", big=True)
    found, _, done = scan(d, data, MODALITY, ROWS, big=True)
    assert (found, done) == ({MODALITY: ("CS", b"MR"), ROWS: ("US", b"\x02\x00")}, True)


@pytest.mark.parametrize("start", [0, 5])
def test_positions_count_from_the_start_of_the_data(d, start):
    data = b"." * start + HEAD + NAME
    found, resume, _ = scan(d, data, PATIENT_ID, start=start)
    assert (found, resume) == ({PATIENT_ID: ("LO", b"ID")}, len(data))


def test_of_a_repeated_tag_the_first_counts(d):
    data = short_element(MODALITY, "CS", b"CT") + short_element(MODALITY, "CS", b"MR")
    assert scan(d, data, MODALITY, PATIENT_ID)[0] == {MODALITY: ("CS", b"CT")}


def test_tags_that_do_not_ascend_are_found_all_the_same(d):
    data = short_element(ROWS, "US", b"\1\0") + HEAD
    assert set(scan(d, data, SOP_CLASS, MODALITY, ROWS, PIXEL_DATA)[0]) == {SOP_CLASS, MODALITY, ROWS}


class TestSequences:
    # A modality within a sequence is not the instance's.
    inner = short_element(MODALITY, "CS", b"XX")

    def test_a_sequence_of_defined_length_is_stepped_over(self, d):
        items = sequence([self.inner], undefined_items=False)[:-8]
        data = long_element(0x00080006, "SQ", items) + HEAD
        assert scan(d, data, MODALITY)[0] == {MODALITY: ("CS", b"CT")}

    @pytest.mark.parametrize("undefined_items", [False, True])
    def test_a_sequence_of_undefined_length_is_stepped_over(self, d, undefined_items):
        items = sequence([self.inner, b"", self.inner * 2], undefined_items=undefined_items)
        data = long_element(0x00080006, "SQ", items, length=UNDEFINED) + HEAD
        assert scan(d, data, MODALITY)[0] == {MODALITY: ("CS", b"CT")}

    def test_an_implicit_sequence_is_stepped_over(self, d):
        inner = implicit_element(MODALITY, b"XX")
        data = implicit_element(0x00080006, sequence([inner]), length=UNDEFINED) + implicit_element(
            MODALITY, b"CT"
        )
        assert scan(d, data, MODALITY, implicit=True)[0] == {MODALITY: ("UN", b"CT")}

    def test_a_big_endian_sequence_is_stepped_over(self, d):
        items = sequence([short_element(MODALITY, "CS", b"XX", big=True)], big=True)
        data = long_element(0x00080006, "SQ", items, big=True, length=UNDEFINED)
        data += short_element(MODALITY, "CS", b"CT", big=True)
        assert scan(d, data, MODALITY, big=True)[0] == {MODALITY: ("CS", b"CT")}

    @pytest.mark.parametrize("big", [False, True])
    def test_an_unknown_element_of_undefined_length_is_implicit_little_endian_inside(self, d, big):
        items = sequence([implicit_element(MODALITY, b"XX") + implicit_element(0x00090010, b"1234")])
        data = long_element(0x00080006, "UN", items, big=big, length=UNDEFINED)
        data += short_element(MODALITY, "CS", b"CT", big=big)
        assert scan(d, data, MODALITY, big=big)[0] == {MODALITY: ("CS", b"CT")}

    def test_after_an_unknown_element_within_an_item_the_item_goes_on_explicit(self, d):
        unknown = long_element(
            0x00090010, "UN", sequence([implicit_element(MODALITY, b"XX")]), length=UNDEFINED
        )
        data = long_element(0x00080006, "SQ", sequence([unknown + self.inner]), length=UNDEFINED) + HEAD
        assert scan(d, data, MODALITY)[0] == {MODALITY: ("CS", b"CT")}

    @pytest.mark.parametrize("vr", ["OB", "OW"])
    def test_encapsulated_pixel_data_is_stepped_over(self, d, vr):
        fragments = sequence([b"", b"\xfe\xff\xdd\xe0" * 4], undefined_items=False)
        icon = long_element(PIXEL_DATA, vr, fragments, length=UNDEFINED)
        data = long_element(0x00080006, "SQ", sequence([icon]), length=UNDEFINED) + HEAD + icon
        data += short_element(0xFFFCFFFC, "CS", b"X ")
        found, resume, done = scan(d, data, MODALITY, 0xFFFCFFFC)
        assert found == {MODALITY: ("CS", b"CT"), 0xFFFCFFFC: ("CS", b"X ")}
        assert (resume, done) == (len(data), True)

    def test_a_wanted_sequence_is_given_as_its_octets(self, d):
        items = sequence([self.inner])
        undefined = long_element(REFERENCED, "SQ", items, length=UNDEFINED)
        assert scan(d, undefined, REFERENCED) == ({REFERENCED: ("SQ", items[:-8])}, len(undefined), True)
        defined = long_element(REFERENCED, "SQ", items[:-8])
        assert scan(d, defined, REFERENCED) == ({REFERENCED: ("SQ", items[:-8])}, len(defined), True)

    def test_a_sequence_whose_end_is_not_there_is_where_to_resume(self, d):
        whole = HEAD + long_element(REFERENCED, "SQ", sequence([self.inner, b""]), length=UNDEFINED)
        for cut in range(len(HEAD) + 4, len(whole)):
            assert scan(d, whole[:cut], PATIENT_ID) == ({}, len(HEAD), False), cut

    @staticmethod
    def nested(depth, undefined_items=True):
        octets = b""
        for _ in range(depth):
            octets = implicit_element(REFERENCED, sequence([octets]), length=UNDEFINED)
        return octets

    def test_nesting_is_bounded(self, d):
        assert scan(d, self.nested(64), PATIENT_ID, implicit=True)[2]
        with pytest.raises(ValueError, match="deeper than 64") as caught:
            scan(d, self.nested(65), PATIENT_ID, implicit=True)
        assert caught.value.args[1] == 64 * 16

    def test_deep_nesting_of_defined_length_is_stepped_over(self, d):
        octets = b""
        for _ in range(500):
            octets = long_element(REFERENCED, "SQ", sequence([octets], undefined_items=False)[:-8])
        assert scan(d, octets + NAME, PATIENT_ID)[0] == {PATIENT_ID: ("LO", b"ID")}

    def test_a_hundred_thousand_levels_are_refused_at_once(self, d):
        octets = (
            implicit_element(REFERENCED, b"", length=UNDEFINED)
            + implicit_element(0xFFFEE000, b"", length=UNDEFINED)
        ) * 100000
        with pytest.raises(ValueError, match="deeper than 64"):
            scan(d, octets, PATIENT_ID, implicit=True)


OPEN_SEQUENCE = long_element(0x00080006, "SQ", b"", length=UNDEFINED)
OPEN_ITEM = OPEN_SEQUENCE + implicit_element(0xFFFEE000, b"", length=UNDEFINED)


@pytest.mark.parametrize(
    ("octets", "reason", "offset"),
    [
        (HEAD + b"\x10\x00\x10\x00p\x00\x02\x00", r"VR 70H 00H of \(0010,0010\)", len(HEAD)),
        (
            HEAD + long_element(0x00080070, "UT", b"", length=UNDEFINED),
            r"\(0008,0070\) with VR UT",
            len(HEAD),
        ),
        (implicit_element(0xFFFEE000, b""), r"\(FFFE,E000\) where a data element is due", 0),
        (implicit_element(0xFFFEE00D, b""), r"\(FFFE,E00D\) where a data element is due", 0),
        (OPEN_SEQUENCE + NAME, r"\(0010,0020\) where an item", len(OPEN_SEQUENCE)),
        (OPEN_SEQUENCE + implicit_element(0xFFFEE00D, b""), "where an item", len(OPEN_SEQUENCE)),
        (OPEN_ITEM + implicit_element(0xFFFEE0DD, b""), "where a data element is due", len(OPEN_ITEM)),
        (OPEN_ITEM + b"\x10\x00\x10\x00@@\x02\x00", "VR 40H 40H", len(OPEN_ITEM)),
        (OPEN_ITEM + long_element(0x00080070, "UC", b"", length=UNDEFINED), "with VR UC", len(OPEN_ITEM)),
        (
            long_element(
                0x00080006, "OB", implicit_element(0xFFFEE000, b"", length=UNDEFINED), length=UNDEFINED
            ),
            "fragment of undefined length",
            12,
        ),
    ],
)
def test_what_cannot_be_parsed_is_refused_with_its_offset(d, octets, reason, offset):
    with pytest.raises(ValueError, match=reason) as caught:
        scan(d, octets + bytes(8), 0xFFFFFFFF)
    assert caught.value.args[1] == offset


@pytest.mark.parametrize(("wanted", "index"), [((2, 1), 1), ((1, 1), 1), ((-1,), 0), ((1, 1 << 32), 1)])
def test_wanted_tags_must_ascend(d, wanted, index):
    with pytest.raises(ValueError, match="not ascending") as caught:
        scan(d, HEAD, *wanted)
    assert caught.value.args[1] == index


def test_a_negative_start_is_refused(d):
    with pytest.raises(ValueError, match="start is negative"):
        scan(d, HEAD, MODALITY, start=-1)


def test_the_data_is_free_after_the_scan(d):
    data = bytearray(HEAD + b"\x10\x00\x10\x00@@\x02\x00")
    with pytest.raises(ValueError, match="VR"):
        scan(d, data, PIXEL_DATA)
    data.clear()
