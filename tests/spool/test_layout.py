"""Names, places and the lock."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from router.errors import SpoolError
from router.spool import layout
from router.spool.layout import (
    SpoolLock,
    WorkerDirectory,
    large_name,
    open_patiently,
    sync_folder,
    worker_directories,
    worker_directory,
)


def test_worker_directories_are_found_by_index(tmp_path: Path) -> None:
    assert worker_directories(tmp_path / "nothing") == {}
    for index in (0, 3, 12):
        worker_directory(tmp_path, index).create()
    (tmp_path / "worker-x").mkdir()
    (tmp_path / "incoming").mkdir()
    found = worker_directories(tmp_path)
    assert sorted(found) == [0, 3, 12]
    assert found[3].root == tmp_path / "worker-3"


def test_a_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    directory = worker_directory(tmp_path, 0)
    directory.create()
    directory.create()
    for folder in (directory.root, directory.segments, directory.large, directory.quarantine):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_segments_are_listed_by_number_and_nothing_else(tmp_path: Path) -> None:
    directory = WorkerDirectory(tmp_path)
    directory.create()
    for name in ("0000000010.seg", "0000000002.seg", "2.seg", "0000000003.seg.bak", "x"):
        (directory.segments / name).touch()
    assert directory.segment_numbers() == [2, 10]
    assert directory.segment_path(2).name == "0000000002.seg"
    assert large_name(7) == "0000000000000007.dcmds"


def test_a_lock_keeps_others_out_until_its_owner_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = "import sys; from router.spool.layout import *; from pathlib import Path\n"
    code += "SpoolLock(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(SpoolError, match="in use by another process"):
            SpoolLock(path).acquire()
        other.kill()
        other.wait()
    with SpoolLock(path) as lock:
        with pytest.raises(SpoolError):
            SpoolLock(path).acquire()
        lock.release()
        lock.release()
        SpoolLock(path).acquire()


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_lack_of_descriptors_delays_a_sync_and_does_not_fail_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    refusals = [error, error]
    really_open = os.open

    def scarce_open(path: Path, flags: int) -> int:
        if refusals:
            raise OSError(refusals.pop(), "scarce")
        return really_open(path, flags)

    monkeypatch.setattr(layout, "OPEN_RETRY_S", 0.0)
    monkeypatch.setattr(os, "open", scarce_open)
    sync_folder(tmp_path)
    assert refusals == []


def test_any_other_error_fails_at_once_and_patience_has_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        open_patiently(tmp_path / "nothing")

    def refuse(path: Path, flags: int) -> int:
        raise OSError(errno.EMFILE, "scarce")

    monkeypatch.setattr(layout, "OPEN_PATIENCE_S", -1.0)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match="scarce"):
        open_patiently(tmp_path)
