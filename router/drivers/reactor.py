"""One background thread per process that watches every connection nobody runs a procedure on.

It waits in epoll and does nothing else: what became ready, or whose time has come, is handed to a handler
thread (handler_threads.py). It never reads a connection, never calls user code and never polls, so an idle
association costs neither CPU nor a thread.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import select
import threading
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from router.drivers.handler_threads import PATIENCE_S, HandlerThreads

logger = logging.getLogger(__name__)

READABLE = select.EPOLLIN | select.EPOLLRDHUP
WRITABLE = select.EPOLLOUT
NEVER = float("inf")

ASIDE_S = 0.01
"""How long nobody may look after a connection whose owner runs a function of the user's."""

TICKING_S = 0.1
"""How long the reactor goes on looking for such connections after the last one."""

EVENTS_MAX = 256


class Watched(Protocol):
    """What the reactor hands to a handler thread: a connection."""

    timer: Timer

    def serve(self) -> None:
        """Do what there is to do; called in a handler thread."""

    def on_ready(self) -> None:
        """Take note that the one report asked for by watch() was made; called in the reactor's thread."""


class Timer:
    """The one pending wake-up of a connection: `at` (monotonic seconds), NEVER when there is none."""

    __slots__ = ("at", "target")

    def __init__(self, target: Watched) -> None:
        self.at = NEVER
        self.target: Watched | None = target


class Reactor:
    """Watch file descriptors and times; see reactor() for the one of this process.

    dispatched: how many times a connection was ready and handed over.
    """

    def __init__(self, threads: HandlerThreads | None = None) -> None:
        self.threads = threads if threads is not None else HandlerThreads()
        self.dispatched = 0
        self._epoll = select.epoll()
        self._connections: dict[int, Watched] = {}
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._sleeping_until = NEVER
        self._aside: dict[Watched, float] = {}
        self._is_ticking = False
        self._tick_until = 0.0
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        threading.Thread(target=self._run, name="dicom-reactor", daemon=True).start()

    # Connections: one report per watch()

    def add(self, fd: int, connection: Watched) -> None:
        """Take a connection in; nothing is reported before watch(), not even a hang-up."""
        self._connections[fd] = connection
        self._epoll.register(fd, select.EPOLLONESHOT)

    def watch(self, fd: int, mask: int) -> None:
        """Report once when the connection is ready for mask, or has failed."""
        self._epoll.modify(fd, mask | select.EPOLLONESHOT)

    def unwatch(self, fd: int) -> None:
        """Report nothing, except that the connection has failed."""
        self._epoll.modify(fd, select.EPOLLONESHOT)

    def remove(self, fd: int, connection: Watched) -> None:
        """Forget a connection that is about to be closed, its timer included."""
        connection.timer.target = None
        if self._connections.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def dispatch(self, connection: Watched) -> None:
        """Have a handler thread serve the connection."""
        self.threads.submit(connection.serve)

    def step_aside(self, connection: Watched) -> None:
        """Look after a connection only if its owner is not back in a moment: that spares watching it."""
        self._aside[connection] = monotonic()
        if not self._is_ticking:
            self.wake()

    def come_back(self, connection: Watched) -> None:
        """Take note that the owner of a connection is back."""
        self._aside.pop(connection, None)

    def schedule(self, timer: Timer, at: float) -> None:
        """Serve the timer's connection at that time, or earlier if it was scheduled earlier."""
        if at >= timer.at:
            return
        timer.at = at
        with self._lock:
            heapq.heappush(self._timers, (at, next(self._numbers), timer))
            is_next = at < self._sleeping_until
        if is_next:
            self.wake()

    # Listeners: level-triggered, called back in the reactor's thread

    def add_callback(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back in the reactor's thread while fd is readable; the callback must not block."""
        self._callbacks[fd] = callback
        self._epoll.register(fd, select.EPOLLIN)

    def pause_callback(self, fd: int, paused: bool) -> None:
        """Stop calling back, or begin again."""
        if fd in self._callbacks:
            self._epoll.modify(fd, 0 if paused else select.EPOLLIN)

    def remove_callback(self, fd: int) -> None:
        """Forget fd, which is about to be closed."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def wake(self) -> None:
        """Have the thread look at its timers again."""
        os.eventfd_write(self._wake_fd, 1)

    # The thread

    def _run(self) -> None:
        while True:
            timeout = self._next_timeout()
            try:
                events = self._epoll.poll(timeout, EVENTS_MAX)
            except InterruptedError:
                continue
            for fd, _ in events:
                try:
                    self._handle(fd)
                except Exception:
                    logger.exception("the reactor could not hand over a descriptor")
            self._fire_timers()
            if self._aside:
                self._look_after_those_aside()
            self.threads.relieve()

    def _next_timeout(self) -> float | None:
        with self._lock:
            while self._timers and self._timers[0][2].target is None:
                heapq.heappop(self._timers)
            self._sleeping_until = self._timers[0][0] if self._timers else NEVER
        if self.threads.is_crowded:
            return PATIENCE_S  # to relieve them, if they are held up
        # In this order: who steps aside later sees that nobody ticks, and wakes this thread.
        self._is_ticking = False
        now = monotonic()
        if self._aside:
            self._tick_until = now + TICKING_S
        self._is_ticking = now < self._tick_until
        at = min(self._sleeping_until, now + ASIDE_S) if self._is_ticking else self._sleeping_until
        return None if at == NEVER else max(0.0, at - now)

    def _look_after_those_aside(self) -> None:
        """Have those served, and watched from then on, whose owner has been away too long."""
        before = monotonic() - ASIDE_S
        for connection, since in list(self._aside.items()):
            if since <= before and self._aside.pop(connection, None) is not None:
                self.threads.submit(connection.serve)

    def _handle(self, fd: int) -> None:
        connection = self._connections.get(fd)
        if connection is not None:
            connection.on_ready()
            self.dispatched += 1
            self.threads.submit_soon(connection.serve)
        elif fd == self._wake_fd:
            os.eventfd_read(self._wake_fd)
        elif fd in self._callbacks:
            self._callbacks[fd]()

    def _fire_timers(self) -> None:
        now = monotonic()
        while True:
            with self._lock:
                if not self._timers or self._timers[0][0] > now:
                    return
                at, _, timer = heapq.heappop(self._timers)
                if timer.target is None or at != timer.at:
                    continue  # closed since, or an earlier time was set and has fired
                timer.at = NEVER
                target = timer.target
            self.threads.submit(target.serve)


_reactor: Reactor | None = None
_creating = threading.Lock()


def reactor() -> Reactor:
    """Return the reactor of this process, started on first use."""
    global _reactor  # noqa: PLW0603 - one per process is the point
    if _reactor is None:
        with _creating:
            if _reactor is None:
                _reactor = Reactor()
    return _reactor


def _forget_after_fork() -> None:
    global _reactor, _creating  # noqa: PLW0603 - threads do not survive a fork
    _reactor = None
    _creating = threading.Lock()


os.register_at_fork(after_in_child=_forget_after_fork)
