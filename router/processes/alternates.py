"""Alternates: what a destination cannot take is taken over by another, once, and the ledger knows both.

Two occasions (retry.TREATMENTS). Given up: what would be dead for a permanent refusal is diverted instead,
one by one. Down: when nothing has gone well for `alternate_after_s`, all that is owed is diverted, oldest
first, as long as the alternate is up and has room, and until the destination is back. The old delivery is
settled as *diverted* and the new one begins *pending* in the same write of the ledger: both or neither. What
was taken over is not taken over again, so two destinations may be each other's alternates. What made a
destination fall (poison) stays with it.
"""

from __future__ import annotations

import logging
from time import time_ns
from typing import TYPE_CHECKING

from router.delivery.circuit import CircuitState
from router.delivery.destination import Destination
from router.delivery.retry import Alternate, Failure
from router.delivery.sender import Item
from router.errors import SpoolError
from router.spool.ledger_flows import flow_of
from router.spool.states import DeliveryState, Mark, Owed

if TYPE_CHECKING:
    from router.processes.owing import Owing
    from router.processes.worker import Worker

DIVERT_MAX = 256
"""Entries diverted from one destination in one go."""

HELD_MAX = DIVERT_MAX
"""An alternate that holds more than this many is given no more for now."""

FOR_EVER_NS = 1 << 62

logger = logging.getLogger(__name__)


class Alternates:
    """See the module's text."""

    def __init__(self, worker: Worker, owing: Owing) -> None:
        self._worker = worker
        self._owing = owing
        self._looked_up_to: dict[str, int] = {}

    def take_over(self, destination: Destination, item: Item, failure: Failure) -> bool:
        """Divert an item that is given up; False if it has to be dead."""
        alternate = self._of(destination)
        if failure.treatment.alternate is not Alternate.WHEN_GIVEN_UP or alternate is None:
            return False
        if item.is_taken_over or item.entry_id is None:
            return False
        mark = self._mark(item.entry_id, destination, item.attempts, failure)
        if not self._divert(destination, alternate, [mark]):
            return False
        logger.warning(
            'delivery=diverted destination=%s alternate=%s entry=%s class=%s why="%s"',
            destination.name, alternate.name, self._worker.entry_name(item.entry_id),
            failure.error_class.value, failure.text,
        )  # fmt: skip
        self._owing.backlogs[alternate.name].insert(item.flow, item.entry_id)
        alternate.pump()
        return True

    def tend(self, now: float) -> None:
        """Divert what is owed to destinations that have been down for too long."""
        for destination in tuple(self._owing.destinations.values()):
            circuit, settings = destination.circuit, destination.settings
            if circuit.is_closed:
                self._looked_up_to.pop(destination.name, None)
            elif settings.alternate and circuit.down_s(now) >= settings.alternate_after_s:
                self._divert_some(destination)

    def _divert_some(self, destination: Destination) -> None:
        name = destination.name
        alternate = self._of(destination)
        failure = destination.circuit.last
        if destination.circuit.state is not CircuitState.OPEN or failure is None:
            return
        if alternate is None or not alternate.is_up or alternate.queued > HELD_MAX:
            return
        backlog = self._owing.backlogs[name]
        if backlog.held:  # or what it holds would be sent to both once it is back
            if not backlog.forget_held():
                return
            self._owing.cool_all(name)
        due = self._due(name)
        if not due:
            return
        own = [
            one for one in due if not one.entry.record.destinations or name in one.entry.record.destinations
        ]
        marks = [self._mark(one.seq, destination, one.mark.attempts, failure) for one in own]
        if not self._divert(destination, alternate, marks):
            return
        self._looked_up_to[name] = due[-1].seq
        for one in own:
            self._owing.backlogs[alternate.name].insert(flow_of(one.entry), one.seq)
        if own:
            logger.warning(
                'delivery=diverted destination=%s alternate=%s count=%d class=%s why="%s"',
                name, alternate.name, len(own), failure.error_class.value, failure.text,
            )  # fmt: skip
        alternate.pump()

    def _due(self, name: str) -> list[Owed]:
        """Return what is to be diverted next, not looking twice at what was taken over from others."""
        try:
            after = self._looked_up_to.get(name, 0)
            return self._worker.spool.ledger.due(name, FOR_EVER_NS, DIVERT_MAX, after)
        except SpoolError as error:
            self._worker.spool_trouble(error)
            return []

    def _of(self, destination: Destination) -> Destination | None:
        return self._owing.destinations.get(destination.settings.alternate)

    def _divert(self, destination: Destination, alternate: Destination, marks: list[Mark]) -> bool:
        try:
            self._worker.spool.ledger.divert(marks, alternate.name)
        except SpoolError as error:
            self._worker.spool_trouble(error)
            return False
        self._worker.counters.diverted(destination.name, len(marks))
        return True

    @staticmethod
    def _mark(seq: int, destination: Destination, attempts: int, failure: Failure) -> Mark:
        return Mark(
            seq,
            destination.name,
            DeliveryState.DIVERTED,
            time_ns(),
            attempts=attempts,
            error_class=failure.error_class.value,
            status=failure.status,
        )
