"""Send many instances over one association, as many at once as the peer allows (PS3.7 Annex D.3.3.3)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router.api.exchange import status_of
from router.api.instances import Prepared
from router.api.status import status_dataset
from router.errors import DeadlineExceeded, LocalMisuse, RouterError
from router.services import c_store
from router.services.conversation import Task
from router.services.message_ids import MessageIds
from router.standard.dimse_fields import C_STORE_RQ, ERROR_COMMENT, STATUS
from router.standard.statuses import PROCESSING_FAILURE, SOP_CLASS_NOT_SUPPORTED

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from router.api.association_state import AssociationState
    from router.api.composite_services import CompositeServices

LOGGER = logging.getLogger("router.association")

IN_FLIGHT_MAX = 64
"""Operations in flight at most, also when the peer allows any number."""

COMMENT_MAX = 64


class StoreMany(Iterator[tuple[Any, Any]]):
    """Yield (item, status) of each instance, in the order they are answered."""

    def __init__(
        self, assoc: CompositeServices, instances: Iterable[Dataset | str | Path], priority: int
    ) -> None:
        self._assoc = assoc
        self._source = iter(instances)
        self._priority = priority
        self._window = window_of(assoc)
        self._ids = MessageIds()
        self._running: dict[Task, tuple[Any, Prepared]] = {}
        self._ready: deque[tuple[Any, Any]] = deque()
        self._is_exhausted = False

    def __next__(self) -> tuple[Any, Dataset]:
        connection = self._assoc._connection
        assert connection is not None
        while not self._ready:
            with connection.owned():
                self._collect()
                self._fill()
                if self._running:
                    if not self._ready:
                        connection.drive_owned(tuple(self._running))
                        self._collect()
                elif not self._ready:
                    raise StopIteration
        return self._ready.popleft()

    def close(self) -> None:
        """Send no more; the answers to what is in flight are dropped."""
        self._is_exhausted = True
        connection = self._assoc._connection
        running, self._running = self._running, {}
        if connection is None:
            return
        for task, (_, prepared) in running.items():
            connection.submit(lambda task=task: connection.conversation.abandon(task))  # type: ignore[misc]
            prepared.close()

    def __del__(self) -> None:
        if getattr(self, "_running", None):
            self.close()

    def _fill(self) -> None:
        """Start operations until the window is full, or there is an answer to give meanwhile."""
        while len(self._running) < self._window and not self._ready and not self._is_exhausted:
            try:
                item = next(self._source)
            except StopIteration:
                self._is_exhausted = True
                return
            self._start(item)

    def _start(self, item: Any) -> None:
        assoc = self._assoc
        connection, core = assoc._connection, assoc._protocol
        assert connection is not None
        assert core is not None
        if not assoc.is_established:
            self._ready.append((item, status_of(None, C_STORE_RQ)))
            return
        try:
            prepared = assoc._prepare_instance(item, self._priority)
        except (ValueError, AttributeError, OSError, TypeError) as error:
            self._ready.append((item, refused(error)))
            return
        number = connection.conversation.free_message_id(self._ids.take())
        request = c_store.request(core, prepared.context_id, number, prepared.instance, assoc.dimse_timeout)
        self._running[connection.start_owned(request, number)] = (item, prepared)

    def _collect(self) -> None:
        """Take the answers of operations that are done."""
        for task in [task for task in self._running if task.done]:
            item, prepared = self._running.pop(task)
            prepared.close()
            if task.error is None:
                self._ready.append((item, status_of(task.result, C_STORE_RQ)))
                continue
            self._ready.append((item, status_of(None, C_STORE_RQ)))
            if isinstance(task.error, DeadlineExceeded):
                self._assoc._dimse_timed_out()
            elif isinstance(task.error, RouterError | LocalMisuse):
                LOGGER.error(f"No response to a C-STORE: {task.error}")
            else:
                raise task.error


def window_of(assoc: AssociationState) -> int:
    """Return how many operations we may have outstanding: what was proposed and granted, 1 without."""
    granted = assoc._operations_granted()
    return IN_FLIGHT_MAX if granted == 0 else min(granted, IN_FLIGHT_MAX)


def refused(error: Exception) -> Dataset:
    """Return the status of an instance that was not sent at all."""
    code = SOP_CLASS_NOT_SUPPORTED if isinstance(error, ValueError) else PROCESSING_FAILURE
    command = {STATUS: code, ERROR_COMMENT: f"not sent: {type(error).__name__}"[:COMMENT_MAX]}
    return status_dataset(command, (ERROR_COMMENT,))
