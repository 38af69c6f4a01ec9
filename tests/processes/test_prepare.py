from __future__ import annotations

import asyncio
import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from router.config.schema import Config
from router.errors import ConfigError, SpoolError
from router.processes import prepare
from router.processes.prepare import check_codec, open_spool, raise_descriptor_limit


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    asyncio.run(open_spool(tmp_path / "a" / "spool")).release()
    assert (tmp_path / "a" / "spool").stat().st_mode & 0o777 == 0o700


def test_a_spool_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="cannot be written"):
        asyncio.run(open_spool(tmp_path / "file" / "spool"))


def test_a_full_disk_does_not_keep_the_router_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(prepare.tempfile, "TemporaryFile", full)
    asyncio.run(open_spool(tmp_path)).release()


def test_the_lock_lasts_until_the_last_process_that_inherited_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "LOCK_WAIT_S", 0.0)
    lock = asyncio.run(open_spool(tmp_path))
    heir = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock.fileno()]
    )
    lock.release()
    with pytest.raises(SpoolError, match="in use by another process"):
        asyncio.run(open_spool(tmp_path))
    heir.communicate(b"\n")
    asyncio.run(open_spool(tmp_path)).release()


def test_a_codec_that_contradicts_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTER_CODEC", "reference")
    with pytest.raises(ConfigError, match="ROUTER_CODEC=reference contradicts"):
        check_codec(Config())


def test_the_codec_asked_for_is_the_childrens_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTER_CODEC", "compiled")
    monkeypatch.delenv("ROUTER_CODEC")
    check_codec(Config())
    assert os.environ["ROUTER_CODEC"] == "compiled"


def test_the_descriptor_limit_is_raised_to_what_is_allowed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1000), hard))
        assert raise_descriptor_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
