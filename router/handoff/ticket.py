"""Tickets and receipts: the records that travel between an acceptor and a worker.

Each is a msgpack array whose first element is the kind. Both ends are processes of one router of one
version, so a record that does not decode is a fault of ours or of memory: it raises MalformedRecord, which
the receiver counts.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple, cast

import msgpack

from router.errors import RouterError

RECORD_BYTES_MAX = 32000  # two fit into the smallest ring
TICKET_SLOTS_MAX = 6000  # of one dataset, so that its ticket is a record; a longer one must be spilled
HOLDING_SLOTS_MAX = 4096  # per record; a longer list takes several
COMMENT_CHARS_MAX = 64  # Error Comment (0000,0902) is an LO (PS3.5 Table 6.2-1)


class MalformedRecord(RouterError):
    """A record in a ring that no version of this code wrote. Its text never repeats the record's content."""


class WorkerStage(IntEnum):
    """What a worker can take, worst last."""

    ACCEPTING = 0
    SPOOL_FILLING = 1  # above its watermark: everything is still stored
    SPOOL_FULL = 2
    SPOOL_FAILED = 3

    @property
    def stores(self) -> bool:
        """Whether instances are taken."""
        return self < WorkerStage.SPOOL_FULL


class Ticket(NamedTuple):
    """One received dataset on loan to a worker, with the facts that rules and spool need.

    slots: where the dataset lies in the acceptor's slab, in order; or () if it was spilled to `file`.
    file: path of the spilled object, or "". The worker moves or deletes it.
    source: name of the matching [sources.X], or "". ack: "stored" or "delivered".
    received_ns: wall clock at the dataset's last fragment. association_id: the acceptor's, for log lines.
    ticket_id: unique per acceptor over its restarts. file_crc: CRC32C of the spilled object, 0 for none.
    """

    ticket_id: int
    slots: tuple[int, ...]
    file: str
    dataset_bytes: int
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    source: str
    ack: str
    received_ns: int
    association_id: int
    file_crc: int = 0


class Receipt(NamedTuple):
    """The answer to a ticket: the status of the C-STORE-RSP and its Error Comment ("" for none).

    slots: given back together with the answer; () while the worker still sends from them or there are none.
    is_released: True if this also is the ticket's Release.
    """

    ticket_id: int
    status: int
    comment: str
    slots: tuple[int, ...] = ()
    is_released: bool = False


class Release(NamedTuple):
    """The worker touches these slots no more."""

    ticket_id: int
    slots: tuple[int, ...]


class Hello(NamedTuple):
    """A worker has started; tickets sent before `position` of the ring died with its predecessor."""

    epoch: int
    position: int


class Recount(NamedTuple):
    """A restarted acceptor asks which slots the worker holds; tickets that came before it are all counted."""

    generation: int


class Holding(NamedTuple):
    """The answer to Recount, in as many parts as it takes: every slot the worker still reads."""

    generation: int
    slots: tuple[int, ...]
    is_last: bool


class WorkerState(NamedTuple):
    """The worker can or cannot store; `reason` is for the log, without patient data."""

    stage: int
    reason: str


class Offer(NamedTuple):
    """The presentation contexts a sender negotiated: what destinations will probably be asked for. A hint
    only.

    contexts: pairs of abstract syntax and transfer syntax.
    """

    contexts: tuple[tuple[str, str], ...]


Record = Ticket | Receipt | Release | Hello | Recount | Holding | WorkerState | Offer

_CLASSES: tuple[Any, ...] = (Ticket, Receipt, Release, Hello, Recount, Holding, WorkerState, Offer)
_KINDS: dict[type, int] = {cls: kind for kind, cls in enumerate(_CLASSES)}
_HEADS: dict[type, tuple[int]] = {cls: (kind,) for cls, kind in _KINDS.items()}
_TYPES: tuple[tuple[type, ...], ...] = (
    (int, int, tuple, str, int, str, str, str, str, str, str, str, str, int, int, int),
    (int, int, int, str, tuple, bool),
    (int, int, tuple),
    (int, int, int),
    (int, int),
    (int, int, tuple, bool),
    (int, int, str),
    (int, tuple),
)
_SLOTS_AT: tuple[int, ...] = (2, 4, 2, 0, 0, 2, 0, 0)  # where the slot list stands, 0 for none

_pack = msgpack.Packer(autoreset=True, use_bin_type=True, strict_types=False).pack


def encode_record(record: Record) -> bytes:
    """Return the record's bytes. Raises ValueError if they would exceed RECORD_BYTES_MAX."""
    data = cast(bytes, _pack(_HEADS[type(record)] + record))
    if len(data) > RECORD_BYTES_MAX:
        raise ValueError(f"{type(record).__name__} of {len(data)} bytes, allowed {RECORD_BYTES_MAX}")
    return data


def pack_constant_parts(ticket: Ticket) -> tuple[bytes, bytes]:
    """Return what is the same in all tickets of one presentation context, as it stands in their records.

    The first part is the SOP class, the second everything from the transfer syntax to ack.
    """
    tail = ticket[Ticket._fields.index("transfer_syntax") : Ticket._fields.index("ack") + 1]
    return _pack(ticket.sop_class), b"".join(map(_pack, tail))


def decode_record(data: bytes) -> Record:
    """Return the record; every field has its type. Raises MalformedRecord, and nothing else."""
    try:
        fields = msgpack.unpackb(data, use_list=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise MalformedRecord(f"record of {len(data)} bytes is not msgpack: {type(error).__name__}") from None
    if type(fields) is not tuple or not fields or type(fields[0]) is not int:
        raise MalformedRecord(f"record of {len(data)} bytes does not begin with its kind")
    kind = fields[0]
    if not 0 <= kind < len(_TYPES):
        raise MalformedRecord(f"record of kind {kind}, allowed 0 to {len(_TYPES) - 1}")
    if tuple(map(type, fields)) != _TYPES[kind]:
        raise MalformedRecord(f"{_CLASSES[kind].__name__} record with wrong fields")
    slots_at = _SLOTS_AT[kind]
    if slots_at and fields[slots_at] and {int} != {*map(type, fields[slots_at])}:
        raise MalformedRecord(f"{_CLASSES[kind].__name__} record whose slots are not numbers")
    return cast(Record, _CLASSES[kind]._make(fields[1:]))
