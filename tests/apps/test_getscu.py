"""`dicom-router getscu`, as its user runs it, to every kind of SCP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from benchmarks.peers.process import HOST, free_port
from router import AE, evt
from tests.support.applications import dcmqrscp, refusal_of, run_app
from tests.support.datasets import CT, STUDY_GET, instance, write

KEYS = ("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3")


def studied(number: int = 1) -> Any:
    return instance(number, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4", Modality="CT")


def serve(handler: Any, **bound: Any) -> tuple[AE, int]:
    ae = AE()
    ae.add_supported_context(STUDY_GET)
    ae.add_supported_context(CT, scu_role=True, scp_role=True)
    handlers = [(evt.EVT_C_GET, handler), *bound.get("more", [])]
    server = ae.start_server((HOST, 0), block=False, evt_handlers=handlers)
    assert server is not None
    return ae, server.server_address[1]


def two_instances(event: Any) -> Any:
    yield 2
    yield 0xFF00, studied(1)
    yield 0xFF00, studied(2)


def test_instances_are_written_as_they_come(tmp_path: Path) -> None:
    ae, port = serve(two_instances)
    with ae:
        done = run_app("getscu", HOST, port, "-S", *KEYS, "-od", "got", cwd=tmp_path)
    assert (done.status, done.out) == (0, "")
    for expected in (
        "I: Sending Get Request: MsgID 1",
        "I: Storing DICOM file: got/CT.1.2.3.2",
        "I: Get SCP Result: 0x0000 (Success)",
    ):
        assert expected in done.err
    assert sorted(path.name for path in (tmp_path / "got").iterdir()) == ["CT.1.2.3.1", "CT.1.2.3.2"]
    assert dcmread(tmp_path / "got" / "CT.1.2.3.2").PatientID == "P2"


def test_dcmtk_sends_what_it_has(tmp_path: Path, require_peer: Any) -> None:
    require_peer("dcmqrscp", "storescu")
    image = write(studied(), tmp_path / "image")
    with dcmqrscp(tmp_path, [image]) as port:
        done = run_app("getscu", HOST, port, "-aec", "QR", "-S", *KEYS, "-od", "got", cwd=tmp_path)
    assert done.status == 0, done.err
    assert dcmread(tmp_path / "got" / "CT.1.2.3.1").StudyInstanceUID == "1.2.3"


def test_ignored_instances_leave_no_file(tmp_path: Path) -> None:
    ae, port = serve(two_instances)
    with ae:
        assert run_app("getscu", HOST, port, "-S", *KEYS, "--ignore", cwd=tmp_path).status == 0
    assert list(tmp_path.iterdir()) == []


def test_failed_sub_operations_are_exit_status_1(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ae, port = serve(two_instances)
    with ae:
        options = ("-od", "file/below", "-ll", "error")
        done = run_app("getscu", HOST, port, "-S", *KEYS, *options, cwd=tmp_path)
    assert done.status == 1
    assert "E: The operation failed: status 0xA702, 2 sub-operations failed" in done.err


def test_extended_negotiation_asks_for_what_the_options_say(tmp_path: Path) -> None:
    seen: list[Any] = []

    def note(event: Any) -> None:
        requestor = event.assoc.requestor
        roles = {(role.scu_role, role.scp_role) for role in requestor.role_selection.values()}
        seen.append((len(requestor.requested_contexts), roles, dict(requestor.sop_class_extended)))

    ae, port = serve(two_instances, more=[(evt.EVT_REQUESTED, note)])
    with ae:
        options = ("--enhanced-conversion", "--ignore")
        assert run_app("getscu", HOST, port, "-S", *KEYS, *options, cwd=tmp_path).status == 0
    assert seen == [(123, {(False, True)}, {STUDY_GET: b"\0\1"})]


def test_no_peer_is_exit_status_1(tmp_path: Path) -> None:
    done = run_app("getscu", HOST, free_port(), *KEYS, cwd=tmp_path)
    assert done.status == 1
    assert "TCP Initialisation Error" in done.err
    done = run_app("getscu", HOST, free_port(), "-f", "no-such-file.dcm", cwd=tmp_path)
    assert (done.status, done.err) == (1, "E: Cannot read input file no-such-file.dcm\n")


def test_wrong_use_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    refuse = refusal_of(capsys)
    assert "needs -k/--keyword or -f/--file" in refuse("getscu", HOST, 1)
    assert "unrecognized arguments: -W" in refuse("getscu", HOST, 1, *KEYS, "-W")
