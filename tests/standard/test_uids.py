"""UIDs: form, and agreement with PS3.6 as pydicom prints it."""

from __future__ import annotations

import pytest
from pydicom._uid_dict import UID_dictionary

from router.standard import uids


@pytest.mark.parametrize("text", ["1", "1.2.840.10008.1.1", "2.25.123", "1." + "2" * 62, "1.02.3", "0.0"])
def test_uids_have_digits_joined_by_single_dots(text: str) -> None:
    assert uids.is_valid_uid(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".1",
        "1..2",
        "1.2\n",
        "1.2\0",
        " 1.2",
        "1.2 ",
        "1.a",
        "1.٣",
        "../1",
        "1." + "2" * 63,
        "1" * 65,
    ],
)
def test_everything_else_is_no_uid(text: str) -> None:
    assert not uids.is_valid_uid(text)


def test_our_own_identity_can_be_sent() -> None:
    assert uids.is_valid_uid(uids.IMPLEMENTATION_CLASS_UID)
    assert 1 <= len(uids.IMPLEMENTATION_VERSION_NAME) <= 16
    assert uids.IMPLEMENTATION_VERSION_NAME.isascii()


def test_well_known_instances_are_those_of_the_dictionary() -> None:
    expected = {uid: row[4] for uid, row in UID_dictionary.items() if row[1] == "Well-known SOP Instance"}
    assert expected == uids.WELL_KNOWN_INSTANCES


@pytest.mark.parametrize(
    ("constant", "keyword"),
    [
        ("DICOM_APPLICATION_CONTEXT", "DICOMApplicationContext"),
        ("VERIFICATION", "Verification"),
        ("STORAGE_SERVICE_CLASS", "Storage"),
        ("STORAGE_COMMITMENT_PUSH_MODEL", "StorageCommitmentPushModel"),
        ("MEDIA_STORAGE_DIRECTORY_STORAGE", "MediaStorageDirectoryStorage"),
        ("MODALITY_WORKLIST_FIND", "ModalityWorklistInformationModelFind"),
        ("MODALITY_PERFORMED_PROCEDURE_STEP", "ModalityPerformedProcedureStep"),
        ("CT_IMAGE_STORAGE", "CTImageStorage"),
        ("MR_IMAGE_STORAGE", "MRImageStorage"),
        ("SECONDARY_CAPTURE_IMAGE_STORAGE", "SecondaryCaptureImageStorage"),
    ],
)
def test_constants_are_the_uids_they_name(constant: str, keyword: str) -> None:
    assert UID_dictionary[getattr(uids, constant)][4] == keyword
