"""Iterate, in a caller's thread, over what a procedure hands out: responses of C-FIND, C-GET, C-MOVE."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from router.drivers.blocking import BlockingConnection
from router.services.steps import Procedure


class ProcedureIterator(Iterator[Any]):
    """Iterate over what a procedure emits. Its request is out when this exists.

    Between two values the connection is not read: what the peer sends waits in the kernel, and so does the
    peer, when its consumer is slow. on_abandoned: called when the loop was left before the end.
    """

    def __init__(self, connection: BlockingConnection, procedure: Procedure[Any], message_id: int) -> None:
        self.on_abandoned: Callable[[], None] | None = None
        self._connection = connection
        self._resume = False
        self._suspended = False
        connection.acquire()
        try:
            self._suspend(True)
            self._task = connection.start_owned(procedure, message_id)
            connection.advance_owned()
        finally:
            connection.release()

    def __next__(self) -> Any:
        task, connection = self._task, self._connection
        with connection.turn:
            connection.acquire()
            try:
                if self._resume:
                    self._resume = False
                    if not task.done:
                        connection.conversation.now = monotonic()
                        task.resume()
                if not task.done or task.emitted:
                    self._suspend(False)
                    connection.drive_owned((task,))
                if task.emitted:
                    self._resume = True
                    self._suspend(not task.done)
                    return task.emitted.popleft()
            finally:
                if task.done and not task.emitted:
                    self._suspend(False)
                connection.release()
        if task.error is not None:
            error, task.error = task.error, None
            raise error
        raise StopIteration

    def close(self) -> None:
        """Abandon the procedure; responses still to come for it are dropped."""
        if self._task.done and not self._suspended:
            return
        self._connection.submit(self._abandon)

    def __del__(self) -> None:
        if hasattr(self, "_task"):
            self.close()

    def _abandon(self) -> None:
        self._suspend(False)
        if not self._task.done:
            self._connection.conversation.abandon(self._task)
            if self.on_abandoned is not None:
                self.on_abandoned()

    def _suspend(self, suspended: bool) -> None:
        if suspended is not self._suspended:
            self._suspended = suspended
            self._connection.suspended += 1 if suspended else -1
