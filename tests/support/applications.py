"""The eight DICOM applications as their users run them, and their peers: DCMTK, pynetdicom, the library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.process import HOST, REPOSITORY, PeerProcess, free_port, peer_process, program
from router import AE
from router.__main__ import main

RUN_DEADLINE_S = 60.0
ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY), "TCP_NODELAY": "1"}


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended."""

    status: int
    out: str
    err: str


def run_app(app: str, *arguments: object, cwd: Path, package: str = "router") -> Finished:
    """Run one application to its end. package: `pynetdicom` for the peer's."""
    return run_program([sys.executable, "-m", package, app, *map(str, arguments)], cwd=cwd)


def run_program(command: Sequence[str], *, cwd: Path) -> Finished:
    """Run a program to its end."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **ENVIRONMENT},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        timeout=RUN_DEADLINE_S, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr, done.stderr[-4000:]
    return Finished(done.returncode, done.stdout, done.stderr)


def run_dcmtk(tool: str, port: int, *arguments: object, cwd: Path) -> Finished:
    """Run one of DCMTK's SCUs against a loopback port; arguments before the address are options."""
    options = [str(argument) for argument in arguments if str(argument) and not isinstance(argument, Path)]
    files = [str(argument) for argument in arguments if isinstance(argument, Path)]
    return run_program([program(tool), "-v", *options, HOST, str(port), *files], cwd=cwd)


@contextmanager
def app_process(
    directory: Path, app: str, *arguments: object, package: str = "router"
) -> Iterator[PeerProcess]:
    """Run one of the SCP applications for the length of the block; its port is the last argument."""
    port = free_port()
    command = [sys.executable, "-m", package, app, *map(str, arguments), str(port)]
    with peer_process(app, command, directory, environment=ENVIRONMENT) as peer:
        peer.port = port
        peer.wait_listening(port)
        yield peer


@contextmanager
def library_scp(
    contexts: Sequence[str], handlers: list[Any] | None = None, **settings: Any
) -> Iterator[tuple[AE, int]]:
    """Serve with the library in this process; settings: attributes of the AE. Yields AE and port."""
    ae = AE(ae_title="LIBRARY")
    for uid in contexts:
        ae.add_supported_context(uid)
    for name, value in settings.items():
        setattr(ae, name, value)
    server = ae.start_server((HOST, 0), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield ae, server.server_address[1]
    finally:
        ae.shutdown()


@contextmanager
def dcmqrscp(directory: Path, files: Sequence[Path], move_port: int = 1) -> Iterator[int]:
    """Run DCMTK's archive with these files in it. move_port: where its move destination STORESCP listens."""
    port = free_port()
    storage = directory / "dcmqrscp"
    storage.mkdir(parents=True)
    titles = ("STORESCU", "FINDSCU", "GETSCU", "MOVESCU")
    hosts = ", ".join(f"({title}, localhost, 1)" for title in titles)
    configuration = f"""
        NetworkTCPPort = {port}
        MaxPDUSize = 16384
        MaxAssociations = 16
        HostTable BEGIN
        peers = {hosts}, (STORESCP, localhost, {move_port})
        HostTable END
        VendorTable BEGIN
        VendorTable END
        AETable BEGIN
        QR {storage} RW (200, 1024mb) peers
        AETable END
    """
    path = directory / "dcmqrscp.cfg"
    path.write_text("\n".join(line.strip() for line in configuration.splitlines()))
    command = [program("dcmqrscp"), "-v", "--config", str(path)]
    with peer_process("dcmqrscp", command, directory, environment=ENVIRONMENT) as peer:
        peer.wait_listening(port)
        sent = run_dcmtk("storescu", port, "-aec", "QR", "-aet", "STORESCU", *files, cwd=directory)
        assert sent.status == 0, sent.err
        yield port


@contextmanager
def wlmscpfs(directory: Path, worklist: Sequence[Path]) -> Iterator[int]:
    """Run DCMTK's worklist server for the AE title WL with these files."""
    port = free_port()
    folder = directory / "worklists" / "WL"
    folder.mkdir(parents=True)
    (folder / "lockfile").touch()
    for number, path in enumerate(worklist):
        shutil.copy(path, folder / f"{number}.wl")
    command = [program("wlmscpfs"), "-v", "-dfp", str(folder.parent), str(port)]
    with peer_process("wlmscpfs", command, directory, environment=ENVIRONMENT) as peer:
        peer.wait_listening(port)
        yield port


@contextmanager
def dcmprscp(directory: Path) -> Iterator[int]:
    """Run DCMTK's print SCP for the AE title PRINTER."""
    port = free_port()
    for name in ("spool", "database"):
        (directory / name).mkdir(parents=True)
    path = directory / "dcmprscp.cfg"
    path.write_text(
        f"""
[[GENERAL]]
[PRINT]
Directory = {directory / "spool"}
[DATABASE]
Directory = {directory / "database"}
[NETWORK]
aetitle = DCMPSTATE
[[COMMUNICATION]]
[PRINTER]
Type = LOCALPRINTER
Aetitle = PRINTER
Hostname = localhost
Port = {port}
DisplayFormat = 1,1
FilmSizeID = 8INX10IN
MediumType = PAPER
FilmDestination = PROCESSOR
MagnificationType = NONE
"""
    )
    command = [program("dcmprscp"), "-v", "--config", str(path)]
    with peer_process("dcmprscp", command, directory, environment=ENVIRONMENT) as peer:
        peer.wait_listening(port)
        yield port


def refusal_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs a command line which is wrong use, and gives what it says."""

    def refuse(*arguments: object) -> str:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        assert caught.value.code == 2
        return capsys.readouterr().err

    return refuse
