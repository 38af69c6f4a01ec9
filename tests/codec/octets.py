"""Octets for the codec's tests, put together by hand and not by the code under test."""

from __future__ import annotations

import struct
from collections.abc import Iterable

COMMAND, LAST = 1, 2  # message control header bits (PS3.8 section E.2)


def pdv(context_id: int, control: int, payload: bytes) -> bytes:
    """One presentation-data-value item (PS3.8 Table 9-23)."""
    return struct.pack(">IBB", len(payload) + 2, context_id, control) + payload


def pdata(*pdvs: bytes) -> bytes:
    """One P-DATA-TF (PS3.8 Table 9-22)."""
    return pdu(4, b"".join(pdvs))


def pdu(pdu_type: int, body: bytes) -> bytes:
    """One PDU of any type, with a true PDU-length."""
    return struct.pack(">BxI", pdu_type, len(body)) + body


def message(command: bytes, dataset: bytes | None, context_id: int = 1, fragment: int = 7) -> bytes:
    """A command set in one fragment and a dataset cut into fragments, each in a PDU of its own."""
    octets = pdata(pdv(context_id, COMMAND | LAST, command))
    if dataset is None:
        return octets
    for start in range(0, len(dataset), fragment) or (0,):
        is_last = start + fragment >= len(dataset)
        octets += pdata(pdv(context_id, LAST if is_last else 0, dataset[start : start + fragment]))
    return octets


def short_element(tag: int, vr: str, value: bytes, big: bool = False) -> bytes:
    """A data element with an explicit VR and a 16-bit length (PS3.5 Table 7.1-2)."""
    return struct.pack(_order(big) + "HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def long_element(tag: int, vr: str, value: bytes, big: bool = False, length: int | None = None) -> bytes:
    """A data element with an explicit VR and a 32-bit length (PS3.5 Table 7.1-1)."""
    size = len(value) if length is None else length
    return struct.pack(_order(big) + "HH2sxxI", tag >> 16, tag & 0xFFFF, vr.encode(), size) + value


def implicit_element(tag: int, value: bytes, big: bool = False, length: int | None = None) -> bytes:
    """A data element with an implicit VR (PS3.5 Table 7.1-3); also an item or a delimiter (section 7.5)."""
    size = len(value) if length is None else length
    return struct.pack(_order(big) + "HHI", tag >> 16, tag & 0xFFFF, size) + value


def sequence(items: Iterable[bytes], big: bool = False, undefined_items: bool = True) -> bytes:
    """Items and the sequence delimiter, as the value of an element of undefined length."""
    octets = b""
    for item in items:
        if undefined_items:
            octets += implicit_element(0xFFFEE000, item, big, UNDEFINED) + implicit_element(
                0xFFFEE00D, b"", big
            )
        else:
            octets += implicit_element(0xFFFEE000, item, big)
    return octets + implicit_element(0xFFFEE0DD, b"", big)


UNDEFINED = 0xFFFFFFFF


def _order(big: bool) -> str:
    return ">" if big else "<"
