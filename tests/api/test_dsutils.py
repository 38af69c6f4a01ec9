"""Datasets to bytes and back: the same bytes as pynetdicom's, whatever the transfer syntax."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pynetdicom.dsutils as theirs
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from router.api import dsutils as ours
from router.standard.transfer_syntaxes import DEFAULT_TRANSFER_SYNTAXES

ENCODINGS = [(True, True), (False, True), (False, False)]


def dataset() -> Dataset:
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3"
    made = Dataset()
    made.PatientName = "Doe^Jane"
    made.PatientID = "odd"
    made.StudyDate = "20240101"
    made.Rows = 512
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    made.ReferencedImageSequence = Sequence([item, item])
    made.ImageType = ["ORIGINAL", "PRIMARY"]
    made.InstanceNumber = None
    return made


@pytest.mark.parametrize(("implicit", "little"), ENCODINGS)
def test_the_bytes_are_pynetdicoms_and_read_back(implicit: bool, little: bool) -> None:
    encoded = ours.encode(dataset(), implicit, little)
    assert encoded is not None
    assert encoded == theirs.encode(dataset(), implicit, little)
    assert ours.decode(BytesIO(encoded), implicit, little) == dataset()


def test_a_deflated_dataset_reads_back_here_and_there() -> None:
    encoded = ours.encode(dataset(), False, True, deflated=True)
    assert encoded is not None
    assert len(encoded) % 2 == 0
    assert ours.decode(BytesIO(encoded), False, True, True) == dataset()
    assert theirs.decode(BytesIO(encoded), False, True, True) == dataset()


@pytest.mark.parametrize("transfer_syntax", DEFAULT_TRANSFER_SYNTAXES)
def test_a_transfer_syntax_names_its_encoding(transfer_syntax: str) -> None:
    encoded = ours.encode_as(dataset(), transfer_syntax)
    assert encoded is not None
    assert ours.decode_as(encoded, transfer_syntax) == dataset()


def test_what_cannot_be_encoded_is_none_and_no_value_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    broken = Dataset()
    broken.PatientName = "Doe^Jane"
    broken.add_new(0x00280010, "US", "Doe^Jane")
    assert ours.encode(broken, False, True) is None
    assert "Doe" not in caplog.text


def test_file_meta_information_is_pynetdicoms() -> None:
    said = {
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "sop_instance_uid": "1.2.3",
        "transfer_syntax": "1.2.840.10008.1.2",
        "implementation_uid": "1.2.9",
        "implementation_version": "TEST",
    }
    mine, other = ours.create_file_meta(**said), theirs.create_file_meta(**said)
    assert ours.encode_file_meta(mine) == theirs.encode_file_meta(other)


def test_a_file_is_split_where_its_dataset_begins(tmp_path: Path) -> None:
    meta = ours.create_file_meta(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid="1.2.3",
        transfer_syntax="1.2.840.10008.1.2",
    )
    encoded = ours.encode_as(dataset(), "1.2.840.10008.1.2")
    assert encoded is not None
    path = tmp_path / "one.dcm"
    path.write_bytes(bytes(128) + b"DICM" + ours.encode_file_meta(meta) + encoded)
    found, offset = ours.split_dataset(path)
    assert found.MediaStorageSOPInstanceUID == "1.2.3"
    assert path.read_bytes()[offset:] == encoded
    assert offset == theirs.split_dataset(path)[1]
