"""`dicom-router findscu`, as its user runs it, to every kind of SCP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from benchmarks.peers.process import HOST, free_port
from router import evt
from tests.support.applications import dcmqrscp, library_scp, refusal_of, run_app, wlmscpfs
from tests.support.datasets import CT, STUDY_FIND, instance, status_with, write
from tests.support.worklist import WORKLIST_FIND, write_worklist_item

PATIENT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"


def patients(event: Any) -> Any:
    for name in ("Doe^Jane", "Doe^John"):
        match = Dataset()
        match.PatientName = name
        yield 0xFF00, match


def test_matches_are_shown_and_written(tmp_path: Path) -> None:
    with library_scp([PATIENT_FIND], [(evt.EVT_C_FIND, patients)]) as (_, port):
        done = run_app("findscu", HOST, port, "-k", "PatientName=", "-w", cwd=tmp_path)
    assert (done.status, done.out) == (0, "")
    for expected in (
        "I: Requesting Association",
        "I: Sending Find Request: MsgID 1",
        "I: Find SCP Result: 0x0000 (Success)",
        "I: Releasing Association",
    ):
        assert expected in done.err
    assert "[Doe^Jane]" in done.err
    written = [dcmread(path) for path in sorted(tmp_path.glob("rsp*.dcm"))]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rsp000001.dcm", "rsp000002.dcm"]
    assert [dataset.PatientName for dataset in written] == ["Doe^Jane", "Doe^John"]
    assert written[0].file_meta.MediaStorageSOPClassUID == PATIENT_FIND


def test_dcmtk_is_queried(tmp_path: Path, require_peer: Any) -> None:
    require_peer("dcmqrscp", "storescu")
    image = write(
        instance(StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4", Modality="CT"), tmp_path / "image"
    )
    with dcmqrscp(tmp_path, [image]) as port:
        keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=", "-k", "PatientID=P1")
        done = run_app("findscu", HOST, port, "-aec", "QR", "-S", *keys, "-w", cwd=tmp_path)
    assert done.status == 0, done.err
    assert dcmread(tmp_path / "rsp000001.dcm").StudyInstanceUID == "1.2.3"
    assert not (tmp_path / "rsp000002.dcm").exists()


def test_dcmtk_gives_its_worklist(tmp_path: Path, require_peer: Any) -> None:
    require_peer("wlmscpfs")
    path = write_worklist_item(tmp_path / "item.wl")
    with wlmscpfs(tmp_path, [path]) as port:
        keys = ("-k", "PatientName=", "-k", "ScheduledProcedureStepSequence[0].Modality=CT")
        done = run_app("findscu", HOST, port, "-aec", "WL", "-W", *keys, "-w", cwd=tmp_path)
    assert done.status == 0, done.err
    match = dcmread(tmp_path / "rsp000001.dcm")
    assert match.PatientName == "Doe^Jane"
    assert match.ScheduledProcedureStepSequence[0].Modality == "CT"


@pytest.mark.parametrize(
    ("options", "sop_class", "information"),
    [
        ([], PATIENT_FIND, None),
        (["--relational-query", "--enhanced-conversion"], PATIENT_FIND, b"\1\0\0\0\1"),
        (["-S", "--dt-matching", "--timezone-adj"], STUDY_FIND, b"\0\1\0\1\0"),
        (["-W", "--fuzzy-names"], WORKLIST_FIND, b"\1\1\1\0"),
    ],
)
def test_extended_negotiation_asks_for_what_the_options_say(
    options: list[str], sop_class: str, information: bytes | None, tmp_path: Path
) -> None:
    seen: list[Any] = []

    def note(event: Any) -> None:
        seen.append(dict(event.assoc.requestor.sop_class_extended))
        seen.append(len(event.assoc.requestor.requested_contexts))

    handlers = [(evt.EVT_REQUESTED, note), (evt.EVT_C_FIND, patients)]
    with library_scp([sop_class], handlers) as (_, port):
        done = run_app("findscu", HOST, port, "-k", "PatientName=", *options, "-ll", "trace", cwd=tmp_path)
    assert done.status == 0, done.err
    assert seen == [{} if information is None else {sop_class: information}, 19]


def test_a_failure_is_exit_status_1_with_its_comment(tmp_path: Path) -> None:
    def fail(event: Any) -> Any:
        yield status_with(Status=0xA700, ErrorComment="too much"), None

    with library_scp([PATIENT_FIND], [(evt.EVT_C_FIND, fail)]) as (_, port):
        done = run_app("findscu", HOST, port, "-k", "PatientName=", "-ll", "error", cwd=tmp_path)
    assert done.status == 1
    assert done.err == "E: The operation failed: status 0xA700: too much\n"


def test_a_model_that_is_not_accepted_is_exit_status_1(tmp_path: Path) -> None:
    with library_scp([STUDY_FIND], [(evt.EVT_C_FIND, patients)]) as (_, port):
        done = run_app("findscu", HOST, port, "-k", "PatientName=", cwd=tmp_path)
    assert done.status == 1
    assert "E: Find failed: " in done.err


def test_no_peer_is_exit_status_1(tmp_path: Path) -> None:
    done = run_app("findscu", HOST, free_port(), "-k", "PatientName=", "-ll", "fatal", cwd=tmp_path)
    assert (done.status, done.err) == (1, "")


@pytest.mark.parametrize("exists", [False, True])
def test_a_file_that_is_no_query_is_exit_status_1(exists: bool, tmp_path: Path) -> None:
    if exists:
        (tmp_path / "no-such-file.dcm").write_bytes(b"\x01")
    done = run_app("findscu", HOST, free_port(), "-f", "no-such-file.dcm", cwd=tmp_path)
    assert done.status == 1
    assert done.err == "E: Cannot read input file no-such-file.dcm\n"


def test_wrong_use_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    refuse = refusal_of(capsys)
    assert "needs -k/--keyword or -f/--file" in refuse("findscu", HOST, 1)
    assert "not allowed with" in refuse("findscu", HOST, 1, "-k", "PatientName", "-P", "-S")
    assert "not the keyword" in refuse("findscu", HOST, 1, "-k", "PatientNam")
    assert CT not in refuse("findscu", HOST, 1, "-q", "-v")
