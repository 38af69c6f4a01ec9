"""One peer process: started with its output in a log file, awaited with a deadline, ended by its own id."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from router.bench.process_tree import Member, tree_cpu_s, tree_memory_bytes, tree_of

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 10.0
POLL_S = 0.02
LOG_TAIL_CHARS = 4000
HOST = "127.0.0.1"


class PeerFailed(RuntimeError):
    """A peer ended, or did not get ready or stop in time; the message carries the end of its log."""


@dataclass(slots=True)
class PeerProcess:
    """A started program and where it lives.

    host, port: where it accepts associations, once known; admin_port: a router's; directory: its own, for
    its configuration and data.
    """

    name: str
    process: subprocess.Popen[bytes]
    directory: Path
    log_path: Path
    host: str = HOST
    port: int = 0
    admin_port: int = 0

    def log(self) -> str:
        """Return the end of what the process wrote."""
        return self.log_path.read_text(errors="replace")[-LOG_TAIL_CHARS:]

    def tree(self) -> list[Member]:
        """Return the process and all its living descendants."""
        return tree_of(self.process.pid)

    def cpu_s(self) -> float:
        """Return the CPU time of the tree so far, ended and awaited children included (10 ms steps)."""
        return tree_cpu_s(self.process.pid)

    def memory_bytes(self) -> int:
        """Return the proportional set size of the tree: pages shared in it count once."""
        return tree_memory_bytes(self.process.pid)

    def wait_listening(self, port: int, deadline_s: float = START_DEADLINE_S) -> None:
        """Wait until the port takes connections; raise PeerFailed if the process ends or is late."""
        end = time.monotonic() + deadline_s
        while not accepts_connections(port):
            if self.process.poll() is not None:
                raise PeerFailed(f"{self.name} ended with {self.process.returncode}:\n{self.log()}")
            if time.monotonic() > end:
                raise PeerFailed(f"{self.name} did not listen on {port} within {deadline_s} s:\n{self.log()}")
            time.sleep(POLL_S)

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """End the process and its descendants: SIGTERM, then SIGKILL after the deadline."""
        tree = self.tree()
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(deadline_s)
        for member in tree:
            member.kill()
        self.process.wait()


@contextmanager
def peer_process(
    name: str,
    command: Sequence[str | Path],
    directory: Path,
    *,
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
) -> Iterator[PeerProcess]:
    """Run a program for the length of a `with` block; its output goes to `<name>.log` in the directory.

    stdin, stdout: as for subprocess.Popen; stdout None joins standard error in the log.
    """
    directory.mkdir(parents=True, exist_ok=True)
    log_path = directory / f"{name}.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=stdin,
            stdout=log if stdout is None else stdout,
            stderr=log,
            cwd=directory,
            env={**os.environ, **(environment or {})},
        )
    peer = PeerProcess(name, process, directory, log_path)
    try:
        yield peer
    finally:
        peer.stop()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def accepts_connections(port: int) -> bool:
    """Tell whether something listens on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def find_program(name: str) -> str | None:
    """Return the path of a system program; this Python's own scripts of the same name are passed over.

    pynetdicom installs scripts called storescp, storescu and echoscu, like DCMTK's.
    """
    own = {str(Path(sys.prefix, "bin")), str(Path(sys.executable).parent)}
    folders = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder not in own]
    return shutil.which(name, path=os.pathsep.join([*folders, "/usr/sbin", "/usr/local/bin", "/usr/bin"]))


def program(name: str) -> str:
    """Return the path of a system program that must be there."""
    path = find_program(name)
    if path is None:
        raise PeerFailed(f"{name} is not installed")
    return path
