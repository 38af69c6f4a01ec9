"""Invariant: any file is read front to back as a segment: sound records in order and bad stretches, all
inside the file; of a segment that was written, every record that was not touched is found; facts that are
readable are of their types, and so are tickets.

Allowed exceptions: UnknownFormat from a file whose header was touched; ValueError from facts; MalformedRecord
from tickets; ValueError or OverflowError from encoding a ticket that we would not write.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from router.handoff.ticket import MalformedRecord
from router.handoff.ticket import decode_record as decode_ticket
from router.handoff.ticket import encode_record as encode_ticket
from router.spool.faults import UnknownFormat
from router.spool.layout import KEY_BYTES, WorkerDirectory
from router.spool.record import decode_record, encode_record
from router.spool.scan import BadStretch, SegmentScan, Sound
from router.spool.segment import HEADER_BYTES
from tests.fuzz.octets import Octets
from tests.spool.spool_fixtures import append, directory_at, record_of, writer_at
from tests.support.handoff import make_ticket

RECORDS = 6
TAIL_BYTES = 512
"""Unwritten space behind the last record."""


def check(data: bytes) -> None:
    """Read facts, a ticket, a file of any octets, or a segment with some octets changed."""
    octets = Octets(data)
    kind = octets.number(4)
    if kind == 0:
        _read_facts(octets.rest())
    elif kind == 1:
        _read_ticket(octets.rest())
    elif kind == 2:
        _scan(octets.rest())
    else:
        _damage(octets)


def _read_facts(octets: bytes) -> None:
    try:
        record = decode_record(octets)
    except ValueError:
        return
    assert decode_record(encode_record(record)) == record


def _read_ticket(octets: bytes) -> None:
    try:
        ticket = decode_ticket(octets)
    except MalformedRecord:
        return
    try:
        encoded = encode_ticket(ticket)
    except (ValueError, OverflowError):
        return
    assert decode_ticket(encoded) == ticket


def _damage(octets: Octets) -> None:
    segment, records = _written()
    changed = bytearray(segment)
    touched = []
    for _ in range(1 + octets.number(4)):
        at = octets.number(len(segment))
        new = octets.take(1 + octets.number(8))
        changed[at : at + len(new)] = new
        touched.append(range(at, at + len(new)))
    del changed[len(segment) :]
    found = _scan(bytes(changed))
    if found is None or any(one.start < HEADER_BYTES for one in touched):
        return
    entries = [one.entry for one in found if isinstance(one, Sound)]
    for record in records:
        if not any(one.start < record.end and record.offset < one.stop for one in touched):
            assert record.entry in entries


def _scan(octets: bytes) -> list[Sound | BadStretch] | None:
    """Read a file as a segment; None for a format of the future."""
    path = _folder() / "fuzzed"
    path.write_bytes(octets)
    end, found = 0, []
    try:
        for one in SegmentScan(path, 1):
            assert end <= one.offset <= one.end <= len(octets)
            end = one.end
            found.append(one)
    except UnknownFormat:
        return None
    return found


@cache
def _folder() -> Path:
    return Path(_kept().name)


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fuzz-segment-")  # removed when this process ends


@cache
def _written() -> tuple[bytes, list[Sound]]:
    """Write a segment; return it and its entries."""
    key = WorkerDirectory(_folder() / "worker-0").root / "key"
    key.parent.mkdir()
    key.write_bytes(bytes(range(KEY_BYTES)))  # a known one: the same segment each time
    directory = directory_at(_folder())
    writer = writer_at(directory)
    for number in range(RECORDS):
        append(writer, number, 40 * number)
    assert writer.flush()
    path = directory.segment_path(1)
    records = [one for one in SegmentScan(path, 1) if isinstance(one, Sound)]
    octets = path.read_bytes()[: records[-1].end + TAIL_BYTES]
    writer.close()
    return octets, [one for one in records if one.entry is not None]


def seeds() -> list[bytes]:
    """Return a segment, ways to damage it, facts, and a ticket."""
    segment, records = _written()
    edits = [bytes([3, 0]) + one.offset.to_bytes(2, "big") + b"\1\xff\xff" for one in records]
    return [
        b"\2" + segment,
        *edits,
        b"\0" + encode_record(record_of(1)),
        b"\1" + encode_ticket(make_ticket(7, (1, 2, 3))),
    ]
