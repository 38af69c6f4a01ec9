from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from router.__main__ import main
from tests.processes.harness import CONFIG, FAKE, ROOT

WITH_FAKES = f"""
import sys
from router.__main__ import main
from router.processes.launch import ROLE_MODULES
ROLE_MODULES.update(dict.fromkeys(ROLE_MODULES, {FAKE!r}))
sys.exit(main())
"""


def config_file(folder: Path, **changes: str) -> Path:
    text = CONFIG.format(drain_s=5, acceptors=1, router="", spool=folder / "spool")
    for old, new in changes.items():
        text = text.replace(old, new)
    file = folder / "router.toml"
    file.write_text(text)
    return file


def test_without_a_file_it_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve"])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert "usage: dicom-router serve" in error
    assert "FILE" in error


def test_every_configuration_error_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config_file(tmp_path, drain_s="drane_s", ae_title="ae_titel")
    assert main(["serve", str(file)]) == 2
    error = capsys.readouterr().err
    assert "router.drane_s" in error
    assert "destinations.PACS.ae_titel" in error
    assert str(file) in error
    assert "the router was not started" in error
    assert not (tmp_path / "spool").exists()


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path / "none.toml")]) == 2
    assert "none.toml" in capsys.readouterr().err


@pytest.mark.system
def test_a_port_in_use_is_a_clear_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file = config_file(tmp_path)
        file.write_text(
            file.read_text().replace("[admin]\nport = 0", f"[admin]\nport = {taken.getsockname()[1]}")
        )
        ended = serve(file)
    assert ended.returncode == 2
    assert "admin.port: cannot listen on 127.0.0.1" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.system
def test_a_codec_that_is_not_wanted_is_refused(tmp_path: Path) -> None:
    ended = serve(config_file(tmp_path), ROUTER_CODEC="reference")
    assert ended.returncode == 2
    assert "router.codec: ROUTER_CODEC=reference contradicts" in ended.stderr


@pytest.mark.system
def test_a_spool_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file, not a folder")
    ended = serve(config_file(tmp_path))
    assert ended.returncode == 1
    assert "spool" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.system
def test_the_first_lines_say_what_runs_and_where(tmp_path: Path) -> None:
    router = subprocess.Popen(command(config_file(tmp_path)), stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert router.stderr is not None
    lines = []
    for line in router.stderr:
        lines.append(line)
        if " ready " in line:
            router.send_signal(signal.SIGTERM)
    router.stderr.close()
    assert router.wait(20) == 0
    assert "version=" in lines[0]
    assert "codec=compiled" in lines[0]
    for field in ("listener=127.0.0.1:", "admin=http://127.0.0.1:", f"spool={tmp_path}/spool"):
        assert field in lines[1]
    assert "destination=PACS ae_title=PACS address=127.0.0.1:11113" in lines[2]


def command(file: Path) -> list[str]:
    return [sys.executable, "-c", WITH_FAKES, "serve", str(file)]


def serve(file: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `serve` where it must end by itself."""
    return subprocess.run(
        command(file),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
