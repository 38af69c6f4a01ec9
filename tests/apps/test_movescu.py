"""`dicom-router movescu`, as its user runs it, to every kind of SCP."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from benchmarks.peers.process import HOST, free_port
from router import AE, evt
from tests.support.applications import dcmqrscp, refusal_of, run_app
from tests.support.datasets import CT, STUDY_MOVE, instance, write

KEYS = ("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3")


def studied(number: int = 1) -> Any:
    return instance(number, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4", Modality="CT")


def serve(store_port: int | None, seen: list[str]) -> tuple[AE, int]:
    """Serve C-MOVE of two instances; store_port: where every destination listens, None for nowhere."""

    def move(event: Any) -> Any:
        seen.append(event.move_destination)
        yield (None, None) if store_port is None else (HOST, store_port)
        yield 2
        yield 0xFF00, studied(1)
        yield 0xFF00, studied(2)

    ae = AE()
    ae.add_supported_context(STUDY_MOVE)
    ae.add_requested_context(CT)
    server = ae.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_C_MOVE, move)])
    assert server is not None
    return ae, server.server_address[1]


def test_instances_are_sent_to_whom_it_names(tmp_path: Path) -> None:
    store_port, seen = free_port(), list[str]()
    ae, port = serve(store_port, seen)
    with ae:
        options = ("-S", "-aem", "HERE", "--store", "--store-port", store_port, "-od", "got")
        done = run_app("movescu", HOST, port, *options, *KEYS, cwd=tmp_path)
    assert (done.status, done.out, seen) == (0, "", ["HERE"])
    for expected in ("I: Sending Move Request: MsgID 1", "I: Move SCP Result: 0x0000 (Success)"):
        assert expected in done.err
    assert sorted(path.name for path in (tmp_path / "got").iterdir()) == ["CT.1.2.3.1", "CT.1.2.3.2"]


def test_dcmtk_sends_what_it_has(tmp_path: Path, require_peer: Any) -> None:
    require_peer("dcmqrscp", "storescu")
    image, store_port = write(studied(), tmp_path / "image"), free_port()
    with dcmqrscp(tmp_path, [image], store_port) as port:
        options = ("-aec", "QR", "-S", "--store", "--store-port", store_port, "-od", "got")
        done = run_app("movescu", HOST, port, *options, *KEYS, cwd=tmp_path)
    assert done.status == 0, done.err
    assert dcmread(tmp_path / "got" / "CT.1.2.3.1").StudyInstanceUID == "1.2.3"


def test_an_unknown_destination_is_exit_status_1(tmp_path: Path) -> None:
    seen: list[str] = []
    ae, port = serve(None, seen)
    with ae:
        done = run_app("movescu", HOST, port, "-S", *KEYS, "-ll", "error", cwd=tmp_path)
    assert (done.status, seen) == (1, ["STORESCP"])
    assert "E: The operation failed: status 0xA801" in done.err


def test_failed_sub_operations_are_exit_status_1(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store_port = free_port()
    ae, port = serve(store_port, [])
    with ae:
        options = ("-S", "--store", "--store-port", store_port, "-od", "file/below", "-ll", "error")
        done = run_app("movescu", HOST, port, *options, *KEYS, cwd=tmp_path)
    assert done.status == 1
    assert "2 sub-operations failed" in done.err


def test_a_storage_port_in_use_is_exit_status_1(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        options = ("--store", "--store-port", taken.getsockname()[1])
        done = run_app("movescu", HOST, free_port(), *KEYS, *options, cwd=tmp_path)
    assert done.status == 1
    assert "E: Cannot listen on port" in done.err


def test_no_peer_is_exit_status_1(tmp_path: Path) -> None:
    done = run_app("movescu", HOST, free_port(), *KEYS, cwd=tmp_path)
    assert done.status == 1
    assert "TCP Initialisation Error" in done.err
    done = run_app("movescu", HOST, free_port(), "-f", "no-such-file.dcm", cwd=tmp_path)
    assert (done.status, done.err) == (1, "E: Cannot read input file no-such-file.dcm\n")


def test_wrong_use_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    refuse = refusal_of(capsys)
    assert "needs -k/--keyword or -f/--file" in refuse("movescu", HOST, 1)
    assert "not an AE title" in refuse("movescu", HOST, 1, *KEYS, "-aem", "back\\slash")
    assert "port number" in refuse("movescu", HOST, 1, *KEYS, "--store-port", "x")
