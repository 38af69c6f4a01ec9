"""File systems of a test's own, to be lost, filled or made read-only: loop images and small tmpfs. Need root.

Power loss is the file system's own shutdown ioctl without a flush of its log: from then on every call on it
fails, and after the next mount only what was synced is there.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.peers.process import PeerFailed, find_program

FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
UMOUNT_S = 20.0
MIB = 1 << 20
SIZE_MIB = {"ext4": 96, "xfs": 320}
MKFS = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}


@dataclass(slots=True)
class Mount:
    """One mounted file system. source: the image or the word tmpfs."""

    place: Path
    kind: str
    source: Path | str
    options: str = ""

    def mount(self) -> None:
        """Mount it, its log replayed where it has one."""
        loop = ["loop"] if isinstance(self.source, Path) else []
        options = ",".join([*loop, *filter(None, [self.options])])
        run(
            "mount", "-t", self.kind, *(["-o", options] if options else []), str(self.source), str(self.place)
        )

    def umount(self) -> None:
        """Unmount it; wait for processes that have just died to let go."""
        end = time.monotonic() + UMOUNT_S
        while True:
            done = subprocess.run(["umount", str(self.place)], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
            if time.monotonic() > end:
                raise PeerFailed(f"umount: {done.stderr.strip()}")
            time.sleep(0.05)

    def lose_power(self) -> None:
        """Stop all input and output at once; what is not on the medium is gone."""
        descriptor = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def restore_power(self) -> None:
        """Unmount and mount again, once nobody uses it any more."""
        self.umount()
        self.mount()

    def abort(self) -> None:
        """Make ext4 believe in an error of its own: it turns read-only."""
        run("mount", "-o", "remount,abort", str(self.place))

    def free_bytes(self) -> int:
        """Return what an ordinary process may still use."""
        room = os.statvfs(self.place)
        return room.f_bavail * room.f_frsize


@contextmanager
def loop_image(
    directory: Path, kind: str = "ext4", size_mib: int = 0, image_in: Path | None = None, options: str = ""
) -> Iterator[Mount]:
    """Make and mount an image for the length of a `with` block. image_in: where the sparse image lies."""
    image = (image_in or directory) / f"{kind}.image"
    with image.open("wb") as file:
        file.truncate((size_mib or SIZE_MIB[kind]) * MIB)
    run(*MKFS[kind], str(image))
    with _mounted(Mount(directory / f"{kind}-disk", kind, image, options)) as mount:
        yield mount


@contextmanager
def small_tmpfs(directory: Path, size_mib: int, name: str = "tmpfs-disk") -> Iterator[Mount]:
    """Mount a tmpfs of this size for the length of a `with` block."""
    with _mounted(Mount(directory / name, "tmpfs", "tmpfs", f"size={size_mib}m")) as mount:
        yield mount


@contextmanager
def _mounted(mount: Mount) -> Iterator[Mount]:
    mount.place.mkdir(parents=True, exist_ok=True)
    mount.mount()
    try:
        yield mount
    finally:
        try:
            mount.umount()
        except PeerFailed:
            run("umount", "-l", str(mount.place))
            raise


def why_no_mounts() -> str:
    """Return why this environment cannot mount loop images; empty if it can."""
    if os.geteuid() != 0:
        return "not root"
    if not Path("/dev/loop-control").exists():
        return "no loop device"
    missing = [name for name in ("mount", "umount", "mkfs.ext4") if find_program(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def require_mounts() -> None:
    """Skip by name where images cannot be mounted; fail in CI, unless it says that it has no root."""
    reason = why_no_mounts()
    if not reason:
        return
    if os.environ.get("CI") and not os.environ.get("ROUTER_TESTS_WITHOUT_ROOT"):
        pytest.fail(f"{reason}: run as root with loop devices, or set ROUTER_TESTS_WITHOUT_ROOT=1")
    pytest.skip(reason)


def run(*command: str) -> None:
    """Run a system program; raise PeerFailed with its words if it fails."""
    path = find_program(command[0])
    if path is None:
        raise PeerFailed(f"{command[0]} is not installed")
    done = subprocess.run([path, *command[1:]], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerFailed(f"{' '.join(command)}: {done.stderr.strip()}")
