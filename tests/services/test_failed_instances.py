"""The Failed SOP Instance UID List reads back with pydicom, whatever its transfer syntax and length."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from router.services.failed_instances import encode_failed_instances
from router.standard.transfer_syntaxes import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_BASELINE_8_BIT,
)


def read(encoded: bytes, transfer_syntax: str) -> Dataset:
    """Read with pydicom, as a file, which knows every transfer syntax."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.MediaStorageSOPClassUID = meta.MediaStorageSOPInstanceUID = UID("1.2")
    head = DicomBytesIO()
    head.is_little_endian, head.is_implicit_VR = True, False
    write_file_meta_info(head, meta, enforce_standard=False)
    return dcmread(BytesIO(bytes(128) + b"DICM" + head.getvalue() + encoded), force=True)


@pytest.mark.parametrize("count", [1, 2, 3, 2000])
@pytest.mark.parametrize(
    "transfer_syntax",
    [
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        JPEG_BASELINE_8_BIT,
    ],
)
def test_the_list_reads_back(transfer_syntax: str, count: int) -> None:
    uids = [f"1.2.840.113619.2.55.3.604688119.971.1413546.{number}" for number in range(count)]
    encoded = encode_failed_instances(uids, transfer_syntax)
    assert len(encoded) % 2 == 0
    element = read(encoded, transfer_syntax)[0x0008, 0x0058]
    value = element.value
    if element.VR == "UN":
        assert isinstance(value, bytes)
        value = value.rstrip(b"\0").decode("ascii").split("\\")
    assert ([value] if isinstance(value, str) else list(value)) == uids
