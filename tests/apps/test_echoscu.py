"""`dicom-router echoscu`, as its user runs it, against every kind of SCP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import router
from benchmarks.peers.process import HOST, free_port
from router import evt
from tests.support.applications import app_process, library_scp, refusal_of, run_app
from tests.support.datasets import CT, VERIFICATION
from tests.support.dcmtk import dcmtk_storescp


@pytest.fixture(scope="module")
def scp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with app_process(tmp_path_factory.mktemp("scp"), "echoscp", "-v") as peer:
        yield peer.port


def test_an_echo_is_answered_and_the_association_released(scp: int, tmp_path: Path) -> None:
    done = run_app("echoscu", HOST, scp, "-v", cwd=tmp_path)
    assert (done.status, done.out) == (0, "")
    said = iter(done.err.splitlines())
    for expected in (
        "I: Requesting Association",
        "I: Association Accepted",
        "I: Sending Echo Request: MsgID 1",
        "I: Received Echo Response (Status: 0x0000 - Success)",
        "I: Releasing Association",
        "I: Association Released",
    ):
        assert expected in said, done.err


def test_pynetdicom_answers(tmp_path: Path) -> None:
    with app_process(tmp_path, "echoscp", package="pynetdicom") as peer:
        done = run_app("echoscu", HOST, peer.port, "--repeat", 3, "-v", cwd=tmp_path)
    assert done.status == 0
    assert done.err.count("Sending Echo Request") == done.err.count("Received Echo Response") == 3


def test_dcmtk_answers(tmp_path: Path, require_peer: Any) -> None:
    require_peer("storescp")
    with dcmtk_storescp(tmp_path) as peer:
        done = run_app("echoscu", HOST, peer.port, "--abort", "-v", cwd=tmp_path)
    assert done.status == 0
    assert "Aborting Association" in done.err
    assert "Releasing" not in done.err


def test_without_options_success_is_silent_and_debug_says_all(scp: int, tmp_path: Path) -> None:
    done = run_app("echoscu", "localhost", scp, cwd=tmp_path)
    assert (done.status, done.out, done.err) == (0, "", "")
    done = run_app("echoscu", HOST, scp, "-d", cwd=tmp_path)
    assert "Accept Parameters" in done.err
    done = run_app("echoscu", HOST, scp, "-d", "-ll", "error", cwd=tmp_path)
    assert done.err == ""


def test_quiet_is_quiet_even_about_failure(tmp_path: Path) -> None:
    done = run_app("echoscu", HOST, free_port(), "-q", cwd=tmp_path)
    assert (done.status, done.out, done.err) == (1, "", "")


@pytest.mark.parametrize("host", [HOST, "no.such.host.invalid"])
def test_no_peer_is_exit_status_1(host: str, tmp_path: Path) -> None:
    done = run_app("echoscu", host, free_port(), cwd=tmp_path)
    assert done.status == 1
    assert "E: Association request failed: unable to connect to remote" in done.err
    assert "E: TCP Initialisation Error" in done.err


def test_a_rejection_is_exit_status_1(tmp_path: Path) -> None:
    with library_scp([VERIFICATION], require_called_aet=True) as (_, port):
        done = run_app("echoscu", HOST, port, cwd=tmp_path)
        assert done.status == 1
        assert "Association Rejected" in done.err
        assert "called-AE-title" in done.err
        assert run_app("echoscu", HOST, port, "-aec", "LIBRARY", cwd=tmp_path).status == 0


def test_no_accepted_context_is_exit_status_1(tmp_path: Path) -> None:
    with library_scp([CT]) as (_, port):
        done = run_app("echoscu", HOST, port, cwd=tmp_path)
    assert done.status == 1
    assert "No accepted presentation contexts" in done.err


def test_a_failure_status_is_exit_status_1(tmp_path: Path) -> None:
    with library_scp([VERIFICATION], [(evt.EVT_C_ECHO, lambda event: 0x0122)]) as (_, port):
        done = run_app("echoscu", HOST, port, cwd=tmp_path)
    assert done.status == 1
    assert "Echo failed: status 0x0122" in done.err


def test_a_peer_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    late = threading.Event()

    def wait(event: Any) -> int:
        late.wait(30)
        return 0x0000

    with library_scp([VERIFICATION], [(evt.EVT_C_ECHO, wait)]) as (_, port):
        done = run_app("echoscu", HOST, port, "-td", 0.2, cwd=tmp_path)
        late.set()
    assert done.status == 1
    assert "DIMSE timeout reached while waiting for message" in done.err
    with library_scp([VERIFICATION], [(evt.EVT_REQUESTED, lambda event: late.wait(30))]) as (_, port):
        late.clear()
        done = run_app("echoscu", HOST, port, "-ta", 0.2, cwd=tmp_path)
        late.set()
    assert done.status == 1
    assert "ACSE timeout reached while waiting for response" in done.err


def test_what_the_options_say_is_proposed(tmp_path: Path) -> None:
    seen = []

    def note(event: Any) -> None:
        requestor = event.assoc.requestor
        syntaxes = requestor.primitive.presentation_context_definition_list[0].transfer_syntax
        seen.append((requestor.ae_title, requestor.maximum_length, [str(uid) for uid in syntaxes]))

    with library_scp([VERIFICATION], [(evt.EVT_REQUESTED, note)]) as (_, port):
        run_app("echoscu", HOST, port, cwd=tmp_path)
        run_app("echoscu", HOST, port, "-xb", "-aet", "OTHER", "-pdu", 0, cwd=tmp_path)
    little, implicit, deflated = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
    big = "1.2.840.10008.1.2.2"
    assert seen == [("ECHOSCU", 16382, [little, implicit, deflated, big]), ("OTHER", 0, [big])]


def test_version_needs_no_address(tmp_path: Path) -> None:
    done = run_app("echoscu", "--version", cwd=tmp_path)
    assert (done.status, done.out, done.err) == (0, f"echoscu.py v{router.__version__}\n", "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "required: addr, port"),
        ([HOST, "1", "-q", "-v"], "not allowed with"),
        ([HOST, "1", "-v", "-d"], "not allowed with"),
        ([HOST, "1", "-xe", "-xb"], "not allowed with"),
        ([HOST, "0"], "port number"),
        ([HOST, "65536"], "port number"),
        ([HOST, "http"], "port number"),
        ([HOST, "1", "-aet", "A" * 17], "not an AE title"),
        ([HOST, "1", "-aec", "  "], "not an AE title"),
        ([HOST, "1", "-ta", "soon"], "number of seconds"),
        ([HOST, "1", "-td", "-1"], "number of seconds"),
        ([HOST, "1", "-tn", "inf"], "number of seconds"),
        ([HOST, "1", "-pdu", "7"], "too small"),
        ([HOST, "1", "-ll", "loud"], "invalid choice"),
        ([HOST, "1", "--repeat", "0"], "not a number from 1"),
    ],
)
def test_wrong_use_exits_with_2(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refusal_of(capsys)("echoscu", *options)
