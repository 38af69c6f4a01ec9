"""The supervisor: starts the router's processes, restarts the dead, reloads, drains; never touches DICOM.

Life: prepare (everything that can be refused is refused here, before any process exists), start all children
at once, ready when every acceptor and worker is, then wait for a signal or a hopeless child, then drain.
Drain order: acceptors first (they finish what is in flight), then workers (they deliver what they can and
close the spool), then admin (it can be scraped to the end).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import router
from router.config.schema import Config
from router.drivers.tls_check import tls_dates
from router.errors import RouterError
from router.processes import logs, signals, status
from router.processes.budget import RESTARTS_MAX, RestartBudget
from router.processes.launch import ROLE_MODULES, StartInfo
from router.processes.member import Member, ProcessState
from router.processes.notify import notify
from router.processes.prepare import check_codec, open_spool, raise_descriptor_limit
from router.processes.reloading import Reloading, raise_for_tls
from router.processes.resources import Resources, address_of
from router.processes.tallies import Tallies

CLOSE_S = 2.0  # what a child gets to close after its drain deadline, before it is killed
SAME_SIGNAL_S = 0.5  # one stop is often told twice: to the process, and to its whole group
STOP_ACCEPTING_S = 1.0  # how long the listening socket waits for acceptors to leave it
DRAIN_ORDER = ("acceptor", "worker", "admin")
START_ORDER = ("admin", "worker", "acceptor")  # the longest import first
ADMIN_PAUSE_S = 30.0  # between restarts of an admin whose budget is used up
EXIT_HOPELESS = 78  # of a child (see child.py): a restart would fail in the same way

log = logging.getLogger(__name__)


class Supervisor:
    """One running router. `run` once, from the main thread."""

    def __init__(
        self,
        config: Config,
        path: str,
        *,
        log_level: str | None = None,
        modules: Mapping[str, str] = ROLE_MODULES,
        restarts_max: int = RESTARTS_MAX,
    ) -> None:
        """path: the configuration file, read again on SIGHUP. log_level: goes before the file's.

        modules: what runs for each role. restarts_max: how often a role index is restarted within
        RESTART_WINDOW_S.
        """
        self.config = config
        self.generation = 1
        self.path = path
        self.log_level = log_level
        self.members: list[Member] = []
        self._modules = modules
        self._restarts_max = restarts_max
        self._resources: Resources | None = None
        self._tallies: Tallies | None = None
        self._started = time.monotonic()
        self._is_ready = False
        self._is_draining = False
        self._stop: asyncio.Future[int] | None = None
        self._stopped_at = 0.0
        self._killed_by: signal.Signals | None = None
        self._push: asyncio.Handle | None = None
        self._accepting_ended = asyncio.Event()
        self._listener = self._admin = ""
        self._listeners: dict[str, str] = {}

    async def run(self) -> int:
        """Run until stopped; return the exit code: 0 after a drain, 1 if the router could not go on.

        Raises ConfigError, ConfigErrors or SpoolError if it cannot start at all.
        """
        self._stop = asyncio.get_running_loop().create_future()
        check_codec(self.config)
        raise_for_tls(self.config, self.path)
        descriptors_max = raise_descriptor_limit()
        lock = await open_spool(Path(self.config.spool.path))
        try:
            self._resources = Resources(self.config, lock)
        except RouterError:
            lock.release()
            raise
        except OSError as error:
            lock.release()
            raise RouterError(
                f"no room for shared resources: {error.strerror}; {descriptors_max} descriptors allowed"
            ) from None
        self._listeners = {name: address_of(end) for name, end in self._resources.listeners.items()}
        self._listener = next(iter(self._listeners.values()))
        self._admin = address_of(self._resources.admin)
        self._tallies = Tallies(self._resources.page, self.config.router.codec)
        reloading = Reloading(self)
        signals.handle_supervisor_signals(self._stop_signal, reloading.request)
        try:
            self._log_start()
            self._start_all()
            code = await self._stop
            await self._drain()
        finally:
            reloading.close()
            self._close()
        if self._killed_by is not None:
            return 128 + self._killed_by
        return code

    @property
    def resources(self) -> Resources:
        """The shared resources; they exist once `run` has prepared them."""
        assert self._resources is not None
        return self._resources

    @property
    def tallies(self) -> Tallies:
        """The supervisor's own metrics; they exist once `run` has prepared them."""
        assert self._tallies is not None
        return self._tallies

    @property
    def is_draining(self) -> bool:
        """Whether the router is on its way out."""
        return self._is_draining

    def start_info(self, member: Member, control_fd: int) -> StartInfo:
        """Say what a member's next process is told."""
        return StartInfo(
            role=member.role,
            index=member.index,
            run=member.runs,
            parent_pid=os.getpid(),
            config=self.config.dump(),
            generation=self.generation,
            fds={"control": [control_fd], **self.resources.for_child(member.role, member.index)},
            values={"listener": self._listener, "admin": self._admin},
        )

    def changed(self, member: Member) -> None:
        """Take note of a member's change: tell admin, and see whether the router is ready now."""
        if self._push is None:
            self._push = asyncio.get_running_loop().call_soon(self._push_state)
        if not any(member.accepts for member in self.members):
            self._accepting_ended.set()
        if not self._is_ready and all(member.state is ProcessState.READY for member in self.members):
            self._became_ready()

    def exited(self, member: Member, code: int) -> None:
        """Decide what follows the end of a member's process."""
        if self._is_draining:
            if code:
                log.warning("child=%s ended while draining: %s", member.name, describe_exit(code))
            member.stop()
            return
        if code == EXIT_HOPELESS:
            member.stop()
            self._give_up(f"child={member.name} cannot run with this configuration; see its error above")
            return
        delay_s = member.budget.restart(time.monotonic())
        if delay_s is None and member.role == "admin":
            delay_s = ADMIN_PAUSE_S  # its faults must not stop the data path
        if delay_s is None:
            member.stop()
            self._give_up(
                f"child={member.name} ended: {describe_exit(code)}; it has used up its "
                f"{member.budget.restarts_max} restarts within {member.budget.window_s:g} s"
            )
            return
        log.error("child=%s ended: %s; restart in %g s", member.name, describe_exit(code), delay_s)
        member.restart(delay_s)
        self.tallies.restarted(member.role)

    def status(self) -> dict[str, Any]:
        """Return the router's state as plain values, for admin."""
        return {
            "version": router.__version__,
            "codec": self.config.router.codec,
            "generation": self.generation,
            "listener": self._listener,
            "tls_listener": self._listeners.get("tls_listener", ""),
            "admin": self._admin,
            "pid": os.getpid(),
            "started_monotonic": self._started,
            "ready": self._is_ready and not self._is_draining and status.is_ready(self.members),
            "draining": self._is_draining,
            "processes": status.process_rows(self.members),
        }

    def _start_all(self) -> None:
        counts = {"acceptor": self.config.router.acceptors, "worker": self.config.router.workers, "admin": 1}
        self.members = [
            Member(role, index, self._modules[role], self, RestartBudget(self._restarts_max))
            for role in START_ORDER
            for index in range(counts[role])
        ]
        for member in self.members:
            member.start()

    def _became_ready(self) -> None:
        self._is_ready = True
        try:
            status.write_run_file(Path(self.config.spool.path), self._listener, self._admin)
        except OSError as error:
            log.warning("%s cannot be written: %s", status.RUN_FILE, error.strerror)
        after_s = time.monotonic() - self._started
        log.info("ready listener=%s admin=http://%s after_s=%.2f", self._listener, self._admin, after_s)
        notify("READY=1")

    def _log_start(self) -> None:
        config = self.config
        log.info(
            "starting dicom-router version=%s codec=%s config=%s",
            router.__version__,
            config.router.codec,
            self.path,
        )
        log.info(
            "listener=%s ae_title=%s acceptors=%d workers=%d admin=http://%s spool=%s ack=%s",
            self._listener,
            config.router.ae_title,
            config.router.acceptors,
            config.router.workers,
            self._admin,
            config.spool.path,
            config.router.ack,
        )
        for error, _ in tls_dates(config, self.path):
            log.warning("%s", error)
        if (tls_listener := self._listeners.get("tls_listener")) is not None:
            plain = "too" if config.listener.plain else "not at all"
            log.info("tls_listener=%s plain=%s", tls_listener, plain.replace(" ", "-"))
        for name, destination in config.destinations.items():
            log.info(
                "destination=%s ae_title=%s address=%s:%d tls=%s",
                name, destination.ae_title, destination.host, destination.port,
                "no" if destination.tls is None else "yes",
            )  # fmt: skip

    def _push_state(self) -> None:
        self._push = None
        message = self.status()
        self.tallies.ready(message["ready"])
        for member in self.members:
            if member.role == "admin":
                member.send("state", **message)

    def _stop_signal(self, number: signal.Signals) -> None:
        assert self._stop is not None
        if self._stop.done():
            if time.monotonic() - self._stopped_at < SAME_SIGNAL_S:
                return
            log.warning("second %s: ended at once", number.name)
            self._killed_by = number
            for member in self.members:
                member.kill()
            return
        log.info("%s: draining for up to %g s", number.name, self.config.router.drain_s)
        self._stopped_at = time.monotonic()
        self._stop.set_result(0)

    def _give_up(self, why: str) -> None:
        assert self._stop is not None
        log.error("the router stops: %s", why)
        if not self._stop.done():
            self._stop.set_result(1)

    async def _drain(self) -> None:
        self._is_draining = True
        notify("STOPPING=1")
        deadline = time.monotonic() + self.config.router.drain_s
        closing = asyncio.get_running_loop().create_task(self._stop_listening())
        for role in DRAIN_ORDER:
            await self._drain_role(role, deadline)
        await closing
        log.info("drained after_s=%.2f", time.monotonic() - deadline + self.config.router.drain_s)

    async def _drain_role(self, role: str, deadline: float) -> None:
        """Drain the members of a role; whoever is alive CLOSE_S after the deadline is killed."""
        members = [member for member in self.members if member.role == role]
        remaining_s = max(0.0, deadline - time.monotonic())
        for member in members:
            if self._killed_by is not None:
                member.kill()
            member.drain(remaining_s)
        waiting = asyncio.gather(*(member.has_stopped.wait() for member in members))
        try:
            await asyncio.wait_for(asyncio.shield(waiting), remaining_s + CLOSE_S)
        except TimeoutError:
            for member in members:
                if not member.has_stopped.is_set():
                    log.warning("child=%s did not end within its drain deadline: killed", member.name)
                    member.kill()
            await waiting

    async def _stop_listening(self) -> None:
        """Refuse connections as soon as no acceptor uses the listening socket, so that none sees it fail."""
        try:
            await asyncio.wait_for(self._accepting_ended.wait(), STOP_ACCEPTING_S)
        except TimeoutError:
            log.debug("an acceptor did not say that it stopped accepting")
        self.resources.stop_listening()
        log.info("no longer listening on %s", ", ".join(self._listeners.values()))

    def _close(self) -> None:
        for member in self.members:
            member.kill()
        if self._push is not None:
            self._push.cancel()
        signals.release_supervisor_signals()
        status.remove_run_file(Path(self.config.spool.path))
        self.resources.close()


def describe_exit(code: int) -> str:
    """Say in words how a process ended; code as of ChildProcess.reap."""
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return f"exit code {code}"


def supervise(
    config: Config,
    path: str,
    *,
    log_level: str | None = None,
    modules: Mapping[str, str] = ROLE_MODULES,
    restarts_max: int = RESTARTS_MAX,
) -> int:
    """Run a router in the foreground until it is stopped; return the exit code. See `Supervisor`."""
    logs.configure(config.log.level, config.log.format, "supervisor")
    supervisor = Supervisor(config, path, log_level=log_level, modules=modules, restarts_max=restarts_max)
    return asyncio.run(supervisor.run())
