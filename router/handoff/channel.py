"""Channel: the two rings and two doorbells between one acceptor and one worker.

Made by the supervisor, inherited as descriptors by both sides, and outliving either. Tickets go down
(acceptor to worker), receipts go up. A doorbell (eventfd) is rung only when the consumer announced that it
sleeps.

Two waits have to be free of lost wake-ups. A consumer sleeps for records: `ChannelEnd.sleep` announces,
then looks again. A producer whose ring was full waits for room: it leaves a word in shared memory, and the
consumer that finds it rings the producer's own doorbell. The announcement of `sleep` is a full memory
barrier between writing and looking on both sides, so at least one of them sees the other.
A doorbell that could not be rung delays only: both sides drain every channel some times a second.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections import deque
from contextlib import suppress

from router.errors import LimitReached
from router.wire.codec import RING_HEADER_BYTES, Ring, clear_bell, ring_bell

RING_BYTES_MIN = 65536
RECEIVE_RECORDS_MAX = 256

_MAGIC = b"DRCHAN\0\0"
_VERSION = 1
# 1-8 magic; 9-16 version; 17-24 bytes of each ring region
_HEAD = struct.Struct("<8sQQ")
_LINE = 64  # a cache line: each side's word has its own
_DOWN_ROOM_OFFSET = _LINE  # 1: the acceptor waits for room to send tickets
_UP_ROOM_OFFSET = 2 * _LINE  # 1: the worker waits for room to send receipts
_RINGS_OFFSET = 3 * _LINE
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class ChannelEnd:
    """One side's view of a channel: what it receives, what it sends, and the doorbell it listens to."""

    __slots__ = (
        "_bell", "_inbound", "_outbound", "_own_room", "_peer_bell", "_peer_room", "_pop_many", "_push",
    )  # fmt: skip

    def __init__(
        self,
        inbound: Ring,
        outbound: Ring,
        *,
        bell: int,
        peer_bell: int,
        own_room: memoryview,
        peer_room: memoryview,
    ) -> None:
        self._inbound = inbound
        self._outbound = outbound
        self._bell = bell
        self._peer_bell = peer_bell
        self._own_room = own_room
        self._peer_room = peer_room
        self._pop_many = inbound.pop_many
        self._push = outbound.push
        # A predecessor may have died between writing a record and ringing for it.
        ring_bell(peer_bell)

    def fileno(self) -> int:
        """Return the doorbell to wait on for reading; call `clear` when it rings."""
        return self._bell

    def clear(self) -> None:
        """Silence the doorbell. Then receive until `sleep` says True."""
        clear_bell(self._bell)

    def send(self, record: bytes) -> bool:
        """Write one record; False if the ring has no room: keep it, this end's doorbell rings when there is.

        Raises ValueError if it is longer than rings take; `encode_record` makes none that is.
        """
        written = self._push(record)
        if written == 2:
            ring_bell(self._peer_bell)
        elif not written:
            self._own_room[0] = 1
            return False
        return True

    def send_quietly(self, record: bytes) -> bool:
        """Write one record for which the peer need not wake, as it looks often enough; False as for send."""
        if self._outbound.push_quietly(record):
            return True
        self._own_room[0] = 1
        return False

    def receive_many(self, records_max: int = RECEIVE_RECORDS_MAX) -> list[bytes]:
        """Take what waits, oldest first, at most `records_max`; empty if nothing does.

        Raises ValueError if the shared memory is corrupt; a restart of this side starts over.
        """
        records = self._pop_many(records_max)
        if records:
            self.tell_room()
        return records

    def sleep(self) -> bool:
        """Announce that this side waits for its doorbell; False if records wait and must be received first.

        Who keeps a backlog for sending tries it once more after True: room made before the announcement
        may not have been told.
        """
        if not self._inbound.sleep():
            return False
        self.tell_room()
        return True

    @property
    def send_position(self) -> int:
        """Where the next record sent will stand: bytes since the channel was made."""
        return self._outbound.head

    @property
    def send_used_bytes(self) -> int:
        return self._outbound.used_bytes

    @property
    def send_capacity_bytes(self) -> int:
        return self._outbound.capacity_bytes

    def start_over(self) -> tuple[int, int]:
        """Drop every record that waits and begin a new epoch; return (epoch, position of the next record)."""
        epoch = self._inbound.epoch + 1
        self._inbound.epoch = epoch
        return epoch, self._inbound.skip_to_head()

    def tell_room(self) -> None:
        """Ring for the peer if it waits for room; to be called after records were taken."""
        if self._peer_room[0]:
            self._peer_room[0] = 0
            ring_bell(self._peer_bell)

    def rings(self) -> tuple[Ring, Ring, int]:
        """Return the ring to send into, the one to receive from, and the peer's doorbell: for a lane."""
        return self._outbound, self._inbound, self._peer_bell

    def bell(self) -> tuple[int, Ring, memoryview]:
        """Return our doorbell, the ring that it rings for, and the word by which the peer waits for room."""
        return self._bell, self._inbound, self._peer_room


class Channel:
    """The memory and doorbells of one channel; `acceptor_end` or `worker_end` gives a process its side."""

    def __init__(self, memory_fd: int, down_bell: int, up_bell: int) -> None:
        self._fds = (memory_fd, down_bell, up_bell)
        self._map = mmap.mmap(memory_fd, 0)
        region_bytes = _read_head(self._map, memory_fd)
        whole = memoryview(self._map)
        self._down = whole[_RINGS_OFFSET : _RINGS_OFFSET + region_bytes]
        self._up = whole[_RINGS_OFFSET + region_bytes : _RINGS_OFFSET + 2 * region_bytes]
        self._down_room = whole[_DOWN_ROOM_OFFSET : _DOWN_ROOM_OFFSET + 1]
        self._up_room = whole[_UP_ROOM_OFFSET : _UP_ROOM_OFFSET + 1]

    @classmethod
    def create(cls, ring_bytes: int) -> Channel:
        """Make an empty channel.

        ring_bytes: capacity of each of the two rings, a multiple of 64. Raises ValueError if it is not, or is
        less than RING_BYTES_MIN (which leaves room for any record, RECORD_BYTES_MAX).
        """
        if ring_bytes < RING_BYTES_MIN or ring_bytes % _LINE:
            raise ValueError(
                f"ring of {ring_bytes} bytes, allowed: multiples of {_LINE} from {RING_BYTES_MIN}"
            )
        region_bytes = -(-(RING_HEADER_BYTES + ring_bytes) // _LINE) * _LINE
        fd = os.memfd_create("dicom-router-channel", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, _RINGS_OFFSET + 2 * region_bytes)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        os.pwrite(fd, _HEAD.pack(_MAGIC, _VERSION, region_bytes), 0)
        bell_flags = os.EFD_CLOEXEC | os.EFD_NONBLOCK
        channel = cls(fd, os.eventfd(0, bell_flags), os.eventfd(0, bell_flags))
        for region in (channel._down, channel._up):
            Ring(region, initialise=True)
        return channel

    @classmethod
    def attach(cls, fds: tuple[int, int, int]) -> Channel:
        """Open an inherited channel by what `fds` returned. Raises ValueError if that is no channel."""
        return cls(*fds)

    def fds(self) -> tuple[int, int, int]:
        """Return the descriptors to inherit: memory, the worker's doorbell, the acceptor's doorbell."""
        return self._fds

    def acceptor_end(self) -> ChannelEnd:
        """Return the side that sends tickets. At most one living process may hold it."""
        _, down_bell, up_bell = self._fds
        inbound, outbound = Ring(self._up), Ring(self._down)
        return ChannelEnd(
            inbound,
            outbound,
            bell=up_bell,
            peer_bell=down_bell,
            own_room=self._down_room,
            peer_room=self._up_room,
        )

    def worker_end(self) -> ChannelEnd:
        """Return the side that sends receipts. At most one living process may hold it."""
        _, down_bell, up_bell = self._fds
        inbound, outbound = Ring(self._down), Ring(self._up)
        return ChannelEnd(
            inbound,
            outbound,
            bell=down_bell,
            peer_bell=up_bell,
            own_room=self._up_room,
            peer_room=self._down_room,
        )

    def close(self) -> None:
        """Close the descriptors. Ends that are still alive keep the memory alive, but not their doorbells."""
        for view in (self._down, self._up, self._down_room, self._up_room):
            with suppress(BufferError):
                view.release()
        with suppress(BufferError):
            self._map.close()
        for fd in self._fds:
            os.close(fd)


class Outbox:
    """A bounded backlog before a ring, for records that must not be lost (receipts). Keeps their order.

    waiting: what has found no room, for who looks often.
    """

    __slots__ = ("_end", "_records_max", "waiting")

    def __init__(self, end: ChannelEnd, records_max: int) -> None:
        self._end = end
        self._records_max = records_max
        self.waiting: deque[bytes] = deque()

    def __len__(self) -> int:
        return len(self.waiting)

    def send(self, record: bytes, is_urgent: bool = True) -> None:
        """Send now, or as soon as `flush` finds room. Raises LimitReached when the backlog is full.

        is_urgent: whether the peer is to be woken for it.
        """
        if not self.waiting and (self._end.send(record) if is_urgent else self._end.send_quietly(record)):
            return
        if len(self.waiting) >= self._records_max:
            raise LimitReached("outbox records", len(self.waiting) + 1, self._records_max)
        self.waiting.append(record)

    def flush(self) -> bool:
        """Send what waits, as far as there is room; True if nothing is left. Call when the doorbell rings."""
        waiting = self.waiting
        while waiting and self._end.send(waiting[0]):
            waiting.popleft()
        return not waiting


def _read_head(memory: mmap.mmap, fd: int) -> int:
    """Return the bytes of one ring region. Raises ValueError for what is not our channel."""
    magic, version, region_bytes = _HEAD.unpack_from(memory, 0)
    if magic != _MAGIC or version != _VERSION:
        raise ValueError(f"descriptor {fd} is not a channel of version {_VERSION}")
    if len(memory) != _RINGS_OFFSET + 2 * region_bytes:
        raise ValueError(f"channel with rings of {region_bytes} bytes has {len(memory)} bytes")
    return int(region_bytes)
