"""Starting a child process: what it is told, which descriptors it inherits, and its handle in the supervisor.

The start information travels in a memfd, so it has no size limit of a pipe or a command line and shows in no
process list. Spawn from the main thread only: the death signal a child asks for follows the *thread* that
made it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgpack

import router

START_INFO_BYTES_MAX = 16 * 1024 * 1024
ROLES = ("acceptor", "worker", "admin")
ROLE_MODULES = {role: f"router.processes.{role}" for role in ROLES}


@dataclass(slots=True)
class StartInfo:
    """All that a child is told at its start; plain values only.

    run: 1 for the first process of this role and index, one more for each restart.
    config: `Config.dump()`; generation counts the reloads that have been applied to it.
    fds: descriptors by name, as numbers in the child: control, metrics, and those of its role (see
    resources.py). values: further plain values of the role.
    """

    role: str
    index: int
    run: int
    parent_pid: int
    config: bytes
    generation: int
    fds: dict[str, list[int]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The process's name in logs: role and index."""
        return f"{self.role}-{self.index}"

    def descriptors(self) -> set[int]:
        """Every descriptor the child inherits."""
        return {fd for numbers in self.fds.values() for fd in numbers}


class ChildProcess:
    """A running child: its pid, a pidfd that becomes readable at its death, its exit code once reaped."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid
        self.pidfd = os.pidfd_open(process.pid)

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens if the process is gone."""
        if self.pidfd >= 0:
            try:
                signal.pidfd_send_signal(self.pidfd, number)
            except ProcessLookupError:
                return

    def kill(self) -> None:
        """End the process at once."""
        self.signal(signal.SIGKILL)

    def reap(self) -> int:
        """Collect the dead process and close its pidfd; return its exit code (negative: the signal's number).

        Blocks if the process is still alive: call it once the pidfd is readable.
        """
        code = self._process.wait()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        return code


def spawn(start: StartInfo, *, module: str | None = None, python: Iterable[str] = ()) -> ChildProcess:
    """Start a child with its start information and descriptors; of others it inherits 0, 1 and 2 only.

    module: what to run instead of the role's own module. python: further interpreter options.
    The child gets its own process group, so that a terminal's Ctrl-C reaches the supervisor alone even before
    the child can ignore it. Raises OSError if no process can be made.
    """
    start_fd = _write_start_info(start)
    command = [
        sys.executable,
        "-P",
        *python,
        "-m",
        module or ROLE_MODULES[start.role],
        "--start-fd",
        str(start_fd),
    ]
    try:
        process = subprocess.Popen(
            command,
            pass_fds=[start_fd, *start.descriptors()],
            stdin=subprocess.DEVNULL,
            env=_environment(),
            process_group=0,
        )
    finally:
        os.close(start_fd)
    return ChildProcess(process)


def read_start_info(fd: int) -> StartInfo:
    """Read the start information a parent has put into fd, and close fd.

    Raises ValueError if it is not one.
    """
    try:
        size = os.fstat(fd).st_size
        if not 0 < size <= START_INFO_BYTES_MAX:
            raise ValueError(f"start information has {size} bytes, allowed 1 to {START_INFO_BYTES_MAX}")
        fields = msgpack.unpackb(os.pread(fd, size, 0))
    finally:
        os.close(fd)
    if not isinstance(fields, dict):
        raise ValueError("start information is not a table")
    return StartInfo(**fields)


def _write_start_info(start: StartInfo) -> int:
    """Return a memfd holding the start information."""
    data = msgpack.packb(asdict(start))
    if len(data) > START_INFO_BYTES_MAX:
        raise ValueError(f"start information has {len(data)} bytes, allowed {START_INFO_BYTES_MAX}")
    fd = os.memfd_create("router-start")
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd


def _environment() -> dict[str, str]:
    """Return the child's environment: this one, with the folder that this package was imported from.

    With it and `-P` a child finds the same package as its parent, whatever the working directory holds.
    """
    environment = dict(os.environ)
    root = str(Path(router.__file__).resolve().parent.parent)
    paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    if not root.endswith(("site-packages", "dist-packages")) and root not in paths:
        paths.append(root)
    if paths:
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment
