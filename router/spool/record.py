"""One spooled instance: the facts kept with its bytes, where the bytes are, and the entry joining both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgpack

Action = Literal["forward", "hold"]

META_BYTES_MAX = 65536  # facts are some 64-character UIDs and names; rules and destinations are ours
_META_FIELDS = 13

_pack = msgpack.Packer(autoreset=True, use_bin_type=True).pack


class InstanceRecord(NamedTuple):
    """What must survive with the dataset before success may be answered (PS3.4 section B.2.2).

    destinations: the frozen set; after a crash nothing is evaluated again. With action "hold" the instance
    waits for a release, and destinations may be empty.
    received_ns: wall clock, nanoseconds since the epoch.
    """

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    study_uid: str
    series_uid: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    source: str
    received_ns: int
    destinations: tuple[str, ...]
    action: Action = "forward"
    rules: tuple[str, ...] = ()


class Location(NamedTuple):
    """Where the bytes of one dataset are.

    segment, offset: of the dataset bytes, or of the reference record's empty payload if `file` is given.
    length: of the dataset, bytes. crc: CRC32C of the dataset; None if nobody computed it (an adopted file).
    file: name in the large-object folder.
    """

    segment: int
    offset: int
    length: int
    crc: int | None
    file: str | None = None


class Entry(NamedTuple):
    """One accepted instance. seq: its number in this spool directory, growing in order of arrival."""

    seq: int
    record: InstanceRecord
    location: Location


def encode_record(record: InstanceRecord) -> bytes:
    """Return the facts as one msgpack array. Later versions append fields; readers ignore unknown ones."""
    packed: bytes = _pack(tuple(record))
    return packed


def encode_decision(record: InstanceRecord) -> bytes:
    """Return how the facts end: destinations, action and rules."""
    decision: tuple[object, ...] = record[10:]
    return b"".join(map(_pack, decision))


def record_of_model(
    model: InstanceRecord, sop_instance: str, study_uid: str, series_uid: str, received_ns: int
) -> InstanceRecord:
    """Return the facts of an instance that has all else in common with a model."""
    sender: tuple[object, ...] = model[5:9]
    decision: tuple[object, ...] = model[10:]
    return InstanceRecord._make(
        (
            model.sop_class,
            sop_instance,
            model.transfer_syntax,
            study_uid,
            series_uid,
            *sender,
            received_ns,
            *decision,
        )
    )


def decode_record(data: bytes | memoryview) -> InstanceRecord:
    """Return the facts of `encode_record`. Raises ValueError for anything else."""
    try:
        fields = msgpack.unpackb(data, use_list=False)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise ValueError(f"record facts unreadable: {type(error).__name__}") from None
    record = record_of_fields(fields)
    texts = (*fields[:9], record.action, *_texts(record.destinations), *_texts(record.rules))
    if not all(isinstance(text, str) for text in texts) or not isinstance(record.received_ns, int):
        raise ValueError("record facts are of other types")
    return record


def _texts(members: object) -> tuple[object, ...]:
    """Return a tuple's members; anything else as the one member that is no text."""
    return members if isinstance(members, tuple) else (None,)


def record_of_fields(fields: Sequence[Any]) -> InstanceRecord:
    """Return the facts from the array's members in order. Raises ValueError if there are too few."""
    if not isinstance(fields, tuple) or len(fields) < _META_FIELDS:
        raise ValueError("record facts are no array of enough fields")
    return InstanceRecord(*fields[:_META_FIELDS])
