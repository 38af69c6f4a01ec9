"""Where the bytes are: reads datasets back in bounded chunks, deletes settled ones, sets damaged ones aside.

Reads use pread, not mmap: an I/O error must be an exception, not a SIGBUS. Usable from any thread.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from crc32c import crc32c

from router.spool.faults import RecordDamaged, Unreadable
from router.spool.layout import WorkerDirectory
from router.spool.quarantine import Quarantine
from router.spool.record import Location
from router.spool.recycled import RecycledSegments

CHUNK_BYTES = 1 << 20
OPEN_FILES_MAX = 64  # descriptors kept for reading; payloads being sent may hold more


@dataclass(frozen=True, slots=True)
class ClosedSegment:
    """A segment that nothing is appended to any more. last_seq: of its last entry, 0 if it has none."""

    number: int
    last_seq: int
    size_bytes: int


class _OpenFile:
    """A descriptor shared by the cache and the payloads reading through it; closed by the last one."""

    __slots__ = ("descriptor", "name", "users")

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.users = 1


class Payload:
    """One dataset, read front to back in chunks of at most CHUNK_BYTES, in constant memory.

    Iterate once. The checksum is verified before the last chunk is handed out: a dataset that fits in one
    chunk is verified before its first byte leaves. Use as a context manager, or read to the end.
    """

    def __init__(self, store: PayloadStore, file: _OpenFile, location: Location) -> None:
        self._store = store
        self._file: _OpenFile | None = file
        self._location = location
        self.length = location.length

    def __iter__(self) -> Iterator[bytes]:
        """Yield the dataset.

        Raises RecordDamaged if bytes are missing or don't match their checksum, Unreadable if a read fails.
        """
        try:
            yield from self._chunks()
        finally:
            self.close()

    def _chunks(self) -> Iterator[bytes]:
        location = self._location
        base = 0 if location.file else location.offset
        done = crc = 0
        while done < location.length:
            chunk = self._read(base + done, min(CHUNK_BYTES, location.length - done))
            done += len(chunk)
            if location.crc is not None:
                crc = crc32c(chunk, crc)
                if done == location.length and crc != location.crc:
                    raise RecordDamaged(
                        f"checksum mismatch: segment {location.segment} offset {location.offset}"
                    )
            yield chunk

    def _read(self, offset: int, length: int) -> bytes:
        if self._file is None:
            raise ValueError("payload is closed")
        try:
            chunk = os.pread(self._file.descriptor, length, offset)
        except OSError as error:
            place = f"segment {self._location.segment} offset {offset}"
            raise Unreadable(f"{place}: {error.strerror}") from error
        if not chunk:
            raise RecordDamaged(f"bytes missing: segment {self._location.segment} offset {offset}")
        return chunk

    def close(self) -> None:
        """Let go of the file; harmless twice."""
        file, self._file = self._file, None
        if file is not None:
            self._store.let_go(file)

    def __enter__(self) -> Payload:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PayloadStore:
    """The segments and large objects of one worker directory."""

    def __init__(self, directory: WorkerDirectory, files_max: int = OPEN_FILES_MAX) -> None:
        self._directory = directory
        self._files_max = files_max
        self._lock = threading.Lock()
        self._files: OrderedDict[str, _OpenFile] = OrderedDict()
        self._quarantine = Quarantine(directory.quarantine)
        self._closed: dict[int, ClosedSegment] = {}
        self._large: dict[str, int] = {}
        self._readers: Counter[str] = Counter()  # payloads open on each file

    @property
    def used_bytes(self) -> int:
        """Return the bytes of closed segments and large objects."""
        with self._lock:
            return sum(segment.size_bytes for segment in self._closed.values()) + sum(self._large.values())

    def closed_segments(self) -> list[ClosedSegment]:
        """Return the segments that may be deleted once all their entries are settled."""
        with self._lock:
            return list(self._closed.values())

    @property
    def closed_count(self) -> int:
        """Return how many segments are closed and not deleted."""
        return len(self._closed)

    def add_closed(self, segment: ClosedSegment) -> None:
        with self._lock:
            self._closed[segment.number] = segment

    def add_file(self, name: str, length: int) -> None:
        with self._lock:
            self._large[name] = length

    def open_payload(self, location: Location) -> Payload:
        """Return the dataset at a location. Raises RecordDamaged if its file is gone, Unreadable if it
        cannot be opened."""
        path = self._path(location)
        with self._lock:
            file = self._files.get(path.name)
            if file is None:
                file = self._open(path, location)
            else:
                self._files.move_to_end(path.name)
            file.users += 1
            self._readers[file.name] += 1
            return Payload(self, file, location)

    def _open(self, path: Path, location: Location) -> _OpenFile:
        try:
            file = _OpenFile(path)
        except FileNotFoundError as error:
            raise RecordDamaged(f"segment {location.segment} is gone") from error
        except OSError as error:
            raise Unreadable(f"segment {location.segment} cannot be opened: {error.strerror}") from error
        self._files[path.name] = file
        if len(self._files) > self._files_max:
            self._drop(self._files.popitem(last=False)[1])
        return file

    def let_go(self, file: _OpenFile) -> None:
        """A payload has been read or closed."""
        with self._lock:
            self._readers[file.name] -= 1
            if not self._readers[file.name]:
                del self._readers[file.name]
            self._drop(file)

    @staticmethod
    def _drop(file: _OpenFile) -> None:
        file.users -= 1
        if file.users == 0:
            os.close(file.descriptor)

    def delete_segments(self, numbers: Iterable[int], recycled: RecycledSegments | None = None) -> None:
        """Delete segments whose every entry is settled for good, or keep their files to be written again.

        Payloads open on them stay readable: their files are never written again. Raises OSError.
        """
        for number in numbers:
            path = self._directory.segment_path(number)
            with self._lock:
                self._closed.pop(number, None)
                self._forget(path.name)
                is_read = self._readers[path.name] > 0
            if recycled is None or is_read or not path.exists() or not recycled.keep(path):
                path.unlink(missing_ok=True)
                if recycled is not None:
                    recycled.forget(path)
        if recycled is not None:
            recycled.settle()

    def delete_files(self, names: Iterable[str]) -> None:
        """Delete large objects whose entry is settled for good."""
        for name in names:
            self._directory.large_path(name).unlink(missing_ok=True)
            with self._lock:
                self._large.pop(name, None)
                self._forget(name)

    def _forget(self, name: str) -> None:
        file = self._files.pop(name, None)
        if file is not None:
            self._drop(file)

    def quarantine(self, location: Location) -> bool:
        """Copy the bytes at a damaged location aside; False if quarantine is full. Raises OSError.

        The original stays where it is until its entry is dropped.
        """
        start = 0 if location.file else location.offset
        name = f"{location.segment:010d}-{location.offset:010d}.bin"
        return self._quarantine.copy(self._path(location), name, start, location.length)

    def _path(self, location: Location) -> Path:
        if location.file is not None:
            return self._directory.large_path(location.file)
        return self._directory.segment_path(location.segment)

    def close(self) -> None:
        """Close the cached descriptors."""
        with self._lock:
            while self._files:
                self._drop(self._files.popitem()[1])
