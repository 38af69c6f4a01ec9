"""One place in the supervisor's family: a role index, the process that fills it now, and its state.

A member outlives its processes; what they share (see resources.py) is handed to each of them in turn.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import os
import socket
from typing import Any, Protocol

from router.processes.budget import RestartBudget
from router.processes.control import MESSAGE_BYTES_MAX, ControlChannel, Message
from router.processes.launch import ChildProcess, StartInfo, spawn

START_S = 600.0  # a worker's recovery of a large spool counts as starting
EXIT_NOT_STARTED = 127  # as a shell says it of a program it could not run
END_S = 2.0  # from a process's last word to its end

log = logging.getLogger(__name__)


class ProcessState(enum.Enum):
    """What a member's process is doing."""

    DOWN = "down"  # none runs: not yet started, or waiting for its restart
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"  # none runs, and none will


_ALLOWED = {
    ProcessState.DOWN: {ProcessState.STARTING, ProcessState.STOPPED},
    ProcessState.STARTING: {
        ProcessState.READY,
        ProcessState.DRAINING,
        ProcessState.DOWN,
        ProcessState.STOPPED,
    },
    ProcessState.READY: {ProcessState.DRAINING, ProcessState.DOWN, ProcessState.STOPPED},
    ProcessState.DRAINING: {ProcessState.STOPPED},
    ProcessState.STOPPED: set(),
}


class Family(Protocol):
    """What a member tells the supervisor."""

    def start_info(self, member: Member, control_fd: int) -> StartInfo:
        """Say what the member's next process is told."""

    def changed(self, member: Member) -> None:
        """Take note that the member's state, process or generation changed."""

    def exited(self, member: Member, code: int) -> None:
        """Decide what follows the end of the member's process: `restart` it, or `stop`."""


class Member:
    """A role index and its present process, if any. Used from the supervisor's loop only."""

    def __init__(self, role: str, index: int, module: str, family: Family, budget: RestartBudget) -> None:
        self.role = role
        self.index = index
        self.name = f"{role}-{index}"
        self.state = ProcessState.DOWN
        self.restarts = 0
        self.runs = 0
        self.generation = 0
        self.detail: dict[str, Any] = {}
        self.budget = budget
        self.has_stopped = asyncio.Event()
        self.accepts = role == "acceptor"
        self._module = module
        self._family = family
        self._process: ChildProcess | None = None
        self._control: ControlChannel | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reloaded: asyncio.Future[str] | None = None

    @property
    def pid(self) -> int | None:
        """The present process's id."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start a process for this member."""
        loop = asyncio.get_running_loop()
        self._timer = None
        self.runs += 1
        try:
            ours, start, self._process = self._spawn()
        except OSError as error:
            log.error("child=%s cannot be started: %s", self.name, error)
            self._family.exited(self, EXIT_NOT_STARTED)
            return
        self.generation = start.generation
        self._control = ControlChannel(ours, self._message, self._control_closed)
        loop.add_reader(self._process.pidfd, self._process_ended)
        self._timer = loop.call_later(START_S, self._start_took_too_long)
        self._move(ProcessState.STARTING)

    def restart(self, delay_s: float) -> None:
        """Start another process after the dead one, in delay_s."""
        self.restarts += 1
        if self.state is not ProcessState.DOWN:
            self._move(ProcessState.DOWN)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self.start)

    def drain(self, deadline_s: float) -> None:
        """Ask the process to end its work within deadline_s; without a process, be stopped."""
        self._cancel_timer()
        if self._process is None:
            self.stop()
        elif self.state in (ProcessState.STARTING, ProcessState.READY):
            self._move(ProcessState.DRAINING)
            if self._control is None or not self._control.send("drain", deadline_s=deadline_s):
                self._process.kill()

    def stop(self) -> None:
        """Take note that no process runs here any more, and none will."""
        self._cancel_timer()
        self.accepts = False
        if self.state is not ProcessState.STOPPED:
            self._move(ProcessState.STOPPED)
        self.has_stopped.set()

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()

    def send(self, kind: str, **fields: Any) -> bool:
        """Send a control message to the present process."""
        return self._control is not None and self._control.send(kind, **fields)

    def reload(self, config_fd: int, generation: int) -> asyncio.Future[str]:
        """Send a configuration.

        The future gives why it was not applied, or "" once it is (or will be, by a restart).
        """
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if self._control is None:
            answer.set_result("")
        elif not self._control.send("reload", [config_fd], generation=generation):
            answer.set_result("the process takes no messages")
        else:
            self._reloaded = answer
        return answer

    def _spawn(self) -> tuple[socket.socket, StartInfo, ChildProcess]:
        """Make a process; return this end of its control channel, what it was told, and its handle."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MESSAGE_BYTES_MAX)
        try:
            with theirs:
                start = self._family.start_info(self, theirs.fileno())
                return ours, start, spawn(start, module=self._module)
        except OSError:
            ours.close()
            raise

    def _message(self, message: Message, fds: list[int]) -> None:
        for fd in fds:
            os.close(fd)
        kind = message["kind"]
        if kind == "ready" and self.state is ProcessState.STARTING:
            self._cancel_timer()
            self.detail = dict(message.get("detail", {}))
            self._move(ProcessState.READY)
        elif kind == "reloaded":
            self.generation = int(message["generation"])
            self._answer_reload("")
            self._family.changed(self)
        elif kind == "reload_failed":
            self._answer_reload(str(message["why"]))
        elif kind == "not_accepting":
            self.accepts = False
            self._family.changed(self)

    def _answer_reload(self, why: str) -> None:
        if self._reloaded is not None and not self._reloaded.done():
            self._reloaded.set_result(why)
        self._reloaded = None

    def _control_closed(self) -> None:
        """The process closed its control channel: it is ending, and should have ended in END_S."""
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(END_S, self.kill)

    def _start_took_too_long(self) -> None:
        log.error("child=%s is not ready after %g s: ended", self.name, START_S)
        self.kill()

    def _process_ended(self) -> None:
        assert self._process is not None
        asyncio.get_running_loop().remove_reader(self._process.pidfd)
        code = self._process.reap()
        self._cancel_timer()
        if self._control is not None:
            self._control.close()
        self._process = self._control = None
        self._answer_reload("")
        self._family.exited(self, code)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _move(self, state: ProcessState) -> None:
        """Change the state; the only place that does."""
        assert state in _ALLOWED[self.state], f"{self.name}: {self.state} to {state}"
        log.debug("child=%s state=%s was=%s", self.name, state.value, self.state.value)
        self.state = state
        self._family.changed(self)
