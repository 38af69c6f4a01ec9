"""The threads that run what may block: user handlers, and the leader that serves connections.

A pool grown on demand and bounded; the thread that parked last works next, so that few stay warm. Idle
threads end. Work that finds neither a parked thread nor room for one more waits in order.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

logger = logging.getLogger(__name__)

HANDLER_THREADS_MAX = 512
"""Threads at most. Generous: a handler may wait for an association that this process serves itself."""

PARKED_S = 10.0
"""How long a thread waits for work before it ends."""

Work = Callable[[], None]


class _Worker:
    """One parked or working thread; `bell` is held while it has nothing to do."""

    __slots__ = ("bell", "work")

    def __init__(self, work: Work) -> None:
        self.work: Work | None = work
        self.bell = threading.Lock()
        self.bell.acquire()


class HandlerThreads:
    """Run work in threads of its own, at most threads_max of them."""

    def __init__(self, threads_max: int = HANDLER_THREADS_MAX, parked_s: float = PARKED_S) -> None:
        self.threads_max = threads_max
        self._parked_s = parked_s
        self._lock = threading.Lock()
        self._parked: list[_Worker] = []
        self._backlog: deque[Work] = deque()
        self._count = 0

    @property
    def count(self) -> int:
        """Threads alive."""
        return self._count

    @property
    def working(self) -> int:
        """Threads that are not parked."""
        return self._count - len(self._parked)

    @property
    def has_room(self) -> bool:
        """Whether work given now would find a thread."""
        return bool(self._parked) or self._count < self.threads_max

    @property
    def is_crowded(self) -> bool:
        """Whether work waits for a thread."""
        return bool(self._backlog)

    def submit(self, work: Work) -> None:
        """Have the work done soon; its exceptions are logged."""
        with self._lock:
            if self._parked:
                worker = self._parked.pop()
                worker.work = work
                worker.bell.release()
                return
            if self._count >= self.threads_max:
                self._backlog.append(work)
                return
            self._count += 1
        thread = threading.Thread(
            target=self._serve, args=(_Worker(work),), name="dicom-handler", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            # The system gives no more threads, or the interpreter is ending: those there are do the work.
            with self._lock:
                self._count -= 1
                self._backlog.append(work)

    def _serve(self, worker: _Worker) -> None:
        while True:
            work = worker.work
            assert work is not None
            worker.work = None
            try:
                work()
            except BaseException:  # SystemExit too: the thread goes on, or it would be counted for ever
                logger.exception("work of a handler thread failed")
            del work
            with self._lock:
                if self._backlog:
                    worker.work = self._backlog.popleft()
                    continue
                self._parked.append(worker)
            if not self._wait(worker):
                return

    def _wait(self, worker: _Worker) -> bool:
        """Wait for work; False: none came and this thread is no longer counted."""
        if worker.bell.acquire(timeout=self._parked_s):
            return True
        with self._lock:
            if worker in self._parked:
                self._parked.remove(worker)
                self._count -= 1
                return False
        worker.bell.acquire()
        return True
