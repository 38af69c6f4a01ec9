"""The rows of the ledger, there and back, each with a checksum: sqlite notices damaged pages, not a changed
octet inside a row.

One such octet would make an instance settled that is not, or send it elsewhere. A delivery's checksum takes
the destination by its name, so that a changed name is noticed as well. All rows for which data still exists
are verified at a start (ledger_verify.py), and each row again when it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack
from crc32c import crc32c

from router.spool.faults import LedgerDamaged
from router.spool.record import Entry, Location, record_of_fields
from router.spool.states import DeliveryState, Mark, Owed

INSTANCE_COLUMNS = 18  # the checksum is the last
OWED_COLUMNS = """i.*, n.name, d.state, d.at_ns, d.attempts, d.next_attempt_ns, d.error_class, d.status,
    d.segment, d.length, d.checksum"""

_pack = msgpack.Packer(autoreset=True).pack  # of plain values it runs no Python code: threads can share it


def instance_row(entry: Entry) -> tuple[object, ...]:
    """Return the columns of an instance."""
    record, location = entry.record, entry.location
    row = (
        entry.seq,
        location.segment,
        location.offset,
        location.length,
        location.crc,
        location.file,
        record.sop_class,
        record.sop_instance,
        record.transfer_syntax,
        record.study_uid,
        record.series_uid,
        record.calling_ae_title,
        record.called_ae_title,
        record.peer_address,
        record.source,
        record.received_ns,
        _pack((record.destinations, record.action, record.rules)),
    )
    return (*row, checksum(row))


def state_columns(mark: Mark, segment: int, length: int) -> tuple[object, ...]:
    """Return the columns of a delivery that a mark changes, the checksum among them."""
    seq, destination, state, at_ns, attempts, next_attempt_ns, error_class, status, _ = mark
    columns = int(state), attempts, next_attempt_ns, at_ns, error_class, status
    return (*columns, checksum((seq, destination, segment, length, *columns)))


def delivery_row(mark: Mark, number: int, segment: int, length: int) -> tuple[object, ...]:
    """Return the columns of a delivery. number: the destination's; segment, length: the instance's."""
    return (mark.seq, number, segment, length, *state_columns(mark, segment, length))


def checksum(columns: Sequence[Any]) -> int:
    """Return the checksum of a row's other columns."""
    return int(crc32c(_pack(columns)))


def entry_of(row: Sequence[Any]) -> Entry:
    """Return the instance in a row's first columns. Raises LedgerDamaged if it is not what was written."""
    seq, segment, offset, length, crc, file, *facts = row[:16]
    if checksum(row[: INSTANCE_COLUMNS - 1]) != row[INSTANCE_COLUMNS - 1]:
        raise LedgerDamaged(f"ledger: the row of entry {seq} is damaged")
    destinations, action, rules = msgpack.unpackb(row[16], use_list=False)
    record = record_of_fields((*facts, destinations, action, rules))
    return Entry(seq, record, Location(segment, offset, length, crc, file))


def owed_of(row: Sequence[Any]) -> Owed:
    """Return what stands in OWED_COLUMNS; without a row in `delivery` it is pending by a run.

    Raises LedgerDamaged if it is not what was written.
    """
    entry = entry_of(row)
    name, state, at_ns, attempts, next_attempt_ns, error_class, status, *own = row[INSTANCE_COLUMNS:]
    if state is None:
        return Owed(entry, Mark(entry.seq, name, DeliveryState.PENDING, entry.record.received_ns))
    marked = (entry.seq, name, own[0], own[1], state, attempts, next_attempt_ns, at_ns, error_class, status)
    if checksum(marked) != own[2]:
        raise LedgerDamaged(f"ledger: a delivery of entry {entry.seq} is damaged")
    mark = Mark(entry.seq, name, DeliveryState(state), at_ns, attempts, next_attempt_ns, error_class, status)
    return Owed(entry, mark)
