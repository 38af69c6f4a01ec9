"""What a writer of segments is told: sizes, the quota, and whether anything is synced."""

from __future__ import annotations

from dataclasses import dataclass

LARGE_OBJECT_MIN_BYTES = 8 << 20
SEGMENT_BYTES_MIN = 256 << 10  # holds the largest facts and the largest dataset kept inside
SEGMENT_BYTES_MAX = 1 << 30


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """segment_bytes: size of a segment. quota_bytes: what the directory may hold; 0: what the disk holds.

    large_min_bytes: datasets from this size get a file of their own (a quarter segment at most).
    fsync: False on RAM disks: commits keep their order but nothing is synced.
    """

    segment_bytes: int = 64 << 20
    quota_bytes: int = 0
    large_min_bytes: int = LARGE_OBJECT_MIN_BYTES
    fsync: bool = True

    def __post_init__(self) -> None:
        if not SEGMENT_BYTES_MIN <= self.segment_bytes <= SEGMENT_BYTES_MAX:
            raise ValueError(
                f"segment_bytes {self.segment_bytes} not in {SEGMENT_BYTES_MIN}..{SEGMENT_BYTES_MAX}"
            )

    @property
    def large_from_bytes(self) -> int:
        return min(self.large_min_bytes, self.segment_bytes // 4)
