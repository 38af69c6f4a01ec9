"""A folder on the machine's RAM disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

RAM_DISK = Path("/dev/shm")


@contextmanager
def ram_folder() -> Iterator[Path]:
    """A new folder, for the length of a `with` block."""
    kinds = {line.split()[1]: line.split()[2] for line in Path("/proc/mounts").read_text().splitlines()}
    if kinds.get(str(RAM_DISK)) != "tmpfs":
        pytest.skip(f"{RAM_DISK} is no RAM disk here")
    with tempfile.TemporaryDirectory(dir=RAM_DISK, prefix="dicom-router-test-") as folder:
        yield Path(folder)
