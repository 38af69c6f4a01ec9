"""How full the spool may get before senders are slowed, and before instances are refused. Pure.

The watermark is a share of the quota, or of the file system; of a large file system only while little is
free in absolute terms, since somebody else's data may fill most of it without any danger.
"""

from __future__ import annotations

from dataclasses import dataclass

from router.handoff.ticket import WorkerStage

GB = 1 << 30

ROOMY_BYTES = 4 * GB
"""With more than this free, a file system is not filling up, whatever the percentage."""

HYSTERESIS_PERCENT = 5
"""The watermark is left this far below where it was reached."""

ROOM_SEGMENTS = 2
"""A full file system has room again for the segment that could not be made, and for one more."""

REFUSING_S = 2.0
"""A spool that ran full refuses at least so long after it last could not store: at the edge it would turn
round with every segment that is settled, and cut short each burst that it had let in."""


@dataclass(frozen=True, slots=True)
class Fill:
    """What there is: the spool's bytes and those of its file system."""

    used_bytes: int
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class Watermark:
    """The limits of one worker's spool. quota_bytes, reserve_bytes: 0 for none of its own.

    segment_bytes: what the spool grows by.
    """

    percent: float
    quota_bytes: int = 0
    reserve_bytes: int = 0
    segment_bytes: int = 0

    def stage(self, fill: Fill, before: WorkerStage) -> WorkerStage:
        """Return ACCEPTING, SPOOL_FILLING, or SPOOL_FULL once the reserve is touched."""
        is_full = before is WorkerStage.SPOOL_FULL
        if fill.free_bytes < self.reserve_bytes * (1 + is_full * HYSTERESIS_PERCENT / 100):
            return WorkerStage.SPOOL_FULL
        is_filling = self.percent_of(fill) >= self.percent
        if before is not WorkerStage.ACCEPTING and not is_filling:
            is_filling = self.percent_of(fill) > self.percent - HYSTERESIS_PERCENT
        return WorkerStage.SPOOL_FILLING if is_filling else WorkerStage.ACCEPTING

    def may_resume(self, fill: Fill, refused_s: float) -> bool:
        """Return whether a spool that ran full takes instances again. refused_s: since it last could not."""
        if self.quota_bytes and fill.used_bytes + self.segment_bytes > self.quota_bytes:
            return False
        return refused_s >= REFUSING_S and fill.free_bytes > ROOM_SEGMENTS * self.segment_bytes

    def percent_of(self, fill: Fill) -> float:
        """Return how full it is, of the tighter of quota and file system."""
        by_quota = 100 * fill.used_bytes / self.quota_bytes if self.quota_bytes else 0.0
        if fill.total_bytes <= 0 or fill.free_bytes > ROOMY_BYTES:
            return by_quota
        return max(by_quota, 100 * (1 - fill.free_bytes / fill.total_bytes))
