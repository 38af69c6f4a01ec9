"""`dicom-router echoscp`, as its user runs it, with every kind of SCU."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.process import HOST
from router import AE
from tests.support.applications import app_process, refusal_of, run_app, run_dcmtk
from tests.support.datasets import BIG_ENDIAN, EXPLICIT, IMPLICIT, VERIFICATION


def test_pynetdicom_and_dcmtk_are_answered(tmp_path: Path, require_peer: Any) -> None:
    require_peer("echoscu")
    with app_process(tmp_path, "echoscp", "-v", "-ba", HOST) as peer:
        assert run_app("echoscu", HOST, peer.port, cwd=tmp_path, package="pynetdicom").status == 0
        assert run_dcmtk("echoscu", peer.port, cwd=tmp_path).status == 0
        for expected in ("Accepting Association", "Received Echo Request", "Association Released"):
            assert peer.log().count(f"I: {expected}") == 2


@pytest.mark.parametrize(
    ("option", "accepted"),
    [("-xb", BIG_ENDIAN), ("-xe", EXPLICIT), ("-xi", IMPLICIT), ("-x=", EXPLICIT)],
)
def test_the_preferred_transfer_syntax_is_chosen(option: str, accepted: str, tmp_path: Path) -> None:
    ae = AE()
    ae.add_requested_context(VERIFICATION, [IMPLICIT, BIG_ENDIAN, EXPLICIT])
    with app_process(tmp_path, "echoscp", option) as peer, ae.associate(HOST, peer.port) as assoc:
        assert [context.transfer_uids for context in assoc.accepted_contexts] == [(accepted,)]


def test_implicit_takes_nothing_else(tmp_path: Path) -> None:
    ae = AE()
    ae.add_requested_context(VERIFICATION, [BIG_ENDIAN, EXPLICIT])
    with app_process(tmp_path, "echoscp", "-xi") as peer:
        assert not ae.associate(HOST, peer.port).is_established


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(number: signal.Signals, tmp_path: Path) -> None:
    with app_process(tmp_path, "echoscp") as peer:
        ae = AE()
        ae.add_requested_context(VERIFICATION)
        assoc = ae.associate(HOST, peer.port)
        assert assoc.send_c_echo().Status == 0x0000
        peer.process.send_signal(number)
        assert peer.process.wait(30) == 0
        assoc.join(10)
        assert assoc.is_aborted
        assert peer.log() == ""


def test_a_port_in_use_is_exit_status_1(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_app("echoscp", port, cwd=tmp_path)
    assert done.status == 1
    assert f"E: Cannot listen on port {port}: Address already in use" in done.err


def test_wrong_use_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    refuse = refusal_of(capsys)
    assert "required: port" in refuse("echoscp")
    assert "not allowed with" in refuse("echoscp", 1, "-xe", "-xi")
    assert "port number" in refuse("echoscp", -1)
