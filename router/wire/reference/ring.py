"""A queue of records in shared memory: twin of _codec/ring.pyx, same layout.

Plain loads and stores, so right only where producer and consumer take turns: for tests, not for two processes
at once.

Layout, native byte order:
  0   u64 magic and version   8  u64 capacity in bytes   16 u64 epoch
  128 u64 head: bytes produced, monotonic (producer writes)
  256 u64 tail: bytes consumed, monotonic (consumer writes)
  384 u64 asleep: 1 while the consumer wants the doorbell (both write)
  512 records: u32 length, bytes, padded to 8; length FFFFFFFF: go on at the start
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

RING_HEADER_BYTES = 512
RING_CAPACITY_MIN_BYTES = 64

_MAGIC_AT = 0
_CAPACITY_AT = 8
_EPOCH_AT = 16
_HEAD_AT = 128
_TAIL_AT = 256
_ASLEEP_AT = 384
_LENGTH_BYTES = 4
_MAGIC = 0x31474E4952444D44
_WRAP = 0xFFFFFFFF
_U64 = struct.Struct("=Q")
_U32 = struct.Struct("=I")


class Ring:
    """One end of a ring; the same class serves producer and consumer, one of each at a time.

    buffer: writable; RING_HEADER_BYTES and the records' space. It stays exported until release().
    initialise: write an empty ring's header; otherwise the header must be there.
    Raises ValueError(reason, value) if the buffer is too small or no ring of this size.
    """

    def __init__(self, buffer: Buffer, initialise: bool = False) -> None:
        view = memoryview(buffer).cast("B")
        if view.readonly:
            raise BufferError("Object is not writable.")
        self._view: memoryview | None = view
        self._capacity = (len(view) - RING_HEADER_BYTES) & ~7
        try:
            self._open(len(view), initialise)
        except ValueError:
            self.release()
            raise

    def _open(self, size: int, initialise: bool) -> None:
        if size < RING_HEADER_BYTES + RING_CAPACITY_MIN_BYTES:
            raise ValueError("buffer too small for a ring", size)
        if initialise:
            self._held()[:RING_HEADER_BYTES] = bytes(RING_HEADER_BYTES)
            self._store(_CAPACITY_AT, self._capacity)
            self._store(_MAGIC_AT, _MAGIC)
        elif self._load(_MAGIC_AT) != _MAGIC:
            raise ValueError("no ring of this version", self._load(_MAGIC_AT))
        elif self._load(_CAPACITY_AT) != self._capacity:
            raise ValueError("ring was made with another capacity", self._load(_CAPACITY_AT))

    def release(self) -> None:
        """Give the buffer back; the ring cannot be used any more. May be called again."""
        if self._view is not None:
            self._view.release()
            self._view = None

    @property
    def head(self) -> int:
        """Bytes produced since the ring was made."""
        return self._load(_HEAD_AT)

    @property
    def tail(self) -> int:
        """Bytes consumed since the ring was made."""
        return self._load(_TAIL_AT)

    @property
    def used_bytes(self) -> int:
        """Bytes between tail and head, records' lengths and padding included."""
        return self.head - self.tail

    @property
    def capacity_bytes(self) -> int:
        """Bytes for records, their lengths and padding."""
        return self._capacity

    @property
    def record_max_bytes(self) -> int:
        """The longest record that push takes."""
        # Half of the space, so that a record fits into an empty ring wherever its end stands.
        return ((self._capacity // 2) & ~7) - _LENGTH_BYTES

    @property
    def epoch(self) -> int:
        """The consumer's generation: a word both ends can read and write."""
        return self._load(_EPOCH_AT)

    @epoch.setter
    def epoch(self, value: int) -> None:
        self._store(_EPOCH_AT, value)

    def push(self, record: Buffer) -> int:
        """Producer: append a record. 0: no room, nothing written; 1: written; 2: written, ring the doorbell.

        After 2 the consumer's announcement is taken: one doorbell is enough.
        Raises ValueError(reason, size) if the record is longer than record_max_bytes.
        """
        if not self.push_quietly(record):
            return 0
        if self._load(_ASLEEP_AT):
            self._store(_ASLEEP_AT, 0)
            return 2
        return 1

    def push_quietly(self, record: Buffer) -> int:
        """Producer: append a record that need not wake the consumer; it is found with the next one that does.

        0: no room, nothing written; 1: written. Raises ValueError as push does.
        """
        view = self._held()
        data = bytes(memoryview(record).cast("B"))
        if len(data) > self.record_max_bytes:
            raise ValueError(f"record longer than {self.record_max_bytes} bytes", len(data))
        head = self.head
        # & ~7: even a damaged head cannot make the writes below leave the buffer
        offset = (head % self._capacity) & ~7
        to_end = self._capacity - offset
        size = _padded_size(len(data))
        needed = size if size <= to_end else to_end + size
        if self._capacity - (head - self.tail) < needed:
            return 0
        at = RING_HEADER_BYTES + offset
        if size > to_end:
            _U32.pack_into(view, at, _WRAP)
            at = RING_HEADER_BYTES
        _U32.pack_into(view, at, len(data))
        view[at + _LENGTH_BYTES : at + _LENGTH_BYTES + len(data)] = data
        self._store(_HEAD_AT, head + needed)
        return 1

    def pop(self) -> bytes | None:
        """Consumer: return the oldest record, or None.

        Raises ValueError(reason, position) if the shared memory holds no valid record there.
        """
        records = self.pop_many(1)
        return records[0] if records else None

    def pop_many(self, records_max: int) -> list[bytes]:
        """Consumer: return up to records_max of the oldest records; their space is freed at once for all.

        Raises ValueError(reason, position) as pop does; then nothing is consumed.
        """
        head = self.head
        tail = self.tail
        records: list[bytes] = []
        while len(records) < records_max and tail != head:
            record, tail = self._copy_out(tail, head)
            records.append(record)
        if records:
            self._store(_TAIL_AT, tail)
        return records

    def sleep(self) -> bool:
        """Consumer: ask the next push to ring the doorbell. False: records are waiting, do not sleep."""
        is_empty = self.head == self.tail
        self._store(_ASLEEP_AT, int(is_empty))
        return is_empty

    def skip_to_head(self) -> int:
        """Consumer: drop all waiting records; return the new tail."""
        head = self.head
        self._store(_TAIL_AT, head)
        return head

    def _copy_out(self, tail: int, head: int) -> tuple[bytes, int]:
        view = self._held()
        available = (head - tail) % (1 << 64)
        if available > self._capacity or (available | tail) & 7:
            raise ValueError("ring positions are corrupt", tail)
        offset = tail % self._capacity
        to_end = self._capacity - offset
        end = tail
        (length,) = _U32.unpack_from(view, RING_HEADER_BYTES + offset)
        if length == _WRAP and available > to_end:
            end += to_end
            available -= to_end
            to_end = self._capacity
            offset = 0
            (length,) = _U32.unpack_from(view, RING_HEADER_BYTES)
        size = _padded_size(length)
        if size > available or size > to_end:
            raise ValueError("ring record is corrupt", tail)
        start = RING_HEADER_BYTES + offset + _LENGTH_BYTES
        return bytes(view[start : start + length]), end + size

    def _held(self) -> memoryview:
        if self._view is None:
            raise ValueError("ring was released", 0)
        return self._view

    def _load(self, at: int) -> int:
        return int(_U64.unpack_from(self._held(), at)[0])

    def _store(self, at: int, value: int) -> None:
        _U64.pack_into(self._held(), at, value)


def _padded_size(length: int) -> int:
    return (length + _LENGTH_BYTES + 7) & ~7


def clear_bell(bell: int) -> None:
    """Silence a doorbell, an eventfd that does not block; one that is silent already stays so."""
    with suppress(OSError):
        os.eventfd_read(bell)


def ring_bell(bell: int) -> None:
    """Ring a doorbell, if that is possible: who listens looks anyway."""
    with suppress(OSError):
        os.eventfd_write(bell, 1)
