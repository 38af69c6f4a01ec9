"""Group commit: one thread makes whatever has gathered durable, one group at a time.

Batching comes by itself: what arrives while a sync runs goes into the next group; there is no timer. The
thread knows nothing of segments: it runs the given `commit` for as long as it is asked to, and in between
whatever the lane is asked for. A commit that fails is never tried again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from router.wire.codec import CommitLane

IDLE_S = 1.0  # after so long without work a last marker is synced, so that even the newest group is proven


class GroupCommit:
    """Runs commit() on a thread of its own, or in the caller's if `threaded` is False (nothing to wait for).

    commit: makes everything gathered so far durable; returns False once it has failed for good.
    idle: asked after a second of rest whether a commit is due for the sake of the markers.
    lane: served by the thread while nothing else is to be done; a failure there goes to `lane_failed`.
    """

    def __init__(
        self,
        commit: Callable[[], bool],
        idle: Callable[[], bool],
        *,
        threaded: bool = True,
        lane: CommitLane | None = None,
        lane_failed: Callable[[OSError], None] | None = None,
    ) -> None:
        self._commit = commit
        self._idle = idle
        self._lane = lane
        self._lane_failed = lane_failed
        self._lock = threading.Lock()
        self._wanted = False
        self._running = False
        self._stopped = False
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._run, name="spool-sync", daemon=True)
            self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether a commit runs, or is asked for; what the lane does is none."""
        return self._running

    def request(self) -> None:
        """Commit as soon as no other commit runs; returns at once."""
        with self._lock:
            self._wanted = True
            if self._running or self._stopped:
                return
            self._running = True
        if self._thread is None:
            self._work()
        else:
            self._call()

    def stop(self, timeout_s: float) -> bool:
        """End the thread after the work already asked for; return whether it ended in time."""
        with self._lock:
            self._stopped = True
        if self._thread is None:
            return True
        self._call()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            try:
                is_called = self._is_called()
            except OSError as error:
                assert self._lane_failed is not None
                self._give_up()
                self._lane_failed(error)
                return
            if is_called:
                self._work()
                if self._stopped:
                    return
            elif self._idle():
                self.request()

    def _call(self) -> None:
        """Wake the thread."""
        if self._lane is not None:
            self._lane.call()
        else:
            self._wake.put(None)

    def _is_called(self) -> bool:
        """Wait until the thread is called, and serve the lane meanwhile; False after a rest.

        Raises OSError if a sync of the lane's fails.
        """
        if self._lane is not None:
            return self._lane.serve(IDLE_S)
        try:
            self._wake.get(timeout=IDLE_S)
        except queue.Empty:
            return False
        return True

    def _work(self) -> None:
        """Commit group after group until nothing is wanted. Only one caller at a time gets here."""
        while True:
            with self._lock:
                if not self._wanted:
                    self._running = False
                    return
                self._wanted = False
            if not self._commit():
                self._give_up()
                return

    def _give_up(self) -> None:
        with self._lock:
            self._stopped = self._running = True  # and stays running: a failed volume is left alone
