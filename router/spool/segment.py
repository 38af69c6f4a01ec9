"""The segment format, version 2: encode and decode its header and records. Pure; no I/O.

All integers are little-endian. A segment is a header and then records, each starting on a multiple of 8.

Header, 64 octets
    1-8   magic "DRSPOOL" 00
    9-10  version            11-12 header length        13-16 flags, 0
    17-24 segment number     25-32 nonce                33-40 number of the segment before this one
    41-48 where that one ended                          49-60 reserved, 0
    61-64 CRC32C of octets 1-60
Record: head of 48 octets, meta, payload, trailer of 8 octets, zero padding to a multiple of 8
    1-4   magic C5 "DRr"     5-12  nonce of the segment
    13    kind               14    flags                15-16 head length
    17-24 seq                25-32 payload length       33-36 meta length
    37-40 CRC32C of meta     41-44 segment number, low  45-48 CRC32C of octets 1-44, begun with the offset
    trailer: CRC32C of the payload, then "DRe" C5

A file may be written again after all it held was settled. The nonce is new then, so what stands behind the
newest record is never taken for records; and a head says which segment it belongs to, so that a file whose
new header was never synced is not taken for the segment that its new name says.
The nonce is secret: a dataset that contains a forged record can never be taken for one when a reader
resynchronises after damage. It is made from a key of the directory and the segment's number, so that it is
known when a bad sector takes header and first record. The trailer stands last, so a record cut short never
looks whole.
Version 1 had no octets 33-48 in its header, and began the CRC of a head with 0; its segments are read as they
are, new ones are written in version 2. The end of the segment before is written when this one is begun: a
closed segment that became shorter is noticed. The offset in the CRC of a head tells a record that stands
where it was written from one that a disk put over another.
A marker says that every record up to a sequence number and place had been synced before the marker was
written. Damage before that place is damage to acknowledged data; after it, a torn tail.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from crc32c import crc32c

from router.spool.faults import UnknownFormat

VERSION = 2
VERSION_MIN = 1  # the oldest that is read
ALIGNMENT = 8

_FILE_MAGIC = b"DRSPOOL\0"
_RECORD_MAGIC = b"\xc5DRr"
_NUMBER_MASK = 0xFFFFFFFF
_TRAILER_MAGIC = int.from_bytes(b"DRe\xc5", "little")

_HEADER = struct.Struct("<8sHHIQQQQ12s")
_SIGNATURE = struct.Struct("<4sQ")
_HEAD = struct.Struct("<4sQBBHQQIII")
_CRC = struct.Struct("<I")
_TRAILER = struct.Struct("<II")
_MARKER = struct.Struct("<QQQQ")
_REFERENCE = struct.Struct("<QIB")  # length of the file, CRC32C of its content, 1 if that CRC is known

HEADER_BYTES = _HEADER.size + _CRC.size
HEAD_BYTES = _HEAD.size + _CRC.size
TRAILER_BYTES = _TRAILER.size
RECORD_BYTES_MIN = HEAD_BYTES + TRAILER_BYTES
PADDING = tuple(bytes(n) for n in range(ALIGNMENT))


class Kind(IntEnum):
    """What a record is."""

    INSTANCE = 1  # meta: facts; payload: dataset
    REFERENCE = 2  # meta: facts; payload: length and CRC of the large object's file
    MARKER = 3  # meta: Marker; seq: durable up to
    VOID = 4  # space given up by recovery; the payload means nothing


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the spool: a byte offset in a segment."""

    segment: int
    offset: int

    def __lt__(self, other: Position) -> bool:
        return (self.segment, self.offset) < (other.segment, other.offset)


NOWHERE = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment's header says. previous: where the segment before it ended, NOWHERE if unknown."""

    nonce: int
    previous: Position = NOWHERE
    version: int = VERSION

    def seed(self, offset: int) -> int:
        """Return what the CRC of a head at this offset begins with."""
        return offset if self.version > 1 else 0


@dataclass(frozen=True, slots=True)
class Head:
    """A record's head. Lengths in bytes."""

    kind: int
    seq: int
    payload_bytes: int
    meta_bytes: int
    meta_crc: int

    @property
    def payload_offset(self) -> int:
        """From the record's start."""
        return HEAD_BYTES + self.meta_bytes

    @property
    def record_bytes(self) -> int:
        return record_bytes(self.meta_bytes, self.payload_bytes)


@dataclass(frozen=True, slots=True)
class Marker:
    """Everything up to entry `seq`, which ends at `durable`, was synced before this was written."""

    seq: int
    durable: Position
    previous: Position


def aligned(length: int) -> int:
    """Return length rounded up to where the next record may start."""
    return (length + ALIGNMENT - 1) & -ALIGNMENT


def record_bytes(meta_bytes: int, payload_bytes: int) -> int:
    """Return the space a record takes, padding included."""
    return aligned(HEAD_BYTES + meta_bytes + payload_bytes + TRAILER_BYTES)


def record_end(payload_offset: int, payload_bytes: int) -> int:
    """Return where the record after one with this payload starts; offsets from the segment's start."""
    return aligned(payload_offset + payload_bytes + TRAILER_BYTES)


MARKER_BYTES = record_bytes(_MARKER.size, 0)
REFERENCE_PAYLOAD_BYTES = _REFERENCE.size


def encode_header(number: int, nonce: int, previous: Position = NOWHERE) -> bytes:
    """Return the 64 octets a segment starts with."""
    body = _HEADER.pack(
        _FILE_MAGIC, VERSION, HEADER_BYTES, 0, number, nonce, previous.segment, previous.offset, bytes(12)
    )
    return body + _CRC.pack(crc32c(body))


def decode_header(data: bytes, number: int) -> Header | None:
    """Return the header of segment `number`, or None if this is not its header.

    Raises UnknownFormat for a version that this program does not know.
    """
    if len(data) < HEADER_BYTES or _CRC.unpack_from(data, HEADER_BYTES - 4)[0] != crc32c(
        data[: HEADER_BYTES - 4]
    ):
        return None
    magic, version, _, flags, found, nonce, segment, offset, _ = _HEADER.unpack_from(data)
    if magic != _FILE_MAGIC or found != number:
        return None
    if not VERSION_MIN <= version <= VERSION or flags:
        raise UnknownFormat(
            f"segment {number}: format version {version}, flags {flags:#x}; "
            f"this program knows versions {VERSION_MIN} to {VERSION}"
        )
    return Header(nonce, Position(segment, offset) if version > 1 else NOWHERE, version)


def signature(nonce: int) -> bytes:
    """Return the octets every record of a segment starts with: what resynchronising looks for."""
    return _SIGNATURE.pack(_RECORD_MAGIC, nonce)


def encode_head(
    kind: Kind, number: int, nonce: int, seed: int, seq: int, meta: bytes, payload_bytes: int
) -> bytes:
    """Return a record's head. number, nonce: the segment's. seed: Header.seed of where it will stand."""
    body = _HEAD.pack(
        _RECORD_MAGIC,
        nonce,
        kind,
        0,
        HEAD_BYTES,
        seq,
        payload_bytes,
        len(meta),
        crc32c(meta) if meta else 0,
        number & _NUMBER_MASK,
    )
    return body + _CRC.pack(crc32c(body, seed))


def encode_trailer(payload_crc: int, unpadded_bytes: int) -> bytes:
    """Return trailer and padding of a record whose head, meta and payload take unpadded_bytes."""
    return _TRAILER.pack(payload_crc, _TRAILER_MAGIC) + PADDING[-unpadded_bytes % ALIGNMENT]


def decode_head(data: bytes | memoryview, nonce: int | None, seed: int) -> Head | None:
    """Return the head at the start of data, or None if there is none. nonce None: any (first record only).

    seed: Header.seed of where the data stands.
    """
    if len(data) < HEAD_BYTES:
        return None
    magic, found, kind, _, head_bytes, seq, payload_bytes, meta_bytes, meta_crc, _ = _HEAD.unpack_from(data)
    if magic != _RECORD_MAGIC or (nonce is not None and found != nonce) or head_bytes != HEAD_BYTES:
        return None
    if _CRC.unpack_from(data, HEAD_BYTES - 4)[0] != crc32c(data[: HEAD_BYTES - 4], seed):
        return None
    return Head(kind, seq, payload_bytes, meta_bytes, meta_crc)


def header_of_head(data: bytes | memoryview, number: int, offset: int) -> Header | None:
    """Return what any valid head of segment `number` tells, for a segment whose header is lost."""
    for version in range(VERSION, VERSION_MIN - 1, -1):
        header = Header(0, version=version)
        if decode_head(data, None, header.seed(offset)) is not None:
            if _HEAD.unpack_from(data)[-1] != number & _NUMBER_MASK:
                return None
            return Header(int(_SIGNATURE.unpack_from(data)[1]), version=version)
    return None


def decode_trailer(data: bytes | memoryview) -> int | None:
    """Return the payload's CRC32C from the 8 octets of a trailer, or None if it is none."""
    if len(data) < TRAILER_BYTES:
        return None
    crc, magic = _TRAILER.unpack_from(data)
    return int(crc) if magic == _TRAILER_MAGIC else None


def encode_void(number: int, nonce: int, seed: int, length: int) -> tuple[bytes, bytes]:
    """Return head and trailer of a record that gives up `length` octets, themselves included."""
    head = encode_head(Kind.VOID, number, nonce, seed, 0, b"", length - RECORD_BYTES_MIN)
    return head, _TRAILER.pack(0, _TRAILER_MAGIC)


def encode_marker(number: int, nonce: int, seed: int, marker: Marker) -> bytes:
    """Return a whole marker record for segment `number`."""
    meta = _MARKER.pack(
        marker.durable.segment, marker.durable.offset, marker.previous.segment, marker.previous.offset
    )
    head = encode_head(Kind.MARKER, number, nonce, seed, marker.seq, meta, 0)
    return head + meta + encode_trailer(0, HEAD_BYTES + len(meta))


def decode_marker(seq: int, meta: bytes | memoryview) -> Marker | None:
    """Return the marker from its head's seq and its meta, or None if the meta is no marker's."""
    if len(meta) != _MARKER.size:
        return None
    segment, offset, previous_segment, previous_offset = _MARKER.unpack(meta)
    return Marker(seq, Position(segment, offset), Position(previous_segment, previous_offset))


def encode_reference(length: int, crc: int | None) -> bytes:
    """Return the payload of a REFERENCE record."""
    return _REFERENCE.pack(length, crc or 0, crc is not None)


def decode_reference(data: bytes | memoryview) -> tuple[int, int | None] | None:
    """Return (length, CRC32C or None) of the large object, or None if the payload is no reference."""
    if len(data) != _REFERENCE.size:
        return None
    length, crc, known = _REFERENCE.unpack(data)
    return length, crc if known else None
