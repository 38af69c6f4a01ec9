"""The router's state as the supervisor tells it to admin, and run.json for tools that look for a router."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from router.processes.member import Member, ProcessState

RUN_FILE = "run.json"


def process_rows(members: Iterable[Member]) -> list[dict[str, Any]]:
    """Return one row a member: role, index, pid, state, restarts, generation."""
    return [
        {
            "role": member.role,
            "index": member.index,
            "pid": member.pid,
            "state": member.state.value,
            "restarts": member.restarts,
            "generation": member.generation,
        }
        for member in members
    ]


def is_ready(members: Iterable[Member]) -> bool:
    """Whether every acceptor and worker does its work. Admin does not count: data flows without it."""
    return all(member.state is ProcessState.READY for member in members if member.role != "admin")


def write_run_file(spool: Path, listener: str, admin: str) -> None:
    """Say in <spool>/run.json which process runs here and where it listens.

    Readers see the old or the new file.
    """
    text = json.dumps({"pid": os.getpid(), "listener": listener, "admin": admin}) + "\n"
    temporary = spool / f"{RUN_FILE}.new"
    temporary.write_text(text)
    temporary.replace(spool / RUN_FILE)


def remove_run_file(spool: Path) -> None:
    """Take run.json away, as on every clean exit."""
    with suppress(OSError):
        (spool / RUN_FILE).unlink()
