"""The quick encoder of plain datasets: whatever it does not leave to pydicom has pydicom's very octets."""

from __future__ import annotations

import warnings
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import DSdecimal, PersonName

from router.api.dsutils import decode
from router.api.plain_encoding import encode_plain

TEST_FILES = sorted(Path(pydicom.data.__file__).with_name("test_files").glob("*.dcm"))
IMPLICIT = pytest.mark.parametrize("implicit", [True, False])


def by_pydicom(dataset: Dataset, implicit: bool) -> bytes | None:
    """Return what pydicom writes, None if it raises."""
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = implicit, True
    try:
        write_dataset(stream, dataset)
    except Exception:
        return None
    return stream.getvalue()


def plainly(dataset: Dataset, implicit: bool) -> bytes | None:
    pieces = encode_plain(dataset, implicit)
    return None if pieces is None else b"".join(pieces)


TEXT = st.text(st.sampled_from("ab 1^=\\.éß山"), max_size=9)
NUMBER = st.integers(-3, 300)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "AE": TEXT, "CS": TEXT, "LO": TEXT, "SH": TEXT, "ST": TEXT, "LT": TEXT, "UT": TEXT, "UC": TEXT,
    "PN": TEXT | st.lists(TEXT, max_size=3),
    "UI": st.sampled_from(["1.2", "1.2.3", "", "2.25.1"]) | st.just(["1.2", "1.23"]),
    "DA": st.sampled_from(["20240101", "", "2024010", "20240101-"]),
    "TM": st.sampled_from(["1200", "120000.5", ""]),
    "DT": st.sampled_from(["20240101", ""]),
    "AS": st.sampled_from(["030Y", ""]),
    "UR": st.sampled_from(["http://a", ""]),
    "IS": st.sampled_from([0, 12, "012", "", None]) | st.lists(st.integers(0, 99), max_size=3),
    "DS": st.sampled_from([0, 1.5, "1.50", "", None, 12]) | st.lists(st.floats(0, 9, width=16), max_size=3),
    "US": NUMBER | st.lists(NUMBER, max_size=3), "UL": NUMBER, "UV": NUMBER, "SL": NUMBER, "SV": NUMBER,
    "SS": NUMBER, "FL": st.floats(width=32), "FD": st.floats() | st.lists(st.floats(), max_size=2),
    "AT": st.just(0x00100010), "US or SS": NUMBER, "OB or OW": st.binary(max_size=5),
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), st.binary(max_size=9)),
}  # fmt: skip
"""VR -> values, some of them not allowed."""

ELEMENTS = st.sampled_from(sorted(VALUES)).flatmap(lambda vr: st.tuples(st.just(vr), VALUES[vr]))
CHARACTER_SETS = st.sampled_from(
    [None, "", "ISO_IR 6", "ISO_IR 100", "ISO_IR 192", "ISO_IR 144", ["", "ISO 2022 IR 87"]]
)


def made(elements: list[Any], character_set: Any) -> Dataset:
    dataset = Dataset()
    if character_set is not None:
        dataset.SpecificCharacterSet = character_set
    for number, (vr, value) in enumerate(elements):
        # A private block: every VR may stand there.
        tag = 0x00091000 + number
        if vr == "SQ":
            dataset.add_new(tag, vr, Sequence([made(*item) for item in value]))
        else:
            dataset.add_new(tag, vr, value)
    return dataset


FLAT = st.tuples(st.lists(ELEMENTS, max_size=5), CHARACTER_SETS)
NESTED = st.tuples(st.just("SQ"), st.lists(FLAT, max_size=3))
DATASETS = st.tuples(st.lists(ELEMENTS | NESTED, max_size=6), CHARACTER_SETS)


@IMPLICIT
@given(DATASETS)
def test_any_dataset_has_pydicoms_octets_or_is_left_to_it(implicit: bool, told: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = made(*told)
        except (ValueError, TypeError, OverflowError):
            return  # pydicom does not even take the value
        encoded = plainly(dataset, implicit)
        if encoded is not None:
            assert encoded == by_pydicom(dataset, implicit)
            # Once more as read: elements that nobody looked at, and others that somebody did.
            read = decode(BytesIO(encoded), implicit, True)
            for element in list(read)[::2]:
                assert element is not None
            again = plainly(read, implicit)
            assert again in (None, by_pydicom(read, implicit))


@IMPLICIT
@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.name)
def test_files_have_pydicoms_octets_or_are_left_to_it(implicit: bool, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = dcmread(path, force=True)
            encoded = plainly(dataset, implicit)
        except Exception:
            return  # one of those that pydicom cannot read
        assert encoded in (None, by_pydicom(dcmread(path, force=True), implicit))


def test_what_is_usual_is_plain() -> None:
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3"
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "山田^太郎"
    dataset.StudyDate, dataset.Rows, dataset.InstanceNumber = "20240101", 512, "7"
    dataset.PixelSpacing, dataset.ImageType = [0.5, 0.5], ["ORIGINAL", "PRIMARY"]
    dataset.ReferencedImageSequence = [item, item]
    dataset.add_new(0x7FE00010, "OW", bytes(100))
    for implicit in (True, False):
        encoded = plainly(dataset, implicit)
        assert encoded is not None
        assert encoded == by_pydicom(dataset, implicit)


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00280106, "US or SS", 1),
        (0x00091000, "LO", "x" * 70_000),
        (0x7FE00010, "OW", BytesIO(b"\0\0")),
        (0x00091000, "PN", PersonName(b"\x1b$B;3\x1b(B", ["iso8859", "iso2022_jp"])),
    ],
)
def test_what_is_unusual_is_left_to_pydicom(tag: int, vr: str, value: Any) -> None:
    dataset = Dataset()
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.add_new(tag, vr, value)
    assert encode_plain(dataset, False) is None


def test_a_decimal_of_nought_is_a_value() -> None:
    dataset = Dataset()
    dataset.add_new(0x00091000, "DS", DSdecimal(Decimal(0)))
    assert plainly(dataset, True) == by_pydicom(dataset, True)


def test_pixel_data_of_undefined_length_is_left_to_pydicom() -> None:
    dataset = Dataset()
    dataset.add_new(0x7FE00010, "OB", b"\xfe\xff\x00\xe0\0\0\0\0")
    dataset["PixelData"].is_undefined_length = True
    assert encode_plain(dataset, False) is None
