"""Cut outbound command sets and datasets into P-DATA-TF PDUs: twin of _codec/pdata.pyx.

PS3.8 section 9.3.5 and Annexes D.1 (maximum length) and E (fragments).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

FRAGMENT_MAX_BYTES = 1 << 20

_PDV_OVERHEAD_BYTES = 6  # Item-length, Presentation-context-ID, message control header
_LENGTH_MIN = 8  # the smallest maximum_length that lets an even, non-empty fragment through
_CONTROL_COMMAND = 1  # message control header, bit 0 (PS3.8 section E.2)
_CONTROL_LAST = 2  # bit 1


def command_pdus(context_id: int, command: Buffer, maximum_length: int) -> bytes:
    """Return a command set as one or more whole P-DATA-TF PDUs.

    maximum_length: what the peer announced; counts the PDU's variable field; 0: no limit (PS3.8 section D.1).
    Raises ValueError(reason, value) if maximum_length is 1 to 7 or the context id is no octet.
    """
    fragment_max = _fragment_max(context_id, maximum_length)
    data = memoryview(command).cast("B")
    pdus = bytearray()
    for start in range(0, len(data), fragment_max) or (0,):
        payload = data[start : start + fragment_max]
        is_last = start + fragment_max >= len(data)
        pdus += _head(context_id, len(payload), _CONTROL_COMMAND | (_CONTROL_LAST if is_last else 0))
        pdus += payload
    return bytes(pdus)


def dataset_pdus(
    context_id: int, buffers: Sequence[Buffer], maximum_length: int, is_last: bool = True
) -> list[bytes | memoryview]:
    """Return a dataset as heads (bytes) and views of the buffers, in sending order.

    Each PDU is a head followed by at least one view; a PDV goes on in the next buffer where one ends, so that
    PDUs are full whatever the buffers' sizes. A dataset of no bytes gives one head if is_last, else nothing.
    The list can be longer than IOV_MAX.
    buffers: of one dataset, in order; they must stay unchanged until sent.
    maximum_length: as for command_pdus; fragments hold at most FRAGMENT_MAX_BYTES.
    is_last: False: more of this dataset follows in another call; then the bytes must be an even number.
    Raises ValueError(reason, value) as command_pdus does, and for an odd number of bytes before the end.
    """
    fragment_max = _fragment_max(context_id, maximum_length)
    views = [view for view in (memoryview(buffer).cast("B") for buffer in buffers) if len(view)]
    left = sum(len(view) for view in views)
    if left % 2 and not is_last:
        raise ValueError("odd number of bytes before the last fragment (PS3.8 section E.1)", left)
    pdus: list[bytes | memoryview] = []
    if left == 0:
        return [_head(context_id, 0, _CONTROL_LAST)] if is_last else pdus
    views.reverse()
    while left:
        take = min(left, fragment_max)
        left -= take
        pdus.append(_head(context_id, take, 0 if left or not is_last else _CONTROL_LAST))
        while take:
            view = views.pop()
            pdus.append(view[:take])
            if take < len(view):
                views.append(view[take:])
            take -= min(take, len(view))
    return pdus


def _fragment_max(context_id: int, maximum_length: int) -> int:
    if not 0 <= context_id <= 255:
        raise ValueError("presentation-context-id outside 0..255", context_id)
    if maximum_length < 0 or 0 < maximum_length < _LENGTH_MIN:
        raise ValueError("maximum length leaves no room for a fragment (PS3.8 section D.1)", maximum_length)
    if maximum_length == 0 or maximum_length - _PDV_OVERHEAD_BYTES > FRAGMENT_MAX_BYTES:
        return FRAGMENT_MAX_BYTES
    return (maximum_length - _PDV_OVERHEAD_BYTES) & ~1  # fragments are even (PS3.8 section E.1)


def _head(context_id: int, payload: int, control: int) -> bytes:
    # 1 PDU-type: P-DATA-TF; 2 reserved; 3-6 PDU-length; 7-10 Item-length; 11 Presentation-context-ID;
    # 12 message control header
    return struct.pack(">BxIIBB", 4, payload + _PDV_OVERHEAD_BYTES, payload + 2, context_id, control)
