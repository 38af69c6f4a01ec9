"""DICOM files are opened as far as their dataset, whatever their file meta information is like."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from router.apps.part10 import META_MAX_BYTES, NotPart10, open_part10

SYNTAX = struct.pack("<HH2sH", 2, 0x0010, b"UI", 18) + b"1.2.840.10008.1.2\x00"
SOP_CLASS = struct.pack("<HH2sH", 2, 0x0002, b"UI", 4) + b"1.2\x00"
VERSION = struct.pack("<HH2sHI", 2, 0x0001, b"OB", 0, 2) + b"\x00\x01"
DATASET = struct.pack("<HHI", 8, 0x0060, 2) + b"CT"


def write(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join((bytes(128), b"DICM", *parts)))
    return path


def test_the_dataset_begins_behind_the_meta_information(tmp_path: Path) -> None:
    file = open_part10(write(tmp_path / "a.dcm", VERSION, SOP_CLASS, SYNTAX, DATASET))
    assert (file.sop_class, file.sop_instance) == ("1.2", "")
    assert file.transfer_syntax == "1.2.840.10008.1.2"
    assert bytes(file.dataset) == DATASET


def test_a_wrong_group_length_does_no_harm(tmp_path: Path) -> None:
    wrong = struct.pack("<HH2sHI", 2, 0, b"UL", 4, 9999)
    assert bytes(open_part10(write(tmp_path / "a.dcm", wrong, SYNTAX, DATASET)).dataset) == DATASET


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "no valid TransferSyntaxUID"),
        ([SOP_CLASS, DATASET], "no valid TransferSyntaxUID"),
        ([SYNTAX[:20]], "longer than the file"),
        ([struct.pack("<HH2sHI", 2, 1, b"OB", 0, META_MAX_BYTES), bytes(META_MAX_BYTES), SYNTAX], "1 MiB"),
    ],
)
def test_broken_meta_information_is_said_so(tmp_path: Path, parts: list[bytes], said: str) -> None:
    with pytest.raises(NotPart10, match=said):
        open_part10(write(tmp_path / "a.dcm", *parts))


@pytest.mark.parametrize("content", [b"", b"DICM", bytes(200)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(NotPart10):
        open_part10(path)
