"""The bytes of one instance inside a worker: in the acceptor's slab while hot, then in the spool.

Hot means that the ticket's slots are still on loan here. They go back as soon as nobody sends from them and
no first attempt is owed any more; whoever comes later reads from the spool.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from router import crash_points
from router.errors import SpoolError
from router.handoff.intake import Intake
from router.handoff.ticket import Ticket
from router.protocol.messages import Buffer
from router.spool.payload import CHUNK_BYTES
from router.spool.record import Location


class PayloadSource(Protocol):
    """The part of the spool that reads datasets back."""

    def open_payload(self, location: Location) -> Iterable[bytes]:
        """Return the dataset at a location, in chunks of at most CHUNK_BYTES."""


class InstanceBytes:
    """Where the dataset of one instance is; shared by the items of all its destinations."""

    __slots__ = ("_hot_uses", "_intake", "_on_cool", "_readers", "_spool", "_ticket", "length", "location")

    def __init__(self, spool: PayloadSource, length: int) -> None:
        self.length = length
        self.location: Location | None = None
        self._spool = spool
        self._intake: Intake | None = None
        self._ticket: Ticket | None = None
        self._hot_uses = 0
        self._readers = 0
        self._on_cool: Callable[[], None] | None = None

    @classmethod
    def of_ticket(cls, spool: PayloadSource, intake: Intake, ticket: Ticket) -> InstanceBytes:
        """Hold a ticket's loan. The ticket is answered by others; the loan is given back from here."""
        instance = cls(spool, ticket.dataset_bytes)
        instance._intake = intake
        instance._ticket = ticket
        instance._hot_uses = 1  # the ticket's own, until cool() or keep_hot()
        return instance

    @classmethod
    def of_spool(cls, spool: PayloadSource, location: Location) -> InstanceBytes:
        """Read from the spool only."""
        instance = cls(spool, location.length)
        instance.location = location
        return instance

    @property
    def is_hot(self) -> bool:
        """Whether the loan is still held here."""
        return self._ticket is not None

    def keep_hot(self, uses: int, on_cool: Callable[[], None]) -> None:
        """Keep the loan until used() was called this often, and nobody reads; then on_cool() is called."""
        self._hot_uses = uses
        self._on_cool = on_cool

    @property
    def is_kept_hot(self) -> bool:
        """Whether keep_hot() was called: the loan is given back by those for whom it is kept."""
        return self._on_cool is not None

    def used(self) -> None:
        """Take note that one of those for whom it is kept hot needs it no more."""
        if self._hot_uses > 0:
            self._hot_uses -= 1
        self._cool_down()

    def cool(self) -> None:
        """Give the loan back as soon as nobody reads; it must be in the spool, or settled, by now."""
        self._hot_uses = 0
        self._cool_down()

    def give_up(self) -> bool:
        """Let go of the loan because the caller gives it back with its answer; False if somebody reads."""
        if self._ticket is None or self._readers:
            return False
        self._ticket = None
        return True

    def views(self) -> list[memoryview]:
        """Return the dataset in the slab. Only while hot, and not for a spilled one."""
        assert self._intake is not None
        assert self._ticket is not None
        return self._intake.views(self._ticket)

    @crash_points.within("send.middle")
    def buffers(self) -> Iterable[Buffer]:
        """Return the dataset's bytes (see delivery.sender.Payload); pair with close()."""
        self._readers += 1
        ticket = self._ticket
        try:
            if ticket is not None and not ticket.file:
                return self.views()
            if self.location is not None:
                payload = self._spool.open_payload(self.location)
                return list(payload) if self.length <= CHUNK_BYTES else payload
            assert ticket is not None
            return read_file(ticket.file)
        except BaseException:
            self._readers -= 1
            raise

    def hold(self) -> None:
        """Count a use of buffers() that began elsewhere."""
        self._readers += 1

    def close(self) -> None:
        """End one use of buffers()."""
        self._readers -= 1
        self._cool_down()

    def _cool_down(self) -> None:
        if self._ticket is None or self._hot_uses or self._readers:
            return
        assert self._intake is not None
        ticket, self._ticket = self._ticket, None
        self._intake.release(ticket)
        if self._on_cool is not None:
            self._on_cool()


def read_file(path: str) -> Iterator[bytes]:
    """Yield a spilled dataset in chunks. Raises SpoolError."""
    try:
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise SpoolError(f"cannot read a spilled dataset: {error.strerror}") from error


def read_head(path: str, length: int) -> bytes:
    """Return the first bytes of a spilled dataset, for its attributes. Raises SpoolError."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(length)
    except OSError as error:
        raise SpoolError(f"cannot read a spilled dataset: {error.strerror}") from error


def read_head_of(dataset: Iterable[bytes], length: int = CHUNK_BYTES) -> bytes:
    """Return at least the first `length` bytes of a dataset of the spool, or all of it. Raises SpoolError."""
    head = b""
    for chunk in dataset:
        head += chunk
        if len(head) >= length:
            break
    return head


def remove_file(path: str) -> None:
    """Delete a spilled dataset that is settled; one that cannot be deleted goes at the next start."""
    try:
        os.unlink(path)
    except OSError:
        return
