"""One thread at a time leads: it watches every connection nobody runs a procedure on, and serves what becomes
ready itself.

A busy connection so costs no hand-over between threads: it is received from, its handler runs and its answer
leaves in the thread that saw it become ready. The leader is one of the handler threads (handler_threads.py).
What it serves may call a function of the user's, and that may block; then another thread leads:
- at once, when the leader says beforehand that it may be held up (hand_over);
- else as soon as the watchman finds it at the same connection after a tick. The watchman is a thread that
  ticks only while something is being served.
Descriptors are reported as long as they are ready, so that nothing is lost with a leader that is replaced. An
idle association costs neither CPU nor a thread.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import get_ident
from time import monotonic, sleep
from typing import Protocol

from router.drivers.handler_threads import HandlerThreads

logger = logging.getLogger(__name__)

READABLE = select.EPOLLIN | select.EPOLLRDHUP
WRITABLE = select.EPOLLOUT
NEVER = float("inf")

TICK_S = 0.005
"""How long the leader may be held up before another thread leads: one tick of the watchman's, two at most."""

EVENTS_MAX = 256


class Watched(Protocol):
    """What the leader serves: a connection."""

    timer: Timer

    def serve(self) -> None:
        """Do what there is to do, without waiting for anything but functions of the user's."""


class Timer:
    """The one pending wake-up of a connection: `at` (monotonic seconds), NEVER when there is none."""

    __slots__ = ("at", "target")

    def __init__(self, target: Watched) -> None:
        self.at = NEVER
        self.target: Watched | None = target


class _Lead:
    """The time of one thread as leader. served: how many things it has begun to serve."""

    __slots__ = ("is_over", "is_serving", "served")

    def __init__(self) -> None:
        self.is_over = False
        self.is_serving = False
        self.served = 0


class Reactor:
    """Watch file descriptors and times; see reactor() for the one of this process.

    caution: how many functions of the user's a new connection is to take for slow ones; set by the others.
    """

    def __init__(self, threads: HandlerThreads | None = None) -> None:
        self.caution = 0
        self.threads = threads if threads is not None else HandlerThreads()
        self._epoll = select.epoll()
        self._connections: dict[int, Watched] = {}
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._sleeping_until = 0.0
        self._wanting: deque[Watched] = deque()
        self._lead = _Lead()
        self._leader = 0
        self._is_ticking = False
        self._watchman_bell: threading.Lock | None = None
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        self.threads.submit(partial(self._run, self._lead))

    # Connections

    def add(self, fd: int, connection: Watched) -> None:
        """Take a connection in; nothing is reported before watch(), but once that it has failed."""
        self._connections[fd] = connection
        self._epoll.register(fd, select.EPOLLONESHOT)

    def watch(self, fd: int, mask: int) -> None:
        """Serve the connection whenever it is ready for mask, or has failed; 0: once if it has failed."""
        self._epoll.modify(fd, mask or select.EPOLLONESHOT)

    def stand_back(self, fd: int, connection: Watched) -> None:
        """Report nothing more of a connection that somebody else owns, who may be closing it just now."""
        with self._lock:
            if self._connections.get(fd) is connection:
                self._epoll.modify(fd, select.EPOLLONESHOT)

    def remove(self, fd: int, connection: Watched) -> None:
        """Forget a connection that is about to be closed, its timer included."""
        connection.timer.target = None
        with self._lock:
            if self._connections.pop(fd, None) is not None:
                self._epoll.unregister(fd)

    def dispatch(self, connection: Watched) -> None:
        """Have the connection served soon, by the leader if that is who asks."""
        if get_ident() == self._leader:
            self._wanting.append(connection)
        else:
            self.threads.submit(connection.serve)

    def hand_over(self) -> None:
        """Let another thread lead, if this one does: it is about to do what may take a while."""
        if get_ident() == self._leader:
            self._replace(self._lead)

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

    # Listeners: called back by the leader

    def add_callback(self, fd: int, callback: Callable[[], None]) -> None:
        """Have the leader call back while fd is readable; the callback must not block."""
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
        """Have the leader look at its timers again."""
        os.eventfd_write(self._wake_fd, 1)

    # The leader

    def _run(self, lead: _Lead) -> None:
        self._leader = get_ident()
        while not lead.is_over:
            timer_at = self._fall_asleep()
            timeout = None if timer_at == NEVER else max(0.0, timer_at - monotonic())
            events = self._epoll.poll(timeout, EVENTS_MAX)
            if not self._wake_up(lead):
                return
            if not self._is_ticking:
                self._wake_watchman()
            for fd, _ in events:
                lead.served += 1
                try:
                    self._handle(fd)
                except BaseException:  # SystemExit too: a handler that exits must not take the leader along
                    logger.exception("what a descriptor reported could not be handled")
                if lead.is_over:
                    return  # what is left of the events is reported again, to who leads now
            if self._wanting or timer_at <= monotonic():
                self._serve_the_others(lead)
            lead.is_serving = False

    def _fall_asleep(self) -> float:
        """Return when the next timer is due; who sets an earlier one from here on must wake the leader."""
        with self._lock:
            timers = self._timers
            while timers and timers[0][2].target is None:
                heapq.heappop(timers)
            if self._wanting:
                return 0.0
            self._sleeping_until = timers[0][0] if timers else NEVER
            return self._sleeping_until

    def _wake_up(self, lead: _Lead) -> bool:
        """Begin to serve; False if another thread leads by now."""
        with self._lock:
            if lead.is_over:
                return False
            self._sleeping_until = 0.0
            lead.is_serving = True
            return True

    def _handle(self, fd: int) -> None:
        connection = self._connections.get(fd)
        if connection is not None:
            connection.serve()
        elif fd == self._wake_fd:
            os.eventfd_read(self._wake_fd)
        elif fd in self._callbacks:
            self._callbacks[fd]()

    def _serve_the_others(self, lead: _Lead) -> None:
        """Serve those that were dispatched, and those whose time has come."""
        while not lead.is_over:
            target = self._wanting.popleft() if self._wanting else self._take_late(monotonic())
            if target is None:
                return
            lead.served += 1
            try:
                target.serve()
            except BaseException:
                logger.exception("a connection could not be served")

    def _take_late(self, now: float) -> Watched | None:
        """Return the target of the next timer whose time has come, and forget the timer."""
        with self._lock:
            while self._timers and self._timers[0][0] <= now:
                at, _, timer = heapq.heappop(self._timers)
                if timer.target is not None and at == timer.at:
                    timer.at = NEVER
                    return timer.target
                # Else it is closed since, or an earlier time was set and has fired.
        return None

    # Its successor

    def _replace(self, lead: _Lead) -> bool:
        """Have another thread lead; False if that is so already, or no thread is to be had."""
        with self._lock:
            if lead is not self._lead or not self.threads.has_room:
                return False
            lead.is_over = True
            self._lead = successor = _Lead()
            self._leader = 0
        self.threads.submit(partial(self._run, successor))
        return True

    def _wake_watchman(self) -> None:
        with self._lock:
            if self._is_ticking:
                return
            self._is_ticking = True
            if self._watchman_bell is None:
                self._watchman_bell = threading.Lock()
                threading.Thread(target=self._keep_watch, name="dicom-watchman", daemon=True).start()
            else:
                self._watchman_bell.release()

    def _keep_watch(self) -> None:
        bell = self._watchman_bell
        assert bell is not None
        while True:
            bell.acquire()
            lead, served = self._lead, -1
            while self._is_ticking:
                sleep(TICK_S)
                if self._lead is not lead or lead.served != served:
                    lead = self._lead
                    served = lead.served
                elif lead.is_serving:
                    self._replace(lead)  # if no thread is to be had, it is tried again
                else:
                    with self._lock:
                        self._is_ticking = False
                        # A leader that has begun since has seen one of both: nobody ticks, or it is serving.
                        self._is_ticking = lead.is_serving


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
