"""What the next commit has to make durable, and the order in which that is done.

Invariant: each step relies only on those before it: large objects have their final names before the records
that refer to them are synced, and new names are synced before anything in them counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from router.spool.disk import Disk
from router.spool.large import StagedFile
from router.spool.layout import WorkerDirectory
from router.spool.segment import NOWHERE, Position
from router.spool.segment_file import SegmentFile


@dataclass(slots=True)
class Gathered:
    """segments: written to; closing: those of them that get nothing more. files: large objects still to be
    named; settled: those that have their final name. seq, position: the newest entry, and where it ends.
    """

    segments: list[SegmentFile] = field(default_factory=list)
    closing: list[SegmentFile] = field(default_factory=list)
    files: list[StagedFile] = field(default_factory=list)
    settled: list[StagedFile] = field(default_factory=list)
    seq: int = 0
    position: Position = field(default=NOWHERE)

    def add(self, segment: SegmentFile) -> None:
        """Take note that a segment was written to."""
        if segment not in self.segments:
            self.segments.append(segment)

    def add_closing(self, segment: SegmentFile) -> None:
        """Take note that a segment gets nothing more."""
        self.add(segment)
        self.closing.append(segment)

    def put_back(self, later: Gathered) -> None:
        """Go on with what has gathered since as one: this group could not be committed yet."""
        self.segments += [segment for segment in later.segments if segment not in self.segments]
        self.closing += later.closing
        self.files += later.files
        self.seq, self.position = later.seq, later.position

    def is_plain(self, segment: SegmentFile) -> bool:
        """Whether a sync of this segment is all that it takes."""
        return (
            segment.is_named
            and self.segments == [segment]
            and self.position.segment == segment.number
            and not self.closing
            and not self.files
        )


def sync_group(
    group: Gathered, disk: Disk, directory: WorkerDirectory, retire: Callable[[SegmentFile], None]
) -> None:
    """Make a group durable. retire: told of a segment that is cut to its length. Raises OSError, NotYet."""
    while group.files:
        group.files[0].settle(disk)
        group.settled.append(group.files.pop(0))
    if group.settled:
        disk.sync_folder(directory.large)
    for segment in group.segments:
        if segment in group.closing:
            disk.truncate(segment.descriptor, segment.offset)
            retire(segment)
        else:
            segment.fill_ahead(disk)
    for segment in group.segments:
        segment.sync(disk)
    if not all(segment.is_named for segment in group.segments):
        disk.sync_folder(directory.segments)
        disk.confirm(group.segments[-1].descriptor)
        for segment in group.segments:
            segment.is_named = True
    elif group.settled:
        disk.confirm(group.segments[-1].descriptor)
