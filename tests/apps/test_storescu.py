"""`dicom-router storescu`, as its user runs it, to every kind of SCP."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from benchmarks.peers.process import HOST, free_port
from router import evt
from router.apps.batches import required_batches
from router.apps.dicom_files import FoundFile, get_files
from tests.support.applications import ENVIRONMENT, app_process, library_scp, refusal_of, run_app
from tests.support.corpus import write_synthetic
from tests.support.datasets import BIG_ENDIAN, CT, DEFLATED, EXPLICIT, IMPLICIT, MR, instance, write
from tests.support.dcmtk import dcmtk_storescp, file_identity

IMAGE = Path(str(get_testdata_file("CT_small.dcm")))
COMPRESSED = Path(str(get_testdata_file("MR_small_RLE.dcm")))


def images(directory: Path, count: int) -> Path:
    """Make a directory of images, one of them in a directory below, and of what is none."""
    (directory / "below").mkdir(parents=True)
    for number in range(1, count):
        write(instance(number), directory / f"{number}.dcm")
    write(instance(count), directory / "below" / "image")
    (directory / "notes.txt").write_text("not DICOM")
    return directory


class Sink:
    """Takes note of what is stored, and answers with a status."""

    def __init__(self, answer: int = 0x0000) -> None:
        self.answer = answer
        self.received: list[tuple[int, str]] = []
        self.associations: set[int] = set()
        self._lock = threading.Lock()

    def handlers(self) -> list[Any]:
        return [(evt.EVT_C_STORE, self.store)]

    def store(self, event: Any) -> int:
        with self._lock:
            self.associations.add(id(event.assoc))
            self.received.append((event.message_id, str(event.request.AffectedSOPInstanceUID)))
        return self.answer


def test_a_file_goes_to_dcmtk_octet_by_octet(tmp_path: Path, require_peer: Any) -> None:
    require_peer("storescp")
    with dcmtk_storescp(tmp_path) as peer:
        done = run_app("storescu", HOST, peer.port, IMAGE, "-v", cwd=tmp_path)
        assert done.status == 0, done.err
        assert peer.received() == {file_identity(IMAGE)}
    for expected in (
        f"I: Sending file: {IMAGE}",
        "I: Sending Store Request: MsgID 1",
        "I: Received Store Response (Status: 0x0000 - Success)",
    ):
        assert expected in done.err


def test_compressed_files_go_to_pynetdicom_with_the_contexts_they_need(tmp_path: Path) -> None:
    with app_process(tmp_path, "storescp", "-od", "got", package="pynetdicom") as peer:
        done = run_app("storescu", HOST, peer.port, IMAGE, COMPRESSED, "-cx", cwd=tmp_path)
        assert done.status == 0, done.err
    got = [dcmread(path) for path in (tmp_path / "got").iterdir()]
    assert {dataset.file_meta.TransferSyntaxUID for dataset in got} == {
        file_identity(IMAGE)[0],
        file_identity(COMPRESSED)[0],
    }


def test_compressed_files_go_without_being_told_to(tmp_path: Path) -> None:
    with app_process(tmp_path, "storescp", "-od", "got") as peer:
        assert run_app("storescu", HOST, peer.port, IMAGE, COMPRESSED, cwd=tmp_path).status == 0
    got = {file_identity(path) for path in (tmp_path / "got").iterdir()}
    assert got == {file_identity(IMAGE), file_identity(COMPRESSED)}


def test_a_file_that_the_peer_takes_in_no_fitting_syntax_fails(tmp_path: Path) -> None:
    sink = Sink()
    with library_scp([CT, MR], sink.handlers()) as (_, port):
        done = run_app("storescu", HOST, port, COMPRESSED, IMAGE, cwd=tmp_path)
    assert done.status == 1
    assert f"E: Store failed: {COMPRESSED}: " in done.err
    assert "has been accepted by the peer" in done.err
    assert len(sink.received) == 1


def test_directories_are_searched_as_deep_as_told(tmp_path: Path) -> None:
    folder, sink = images(tmp_path / "images", 4), Sink()
    with library_scp([CT], sink.handlers()) as (_, port):
        done = run_app("storescu", HOST, port, folder, folder / "1.dcm", "-v", cwd=tmp_path)
        assert done.status == 0, done.err
        assert sink.received == [(1, "1.2.3.1"), (2, "1.2.3.2"), (3, "1.2.3.3")]
        assert f"W: Bad DICOM file: {folder / 'notes.txt'}" in done.err
        sink.received.clear()
        assert run_app("storescu", HOST, port, folder, "-r", cwd=tmp_path).status == 0
    assert sorted(uid for _, uid in sink.received) == ["1.2.3.1", "1.2.3.2", "1.2.3.3", "1.2.3.4"]


def test_jobs_send_over_several_associations_at_once(tmp_path: Path) -> None:
    sink, meeting = Sink(), threading.Barrier(3, timeout=20)

    def store(event: Any) -> int:
        if id(event.assoc) not in sink.associations:
            meeting.wait()  # passes only if three are here together
        return sink.store(event)

    folder = images(tmp_path / "images", 12)
    with library_scp([CT], [(evt.EVT_C_STORE, store)]) as (_, port):
        done = run_app("storescu", HOST, port, folder, "-r", "--jobs", 3, cwd=tmp_path)
    assert done.status == 0, done.err
    assert len(sink.associations) == 3
    assert len({uid for _, uid in sink.received}) == len(sink.received) == 12


def test_a_failure_status_is_exit_status_1_and_a_warning_is_not(tmp_path: Path) -> None:
    sink = Sink(0xA700)
    with library_scp([CT], sink.handlers()) as (_, port):
        done = run_app("storescu", HOST, port, IMAGE, cwd=tmp_path)
        assert done.status == 1
        assert f"E: Store failed: {IMAGE}: status 0xA700 (Failure)" in done.err
        sink.answer = 0xB000
        assert run_app("storescu", HOST, port, IMAGE, cwd=tmp_path).status == 0


def test_files_that_are_left_when_the_peer_aborts_are_failures(tmp_path: Path) -> None:
    def abort(event: Any) -> int:
        event.assoc.abort()
        return 0x0000

    folder = images(tmp_path / "images", 4)
    with library_scp([CT], [(evt.EVT_C_STORE, abort)]) as (_, port):
        done = run_app("storescu", HOST, port, folder, cwd=tmp_path)
    assert done.status == 1
    assert f"Store failed: {folder / '1.dcm'}: no response" in done.err
    assert "files not sent: there is no association" in done.err


def test_no_peer_is_exit_status_1(tmp_path: Path) -> None:
    done = run_app("storescu", HOST, free_port(), IMAGE, cwd=tmp_path)
    assert done.status == 1
    assert "Association request failed: unable to connect to remote" in done.err
    assert "TCP Initialisation Error" in done.err


def test_a_path_that_is_not_there_is_said_and_is_a_failure(tmp_path: Path) -> None:
    done = run_app("storescu", HOST, free_port(), "no-such-file.dcm", "-v", cwd=tmp_path)
    assert done.status == 1
    assert "E: Cannot access path: no-such-file.dcm" in done.err
    assert "W: No suitable DICOM files found" in done.err
    sink = Sink()
    with library_scp([CT], sink.handlers()) as (_, port):
        done = run_app("storescu", HOST, port, "no-such-file.dcm", IMAGE, cwd=tmp_path)
    assert (done.status, len(sink.received)) == (1, 1)


def test_an_empty_directory_is_no_failure(tmp_path: Path) -> None:
    done = run_app("storescu", HOST, free_port(), tmp_path, "-v", cwd=tmp_path)
    assert (done.status, done.err) == (
        0,
        "W: No suitable DICOM files found\nI: 0 stored, 0 failed, 0 left out\n",
    )


@pytest.mark.parametrize("options", [[], ["-cx"]])
def test_a_named_file_that_is_not_dicom_is_a_failure(options: list[str], tmp_path: Path) -> None:
    bad = tmp_path / "notes.txt"
    bad.write_text("not DICOM")
    sink = Sink()
    with library_scp([CT], sink.handlers()) as (_, port):
        done = run_app("storescu", HOST, port, bad, IMAGE, *options, cwd=tmp_path)
    assert (done.status, len(sink.received)) == (1, 1)
    assert f"E: Bad DICOM file: {bad}" in done.err


def test_the_transfer_syntax_asked_for_is_the_only_one_proposed(tmp_path: Path) -> None:
    seen = []

    def note(event: Any) -> None:
        contexts = event.assoc.requestor.primitive.presentation_context_definition_list
        seen.append((len(contexts), {uid for context in contexts for uid in context.transfer_syntax}))

    with library_scp([CT], [(evt.EVT_REQUESTED, note), *Sink().handlers()]) as (_, port):
        for option in ("-v", "-xi", "-xe"):
            assert run_app("storescu", HOST, port, IMAGE, option, cwd=tmp_path).status == 0
        assert run_app("storescu", HOST, port, IMAGE, "-xb", cwd=tmp_path).status == 1
        assert run_app("storescu", HOST, port, IMAGE, "-cx", cwd=tmp_path).status == 0
    assert seen == [
        (121, {IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED}),
        (120, {IMPLICIT}),
        (120, {EXPLICIT}),
        (120, {BIG_ENDIAN}),
        (1, {EXPLICIT}),
    ]


def test_many_files_show_progress_on_a_terminal(tmp_path: Path) -> None:
    folder = images(tmp_path / "images", 14)
    near, far = pty.openpty()
    with library_scp([CT], Sink().handlers()) as (_, port):
        process = subprocess.Popen(
            [sys.executable, "-m", "router", "storescu", HOST, str(port), str(folder)],
            stderr=far, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENT, "TERM": "xterm", "COLUMNS": "80"},
        )  # fmt: skip
        os.close(far)
        shown = b""
        try:
            while piece := os.read(near, 4096):
                shown += piece
        except OSError:  # the other end has closed
            pass
        os.close(near)
        assert process.wait(60) == 0
    assert b"14/14" in shown


def test_what_one_association_cannot_hold_goes_over_several(tmp_path: Path) -> None:
    first = write_synthetic(tmp_path / "0", 1, 0)
    files = [FoundFile(first.path, True)]
    for number in range(1, 130):
        files.append(FoundFile(tmp_path / f"{number}", True))
        write_synthetic(tmp_path / f"{number}", 1, number, sop_class=f"{first.sop_class}.{number}")
    batches, bad = required_batches(files)
    assert bad == []
    assert [len(batch.contexts) for batch in batches] == [128, 2]
    assert sorted(file for batch in batches for file in batch.files) == sorted(files)


def test_files_are_found_once_and_in_order(tmp_path: Path) -> None:
    folder = images(tmp_path / "images", 3)
    shutil.copy(folder / "1.dcm", tmp_path / "a.dcm")
    found, bad = get_files([tmp_path / "a.dcm", folder, f"{tmp_path}/./a.dcm", tmp_path / "none"], True)
    assert [file.path.name for file in found] == ["a.dcm", "1.dcm", "2.dcm", "image", "notes.txt"]
    assert [file.is_named for file in found] == [True, False, False, False, False]
    assert bad == [tmp_path / "none"]


def test_wrong_use_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    refuse = refusal_of(capsys)
    assert "required: path" in refuse("storescu", HOST, 1)
    assert "not a number from 1" in refuse("storescu", HOST, 1, IMAGE, "--jobs", 0)
    assert "not allowed with" in refuse("storescu", HOST, 1, IMAGE, "-q", "-v")
