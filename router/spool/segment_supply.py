"""The segment that is written to and the one that comes next: made ahead, of settled files, within the quota.

Segments are used in the order of their numbers: recovery and the ledger's checkpoint rely on it. The owner's
thread moves on to the next; the commit's thread makes it ahead.
"""

from __future__ import annotations

import threading
from pathlib import Path

from router.spool.disk import Disk
from router.spool.faults import FULL_ERRNOS, SpoolFull
from router.spool.layout import WorkerDirectory
from router.spool.payload import PayloadStore
from router.spool.recycled import RecycledSegments
from router.spool.segment import Position
from router.spool.segment_file import SegmentFile, create_segment
from router.spool.writer_settings import WriterSettings


class SegmentSupply:
    """The segments of one writer.

    current: the one that is written to. spare: the next, if it is made already. next_segment, previous (where
    the last segment ends): from recovery.
    """

    def __init__(
        self,
        directory: WorkerDirectory,
        disk: Disk,
        settings: WriterSettings,
        store: PayloadStore,
        recycled: RecycledSegments | None,
        next_segment: int,
        previous: Position,
    ) -> None:
        self._directory = directory
        self._disk = disk
        self._settings = settings
        self._store = store
        self._recycled = recycled
        self._next_segment = next_segment
        self._previous = previous
        self._making = threading.Lock()  # held while current or spare changes
        self.current: SegmentFile | None = None
        self.spare: SegmentFile | None = None

    # -- moving on (owner's thread)

    def move_on(self) -> SegmentFile:
        """Begin the next segment and return it; it is the current one now. Raises OSError, SpoolFull."""
        with self._making:
            if self.spare is None:
                self.spare = self._create()
            if self.current is not None:
                self._previous = Position(self.current.number, self.current.offset)
            self.spare.begin(self._disk, self._previous)
            fresh = self.current = self.spare
            self.spare = None
            return fresh

    def end(self) -> tuple[SegmentFile | None, SegmentFile | None]:
        """Return the current segment and the spare; they are the caller's now, and no other spare is made."""
        with self._making:
            current, self.current = self.current, None
            spare, self.spare = self.spare, None
            return current, spare

    # -- making it ahead (commit's thread)

    def make_spare(self) -> None:
        """Preallocate the next segment early, off the owner's thread: it may take milliseconds.

        Raises OSError if its zeros could not be synced, which is final.
        """
        with self._making:
            segment = self.current
            if segment is None or self.spare is not None or not segment.is_half_full:
                return
            try:
                spare = self.spare = self._create()
                spare.fill_ahead(self._disk)
            except (OSError, SpoolFull):
                return  # then the owner tries, and reports
            spare.sync(self._disk)

    def retire(self, segment: SegmentFile) -> None:
        """Give up the window of a segment that gets nothing more, or keep it for the file's next life."""
        window, segment.window = segment.window, None
        if window is not None and self._recycled is not None:
            window.cut(segment.offset)
            self._recycled.keep_window(segment.path, window)
        elif window is not None:
            window.close()

    # -- space (either thread)

    @property
    def used_bytes(self) -> int:
        """Return the bytes held on disk, preallocated space included."""
        held = [segment for segment in (self.current, self.spare) if segment is not None]
        kept = self._recycled.held_bytes if self._recycled is not None else 0
        return self._store.used_bytes + kept + sum(segment.capacity for segment in held)

    def check_quota(self, more_bytes: int, fault: type[SpoolFull] = SpoolFull) -> None:
        """Raise the fault if so much more would exceed the quota, all that was kept for later given back."""
        quota = self._settings.quota_bytes
        if quota and self.used_bytes + more_bytes > quota:
            self.give_space_back()
        if quota and self.used_bytes + more_bytes > quota:
            raise fault(f"spool quota of {quota} bytes reached")

    def give_space_back(self) -> None:
        """Delete the settled files that were kept to be written again."""
        if self._recycled is not None:
            self._recycled.clear()

    def _create(self) -> SegmentFile:
        recycled = self._recycled.take() if self._recycled is not None else None
        if recycled is not None:
            try:
                return self._create_of(recycled)
            except OSError as error:
                if error.errno not in FULL_ERRNOS:
                    raise
                self.give_space_back()  # and it is gone itself: there may be room for a fresh one now
        self.check_quota(self._settings.segment_bytes)
        return self._create_of(None)

    def _create_of(self, recycled: Path | None) -> SegmentFile:
        window = None
        if recycled is not None and self._recycled is not None:
            window = self._recycled.take_window(recycled)
        number = self._next_segment
        self._next_segment += 1
        path, nonce = self._directory.segment_path(number), self._directory.nonce_of(number)
        size = self._settings.segment_bytes
        return create_segment(self._disk, path, number, nonce, size, recycled, window)
