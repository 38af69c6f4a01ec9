"""Which slots of the acceptors' slabs a worker may keep after it has answered, to deliver from them.

An instance that is sent at once is sent from the slab: reading it back from the spool costs more. What waits
longer must not keep slots from arriving instances, so their number is limited.
"""

from __future__ import annotations

from router.handoff.intake import Intake

HOT_TICKETS_MAX = 256
"""Tickets whose slots are kept for delivery after they were answered."""

HOT_SHARE = 0.5
"""Share of a slab, divided among the workers, that a destination that stands still can take at most."""


class HotLoans:
    """Counts them, by intake."""

    def __init__(self, workers: int) -> None:
        self._share = HOT_SHARE / workers
        self._tickets = 0
        self._slots: dict[Intake, int] = {}

    def may_keep(self, intake: Intake, slots: int) -> bool:
        """Whether so many slots more may be kept."""
        if self._tickets >= HOT_TICKETS_MAX:
            return False
        return self._slots.get(intake, 0) + slots <= intake.slots_total * self._share

    def keep(self, intake: Intake, slots: int) -> None:
        """Take note that a ticket's slots are kept."""
        self._tickets += 1
        self._slots[intake] = self._slots.get(intake, 0) + slots

    def give_back(self, intake: Intake, slots: int) -> None:
        """Take note that they were given back."""
        self._tickets -= 1
        self._slots[intake] -= slots
