"""At start: the segments are read from the ledger's checkpoint on, and the ledger catches up.

Past the last commit marker a bad record is a torn tail: nobody was told that it was stored, it goes
silently. Before it, acknowledged data is damaged: it is set aside, counted and reported, and everything
sound after it is kept. Invariant: recovery may be cut short and run again at any point; nothing sound is
ever removed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from router.spool.disk import write_at
from router.spool.layout import (
    LARGE_SUFFIX,
    TEMPORARY_SUFFIX,
    WorkerDirectory,
    incoming_directory,
    sync_folder,
)
from router.spool.ledger import Ledger
from router.spool.payload import ClosedSegment, PayloadStore
from router.spool.quarantine import Quarantine
from router.spool.record import Entry
from router.spool.scan import BadStretch, SegmentScan, Sound
from router.spool.segment import (
    HEADER_BYTES,
    NOWHERE,
    RECORD_BYTES_MIN,
    TRAILER_BYTES,
    VERSION,
    Header,
    Position,
    encode_header,
    encode_void,
)
from router.spool.states import DeliveryState

RESTORE_ROWS = 5000
DAMAGES_MAX = 10_000  # stretches treated one by one; what exceeds them is only counted

DAMAGED = "damaged"  # error class of deliveries whose bytes are bad
MISSING = "missing"  # of deliveries whose segment or large object is gone


@dataclass(frozen=True, slots=True)
class Damage:
    """Acknowledged data that is no longer sound. seq: the entry, if its head could still be read."""

    segment: int
    offset: int
    length: int
    seq: int | None


@dataclass(slots=True)
class RecoveryReport:
    """What a start found. damages: acknowledged data lost, to be alarmed; everything else is routine."""

    segments_read: int = 0
    entries_read: int = 0
    entries_restored: int = 0  # of them, unknown to the ledger
    damages: list[Damage] = field(default_factory=list)
    damages_uncounted: int = 0
    missing_deliveries: int = 0  # owed from segments that are gone
    missing_files: int = 0  # large objects that a rebuilt ledger cannot know to be settled
    torn_records: int = 0
    torn_bytes: int = 0
    orphans_removed: int = 0
    orphans_kept: int = 0  # moved to quarantine, because damage may be why nothing refers to them
    ledger_rebuilt: bool = False
    next_seq: int = 1
    next_segment: int = 1
    end: Position = NOWHERE  # where the last segment ends
    seconds: float = 0.0


@dataclass(slots=True)
class _Segment:
    """One segment that was read. end: of its sound part; written_end: where it ended, says the next one."""

    number: int
    header: Header | None
    end: int
    size: int
    last_seq: int
    is_header_lost: bool = False
    written_end: int = 0


def recover(
    directory: WorkerDirectory, ledger: Ledger, store: PayloadStore, *, rebuilt: bool = False
) -> RecoveryReport:
    """Bring the ledger and the store up to what the segments hold; return what was found.

    rebuilt: the ledger is new although there are segments. Raises OSError, SpoolError (UnknownFormat).
    """
    began = time.monotonic()
    report = RecoveryReport(ledger_rebuilt=rebuilt, next_seq=ledger.last_seq + 1)
    _Recovery(directory, ledger, store, report).run()
    report.seconds = time.monotonic() - began
    return report


def clean_incoming(path: Path, before_ns: int) -> int:
    """Remove spilled objects that no process is still writing; return how many.

    path: the spool. before_ns: wall clock at which the first acceptor of this start came up; call it from the
    supervisor alone, because workers restart while acceptors go on. Raises OSError.
    """
    removed = 0
    try:
        entries = list(os.scandir(incoming_directory(path)))
    except FileNotFoundError:
        return 0
    for entry in entries:
        if entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime_ns < before_ns:
            os.unlink(entry.path)
            removed += 1
    return removed


class _Recovery:
    """One run."""

    def __init__(
        self, directory: WorkerDirectory, ledger: Ledger, store: PayloadStore, report: RecoveryReport
    ) -> None:
        self._directory = directory
        self._ledger = ledger
        self._store = store
        self._report = report
        self._known = self._durable = ledger.covered_up_to()
        self._bad: list[BadStretch] = []
        self._read: list[_Segment] = []
        self._waiting: list[Entry] = []
        self._quarantine = Quarantine(directory.quarantine)
        self._are_marks_durable = False
        self._uncopied: set[int] = set()  # segments with bad stretches of which there is no copy

    def run(self) -> None:
        numbers = self._directory.segment_numbers()
        start = self._known
        for number in numbers:
            if number < start.segment:
                size = self._directory.segment_path(number).stat().st_size
                self._store.add_closed(ClosedSegment(number, 0, size))  # all its entries are in the ledger
            else:
                self._read_segment(number, start.offset if number == start.segment else HEADER_BYTES)
        self._restore()
        torn = [bad for bad in self._bad if not self._is_acknowledged(bad)]
        self._set_aside([bad for bad in self._bad if self._is_acknowledged(bad)])
        for number in sorted(self._ledger.open_segments - set(numbers)):
            self._report.missing_deliveries += self._ledger.bury(number, MISSING)
        self._check_large()
        self._report.next_segment = self._next_segment(numbers)
        self._ledger.set_covered(Position(self._report.next_segment, 0), self._report.next_seq - 1)
        self._ledger.make_durable()
        for segment in self._read:
            self._tidy(segment, [bad for bad in torn if bad.segment == segment.number])
        sync_folder(self._directory.segments)
        self._report.end = self._last_end()

    def _last_end(self) -> Position:
        numbers = self._directory.segment_numbers()
        if not numbers:
            return NOWHERE
        return Position(numbers[-1], self._directory.segment_path(numbers[-1]).stat().st_size)

    # -- reading

    def _read_segment(self, number: int, start: int) -> None:
        path = self._directory.segment_path(number)
        scan = SegmentScan(path, number, start, self._directory.nonce_of(number))
        last_seq, expected_seq = 0, self._report.next_seq
        for found in self._found(scan):
            if isinstance(found, BadStretch):
                self._note_bad(found)
            elif found.marker is not None:
                self._durable = max(self._durable, found.marker.durable, key=_place)
            elif found.entry is not None:
                if not last_seq and found.entry.seq > expected_seq:
                    self._note_missing(_previous(scan, number))
                last_seq = max(last_seq, found.entry.seq)
                self._note_entry(found.entry)
        self._report.segments_read += 1
        self._note_shortened(_previous(scan, number))
        self._read.append(
            _Segment(number, scan.header, scan.end, path.stat().st_size, last_seq, scan.is_header_lost)
        )

    def _note_missing(self, expected: Position) -> None:
        """Take note of entries that stood before this segment and are not there: numbers are missing.

        A segment goes only after the ledger knows all of it; without the ledger nobody can tell. One that is
        there may have lost its end, if nothing says where that was. A segment that the ledger knows whole
        lacks nothing: then the missing ones were torn, along with a header that never was durable.
        """
        if expected == NOWHERE or expected.segment < self._known.segment:
            return
        path = self._directory.segment_path(expected.segment)
        last = self._read[-1] if self._read else None
        if last is not None and last.number == expected.segment:
            is_told = any(bad.segment == last.number for bad in self._bad[-1:])
            if expected.offset == HEADER_BYTES and not is_told:
                self._note_bad(BadStretch(last.number, last.size, last.size + RECORD_BYTES_MIN))
        elif not self._report.ledger_rebuilt and not path.exists():
            self._note_bad(BadStretch(expected.segment, 0, expected.offset))

    def _note_shortened(self, expected: Position) -> None:
        """See whether the segment read before still reaches to where the next one says that it ended."""
        last = self._read[-1] if self._read else None
        if last is None or last.number != expected.segment:
            return
        last.written_end = expected.offset
        told = max((bad.end for bad in self._bad if bad.segment == last.number), default=0)
        end = max(told, min(last.end, last.size))  # zeros may stand behind it, or nothing
        if end < expected.offset:
            self._note_bad(BadStretch(last.number, end, expected.offset))

    def _found(self, scan: SegmentScan) -> Iterator[Sound | BadStretch]:
        """Yield a scan's findings; an entry whose large object is not there is none."""
        for found in scan:
            entry = found.entry
            if isinstance(found, Sound) and entry is not None and not self._has_file(entry):
                if self._report.ledger_rebuilt:
                    self._report.missing_files += 1
                    continue
                yield BadStretch(entry.location.segment, found.offset, found.end, entry)
            else:
                yield found

    def _has_file(self, entry: Entry) -> bool:
        location = entry.location
        if location.file is None:
            return True
        try:
            return self._directory.large_path(location.file).stat().st_size == location.length
        except FileNotFoundError:
            # Settled and deleted before its segment was; only an intact ledger can tell.
            return self._ledger.is_file_open(location.file) is False

    def _note_entry(self, entry: Entry) -> None:
        self._report.entries_read += 1
        self._report.next_seq = max(self._report.next_seq, entry.seq + 1)
        self._waiting.append(entry)
        if len(self._waiting) >= RESTORE_ROWS:
            self._restore()

    def _note_bad(self, bad: BadStretch) -> None:
        if bad.entry is not None:
            self._report.next_seq = max(self._report.next_seq, bad.entry.seq + 1)
        if len(self._bad) < DAMAGES_MAX:
            self._bad.append(bad)
        else:
            self._report.damages_uncounted += 1
            self._uncopied.add(bad.segment)

    def _restore(self) -> None:
        self._report.entries_restored += self._ledger.restore(self._waiting)
        self._waiting = []

    # -- what is bad

    def _is_acknowledged(self, bad: BadStretch) -> bool:
        return Position(bad.segment, bad.offset) < self._durable

    def _set_aside(self, damaged: list[BadStretch]) -> None:
        """Copy damaged acknowledged data into quarantine, and let the ledger show what it was."""
        for segment, offset, end in _runs(damaged):
            name = f"{segment:010d}-{offset:010d}.bin"
            if not self._copy_aside(segment, name, offset, end - offset):
                self._uncopied.add(segment)
        self._ledger.restore([bad.entry for bad in damaged if bad.entry], DeliveryState.DEAD, DAMAGED)
        self._report.damages += [
            Damage(bad.segment, bad.offset, bad.end - bad.offset, bad.entry.seq if bad.entry else None)
            for bad in damaged
        ]

    def _copy_aside(self, segment: int, name: str, offset: int, length: int) -> bool:
        """Copy a stretch into quarantine; False if that fails: it must not keep the spool from starting."""
        try:
            return self._quarantine.copy(self._directory.segment_path(segment), name, offset, length)
        except OSError:
            return False

    def _tidy(self, segment: _Segment, torn: list[BadStretch]) -> None:
        """Remove what was torn, so that a later reading of the whole spool does not take it for damage."""
        if segment.number in self._uncopied:
            return  # as it is, and not to be deleted while this process runs
        path = self._directory.segment_path(segment.number)
        torn = [bad for bad in torn if bad.is_begun or bad.offset < segment.end]
        self._report.torn_records += len(torn)
        self._report.torn_bytes += sum(bad.end - bad.offset for bad in torn)
        damaged_end = max(
            (d.offset + d.length for d in self._report.damages if d.segment == segment.number), default=0
        )
        end = max(segment.end, damaged_end)
        if end <= HEADER_BYTES:
            path.unlink()
            return
        with open(path, "r+b", buffering=0) as file:
            for bad in torn:
                if bad.offset < end:
                    _give_up(file.fileno(), segment, bad.offset, bad.end)
            if segment.size > end:
                file.truncate(end)
            if segment.written_end > end:
                # Its end was torn; the next segment will go on telling that it was there.
                _give_up(file.fileno(), segment, end, segment.written_end)
            if segment.is_header_lost:
                _write_header(file.fileno(), segment, self._end_before(segment.number))
            size = os.fstat(file.fileno()).st_size
            os.fsync(file.fileno())
        self._store.add_closed(ClosedSegment(segment.number, segment.last_seq, size))

    def _end_before(self, number: int) -> Position:
        """Return where the segment before this one ends; it is tidy already."""
        before = [other for other in self._directory.segment_numbers() if other < number]
        if not before:
            return NOWHERE
        return Position(before[-1], self._directory.segment_path(before[-1]).stat().st_size)

    # -- large objects

    def _check_large(self) -> None:
        """Keep the large objects somebody is owed, or that are retained; settled and unknown ones go."""
        for name in os.listdir(self._directory.large):
            path = self._directory.large_path(name)
            if name.endswith(TEMPORARY_SUFFIX):
                path.unlink()
                self._report.orphans_removed += 1
            elif name.endswith(LARGE_SUFFIX):
                self._check_large_object(path)

    def _check_large_object(self, path: Path) -> None:
        is_open = self._ledger.is_file_open(path.name)
        if is_open or (is_open is False and self._ledger.is_retained(path.name)):
            self._store.add_file(path.name, path.stat().st_size)
        elif is_open is None and self._report.damages:
            self._quarantine.move(path)
            self._report.orphans_kept += 1
        else:
            if is_open is False and not self._are_marks_durable:
                self._ledger.make_durable()  # a predecessor may have died before it did that
                self._are_marks_durable = True
            path.unlink()
            self._report.orphans_removed += is_open is None

    def _next_segment(self, numbers: list[int]) -> int:
        """Return a number never used before, as far as anything left can tell."""
        quarantined = (name.split("-")[0] for name in os.listdir(self._directory.quarantine))
        used = [int(text) for text in quarantined if text.isdigit() and len(text) == 10]
        return max([*numbers, *used, self._ledger.covered_up_to().segment - 1, 0]) + 1


def _previous(scan: SegmentScan, number: int) -> Position:
    """Return where the segment before ended; if the header is lost: it had the number before, and a header.

    NOWHERE: version 1 does not tell.
    """
    if scan.header is not None and (scan.header.version == 1 or scan.header.previous != NOWHERE):
        return scan.header.previous
    return Position(number - 1, HEADER_BYTES)


def _place(position: Position) -> tuple[int, int]:
    return position.segment, position.offset


def _runs(stretches: list[BadStretch]) -> Iterator[tuple[int, int, int]]:
    """Yield (segment, offset, end) of stretches joined where one follows the other."""
    run: tuple[int, int, int] | None = None
    for bad in stretches:
        if run is not None and run[0] == bad.segment and run[2] == bad.offset:
            run = (run[0], run[1], bad.end)
            continue
        if run is not None:
            yield run
        run = (bad.segment, bad.offset, bad.end)
    if run is not None:
        yield run


def _write_header(descriptor: int, segment: _Segment, previous: Position) -> None:
    """Write a header that was lost, so that no later reading has to guess what stood before the segment."""
    if segment.header is not None and segment.header.version == VERSION:
        write_at(descriptor, encode_header(segment.number, segment.header.nonce, previous), 0)


def _give_up(descriptor: int, segment: _Segment, offset: int, end: int) -> None:
    """Turn a torn stretch into a void record, if that fits in."""
    header = segment.header
    if header is None or end - offset < RECORD_BYTES_MIN:
        return
    head, trailer = encode_void(segment.number, header.nonce, header.seed(offset), end - offset)
    write_at(descriptor, trailer, end - TRAILER_BYTES)
    write_at(descriptor, head, offset)
