"""A port is given once, also to several processes, and never one that the system gives out by itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from router.bench import ports


def test_ports_are_given_once_and_are_not_the_systems() -> None:
    first, last = map(int, ports.SYSTEMS_PORTS.read_text().split())
    given = [ports.free_port() for _ in range(20)]
    assert len(set(given)) == 20
    assert not any(first <= port <= last for port in given)


def test_a_port_is_another_processs_only_after_the_end_of_the_one_it_was_given_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = (
        "from router.bench import ports; import sys; print(ports.free_port(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        taken = int(other.stdout.readline())
        monkeypatch.setattr(ports, "_ports", lambda: [taken])
        with pytest.raises(OSError, match="no free port"):
            ports.free_port()
    assert ports.free_port() == taken
