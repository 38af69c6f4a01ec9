from __future__ import annotations

import socket
from pathlib import Path

import pytest

from router.processes.notify import notify


@pytest.mark.parametrize("is_abstract", [False, True])
def test_a_state_reaches_the_service_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_abstract: bool
) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + path if is_abstract else path)
        monkeypatch.setenv("NOTIFY_SOCKET", ("@" if is_abstract else "") + path)
        notify("READY=1")
        manager.settimeout(10)
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nobody/listens/here", "relative"])
def test_without_service_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")
