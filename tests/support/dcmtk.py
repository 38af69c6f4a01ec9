"""DCMTK's tools as peers: storescp as a sink, storescu, dcmsend and echoscu as senders.

`TCP_NODELAY=1` in their environment: without it every operation waits for the kernel's delayed ACK (40 ms).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.process import HOST, PeerProcess, free_port, peer_process, program
from tests.support.corpus import dataset_of_file, transfer_syntax_of_file

ENVIRONMENT = {"TCP_NODELAY": "1"}
SEND_DEADLINE_S = 60.0
ARGUMENTS_MAX = 500  # files on one command line


@dataclass(slots=True)
class StoreSCP:
    """A running storescp and the directory it writes to."""

    port: int
    output: Path
    peer: PeerProcess

    def files(self) -> list[Path]:
        """Return the files received so far."""
        return sorted(path for path in self.output.iterdir() if path.is_file())

    def received(self) -> set[tuple[str, str]]:
        """Return (transfer syntax, sha256 of the encoded dataset) of every file."""
        return {file_identity(path) for path in self.files()}


def file_identity(path: Path) -> tuple[str, str]:
    """Return (transfer syntax, sha256 of the encoded dataset) of a DICOM file."""
    data = path.read_bytes()
    return transfer_syntax_of_file(data), hashlib.sha256(dataset_of_file(data)).hexdigest()


@contextmanager
def dcmtk_storescp(
    directory: Path, name: str = "storescp", options: Sequence[str] = ()
) -> Iterator[StoreSCP]:
    """Run storescp: all transfer syntaxes, unknown SOP classes, octets written as they come, a file each."""
    port, output = free_port(), directory / f"{name}.received"
    output.mkdir(parents=True)
    accept = [
        "--fork",
        "+xa",
        "--promiscuous",
        "--bit-preserving",
        "--unique-filenames",
        "--max-pdu",
        "131072",
    ]
    command = [program("storescp"), "-v", *accept, "--output-directory", str(output), *options, str(port)]
    with peer_process(name, command, directory, environment=ENVIRONMENT) as peer:
        peer.wait_listening(port)
        yield StoreSCP(port, output, peer)


def dcmtk_storescu(
    port: int, files: Iterable[Path], options: Sequence[str] = (), may_fail: bool = False
) -> str:
    """Send files with storescu; return its output.

    may_fail: do not raise AssertionError if it ends with an error (DCMTK cannot send every file it is given).
    """
    return _run([program("storescu"), "-v", "-aec", "ROUTER", *options, HOST, str(port)], files, may_fail)


def dcmsend(port: int, files: Iterable[Path], options: Sequence[str] = (), may_fail: bool = False) -> str:
    """Send files with dcmsend, never changing their compression; return its output."""
    command = [program("dcmsend"), "-v", "-dn", "-nuc", "-aec", "ROUTER", *options, HOST, str(port)]
    return _run(command, files, may_fail)


def echoscu(port: int, options: Sequence[str] = ()) -> str:
    """Send one C-ECHO; return the output."""
    return _run([program("echoscu"), "-v", "-aec", "ROUTER", *options, HOST, str(port)], ())


def _run(command: list[str], files: Iterable[Path], may_fail: bool = False) -> str:
    paths = [str(path) for path in files]
    assert len(paths) <= ARGUMENTS_MAX
    done = subprocess.run(
        [*command, *paths],
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SEND_DEADLINE_S,
        check=False,
    )
    output = done.stdout + done.stderr
    assert may_fail or done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{output[-4000:]}"
    return output
