"""Whether an instance that arrives is in the spool already, byte for byte: `duplicates = "skip"`.

Length and CRC32C find the candidate, which costs nothing more than what the spool computes anyway; the
bytes decide. A checksum alone is no reason to drop an image. Only the newest version of a UID counts: after
A and B, another A is forwarded, or the destination would be left with B. What cannot be compared any more,
because it was delivered and deleted, is forwarded again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from crc32c import crc32c

from router.errors import SpoolError
from router.handoff.ticket import Ticket
from router.routing.facts import Decision
from router.spool.ledger import Ledger
from router.spool.payload import PayloadStore
from router.spool.record import Location
from router.spool.states import DeliveryState, Owed

APPENDED_MAX = 100_000
"""UIDs remembered until the ledger's tables have them; it refuses work long before so many wait."""

_ON_THE_WAY = (DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.DELIVERED)


class Duplicates:
    """What one worker knows of repeats."""

    def __init__(self, ledger: Ledger, payloads: PayloadStore) -> None:
        self._ledger = ledger
        self._payloads = payloads
        self._appended: OrderedDict[str, int] = OrderedDict()

    def appended(self, sop_instance: str, seq: int) -> None:
        """Take note of a new entry, which may not be durable yet."""
        self._appended[sop_instance] = seq
        self._appended.move_to_end(sop_instance)
        if len(self._appended) > APPENDED_MAX:
            self._appended.popitem(last=False)

    def holds(self, ticket: Ticket, decision: Decision, buffers: Sequence[memoryview]) -> bool:
        """Whether success may be answered without storing this: it is durable and on its way, or there.

        buffers: the dataset that has arrived.
        """
        try:
            rows = self._ledger.newest(ticket.sop_instance, self._appended.get(ticket.sop_instance, 0))
            return bool(rows) and self._is_served(rows, ticket, decision) and self._is_same(rows, buffers)
        except SpoolError:
            return False

    @staticmethod
    def _is_served(rows: list[Owed], ticket: Ticket, decision: Decision) -> bool:
        """Whether an entry is the same on its face, and every destination chosen now has or will get it."""
        record, location = rows[0].entry.record, rows[0].entry.location
        facts = (record.sop_class, record.transfer_syntax, location.length, location.file)
        if facts != (ticket.sop_class, ticket.transfer_syntax, ticket.dataset_bytes, None):
            return False
        states = {row.mark.destination: row.mark.state for row in rows}
        if decision.action == "hold":
            is_held = all(state is DeliveryState.HELD for state in states.values())
            return is_held and set(record.destinations) == set(decision.destinations)
        return all(states.get(name) in _ON_THE_WAY for name in decision.destinations)

    def _is_same(self, rows: list[Owed], buffers: Sequence[memoryview]) -> bool:
        location: Location = rows[0].entry.location
        crc = 0
        for buffer in buffers:
            crc = crc32c(buffer, crc)
        if crc != location.crc:
            return False
        stored = b"".join(self._payloads.open_payload(location))
        offset = 0
        for buffer in buffers:
            if not stored.startswith(buffer, offset):
                return False
            offset += len(buffer)
        return offset == len(stored)
