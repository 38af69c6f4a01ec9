"""Elements as a command line names them."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from router.apps.elements import ElementPath, create_dataset
from tests.support.datasets import instance, write


@pytest.mark.parametrize(
    ("path", "keyword", "value"),
    [
        ("PatientName=Doe^J*", "PatientName", "Doe^J*"),
        ("PatientName=", "PatientName", None),
        ("PatientName", "PatientName", None),
        ("(0010,0010)=a=b", "PatientName", "a=b"),
        ("(0010, 0010)=x", "PatientName", "x"),
        ("ImageType=ORIGINAL\\PRIMARY", "ImageType", ["ORIGINAL", "PRIMARY"]),
        ("Rows=512", "Rows", 512),
        ("AxialMash=1\\2", "AxialMash", [1, 2]),
        ("SelectorFDValue=1.5", "SelectorFDValue", 1.5),
        ("TextValue=a\\b", "TextValue", "a\\b"),
        ("EncapsulatedDocument=00ff10", "EncapsulatedDocument", b"\x00\xff\x10"),
        ("FrameIncrementPointer=(0018,1063)", "FrameIncrementPointer", 0x00181063),
        ("FrameIncrementPointer=00181065", "FrameIncrementPointer", 0x00181065),
        ("StudyInstanceUID=1.2\\1.3", "StudyInstanceUID", ["1.2", "1.3"]),
        ("SeriesNumber=7", "SeriesNumber", 7),
        ("BeamSequence=", "BeamSequence", []),
    ],
)
def test_a_value_is_converted_by_its_vr(path: str, keyword: str, value: Any) -> None:
    found = ElementPath(path).update(Dataset())[keyword].value
    assert list(found) == value if isinstance(value, list) else (found or None) == value


def test_repeating_and_private_elements_go_by_tag() -> None:
    dataset = ElementPath("(6002,0010)=5").update(Dataset())
    assert dataset[0x60020010].value == 5
    dataset = ElementPath("(0011,1001)=00ff").update(dataset)
    assert (dataset[0x00111001].VR, dataset[0x00111001].value) == ("UN", b"\x00\xff")


def test_items_are_made_on_the_way() -> None:
    dataset = ElementPath("BeamSequence[0].PatientName=A").update(Dataset())
    ElementPath("BeamSequence[0].(0010,0020)=1").update(dataset)
    ElementPath("BeamSequence[1].BeamLimitingDeviceSequence[0].NumberOfLeafJawPairs=2").update(dataset)
    assert [len(item) for item in dataset.BeamSequence] == [2, 1]
    assert (dataset.BeamSequence[0].PatientName, dataset.BeamSequence[0].PatientID) == ("A", "1")
    assert dataset.BeamSequence[1].BeamLimitingDeviceSequence[0].NumberOfLeafJawPairs == 2
    assert [len(item) for item in ElementPath("BeamSequence[3]=").update(Dataset()).BeamSequence] == [0] * 4


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "does not begin with"),
        ("=1", "does not begin with"),
        ("PatientNme=1", "not the keyword"),
        ("(0010,00)=1", "not a (gggg,eeee) tag"),
        ("PatientName[0]=1", "no sequence"),
        ("PatientName.PatientID=1", "not understood"),
        ("BeamSequence.PatientID=1", "not understood"),
        ("BeamSequence[0]=1", "no value of its own"),
        ("BeamSequence=1", "items, not a value"),
        ("BeamSequence[0]x", "not understood"),
        ("BeamSequence[99999].PatientID=", "beyond"),
        ("Rows=many", "invalid literal"),
        ("EncapsulatedDocument=xyz", "hexadecimal"),
        ("FrameIncrementPointer=1", "not a tag"),
    ],
)
def test_what_is_no_element_is_said_so(path: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        ElementPath(path)


def options(file: Path | None, *paths: str) -> argparse.Namespace:
    return argparse.Namespace(file=file, keyword=[ElementPath(path) for path in paths])


def test_a_query_is_the_file_with_the_elements_over_it(tmp_path: Path) -> None:
    path = write(instance(PatientName="From^File"), tmp_path / "query.dcm")
    query = create_dataset(options(path, "PatientID=other", "BeamSequence[0].PatientName="))
    assert (query.PatientName, query.PatientID, len(query.BeamSequence)) == ("From^File", "other", 1)
    assert Tag("SpecificCharacterSet") not in query


def test_text_beyond_ascii_is_sent_as_utf_8() -> None:
    query = create_dataset(options(None, "PatientName=Jérôme"))
    assert query.SpecificCharacterSet == "ISO_IR 192"


def test_a_file_without_elements_is_no_query(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="no elements"):
        create_dataset(options(tmp_path / "empty"))
