"""The README's examples of the library: each is taken out of it and run as it stands against a peer."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from benchmarks.peers.process import REPOSITORY, PeerProcess, free_port, peer_process
from router import AE, evt
from tests.support.datasets import CT, MR, STUDY_FIND, VERIFICATION, instance, query, write

EXAMPLE = re.compile(r"<!-- example: ([a-z-]+) -->\n```python\n(.*?)```", re.DOTALL)
EXAMPLES: dict[str, str] = dict(EXAMPLE.findall((REPOSITORY / "README.md").read_text()))
NAMES = ["echo-scu", "echo-scp", "storage-scu", "storage-scp", "aio-find"]
PORT = "11112"
DEADLINE_S = 60.0
ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY)}


def test_the_readme_has_these_examples() -> None:
    assert list(EXAMPLES) == NAMES


def write_example(name: str, directory: Path, port: int) -> Path:
    """Write an example to a file, with another port, and listening on the loopback only."""
    source = EXAMPLES[name]
    assert PORT in source
    path = directory / f"{name}.py"
    path.write_text(source.replace(PORT, str(port)).replace('"0.0.0.0"', '"127.0.0.1"'))
    return path


def run_example(name: str, directory: Path, port: int) -> list[str]:
    """Run an example to its end; return the lines it prints."""
    path = write_example(name, directory, port)
    done = subprocess.run(
        [sys.executable, path.name],
        cwd=directory,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@contextmanager
def serving_example(name: str, directory: Path) -> Iterator[PeerProcess]:
    """Run an example that serves; at the end it is interrupted as by Ctrl-C, and must take that well."""
    port = free_port()
    path = write_example(name, directory, port)
    with peer_process(name, [sys.executable, path], directory, environment=ENVIRONMENT) as peer:
        peer.wait_listening(port)
        peer.port = port
        yield peer
        peer.process.send_signal(signal.SIGINT)
        assert peer.process.wait(DEADLINE_S) == 0, peer.log()


@contextmanager
def serving(contexts: list[str], handlers: list[Any]) -> Iterator[int]:
    """Serve in this process; yield the port."""
    with AE("SCP") as ae:
        for uid in contexts:
            ae.add_supported_context(uid)
        server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        assert server is not None
        yield server.server_address[1]


def test_the_echo_scu_prints_the_status(tmp_path: Path) -> None:
    with serving([VERIFICATION], []) as port:
        assert run_example("echo-scu", tmp_path, port) == ["C-ECHO: 0000H"]


def test_the_echo_scu_says_when_nobody_is_there(tmp_path: Path) -> None:
    assert run_example("echo-scu", tmp_path, free_port()) == ["no association"]


def test_the_echo_scp_answers(tmp_path: Path) -> None:
    with serving_example("echo-scp", tmp_path) as peer:
        ae = AE("TESTER")
        ae.add_requested_context(VERIFICATION)
        with ae.associate("127.0.0.1", peer.port) as assoc:
            assert assoc.send_c_echo().Status == 0x0000
    assert "C-ECHO from TESTER" in peer.log()


def test_the_storage_scu_sends_the_folder(tmp_path: Path) -> None:
    stored: list[str] = []

    def handle(event: evt.Event) -> int:
        stored.append(str(event.dataset.SOPInstanceUID))
        return 0xB000 if len(stored) == 2 else 0x0000

    images = tmp_path / "images"
    images.mkdir()
    for number in range(2):
        write(instance(number), images / f"{number}.dcm")
    with serving([CT], [(evt.EVT_C_STORE, handle)]) as port:
        assert run_example("storage-scu", tmp_path, port) == ["0.dcm 0000H", "1.dcm B000H"]
    assert stored == ["1.2.3.0", "1.2.3.1"]


def test_the_storage_scp_keeps_what_it_gets(tmp_path: Path) -> None:
    sent = [get_testdata_file("CT_small.dcm"), get_testdata_file("MR_small_RLE.dcm")]
    with serving_example("storage-scp", tmp_path) as peer:
        ae = AE("TESTER")
        ae.add_requested_context(CT)
        ae.add_requested_context(MR, dcmread(sent[1]).file_meta.TransferSyntaxUID)
        with ae.associate("127.0.0.1", peer.port) as assoc:
            for path in sent:
                assert assoc.send_c_store(path).Status == 0x0000
    for path in sent:
        original = dcmread(path)
        assert dcmread(tmp_path / f"{original.SOPInstanceUID}.dcm") == original


def test_the_asyncio_query_prints_its_matches(tmp_path: Path) -> None:
    def handle(event: evt.Event) -> Any:
        assert event.identifier.PatientID == "P1"
        for number in range(2):
            yield 0xFF00, query(StudyInstanceUID=f"1.2.{number}")

    with serving([STUDY_FIND], [(evt.EVT_C_FIND, handle)]) as port:
        assert run_example("aio-find", tmp_path, port) == ["1.2.0", "1.2.1", "0000H"]


@pytest.mark.timeout(300)
def test_mypy_strict_finds_nothing_in_the_examples_nor_in_a_users_program(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "tests" / "support" / "user_program.py", tmp_path)
    for name, source in EXAMPLES.items():
        (tmp_path / f"{name.replace('-', '_')}.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, "MYPYPATH": str(REPOSITORY), "MYPY_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
