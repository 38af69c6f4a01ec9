from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest

from router.config.load import parse_config
from router.config.schema import Config
from router.metrics.page import MetricsPage
from router.processes.child import EXIT_FAILED, EXIT_HOPELESS, EXIT_ORPHANED
from router.processes.control import write_memfd
from router.processes.launch import ChildProcess, StartInfo, spawn
from tests.processes.harness import FAKE, WAIT_S, wait_gone

pytestmark = pytest.mark.system


class Parent:
    """This test in the supervisor's place: one child with the fake role, and the control channel to it."""

    def __init__(self, parent_pid: int = 0) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(WAIT_S)
        self.page = MetricsPage.create()
        self.listener = socket.create_server(("127.0.0.1", 0))
        fds = {
            "control": [theirs.fileno()],
            "metrics": [self.page.fd],
            "listener": [self.listener.fileno()],
        }
        start = StartInfo("acceptor", 0, 1, parent_pid or os.getpid(), Config().dump(), 1, fds)
        self.child: ChildProcess = spawn(start, module=FAKE)
        theirs.close()

    def receive(self) -> dict[str, object]:
        message: dict[str, object] = msgpack.unpackb(self.control.recv(100_000))
        return message

    def send(self, fds: list[int], **message: object) -> None:
        socket.send_fds(self.control, [msgpack.packb(message)], fds)

    def end(self) -> int:
        """Return the child's exit code."""
        assert wait_gone([self.child.pidfd])
        return self.child.reap()

    def close(self) -> None:
        if self.child.pidfd >= 0:
            self.child.kill()
            self.child.reap()
        self.control.close()
        self.listener.close()
        self.page.close()


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))


@pytest.fixture
def parent() -> Iterator[Parent]:
    made = Parent()
    yield made
    made.close()


def test_a_child_is_ready_and_drains_on_its_parents_word(parent: Parent) -> None:
    assert parent.receive() == {"kind": "ready", "detail": {"fake": 1}}
    assert (parent.page.role, parent.page.writer[0]) == ("acceptor", parent.child.pid)
    parent.send([], kind="drain", deadline_s=5)
    assert [parent.receive()["kind"], parent.receive()["kind"]] == ["not_accepting", "drained"]
    assert parent.end() == 0


def test_sigterm_drains_and_the_terminals_signals_do_nothing(parent: Parent) -> None:
    parent.receive()
    for number in (signal.SIGINT, signal.SIGHUP):
        parent.child.signal(number)
    parent.send([write_memfd("config", Config().dump())], kind="reload", generation=2)
    assert parent.receive() == {"kind": "reloaded", "generation": 2}  # so it is alive
    parent.child.signal(signal.SIGTERM)
    assert [parent.receive()["kind"], parent.receive()["kind"]] == ["not_accepting", "drained"]
    assert parent.end() == 0


def test_a_child_without_parent_ends(parent: Parent) -> None:
    parent.receive()
    parent.control.close()
    assert parent.end() == EXIT_ORPHANED


def test_a_child_whose_parent_died_before_it_could_ask_for_the_death_signal_ends() -> None:
    made = Parent(parent_pid=1)
    assert made.end() == EXIT_ORPHANED
    made.close()


def test_a_configuration_error_is_hopeless_and_another_error_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for behaviour, code in (("hopeless", EXIT_HOPELESS), ("fail", EXIT_FAILED)):
        monkeypatch.setenv("FAKE_ACCEPTOR", behaviour)
        made = Parent()
        assert made.end() == code
        made.close()


def test_a_reload_that_fails_is_told_and_the_next_one_goes_on(
    parent: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent.receive()
    parent.send([write_memfd("config", b"{}}")], kind="reload", generation=2)
    answer = parent.receive()
    assert (answer["kind"], answer["generation"]) == ("reload_failed", 2)
    config = parse_config('[router]\nack = "delivered"')
    parent.send([write_memfd("config", config.dump())], kind="reload", generation=3)
    assert parent.receive() == {"kind": "reloaded", "generation": 3}
