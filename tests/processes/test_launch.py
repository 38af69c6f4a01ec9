from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from router.processes.launch import ChildProcess, StartInfo, read_start_info, spawn

PROBE = "tests.processes.probe"


def start_info(**fds: list[int]) -> StartInfo:
    return StartInfo("worker", 3, 2, os.getpid(), b"config", 5, fds, {"text": "värde", "list": [1, 2]})


def run_probe(start: StartInfo, environment: pytest.MonkeyPatch) -> str:
    """Spawn the probe, which writes what it sees into the pipe it is given; return that."""
    environment.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    read_fd, write_fd = os.pipe()
    start.fds["report"] = [write_fd]
    child = spawn(start, module=PROBE)
    os.close(write_fd)
    with open(read_fd) as report:
        text = report.read()
    assert child.reap() == 0
    return text


def test_a_child_is_told_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    told = run_probe(start_info(), monkeypatch).splitlines()[0]
    start = start_info()
    start.fds["report"] = [int(told.split("'report': [")[1].split("]")[0])]
    assert told == repr(start)


def test_a_child_inherits_only_what_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    passed, kept = os.memfd_create("passed"), os.memfd_create("kept")
    try:
        inherited = run_probe(start_info(slab=[passed]), monkeypatch).splitlines()[1]
    finally:
        os.close(passed)
        os.close(kept)
    assert "passed" in inherited
    assert "kept" not in inherited


def test_a_child_is_not_in_the_terminals_process_group(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_probe(start_info(), monkeypatch).splitlines()[2] != str(os.getpgrp())


def test_start_information_that_is_none_is_refused() -> None:
    empty = os.memfd_create("empty")
    with pytest.raises(ValueError, match="has 0 bytes"):
        read_start_info(empty)
    wrong = os.memfd_create("wrong")
    os.write(wrong, b"\x01")
    with pytest.raises(ValueError, match="not a table"):
        read_start_info(wrong)


def test_a_dead_child_is_told_by_its_pidfd_and_signals_to_it_go_nowhere() -> None:
    child = ChildProcess(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
    child.kill()
    poll = select.poll()
    poll.register(child.pidfd, select.POLLIN)
    assert poll.poll(10_000)
    child.signal(signal.SIGTERM)
    assert child.reap() == -signal.SIGKILL
    child.kill()
    assert child._process.stdin is not None
    child._process.stdin.close()
