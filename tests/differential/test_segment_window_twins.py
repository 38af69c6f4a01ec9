"""Invariant: what is written through a window is in the file at once, and its CRC32C that of the octets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

import _codec.segment_window
import router.wire.reference.segment_window
from tests.differential.twins import QUICK, outcome
from tests.support.ram_disk import ram_folder

TWINS = (_codec.segment_window.SegmentWindow, router.wire.reference.segment_window.SegmentWindow)
SIZE = 3 * 65536 + 100  # no border of a page
STRETCH = 3 * 4096  # what the compiled one takes the CRC of at a time
OCTETS = bytes(i * 7 % 251 for i in range(4 * STRETCH))

LENGTHS = st.one_of(
    st.integers(0, 200),
    st.sampled_from([63, 64, 65, 4096]),
    st.integers(STRETCH - 70, STRETCH + 70),
    st.integers(0, len(OCTETS) - 256),
)
BUFFERS = st.lists(
    st.tuples(st.integers(0, 255), LENGTHS).map(lambda cut: memoryview(OCTETS)[cut[0] : cut[0] + cut[1]]),
    max_size=4,
)
WRITES = st.lists(st.tuples(st.integers(0, SIZE + 10), BUFFERS, st.integers(0, 0xFFFFFFFF)), max_size=6)


@pytest.fixture(scope="module", name="folder")
def _folder() -> Iterator[Path]:
    with ram_folder() as folder:
        yield folder


def file_of(folder: Path) -> int:
    """Return the descriptor of a new file without a name."""
    path = folder / "file"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    path.unlink()
    os.posix_fallocate(descriptor, 0, SIZE)
    return descriptor


def run(window_class, folder, writes):
    """Write; return every outcome and what the file holds."""
    descriptor = file_of(folder)
    try:
        window = window_class(descriptor, SIZE)
        outcomes = [outcome(window.write, *write) for write in writes]
        window.close()
        window.close()
        outcomes.append(outcome(window.write, 0, [b"1"]))
        return outcomes, os.pread(descriptor, SIZE, 0)
    finally:
        os.close(descriptor)


@QUICK
@given(WRITES)
def test_both_windows_write_alike(folder: Path, writes) -> None:
    assert run(TWINS[0], folder, writes) == run(TWINS[1], folder, writes)


@QUICK
@given(BUFFERS, st.integers(0, 0xFFFFFFFF), st.integers(0, 200))
def test_a_write_returns_the_crc_that_goes_on_from_the_one_before(folder, buffers, crc, offset) -> None:
    descriptor = file_of(folder)
    try:
        octets = b"".join(buffers)
        assert TWINS[0](descriptor, SIZE).write(offset, buffers, crc) == crc32c(octets, crc)
        assert os.pread(descriptor, len(octets), offset) == octets
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("window_class", TWINS)
def test_only_a_file_that_is_long_enough_has_a_window(window_class, folder: Path) -> None:
    descriptor = file_of(folder)
    try:
        with pytest.raises(ValueError, match=f"a window of {SIZE + 1} octets on a file of {SIZE}"):
            window_class(descriptor, SIZE + 1)
        with pytest.raises(ValueError, match="a window of 0 octets"):
            window_class(descriptor, 0)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("window_class", TWINS)
def test_only_a_file_of_a_ram_disk_has_a_window(window_class) -> None:
    with open("/proc/self/status", "rb") as file, pytest.raises(OSError, match="not supported"):
        window_class(file.fileno(), 1)
