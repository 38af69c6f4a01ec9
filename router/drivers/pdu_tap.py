"""Show whole PDUs to who watches a connection, in step with the association that takes them.

Only a watched connection pays for it: its bytes are cut here once more, by nothing but their PDU heads, and
the association is fed PDU by PDU, so that a PDU is shown before it has any effect.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from router.protocol.association import Association
from router.protocol.messages import Buffer

PDU_HEAD_BYTES = 6
SHOWN_MAX_BYTES = 16 << 20
"""A PDU longer than this is not shown; it would have to be held whole."""

_LENGTH = struct.Struct(">I")

OnPdu = Callable[[bytes], None]


class PduTap:
    """on_received, on_sent: called with each whole PDU, before it is handled and when it goes out."""

    def __init__(self, on_received: OnPdu, on_sent: OnPdu) -> None:
        self._on_received = on_received
        self._on_sent = on_sent
        self._held = bytearray()
        self._missing = 0  # bytes of the current PDU's body still to come; 0 while its head is incomplete
        self._is_shown = True
        self._again = 0  # bytes taken note of, which the association has not consumed

    def feed(self, data: Buffer, association: Association) -> int:
        """Feed the association what arrived, PDU by PDU; return how much of it was consumed.

        What was not consumed comes again with the next call, at its start.
        """
        position = 0
        while position < len(data):
            if self._again == 0:
                self._again = self._observe(data, position) - position
            end = position + self._again
            consumed = association.receive(data, position, end)
            self._again -= consumed - position
            if consumed < end:
                return consumed
            position = end
        return position

    def sent(self, buffers: Sequence[Buffer]) -> None:
        """Show the whole PDUs that are about to leave."""
        data = b"".join(buffers)
        position = 0
        while position + PDU_HEAD_BYTES <= len(data):
            end = position + PDU_HEAD_BYTES + _LENGTH.unpack_from(data, position + 2)[0]
            self._on_sent(data[position:end])
            position = end

    def _observe(self, data: Buffer, position: int) -> int:
        """Take note of bytes up to the end of the current PDU or of the data; return where that is."""
        end = len(data)
        if self._missing == 0:
            head_end = min(end, position + PDU_HEAD_BYTES - len(self._held))
            self._held += data[position:head_end]
            position = head_end
            if len(self._held) < PDU_HEAD_BYTES:
                return position
            self._missing = _LENGTH.unpack_from(self._held, 2)[0]
            self._is_shown = self._missing <= SHOWN_MAX_BYTES
        stop = min(end, position + self._missing)
        if self._is_shown:
            self._held += data[position:stop]
        self._missing -= stop - position
        if self._missing == 0:
            pdu = bytes(self._held)
            self._held.clear()
            if self._is_shown:
                self._on_received(pdu)
        return stop
