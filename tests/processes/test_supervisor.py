from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from router.processes.supervisor import SAME_SIGNAL_S, describe_exit
from tests.processes.harness import WAIT_S, RouterProcess, address_of, children_of, wait_gone

pytestmark = pytest.mark.system


def test_ready_when_all_children_are_and_gone_after_sigterm(tmp_path: Path) -> None:
    with RouterProcess(tmp_path) as router:
        ready = router.wait_ready()
        run = json.loads((router.spool / "run.json").read_text())
        assert run == {
            "pid": router.process.pid,
            "listener": ready["listener"],
            "admin": ready["admin"].removeprefix("http://"),
        }
        assert len(children_of(router.process.pid)) == 3
        router.process.send_signal(signal.SIGTERM)
        assert router.wait_end() == 0
        assert not (router.spool / "run.json").exists()
        assert "level=warning" not in "\n".join(router.lines)


@pytest.mark.parametrize("role", ["acceptor", "worker", "admin"])
def test_a_killed_child_is_restarted(tmp_path: Path, role: str) -> None:
    with RouterProcess(tmp_path) as router:
        router.wait_ready()
        before = set(children_of(router.process.pid))
        os.kill(child_of_role(router, role), signal.SIGKILL)
        router.wait_for(f"child={role}-0", "killed by SIGKILL", "restart in 0 s")
        router.wait_for(f"process={role}-0", "up run=2")
        assert len(before & set(children_of(router.process.pid))) == 2
        router.process.send_signal(signal.SIGINT)
        assert router.wait_end() == 0


def test_connections_reach_a_restarted_acceptor(tmp_path: Path) -> None:
    with RouterProcess(tmp_path) as router:
        listener = address_of(router.wait_ready()["listener"])
        os.kill(child_of_role(router, "acceptor"), signal.SIGKILL)
        with socket.create_connection(listener, WAIT_S) as peer:
            assert peer.recv(5) == b"hello"


def test_stop_with_an_error_when_the_restart_budget_is_used_up(tmp_path: Path) -> None:
    with RouterProcess(tmp_path, worker="hopeless") as router:
        router.wait_for("child=worker-0", "cannot run with this configuration")
        assert router.wait_end() == 1
    with RouterProcess(tmp_path, restarts_max=2, worker="crash") as router:
        router.wait_for("the router stops", "child=worker-0", "exit code 9", "its 2 restarts within 60 s")
        assert router.wait_end() == 1


def test_admin_without_budget_does_not_stop_the_data_path(tmp_path: Path) -> None:
    with RouterProcess(tmp_path, restarts_max=1) as router:
        listener = address_of(router.wait_ready()["listener"])
        os.kill(child_of_role(router, "admin"), signal.SIGKILL)
        router.wait_for("process=admin-0", "up run=2")
        os.kill(child_of_role(router, "admin"), signal.SIGKILL)
        router.wait_for("child=admin-0", "restart in 30 s")
        with socket.create_connection(listener, WAIT_S) as peer:
            assert peer.recv(5) == b"hello"
        router.process.send_signal(signal.SIGTERM)
        assert router.wait_end() == 0


def test_drain_refuses_new_peers_and_finishes_what_is_in_flight(tmp_path: Path) -> None:
    with RouterProcess(tmp_path) as router:
        listener = address_of(router.wait_ready()["listener"])
        with socket.create_connection(listener, WAIT_S) as peer:
            assert peer.recv(5) == b"hello"
            router.process.send_signal(signal.SIGTERM)
            router.wait_for("no longer listening")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(listener, WAIT_S).close()
            assert router.process.poll() is None
        assert router.wait_end() == 0


def test_a_child_that_does_not_drain_is_killed_after_its_deadline(tmp_path: Path) -> None:
    with RouterProcess(tmp_path, drain_s=0, worker="deaf") as router:
        router.wait_ready()
        router.process.send_signal(signal.SIGTERM)
        router.wait_for("child=worker-0", "did not end within its drain deadline")
        assert router.wait_end() == 0


def test_a_second_signal_ends_at_once_unless_it_is_the_same_one_told_twice(tmp_path: Path) -> None:
    with RouterProcess(tmp_path, drain_s=3600, acceptor="deaf", worker="deaf", admin="deaf") as router:
        router.wait_ready()
        router.process.send_signal(signal.SIGTERM)
        router.wait_for("draining for up to")
        router.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            router.process.wait(SAME_SIGNAL_S)
        router.process.send_signal(signal.SIGTERM)
        router.wait_for("second SIGTERM")
        assert router.wait_end() == 128 + signal.SIGTERM


def test_children_die_with_a_killed_supervisor_and_a_successor_starts(tmp_path: Path) -> None:
    with RouterProcess(tmp_path, acceptors=2) as router:
        router.wait_ready()
        pidfds = [os.pidfd_open(pid) for pid in children_of(router.process.pid)]
        router.process.kill()
        try:
            assert len(pidfds) == 4
            assert wait_gone(pidfds)
        finally:
            for fd in pidfds:
                os.close(fd)
    with RouterProcess(tmp_path) as router:
        router.wait_ready()


def test_a_second_router_on_the_same_spool_is_refused(tmp_path: Path) -> None:
    with RouterProcess(tmp_path) as router:
        router.wait_ready()
        with RouterProcess(tmp_path) as second:
            assert second.wait_end() == 1
            assert "in use by another process" in "\n".join(second.lines)
        assert (router.spool / "run.json").exists()


def test_an_exit_is_described_in_words() -> None:
    assert describe_exit(-9) == "killed by SIGKILL"
    assert describe_exit(3) == "exit code 3"
    assert describe_exit(-100) == "killed by signal 100"


def child_of_role(router: RouterProcess, role: str) -> int:
    """Return the process id of a child, from the command line that names its start."""
    ups = [line for line in router.lines if f"process={role}-0" in line and " up run=" in line]
    return int(ups[-1].split("pid=")[1].split()[0])
