"""`dicom-router storescp`, as its user runs it, with every kind of SCU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from benchmarks.peers.process import HOST
from router import AE
from tests.support.applications import app_process, refusal_of, run_app, run_dcmtk
from tests.support.datasets import CT, JPEG, VERIFICATION, instance, write
from tests.support.dcmtk import file_identity

IMAGE = Path(str(get_testdata_file("CT_small.dcm")))
STORED_AS = "CT.1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"


@pytest.mark.parametrize("sender", ["router", "pynetdicom", "dcmtk"])
def test_a_file_arrives_as_it_was_sent(sender: str, tmp_path: Path, require_peer: Any) -> None:
    with app_process(tmp_path, "storescp", "-v") as peer:
        if sender == "dcmtk":
            require_peer("storescu")
            done = run_dcmtk("storescu", peer.port, IMAGE, cwd=tmp_path)
        else:
            done = run_app("storescu", HOST, peer.port, IMAGE, cwd=tmp_path, package=sender)
        assert done.status == 0, done.err
        for expected in ("Accepting Association", "Received Store Request", "Storing DICOM file"):
            assert expected in peer.log()
    stored = tmp_path / STORED_AS
    if sender == "router":  # the others write datasets anew
        assert file_identity(stored) == file_identity(IMAGE)
    dataset, original = dcmread(stored), dcmread(IMAGE)
    for read in (dataset, original):
        read.pop(0xFFFCFFFC, None)  # trailing padding, which DCMTK leaves out
    assert dataset == original
    assert dataset.file_meta.MediaStorageSOPClassUID == CT


def test_every_transfer_syntax_is_accepted_and_kept(tmp_path: Path) -> None:
    dataset = instance(transfer_syntax=JPEG)
    ae = AE()
    ae.add_requested_context(CT, JPEG)
    with app_process(tmp_path, "storescp", "-od", "new/deep") as peer, ae.associate(HOST, peer.port) as assoc:
        assert assoc.send_c_store(dataset).Status == 0x0000
    assert dcmread(tmp_path / "new/deep/CT.1.2.3.1").file_meta.TransferSyntaxUID == JPEG


def test_a_file_that_is_there_is_replaced_with_a_warning(tmp_path: Path) -> None:
    first, second = instance(PatientID="first"), instance(PatientID="second")
    ae = AE()
    ae.add_requested_context(CT)
    with app_process(tmp_path, "storescp", "-ll", "warn") as peer, ae.associate(HOST, peer.port) as assoc:
        assert assoc.send_c_store(first).Status == 0x0000
        assert peer.log() == ""
        assert assoc.send_c_store(second).Status == 0x0000
        assert peer.log() == "W: DICOM file already exists, overwriting\n"
    assert dcmread(tmp_path / "CT.1.2.3.1").PatientID == "second"
    assert {path.name for path in tmp_path.iterdir()} == {"CT.1.2.3.1", "storescp.log"}


def test_ignored_instances_leave_no_file(tmp_path: Path) -> None:
    path = write(instance(), tmp_path / "image.dcm")
    with app_process(tmp_path / "scp", "storescp", "--ignore") as peer:
        assert run_app("storescu", HOST, peer.port, path, cwd=tmp_path).status == 0
    assert [path.name for path in (tmp_path / "scp").iterdir()] == ["storescp.log"]


def test_a_place_that_cannot_be_written_to_is_answered_as_out_of_resources(tmp_path: Path) -> None:
    path = write(instance(), tmp_path / "image.dcm")
    with app_process(tmp_path, "storescp", "-od", path / "below") as peer:
        done = run_app("storescu", HOST, peer.port, path, cwd=tmp_path)
        assert "E: Could not write file to specified directory" in peer.log()
    assert done.status == 1
    assert "0xA700" in done.err


@pytest.mark.parametrize(("options", "answered"), [([], True), (["--no-echo"], False)])
def test_echo_is_answered_unless_told_otherwise(options: list[str], answered: bool, tmp_path: Path) -> None:
    ae = AE()
    ae.add_requested_context(VERIFICATION)
    ae.add_requested_context(CT)
    with app_process(tmp_path, "storescp", *options) as peer, ae.associate(HOST, peer.port) as assoc:
        accepted = [context.abstract_uid for context in assoc.accepted_contexts]
    assert (VERIFICATION in accepted) is answered
    assert CT in accepted


def test_wrong_use_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    refuse = refusal_of(capsys)
    assert "required: port" in refuse("storescp")
    assert "not allowed with" in refuse("storescp", 1, "-q", "-d")
    assert "unrecognized arguments" in refuse("storescp", 1, "--fork")
