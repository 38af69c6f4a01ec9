"""Receiving datasets: straight into slots of the slab, to a file when they are too large for it, away when
refused.

A dataset waits for its next slot when there is none: reading from its connection then stops, and TCP holds
the sender back. What grows beyond `spill_bytes` goes on in a file of the spool's incoming folder, through
one slot at a time, so that memory stays bounded at any size. So does what has waited in vain for STALL_S:
half-received datasets free nobody, and would wait for each other. Files are named by us, never from what a
peer sent.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Sized
from concurrent.futures import Future
from contextlib import suppress
from time import monotonic

from crc32c import crc32c

from router.handoff.slab import Slab
from router.services.c_store import Refusal
from router.standard.statuses import OUT_OF_RESOURCES

SCRATCH_BYTES = 65536

STALL_S = 0.5
"""No slot came free for this long while datasets that hold some wait for more: they go on in files."""

logger = logging.getLogger(__name__)

RunAside = Callable[[Callable[[], None], Callable[["Future[None]"], None]], None]
"""Run a function in another thread, then the continuation on the event loop."""


class ReceivedDataset:
    """One whole dataset, in slots or in a file. It belongs to whoever got it, until lent by a ticket or
    released."""

    __slots__ = ("_arrivals", "crc", "dataset_bytes", "file", "seconds", "slots")

    def __init__(
        self,
        arrivals: Arrivals,
        slots: tuple[int, ...],
        file: str,
        dataset_bytes: int,
        seconds: float,
        crc: int = 0,
    ) -> None:
        self._arrivals = arrivals
        self.slots = slots
        self.file = file
        self.crc = crc
        self.dataset_bytes = dataset_bytes
        self.seconds = seconds

    def release(self) -> None:
        """Give the memory back, or delete the file, of a dataset that nobody will store."""
        self._arrivals.free(self.slots)
        if self.file:
            with suppress(OSError):
                os.unlink(self.file)


class Arrivals:
    """What the sinks of one acceptor share: the slab, the folder for large datasets, the order of those who
    wait.

    run_aside: see RunAside. pauses, refuses: asked before a dataset begins, and while it waits: the
    pressure's stage.
    """

    def __init__(
        self,
        slab: Slab,
        incoming: str,
        *,
        spill_bytes: int,
        instance_max_bytes: int,
        run_aside: RunAside,
        name_prefix: str,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.slab = slab
        self.incoming = incoming
        self.spill_bytes = spill_bytes
        self.instance_max_bytes = instance_max_bytes
        self.run_aside = run_aside
        self.pauses = False
        self.refuses = False
        self.spilled_count = 0
        self.spilled_bytes = 0  # of datasets that arrived whole
        self.paused_count = 0  # datasets that had to wait since whoever reads this last cleared it
        self.refused_count = 0  # as above: datasets refused for lack of room
        self.scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._name_prefix = name_prefix
        self._file_count = 0
        self._growing: deque[SlabSink] = deque()
        self._starting: deque[SlabSink] = deque()
        self._stalled_since: float | None = None
        self._clock = clock

    def open(self, resume: Callable[[], None]) -> SlabSink:
        """Open a sink for one dataset; resume: called when it waited for a slot and may go on."""
        return SlabSink(self, resume)

    def adopt(self, slots: list[int], total_bytes: int, began: float, resume: Callable[[], None]) -> SlabSink:
        """Open a sink that goes on with a dataset that has begun elsewhere.

        slots: allocated; now the sink's, the last one is lent to the reader. total_bytes: in the others.
        """
        sink = SlabSink(self, resume)
        sink.take_over(slots, total_bytes, began)
        return sink

    @property
    def waiting(self) -> int:
        """Datasets that wait for a slot."""
        return len(self._growing) + len(self._starting)

    @property
    def queues(self) -> tuple[Sized, Sized]:
        """Where datasets wait for a slot, for who looks often."""
        return self._growing, self._starting

    def wait(self, sink: SlabSink, is_growing: bool) -> None:
        """Queue a sink for a slot; those that hold slots already go first, so that they get done and free
        them."""
        self.paused_count += 1
        (self._growing if is_growing else self._starting).append(sink)

    def forget(self, sink: SlabSink) -> None:
        """Take a sink that gave up waiting out of the queue."""
        for queue in (self._growing, self._starting):
            with suppress(ValueError):
                queue.remove(sink)

    def free(self, slots: tuple[int, ...] | list[int]) -> None:
        """Free slots that were never lent."""
        for slot in slots:
            self.slab.free(slot)

    def wake(self) -> None:
        """Let those who wait go on, oldest first, as far as there are slots; all of them when refusing.

        To be called again and again while somebody waits: it notices that nothing moves.
        """
        self._wake(self._growing)
        if self.refuses or not self.pauses:
            self._wake(self._starting)
        if not self._growing:
            self._stalled_since = None
        elif self._stalled_since is None:
            self._stalled_since = self._clock()
        elif self._clock() - self._stalled_since >= STALL_S:
            self._stalled_since = None
            stalled = tuple(self._growing)
            self._growing.clear()
            for sink in stalled:
                sink.spill_early()

    def _wake(self, queue: deque[SlabSink]) -> None:
        turns = len(queue)
        while turns and queue and (self.refuses or self.slab.slots_free):
            turns -= 1
            self._stalled_since = None
            queue.popleft().resume()

    def new_file(self) -> str:
        """Return the path of a file for a large dataset; it does not exist yet."""
        self._file_count += 1
        return os.path.join(self.incoming, f"{self._name_prefix}-{self._file_count}.part")


class SlabSink:
    """The sink of one dataset (see protocol.messages.DatasetSink)."""

    __slots__ = (
        "_arrivals",
        "_began",
        "_crc",
        "_fd",
        "_file",
        "_filled",
        "_is_waiting",
        "_is_writing",
        "_refusal",
        "_resume",
        "_slots",
        "_total",
    )

    def __init__(self, arrivals: Arrivals, resume: Callable[[], None]) -> None:
        self._began = monotonic()
        self._arrivals = arrivals
        self._resume = resume
        self._slots: list[int] = []
        self._total = 0
        self._filled = 0
        self._fd = -1
        self._file = ""
        self._crc = 0  # CRC32C of what the file holds
        self._is_writing = False
        self._is_waiting = False
        self._refusal: Refusal | None = None

    def take_over(self, slots: list[int], total_bytes: int, began: float) -> None:
        """Hold what somebody else has received so far; see Arrivals.adopt."""
        self._slots = slots
        self._total = total_bytes
        self._began = began

    def resume(self) -> None:
        """Go on after waiting."""
        self._is_waiting = False
        self._resume()

    def spill_early(self) -> None:
        """Go on in a file after waiting in vain for a slot."""
        self._is_waiting = False
        if self._next_spill_buffer() is not None:
            self._resume()

    def next_buffer(self) -> memoryview | None:
        arrivals = self._arrivals
        if arrivals.refuses and self._refusal is None and not self._slots:
            self._refuse_for_room()
        if self._refusal is None and self._total >= arrivals.instance_max_bytes:
            self._refuse("instance too large")
        if self._refusal is not None:
            return arrivals.scratch
        if self._is_writing:
            return None
        if self._fd >= 0 or self._total >= arrivals.spill_bytes:
            return self._next_spill_buffer()
        slot = None if arrivals.pauses and not self._slots else arrivals.slab.allocate()
        if slot is not None:
            self._slots.append(slot)
            return arrivals.slab.view(slot)
        if arrivals.refuses:
            self._refuse_for_room()
            return arrivals.scratch
        if not self._is_waiting:
            self._is_waiting = True
            arrivals.wait(self, bool(self._slots))
        return None

    def filled(self, count: int) -> None:
        self._total += count
        self._filled = count

    def finish(self) -> object:
        if self._is_waiting:  # an empty dataset needs no slot after all
            self._is_waiting = False
            self._arrivals.forget(self)
        if self._refusal is None and self._fd >= 0:
            self._finish_file()
        if self._refusal is not None:
            return self._refusal
        slots = tuple(self._slots)
        if self._total == 0 or self._filled == 0:
            slots = self._without_unused(slots)
        seconds = monotonic() - self._began
        return ReceivedDataset(self._arrivals, slots, self._file, self._total, seconds, self._crc)

    def discard(self) -> None:
        self._arrivals.forget(self)
        if not self._is_writing:
            self._drop()
        else:
            self._refusal = Refusal(OUT_OF_RESOURCES)  # the write under way drops everything when it is done

    def _without_unused(self, slots: tuple[int, ...]) -> tuple[int, ...]:
        """Free slots that were lent to the reader but got no byte (an empty dataset)."""
        needed = -(-self._total // self._arrivals.slab.slot_bytes)
        self._arrivals.free(slots[needed:])
        return slots[:needed]

    def _refuse_for_room(self) -> None:
        self._arrivals.refused_count += 1
        self._refuse("out of resources")

    def _refuse(self, why: str) -> None:
        self._refusal = Refusal(OUT_OF_RESOURCES, why)
        self._drop()

    def _drop(self) -> None:
        self._arrivals.free(self._slots)
        self._slots.clear()
        if self._fd >= 0:
            with suppress(OSError):
                self._close_file()
        if self._file:
            with suppress(OSError):
                os.unlink(self._file)
            self._file = ""

    # Spilling: the slots filled so far are written aside, then the last of them serves as the only buffer.

    def _next_spill_buffer(self) -> memoryview | None:
        """Begin to write what is filled; the buffer is lent again when that is done."""
        if self._fd >= 0 and self._filled == 0:
            return self._arrivals.slab.view(self._slots[-1])
        if self._fd < 0 and not self._begin_file():
            return self._arrivals.scratch
        self._is_writing = True
        self._arrivals.run_aside(self._write_filled, self._written)
        return None

    def _begin_file(self) -> bool:
        self._file = self._arrivals.new_file()
        self._arrivals.spilled_count += 1
        try:
            self._fd = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            logger.error('spill=failed why="%s"', error.strerror)
            self._file = ""
            self._refuse("cannot spill")
            return False
        return True

    def _write_filled(self) -> None:
        slab = self._arrivals.slab
        for slot in self._slots[:-1]:
            self._write(slab.view(slot))
        self._write(slab.view(self._slots[-1])[: self._filled])

    def _write(self, data: memoryview) -> None:
        write_whole(self._fd, data)
        self._crc = crc32c(data, self._crc)

    def _written(self, outcome: Future[None]) -> None:
        self._is_writing = False
        error = outcome.exception()
        if self._refusal is not None:  # discarded meanwhile
            self._drop()
            return
        if error is not None:
            logger.error('spill=failed why="%s"', getattr(error, "strerror", None) or type(error).__name__)
            self._refuse("cannot spill")
        else:
            self._arrivals.free(self._slots[:-1])
            del self._slots[:-1]
            self._filled = 0
        self._resume()
        if self._arrivals.waiting:
            self._arrivals.wake()

    def _finish_file(self) -> None:
        try:
            if self._filled:
                self._write_filled()
            self._close_file()
        except OSError as error:
            logger.error('spill=failed why="%s"', error.strerror)
            self._refuse("cannot spill")
            return
        self._arrivals.free(self._slots)
        self._slots.clear()
        self._arrivals.spilled_bytes += self._total

    def _close_file(self) -> None:
        """Close the file. Raises OSError; also then the number is free and may be somebody else's."""
        fd, self._fd = self._fd, -1
        os.close(fd)


def write_whole(fd: int, data: memoryview) -> None:
    """Write all of data, however many calls that takes. Raises OSError."""
    while data:
        data = data[os.write(fd, data) :]
