"""Datasets and files for API tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
VERIFICATION = "1.2.840.10008.1.1"
STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_GET = "1.2.840.10008.5.1.4.1.2.2.3"
IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
)
JPEG = "1.2.840.10008.1.2.4.50"


def instance(
    number: int = 1, transfer_syntax: str = IMPLICIT, pixel_bytes: int = 2000, **more: Any
) -> Dataset:
    """Return a CT instance with File Meta Information."""
    dataset = Dataset()
    dataset.SOPClassUID = CT
    dataset.SOPInstanceUID = f"1.2.3.{number}"
    dataset.PatientName = "Test^Patient"
    dataset.PatientID = f"P{number}"
    dataset.BitsAllocated = 16
    dataset.PixelRepresentation = 0
    dataset.add_new(0x7FE00010, "OW", bytes(pixel_bytes))
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def write(dataset: Dataset, path: Path) -> Path:
    """Write a dataset as a DICOM file."""
    dataset.save_as(path, enforce_file_format=True)
    return path


def query(**keys: Any) -> Dataset:
    """Return an identifier."""
    dataset = Dataset()
    dataset.QueryRetrieveLevel = "STUDY"
    for keyword, value in keys.items():
        setattr(dataset, keyword, value)
    return dataset


def status_with(**elements: Any) -> Dataset:
    """Return a status dataset with these elements."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset
