"""Names and statuses of instances that are written to files."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from router.api.dsutils import PREAMBLE, create_file_meta, decode_as, encode_as, encode_file_meta
from router.apps.stored_files import SOP_CLASS_PREFIXES, file_name, handle_store
from router.standard.sop_classes import SOP_CLASSES
from tests.support.datasets import BIG_ENDIAN, CT, DEFLATED, EXPLICIT, IMPLICIT, instance


class StoreEvent:
    """What a handler of EVT_C_STORE looks at."""

    class context:
        transfer_syntax: Any

    def __init__(self, encoded: bytes, transfer_syntax: str) -> None:
        self._encoded = encoded
        self.context = type(self).context()
        self.context.transfer_syntax = transfer_syntax
        self.file_meta = create_file_meta(
            sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax=transfer_syntax
        )

    @property
    def dataset(self) -> Dataset:
        return decode_as(self._encoded, self.context.transfer_syntax)

    def encoded_dataset(self, include_meta: bool = True) -> bytes:
        head = PREAMBLE + encode_file_meta(self.file_meta) if include_meta else b""
        return head + self._encoded


def store(encoded: bytes | None, directory: Path, syntax: str = EXPLICIT) -> int:
    assert encoded is not None
    args = argparse.Namespace(ignore=False, output_directory=str(directory))
    event: Any = StoreEvent(encoded, syntax)
    return handle_store(event, args, logging.getLogger("test"))


def test_names_begin_with_the_kind_of_instance() -> None:
    assert file_name(CT, "1.2.3") == "CT.1.2.3"
    assert file_name("1.2.840.10008.5.1.4.1.1.88.11", "1.2.3") == "UN.1.2.3"
    assert len(SOP_CLASS_PREFIXES) == 17
    assert {info.uid for info in SOP_CLASSES.values()} >= set(SOP_CLASS_PREFIXES)


def test_names_hold_nothing_that_a_uid_does_not() -> None:
    assert file_name(CT, "1.2/3 x\0") == "CT.1.2_3___"
    assert file_name(CT, "../a") == "CT...__"


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN])
def test_an_instance_is_written_byte_for_byte(syntax: str, tmp_path: Path) -> None:
    encoded = encode_as(instance(transfer_syntax=syntax), syntax)
    assert store(encoded, tmp_path, syntax) == 0x0000
    written = (tmp_path / "CT.1.2.3.1").read_bytes()
    assert encoded is not None
    assert written.endswith(encoded)
    assert dcmread(tmp_path / "CT.1.2.3.1").PatientID == "P1"


def test_a_dataset_without_a_uid_is_c210(tmp_path: Path) -> None:
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        dataset = instance()
        del dataset[keyword]
        assert store(encode_as(dataset, EXPLICIT), tmp_path) == 0xC210
    assert list(tmp_path.iterdir()) == []


def test_octets_that_are_no_dataset_are_0210(tmp_path: Path) -> None:
    assert store(b"\x08\x00\x16\x00??\xff\xff" + bytes(20), tmp_path) == 0x0210
    assert list(tmp_path.iterdir()) == []


def test_file_meta_information_in_the_dataset_is_dropped(tmp_path: Path) -> None:
    dataset = instance()
    meta = encode_file_meta(dataset.file_meta)
    encoded = encode_as(dataset, EXPLICIT)
    assert encoded is not None
    assert store(meta + encoded, tmp_path) == 0x0000
    read = dcmread(tmp_path / "CT.1.2.3.1")
    assert read.group_dataset(0x0002) == Dataset()
    assert read.PatientID == "P1"
    assert read.file_meta.TransferSyntaxUID == EXPLICIT


def test_a_directory_that_cannot_be_made_is_a700(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert store(encode_as(instance(), EXPLICIT), tmp_path / "file" / "below") == 0xA700


def test_a_file_that_cannot_be_finished_leaves_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    assert store(encode_as(instance(), EXPLICIT), tmp_path) == 0xA700
    assert list(tmp_path.iterdir()) == []
