"""What a window does that its twin cannot: it outlives pages that are gone, and lets go of what is behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ram_disk import ram_folder

MIB = 1 << 20

OPEN = """
import mmap, os, sys
from _codec.segment_window import SegmentWindow
MIB = 1 << 20
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.posix_fallocate(descriptor, 0, 16 * MIB)
window = SegmentWindow(descriptor, 16 * MIB)
"""


@pytest.fixture(name="folder")
def _folder() -> Iterator[Path]:
    with ram_folder() as folder:
        yield folder


def played(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program of its own: a page that is gone may be its end."""
    command = [sys.executable, "-c", OPEN + program, str(folder / "file")]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_page_that_is_gone_when_it_is_mapped_is_an_error(folder: Path) -> None:
    done = played(
        folder,
        """
os.ftruncate(descriptor, MIB)
try:
    window.write(4 * MIB, [b"1" * 100])
except OSError as error:
    print(error.strerror)
""",
    )
    assert (done.returncode, done.stdout) == (0, "Bad address\n"), done.stderr


def test_a_page_that_is_gone_after_it_was_mapped_is_an_error_each_time(folder: Path) -> None:
    done = played(
        folder,
        """
window.write(0, [b"1"])
os.ftruncate(descriptor, 4096)
for length in (1, 100_000):
    try:
        window.write(8192, [bytes(length)])
    except OSError as error:
        print(error.strerror)
""",
    )
    assert (done.returncode, done.stdout) == (0, "Input/output error\n" * 2), done.stderr


@pytest.mark.parametrize(
    "accident",
    [
        "other = mmap.mmap(descriptor, MIB)\nos.ftruncate(descriptor, 0)\nother[0] = 1",
        "os.kill(os.getpid(), 7)",
    ],
    ids=["elsewhere", "sent"],
)
def test_at_any_other_moment_a_bus_error_is_what_it_was(folder: Path, accident: str) -> None:
    assert signal.SIGBUS == 7
    assert played(folder, "window.write(0, [b'1'])\n" + accident).returncode == -signal.SIGBUS


def test_of_a_long_file_a_few_megabytes_ahead_are_mapped_at_a_time(folder: Path) -> None:
    done = played(
        folder,
        """
def mapped_kib():
    lines = open("/proc/self/smaps").read().split(sys.argv[1])[1].splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))

most = 0
for start in range(0, 16 * MIB, MIB // 2):
    window.write(start, [bytes(MIB // 2)])
    most = max(most, mapped_kib() - (start + MIB // 2) // 1024)
print(most)
window.close()
print(sys.argv[1] in open("/proc/self/maps").read())
""",
    )
    most, is_mapped = done.stdout.split()
    assert 512 <= int(most) <= 4 * 1024
    assert is_mapped == "False"
