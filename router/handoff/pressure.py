"""Pressure: what an acceptor does when memory, rings or spool fill up. Pure; the caller passes the time.

Each stage includes the ones before it, except that REFUSE_INSTANCES reads again: a sender can only be told
A700H after its dataset was read off the connection. Waiting costs nobody data, so it comes first; a
rejected association is retried by every sender; a failure status is taken as final by some, so it comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from router.handoff.ticket import WorkerStage

HYSTERESIS_PERCENT = 10
REFUSE_AFTER_S = 20.0  # under the DIMSE timeouts of common senders, 30 s and more


class PressureStage(IntEnum):
    """What the acceptor does, mildest first."""

    OPEN = 0
    PAUSE_READING = 1
    REJECT_ASSOCIATIONS = 2
    REFUSE_INSTANCES = 3

    @property
    def pauses_reading(self) -> bool:
        """No new dataset is begun; TCP holds the sender back."""
        return self in (PressureStage.PAUSE_READING, PressureStage.REJECT_ASSOCIATIONS)

    @property
    def rejects_associations(self) -> bool:
        """A-ASSOCIATE-RQ is answered rejected-transient, temporary-congestion (2/3/1, PS3.8 Table 9-21)."""
        return self >= PressureStage.REJECT_ASSOCIATIONS

    @property
    def refuses_instances(self) -> bool:
        """Datasets are read and dropped, C-STORE is answered A700H; so are those that wait for a slot."""
        return self is PressureStage.REFUSE_INSTANCES


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When to enter each stage. A stage is left HYSTERESIS_PERCENT below where it is entered.

    congested_percent: of slab slots or ring bytes in use, 1 to 99; at it reading pauses. Half way from
    there to 100 associations are rejected. refuse_after_s: how long that may last before instances are
    refused.
    """

    congested_percent: float = 80.0
    refuse_after_s: float = REFUSE_AFTER_S

    def __post_init__(self) -> None:
        if not 1 <= self.congested_percent <= 99:
            raise ValueError(f"congested_percent is {self.congested_percent:g}, allowed 1 to 99")
        if self.refuse_after_s < 0:
            raise ValueError(f"refuse_after_s is {self.refuse_after_s:g}, allowed from 0")

    @property
    def pause(self) -> float:
        return self.congested_percent / 100

    @property
    def reject(self) -> float:
        return (self.pause + 1) / 2


class Pressure:
    """The current stage of one acceptor; feed it with `update` after every change worth noticing."""

    __slots__ = ("_by_use", "_congested_since", "_thresholds", "stage")

    def __init__(self, thresholds: Thresholds) -> None:
        self.stage = PressureStage.OPEN
        self._thresholds = thresholds
        self._by_use = PressureStage.OPEN
        self._congested_since: float | None = None

    def update(
        self, now: float, slab_used: float, ring_used: float, workers: Sequence[WorkerStage]
    ) -> PressureStage:
        """Take new readings and return the stage.

        now: monotonic seconds. slab_used, ring_used: fractions from 0 to 1, of the fullest ring. workers:
        what each said last. One worker that cannot store keeps new associations away; all of them, every
        instance.
        """
        used = max(slab_used, ring_used)
        self._by_use = self._stage_by_use(used)
        if self._by_use < PressureStage.REJECT_ASSOCIATIONS:
            self._congested_since = None
        elif self._congested_since is None:
            self._congested_since = now
        self.stage = max(self._by_use, self._stage_by_workers(workers), self._stage_by_time(now))
        return self.stage

    def _stage_by_use(self, used: float) -> PressureStage:
        margin = HYSTERESIS_PERCENT / 100
        for stage, threshold in (
            (PressureStage.REJECT_ASSOCIATIONS, self._thresholds.reject),
            (PressureStage.PAUSE_READING, self._thresholds.pause),
        ):
            if used >= threshold or (self._by_use >= stage and used > threshold - margin):
                return stage
        return PressureStage.OPEN

    def _stage_by_workers(self, workers: Sequence[WorkerStage]) -> PressureStage:
        unable = sum(not stage.stores for stage in workers)
        if not unable:
            return PressureStage.OPEN
        if unable < len(workers):
            return PressureStage.REJECT_ASSOCIATIONS
        return PressureStage.REFUSE_INSTANCES

    def _stage_by_time(self, now: float) -> PressureStage:
        # Slots held by half-received datasets free nobody: without an end they would wait for each other
        # for ever.
        since = self._congested_since
        if since is None or now - since < self._thresholds.refuse_after_s:
            return PressureStage.OPEN
        return PressureStage.REFUSE_INSTANCES
