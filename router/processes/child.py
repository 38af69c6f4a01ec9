"""What every child process does around its role: start information, log, loop, drain, reload, end.

A role's module is `def main() -> int: return child.run(role_main)` with `async def role_main(child: Child)`,
which sets itself up, says `child.ready()`, waits in `await child.drain_requested()`, ends its work within the
deadline it got, says `child.drained()` and returns. Exit codes: 0 drained, 1 failed (restarted),
EXIT_HOPELESS (not restarted).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import inspect
import logging
import os
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from router.config.schema import Config
from router.errors import ConfigError, ConfigErrors
from router.metrics.catalogue import CODEC_INFO
from router.metrics.page import MetricsPage
from router.processes import logs, signals
from router.processes.affinity import keep_to_one_cpu
from router.processes.control import ControlChannel, Message, read_memfd
from router.processes.launch import START_INFO_BYTES_MAX, StartInfo, read_start_info

EXIT_FAILED = 1
SWITCH_S = 0.0005  # a thread back from the disk waits at most this long for the event loop's thread
GC_THRESHOLD = 20_000  # allocations between collections; the default 700 costs 1 % of the data path
EXIT_ORPHANED = 3
EXIT_HOPELESS = 78  # EX_CONFIG of sysexits.h: a restart would fail in the same way

log = logging.getLogger(__name__)


class Child:
    """A role's view of its process: what it was given, and its words with the supervisor."""

    def __init__(self, start: StartInfo, config: Config) -> None:
        """Call with the event loop running; takes over the control descriptor."""
        self.start = start
        self.config = config
        self.generation = start.generation
        self.page = MetricsPage.attach(start.fds["metrics"][0])
        self.page.begin(start.role, start.index)
        self.page.set(self.page.slot(CODEC_INFO, codec=config.router.codec), 1)
        end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=start.fds["control"][0])
        self._drain: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._on_drain: Callable[[float], Any] | None = None
        self._on_reload: Callable[[Config], Any] | None = None
        self._handlers: dict[str, Callable[[Message], None]] = {}
        self._reloads = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.control = ControlChannel(end, self._message, self._orphaned)

    @property
    def role(self) -> str:
        """acceptor, worker or admin."""
        return self.start.role

    @property
    def index(self) -> int:
        """Which of its role, from 0."""
        return self.start.index

    @property
    def run(self) -> int:
        """Which process of this role and index since the router's start, from 1."""
        return self.start.run

    def fds(self, name: str) -> list[int]:
        """Return the descriptors passed under a name; the caller owns them."""
        return self.start.fds.get(name, [])

    def on_drain(self, handler: Callable[[float], Any]) -> None:
        """Call handler(deadline_s), once, when a drain is asked for; it may return an awaitable."""
        self._on_drain = handler

    def on_reload(self, handler: Callable[[Config], Any]) -> None:
        """Call handler(config) for each new configuration; it may return an awaitable.

        If it raises, the supervisor is told why and `config` stays the old one: the handler must have changed
        nothing.
        """
        self._on_reload = handler

    def on_message(self, kind: str, handler: Callable[[Message], None]) -> None:
        """Call handler(message) for each control message of a kind that is not of every child."""
        self._handlers[kind] = handler

    async def drain_requested(self) -> float:
        """Wait until this process shall drain; return the seconds it has for that."""
        return await asyncio.shield(self._drain)

    @property
    def is_draining(self) -> bool:
        """Whether a drain was asked for."""
        return self._drain.done()

    def ready(self, **detail: str | int) -> None:
        """Say that this process does its work now. detail: plain facts for the supervisor's status."""
        keep_to_one_cpu(self.role, self.index, self.config.router)  # this thread, if not all do
        self.control.send("ready", detail=detail)

    def not_accepting(self) -> None:
        """Say, as a draining acceptor, that the listening socket will not be touched again.

        The supervisor then shuts it down, so that peers are refused rather than left in its queue.
        """
        self.control.send("not_accepting")

    def drained(self) -> None:
        """Say that nothing is in flight any more; return from the role's main next."""
        self.control.send("drained")

    def request_drain(self, deadline_s: float) -> None:
        """Begin the drain, as on the supervisor's word; a second request changes nothing."""
        if self._drain.done():
            return
        self._drain.set_result(deadline_s)
        if self._on_drain is not None:
            self._spawn(_call(self._on_drain, deadline_s))

    def _message(self, message: Message, fds: list[int]) -> None:
        kind = message["kind"]
        if kind == "drain":
            self.request_drain(float(message["deadline_s"]))
        elif kind == "reload" and len(fds) == 1:
            self._spawn(self._reload(fds.pop(), int(message["generation"])))
        elif (handler := self._handlers.get(kind)) is not None:
            handler(message)
        else:
            log.error("control message of kind %r ignored", kind)
        for fd in fds:
            os.close(fd)

    async def _reload(self, fd: int, generation: int) -> None:
        async with self._reloads:
            try:
                config = Config.restore(read_memfd(fd, START_INFO_BYTES_MAX))
                if self._on_reload is not None:
                    await _call(self._on_reload, config)
            except Exception as error:
                log.exception("reload generation=%d failed", generation)
                why = f"{type(error).__name__}: {error}"[:500]
                self.control.send("reload_failed", generation=generation, why=why)
                return
            self.config = config
            self.generation = generation
            logs.set_level(config.log.level)
            self.control.send("reloaded", generation=generation)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _orphaned(self) -> None:
        """The supervisor is gone: end as the kernel's death signal would, without any farewell."""
        os._exit(EXIT_ORPHANED)


def run(role_main: Callable[[Child], Coroutine[Any, Any, None]], argv: list[str] | None = None) -> int:
    """Run a role in this process until it returns or its parent ends; return the exit code."""
    start = _take_start(argv)
    if not signals.die_with_parent(start.parent_pid):
        return EXIT_ORPHANED
    signals.ignore_parents_signals()
    config = Config.restore(start.config)
    logs.configure(config.log.level, config.log.format, start.name)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_main(start, config, role_main))
    except (ConfigError, ConfigErrors) as error:
        log.error("cannot run: %s", error)
        return EXIT_HOPELESS
    except Exception:
        log.exception("failed")
        return EXIT_FAILED
    return 0


def _take_start(argv: list[str] | None) -> StartInfo:
    parser = argparse.ArgumentParser(
        description="A child process of dicom-router; started by its supervisor only."
    )
    parser.add_argument("--start-fd", type=int, required=True, help="descriptor of the start information")
    start = read_start_info(parser.parse_args(argv).start_fd)
    for fd in start.descriptors():
        os.set_inheritable(fd, False)
    return start


async def _main(
    start: StartInfo, config: Config, role_main: Callable[[Child], Coroutine[Any, Any, None]]
) -> None:
    # What was imported lives as long as the process; the rest is freed by counting, with few cycles to find.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    sys.setswitchinterval(SWITCH_S)
    if config.spool.fsync:  # the loop waits for the disk, and the other threads have their turn
        keep_to_one_cpu(start.role, start.index, config.router)
    child = Child(start, config)
    signals.handle_child_signals(lambda: child.request_drain(child.config.router.drain_s))
    await role_main(child)


async def _call(handler: Callable[[Any], Any], argument: Any) -> None:
    result = handler(argument)
    if inspect.isawaitable(result):
        await result
