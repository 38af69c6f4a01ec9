"""Slab: the shared arena one acceptor receives datasets into, cut into slots of one size.

The owner (an acceptor) alone allocates, frees and writes; workers attach read-only. Who holds a slot is
private to the owner, except for one *lent* byte per slot in the shared header: it survives the owner, so
that its successor does not write into memory a worker still reads.
Invariant: a slot is free, or allocated, or allocated and lent to one worker.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress

SLOT_BYTES_MIN = mmap.PAGESIZE
SLOTS_MAX = 1 << 20
WORKERS_MAX = 255  # a lent byte holds the worker's index + 1; 0 means not lent

_MAGIC = b"DRSLAB\0\0"
_VERSION = 1
# 1-8 magic; 9-16 version; 17-24 slot bytes; 25-32 slot count; 33-40 generation of the owner
_HEAD = struct.Struct("<8sQQQQ")
_GENERATION_OFFSET = 32
_LENT_OFFSET = 64
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_POPULATE = mmap.MAP_SHARED | mmap.MAP_POPULATE


class Slab:
    """One arena, mapped into this process. Make it with `create`, `own` or `attach`.

    Views handed out by `view` and `chain` point into the arena and are borrowed: they are good until the
    slot is freed (owner) or released (worker). They must be dropped before `close`.
    free_slots, taken, lent, views: the owner's store lane allocates, lends and frees through these in place.
    """

    __slots__ = (
        "_map", "fd", "free_slots", "generation", "is_owner", "lent", "slot_bytes", "slots_total",
        "taken", "views",
    )  # fmt: skip

    def __init__(self, fd: int, is_owner: bool) -> None:
        self.fd = fd
        self.is_owner = is_owner
        self.slot_bytes, self.slots_total, data_offset = _read_head(fd)
        protection = mmap.PROT_READ | mmap.PROT_WRITE if is_owner else mmap.PROT_READ
        # Pre-faulted: the first touch of a cold page costs as much as the copy into it.
        self._map = mmap.mmap(fd, 0, flags=_POPULATE, prot=protection)
        whole = memoryview(self._map)
        self.lent = whole[_LENT_OFFSET : _LENT_OFFSET + self.slots_total]
        slot_bytes, data_end = self.slot_bytes, data_offset + self.slots_total * self.slot_bytes
        self.views = [whole[at : at + slot_bytes] for at in range(data_offset, data_end, slot_bytes)]
        self.taken = bytearray(1 if is_owner and lent else 0 for lent in self.lent)
        # Last freed is first used: its pages and cache lines are warm.
        self.free_slots = (
            [i for i in reversed(range(self.slots_total)) if not self.taken[i]] if is_owner else []
        )
        self.generation = self._next_generation() if is_owner else 0

    @classmethod
    def create(cls, slab_bytes: int, slot_bytes: int) -> Slab:
        """Make a new arena and own it. See `create_slab_fd` for the arguments."""
        return cls(create_slab_fd(slab_bytes, slot_bytes), is_owner=True)

    @classmethod
    def own(cls, fd: int) -> Slab:
        """Take over an existing arena as its only owner; slots lent by the predecessor start out not free."""
        return cls(fd, is_owner=True)

    @classmethod
    def attach(cls, fd: int) -> Slab:
        """Map an arena read-only, as a worker does; `allocate`, `free` and `lend` are the owner's."""
        return cls(fd, is_owner=False)

    @property
    def slots_free(self) -> int:
        return len(self.free_slots)

    @property
    def slots_used(self) -> int:
        return self.slots_total - len(self.free_slots)

    def allocate(self) -> int | None:
        """Take one slot; None when every slot is in use."""
        if not self.free_slots:
            return None
        index = self.free_slots.pop()
        self.taken[index] = 1
        return index

    def free(self, index: int) -> None:
        """Give one slot back, lent or not. Raises ValueError if it is not in use or not of this slab."""
        if not 0 <= index < self.slots_total or not self.taken[index]:
            raise ValueError(f"slot {index} of {self.slots_total} is not in use")
        self.taken[index] = 0
        self.lent[index] = 0
        self.free_slots.append(index)

    def lend(self, indices: Iterable[int], worker: int) -> None:
        """Mark allocated slots as lent to a worker (0-based). Before its ticket is sent, never after."""
        for index in indices:
            if not self.taken[index]:
                raise ValueError(f"slot {index} of {self.slots_total} is not in use")
            self.lent[index] = worker + 1

    def lent_to(self, worker: int) -> list[int]:
        """Return the slots lent to a worker, ascending. Looks at every slot: for restarts only."""
        return [index for index, holder in enumerate(self.lent) if holder == worker + 1]

    def view(self, index: int) -> memoryview:
        """Return the slot's memory, `slot_bytes` long; writable for the owner only."""
        if index < 0:
            raise IndexError(f"slot {index} of {self.slots_total}")
        return self.views[index]

    def chain(self, indices: Sequence[int], dataset_bytes: int) -> list[memoryview]:
        """Return the views that hold `dataset_bytes` laid into these slots in order, the last one cut to
        length.

        Raises ValueError if the slots cannot hold that many bytes, or one of them is not of this slab.
        """
        slot_bytes = self.slot_bytes
        if dataset_bytes > len(indices) * slot_bytes:
            raise ValueError(f"dataset of {dataset_bytes} bytes in {len(indices)} slots of {slot_bytes}")
        if indices and not (min(indices) >= 0 and max(indices) < self.slots_total):
            raise ValueError(f"slot {max(indices)} of {self.slots_total}")
        full, rest = divmod(dataset_bytes, slot_bytes)
        views = [self.views[index] for index in indices[:full]]
        if rest:
            views.append(self.views[indices[full]][:rest])
        return views

    def close(self) -> None:
        """Close the descriptor and unmap; borrowed views that are still alive keep the mapping until they
        go."""
        self.views.clear()
        self.lent.release()
        with suppress(BufferError):
            self._map.close()
        os.close(self.fd)

    def _next_generation(self) -> int:
        generation: int = struct.unpack_from("<Q", self._map, _GENERATION_OFFSET)[0] + 1
        struct.pack_into("<Q", self._map, _GENERATION_OFFSET, generation)
        return generation


def create_slab_fd(slab_bytes: int, slot_bytes: int) -> int:
    """Return the descriptor of a new sealed arena, without mapping it here.

    slab_bytes: memory for datasets, rounded down to whole slots. slot_bytes: a multiple of the page size.
    Raises ValueError if no slot fits, there would be more than SLOTS_MAX, or slot_bytes is no page multiple.
    """
    if slot_bytes < SLOT_BYTES_MIN or slot_bytes % mmap.PAGESIZE:
        raise ValueError(f"slot of {slot_bytes} bytes, allowed: multiples of {mmap.PAGESIZE}")
    slots = slab_bytes // slot_bytes
    if not 1 <= slots <= SLOTS_MAX:
        raise ValueError(f"slab of {slots} slots, allowed: 1 to {SLOTS_MAX}")
    fd = os.memfd_create("dicom-router-slab", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, _data_offset(slots) + slots * slot_bytes)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        os.pwrite(fd, _HEAD.pack(_MAGIC, _VERSION, slot_bytes, slots, 0), 0)
    except OSError:
        os.close(fd)
        raise
    return fd


def _read_head(fd: int) -> tuple[int, int, int]:
    """Return slot bytes, slot count and the offset of slot 0. Raises ValueError for what is not our slab."""
    magic, version, slot_bytes, slots, _ = _HEAD.unpack(os.pread(fd, _HEAD.size, 0).ljust(_HEAD.size, b"\0"))
    if magic != _MAGIC or version != _VERSION:
        raise ValueError(f"descriptor {fd} is not a slab of version {_VERSION}")
    data_offset = _data_offset(slots)
    if os.fstat(fd).st_size != data_offset + slots * slot_bytes:
        raise ValueError(f"slab of {slots} slots of {slot_bytes} bytes has {os.fstat(fd).st_size} bytes")
    return slot_bytes, slots, data_offset


def _data_offset(slots: int) -> int:
    return -(-(_LENT_OFFSET + slots) // mmap.PAGESIZE) * mmap.PAGESIZE
