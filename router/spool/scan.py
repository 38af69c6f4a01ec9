"""Reads one segment front to back: every sound record, and every stretch that is none.

Never raises for what it finds, only for a file that cannot be opened or a format from the future; a sector
that cannot be read is a bad stretch like others. After a bad stretch it goes on at the next octets that carry
the segment's secret nonce under a valid head.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from crc32c import crc32c

from router.spool.disk import read_around
from router.spool.layout import large_name
from router.spool.record import META_BYTES_MAX, Entry, Location, decode_record
from router.spool.segment import (
    ALIGNMENT,
    HEAD_BYTES,
    HEADER_BYTES,
    REFERENCE_PAYLOAD_BYTES,
    TRAILER_BYTES,
    Head,
    Header,
    Kind,
    Marker,
    decode_head,
    decode_header,
    decode_marker,
    decode_reference,
    decode_trailer,
    header_of_head,
    signature,
)

WINDOW_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class BadStretch:
    """Octets that should have been a record. entry: what they held, if head and facts are still readable.

    is_begun: they start like a record of this segment; others may be what the file held before.
    """

    segment: int
    offset: int
    end: int
    entry: Entry | None = None
    is_begun: bool = True


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound record: an entry, a marker, or space given up (neither). end: where the next one starts."""

    offset: int
    end: int
    entry: Entry | None = None
    marker: Marker | None = None


class _Window:
    """Bounded reads of a file by absolute offset."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.size = size
        self._start = 0
        self._data = b""

    def read(self, offset: int, length: int) -> bytes:
        """Return up to length octets at offset, fewer at the end of the file. Raises OSError."""
        start = offset - self._start
        if start < 0 or start + length > len(self._data):
            self._data = read_around(self._descriptor, max(length, WINDOW_BYTES), offset)
            self._start, start = offset, 0
        return self._data[start : start + length]

    def crc(self, offset: int, length: int) -> int | None:
        """Return the CRC32C of a range, None if the file is too short. Raises OSError."""
        crc = 0
        while length > 0:
            chunk = self.read(offset, min(length, WINDOW_BYTES))
            if not chunk:
                return None
            crc = crc32c(chunk, crc)
            offset += len(chunk)
            length -= len(chunk)
        return crc

    def find(self, wanted: bytes, offset: int) -> int | None:
        """Return where octets occur next, from offset on. Raises OSError."""
        while offset < self.size:
            chunk = read_around(self._descriptor, WINDOW_BYTES, offset)
            found = chunk.find(wanted)
            if found >= 0:
                return offset + found
            if len(chunk) < len(wanted):
                return None
            offset += len(chunk) - len(wanted) + 1
        return None

    def is_zero(self, offset: int) -> bool:
        """Whether nothing but zeros follows. Raises OSError."""
        while offset < self.size:
            chunk = read_around(self._descriptor, WINDOW_BYTES, offset)
            if not chunk:
                return True
            if chunk.count(0) != len(chunk):
                return False
            offset += len(chunk)
        return True


class SegmentScan:
    """One pass over a segment. Iterate; then `end` is where its sound part ends.

    Space that was preallocated and never written is not reported. A file of which neither the header nor the
    first record is this segment's is one bad stretch.
    """

    def __init__(self, path: Path, number: int, start: int = HEADER_BYTES, nonce: int | None = None) -> None:
        """nonce: the segment's if it is one of ours with its header lost."""
        self._path = path
        self._number = number
        self._own_nonce = nonce
        self._start = max(start, HEADER_BYTES)
        self.end = HEADER_BYTES
        self.header: Header | None = None
        self.is_header_lost = False  # and `header` is what the records tell

    def __iter__(self) -> Iterator[Sound | BadStretch]:
        """Yield what stands in the segment, in its order. Raises OSError; UnknownFormat."""
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            window = _Window(descriptor, os.fstat(descriptor).st_size)
            header = self.header = self._read_header(window)
            if header is None:
                self.end = 0
                if not window.is_zero(0):
                    yield BadStretch(self._number, 0, window.size, is_begun=False)
                return
            yield from self._records(window, header)
        finally:
            os.close(descriptor)

    def _read_header(self, window: _Window) -> Header | None:
        """Return the header; if it is lost, what the first record tells (no dataset can stand at its place).

        If both are lost, return one with the nonce that this was given.
        """
        header = decode_header(window.read(0, HEADER_BYTES), self._number)
        if header is not None:
            return header
        self.is_header_lost = True
        first = header_of_head(window.read(HEADER_BYTES, HEAD_BYTES), self._number, HEADER_BYTES)
        return first if first is not None else self._header_found(window)

    def _header_found(self, window: _Window) -> Header | None:
        """Return a header with our own nonce if any record carries it: the file may be older than the key."""
        if self._own_nonce is None:
            return None
        header = Header(self._own_nonce)
        return header if _resynchronise(window, header, HEADER_BYTES) is not None else None

    def _records(self, window: _Window, header: Header) -> Iterator[Sound | BadStretch]:
        offset = self.end = self._start
        wanted = signature(header.nonce)
        while offset < window.size:
            head = decode_head(window.read(offset, HEAD_BYTES), header.nonce, header.seed(offset))
            if head is not None and offset + head.record_bytes <= window.size:
                found = self._record(window, offset, head)
                if isinstance(found, BadStretch):
                    found = self._only_bad(window, header, found)
                offset = found.end
                if isinstance(found, Sound):
                    self.end = offset
                yield found
                continue
            following = _resynchronise(window, header, offset + ALIGNMENT)
            if following is None:
                if not window.is_zero(offset):
                    is_begun = window.read(offset, len(wanted)) == wanted
                    yield BadStretch(self._number, offset, window.size, is_begun=is_begun)
                return
            yield BadStretch(self._number, offset, following)
            offset = following

    def _only_bad(self, window: _Window, header: Header, bad: BadStretch) -> BadStretch:
        """Return a bad record up to the next head inside it: its own head may be one that strayed here."""
        following = _resynchronise(window, header, bad.offset + ALIGNMENT)
        if following is None or following >= bad.end:
            return bad
        return replace(bad, end=following)

    def _record(self, window: _Window, offset: int, head: Head) -> Sound | BadStretch:
        end = offset + head.record_bytes
        payload = offset + head.payload_offset
        meta = window.read(offset + HEAD_BYTES, min(head.meta_bytes, META_BYTES_MAX))
        bad = BadStretch(self._number, offset, end)
        if len(meta) != head.meta_bytes or (meta and crc32c(meta) != head.meta_crc):
            return bad
        if head.kind == Kind.VOID:
            return Sound(offset, end)
        crc = window.crc(payload, head.payload_bytes)
        expected = decode_trailer(window.read(payload + head.payload_bytes, TRAILER_BYTES))
        is_whole = crc is not None and crc == expected
        if head.kind == Kind.MARKER:
            marker = decode_marker(head.seq, meta) if is_whole else None
            return Sound(offset, end, marker=marker) if marker else bad
        if not is_whole:
            # A checksum that cannot match: should anybody ever want to send it, reading it back refuses.
            crc = expected if expected is not None else ~(crc or 0) & 0xFFFFFFFF
        entry = self._entry(window, head, payload, meta, crc, is_whole)
        if entry is None or not is_whole:
            return BadStretch(self._number, offset, end, entry)
        return Sound(offset, end, entry)

    def _entry(
        self, window: _Window, head: Head, payload: int, meta: bytes, crc: int | None, is_whole: bool
    ) -> Entry | None:
        try:
            record = decode_record(meta)
        except ValueError:
            return None
        if head.kind == Kind.INSTANCE:
            return Entry(head.seq, record, Location(self._number, payload, head.payload_bytes, crc))
        if head.kind != Kind.REFERENCE or not is_whole:
            return None
        reference = decode_reference(window.read(payload, REFERENCE_PAYLOAD_BYTES))
        if reference is None:
            return None
        length, file_crc = reference
        return Entry(
            head.seq, record, Location(self._number, payload, length, file_crc, large_name(head.seq))
        )


def _resynchronise(window: _Window, header: Header, offset: int) -> int | None:
    """Return where the next valid head stands, from offset on."""
    wanted = signature(header.nonce)
    while (found := window.find(wanted, offset)) is not None:
        head = window.read(found, HEAD_BYTES)
        if found % ALIGNMENT == 0 and decode_head(head, header.nonce, header.seed(found)) is not None:
            return found
        offset = found + 1
    return None
