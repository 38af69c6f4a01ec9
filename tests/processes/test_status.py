from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from router.processes.budget import RestartBudget
from router.processes.launch import StartInfo
from router.processes.member import Member, ProcessState
from router.processes.status import is_ready, process_rows, remove_run_file, write_run_file


class Nobody:
    """A family whose members never start."""

    def start_info(self, member: Member, control_fd: int) -> StartInfo:
        raise NotImplementedError

    def changed(self, member: Member) -> None:
        return

    def exited(self, member: Member, code: int) -> None:
        return


def members(*roles: str) -> list[Member]:
    async def make() -> list[Member]:
        return [Member(role, 0, "none", Nobody(), RestartBudget()) for role in roles]

    return asyncio.run(make())


def test_ready_are_acceptors_and_workers_whatever_admin_does() -> None:
    acceptor, worker, admin = family = members("acceptor", "worker", "admin")
    assert not is_ready(family)
    acceptor.state = worker.state = ProcessState.READY
    assert admin.state is ProcessState.DOWN
    assert is_ready(family)
    worker.state = ProcessState.STARTING
    assert not is_ready(family)


def test_a_row_says_who_and_how() -> None:
    (worker,) = members("worker")
    assert process_rows([worker]) == [
        {"role": "worker", "index": 0, "pid": None, "state": "down", "restarts": 0, "generation": 0}
    ]


def test_the_run_file_comes_and_goes(tmp_path: Path) -> None:
    write_run_file(tmp_path, "0.0.0.0:11112", "127.0.0.1:8080")
    assert json.loads((tmp_path / "run.json").read_text()) == {
        "pid": os.getpid(),
        "listener": "0.0.0.0:11112",
        "admin": "127.0.0.1:8080",
    }
    remove_run_file(tmp_path)
    remove_run_file(tmp_path)
    assert list(tmp_path.iterdir()) == []
