"""What an acceptor does while a spool fills up, in stages by time. Pure; the caller passes it.

Above the watermark no new dataset is read for back_pressure_s: the spool may drain, and waiting costs nobody
data. If it does not, new associations are rejected, while those that are open go on into the reserve, so that
studies under way are finished. Instances are refused only when a worker says that it is full (pressure.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from router.handoff.pressure import PressureStage
from router.handoff.ticket import WorkerStage


class SpoolPressure:
    """The stage that filling spools ask for; REFUSE_INSTANCES is not among them."""

    __slots__ = ("_since", "back_pressure_s")

    def __init__(self, back_pressure_s: float) -> None:
        self.back_pressure_s = back_pressure_s
        self._since: float | None = None

    def update(self, now: float, workers: Sequence[WorkerStage]) -> PressureStage:
        """Take what each worker said last; return the stage. now: monotonic seconds."""
        if all(stage is WorkerStage.ACCEPTING for stage in workers):
            self._since = None
            return PressureStage.OPEN
        if self._since is None:
            self._since = now
        if now - self._since >= self.back_pressure_s:
            return PressureStage.REJECT_ASSOCIATIONS
        # Nobody waits for a spool that is full or failed already: there the answer is a failure.
        is_full = not all(stage.stores for stage in workers)
        return PressureStage.REJECT_ASSOCIATIONS if is_full else PressureStage.PAUSE_READING
