"""Cut one association's inbound bytes into PDUs, command sets, dataset bytes: twin of _codec/framing.pyx.

PS3.8 section 9.3 (PDU structures) and Annex E (presentation data values). No I/O, no clock.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Buffer

NEED_DATA, PDU, COMMAND, SINK_FULL, DATASET_END, VIOLATION, UNRECOGNISED, LANE_LEFT, LANE_LEFT_WHOLE = range(
    9
)

EMPTY_FRAGMENTS_MAX = 64
DIRECT_WINDOW_MIN_BYTES = 4096
ASSOCIATE_LENGTH_MIN_BYTES = 68

# Reasons of an A-ABORT by the service provider (PS3.8 Table 9-26).
UNEXPECTED_PARAMETER = 5
INVALID_PARAMETER = 6

_PDU_HEAD_BYTES = 6  # PDU-type, reserved, PDU-length (PS3.8 section 9.3.1)
_PDV_HEAD_BYTES = 6  # Item-length, Presentation-context-ID, message control header (Table 9-23, Annex E.2)
_P_DATA_TF = 4
_PDU_NAMES = (
    *("", "A-ASSOCIATE-RQ", "A-ASSOCIATE-AC", "A-ASSOCIATE-RJ"),
    *("P-DATA-TF", "A-RELEASE-RQ", "A-RELEASE-RP", "A-ABORT"),
)


class _Phase(Enum):
    """What the next octet belongs to."""

    PDU_HEAD = auto()
    PDU_BODY = auto()
    SKIP = auto()
    PDV_HEAD = auto()
    COMMAND = auto()
    DATASET = auto()
    DEAD = auto()


class _Turn(Enum):
    """What the next fragment may be; ANNOUNCE: as COMMAND until expect_dataset(True)."""

    COMMAND = auto()
    MORE_COMMAND = auto()
    ANNOUNCE = auto()
    DATASET = auto()


class PduReader:
    """Read one association's inbound bytes; `feed` returns one event at a time.

    pdu_max_bytes: largest PDU-length of a P-DATA-TF accepted; 0: no limit.
    control_pdu_max_bytes: largest PDU-length of any other PDU.
    command_max_bytes: largest command set accepted, all its fragments together.
    """

    def __init__(
        self, pdu_max_bytes: int, control_pdu_max_bytes: int = 262144, command_max_bytes: int = 65536
    ) -> None:
        self.pdu_max_bytes = pdu_max_bytes
        self.control_pdu_max_bytes = control_pdu_max_bytes
        self.command_max_bytes = command_max_bytes
        self.consumed = 0
        self.pdu_type = 0
        self.pdu = b""
        self.command = b""
        self.context_id = 0
        self.filled = 0
        self.dataset_bytes = 0
        self.violation_reason = 0
        self.violation_text = ""
        self.violation_offset = 0
        self.pdata_pdus = 0
        self.fragments = 0
        self._phase = _Phase.PDU_HEAD
        self._turn = _Turn.COMMAND
        self._dead_event = NEED_DATA
        self._accepted: frozenset[int] = frozenset()
        self._head = bytearray()
        self._pdu_length = 0
        self._pdu_left = 0
        self._pdv_left = 0
        self._is_last = False
        self._message_context = 0
        self._empty_run = 0
        self._gathered = bytearray()
        self._control = bytearray()
        self._sink: memoryview | None = None

    @property
    def mid_message(self) -> bool:
        """True while more fragments of the current message are due."""
        return self._turn in (_Turn.MORE_COMMAND, _Turn.DATASET)

    @property
    def mid_pdu(self) -> bool:
        """True while more octets of the current PDU are due."""
        return bool(self._head) or self._phase not in (_Phase.PDU_HEAD, _Phase.DEAD)

    def set_contexts(self, ids: Iterable[int]) -> None:
        """Accept P-DATA-TF on these presentation-context-ids only; none, as at the start: let P-DATA-TF pass
        unread.

        Without contexts a P-DATA-TF is the event PDU with pdu_type 4 and no octets, and its body is skipped;
        what was under way of a message is forgotten, the rest of its P-DATA-TF skipped.
        """
        accepted = frozenset(ids)
        for context_id in accepted:
            if not 0 <= context_id <= 255:
                raise ValueError("presentation-context-id outside 0..255", context_id)
        self._accepted = accepted
        if not accepted:
            self._forget_message()

    def expect_dataset(self, expected: bool) -> None:
        """Say whether a dataset follows the command set just reported (its Command Data Set Type)."""
        if self._turn is not _Turn.ANNOUNCE:
            raise ValueError("expect_dataset without a command set just reported", 0)
        self._turn = _Turn.DATASET if expected else _Turn.COMMAND

    def use_lane(self, lane: object) -> None:
        """Do nothing: there are compiled lanes only, and without one every message comes up as events."""

    def drop_lane_message(self) -> None:
        """Do nothing, as no lane has a message."""

    def attach(self, buffer: Buffer | None) -> None:
        """Write the dataset bytes that come next into this buffer, from its start; None: detach.

        The buffer stays exported (a memoryview or mmap cannot be released) until the next attach.
        """
        sink = None if buffer is None else memoryview(buffer).cast("B")
        if sink is not None and sink.readonly:
            raise BufferError("Object is not writable.")
        if self._sink is not None:
            self._sink.release()
        self._sink = sink
        self.filled = 0

    def feed(self, data: Buffer, start: int, end: int) -> int:
        """Consume data[start:end] up to the next event and return that; `consumed` says up to where.

        After VIOLATION or UNRECOGNISED everything is consumed and the same event returned for ever.
        Raises ValueError if start..end leaves the data.
        """
        with memoryview(data).cast("B") as view:
            if not 0 <= start <= end <= len(view):
                raise ValueError("start..end leaves the data", start)
            self.consumed = start
            return self._run(view, end)

    def direct_window(self) -> memoryview | None:
        """Return the part of the attached buffer that the current PDV will fill.

        None between fragments, without a buffer, and for less than DIRECT_WINDOW_MIN_BYTES.
        Receive into it, then call advance; do not feed in between.
        """
        if self._phase is not _Phase.DATASET or self._sink is None:
            return None
        room = min(len(self._sink) - self.filled, self._pdv_left)
        if room < DIRECT_WINDOW_MIN_BYTES:
            return None
        return memoryview(self._sink.obj).cast("B")[self.filled : self.filled + room]

    def advance(self, n: int) -> int:
        """Take note of n bytes received into direct_window(); return the event as feed does.

        Raises ValueError if there is no window or n exceeds it.
        """
        if self._phase is _Phase.DEAD:
            return self._dead_event
        room = 0 if self._sink is None else len(self._sink) - self.filled
        if n < 0 or self._phase is not _Phase.DATASET or self._sink is None or n > min(room, self._pdv_left):
            raise ValueError("advance beyond the direct window", n)
        event = self._placed(n)
        return NEED_DATA if event is None else event

    def _run(self, data: memoryview, end: int) -> int:
        event = None
        while event is None:
            if self._phase is _Phase.DEAD:
                event = self._dead_event
            else:
                event = _STEPS[self._phase](self, data, end)
        if self._phase is _Phase.DEAD:
            self.consumed = end
        return event

    def _collect_head(self, data: memoryview, end: int) -> bytes | None:
        take = min(_PDU_HEAD_BYTES - len(self._head), end - self.consumed)
        self._head += data[self.consumed : self.consumed + take]
        self.consumed += take
        if len(self._head) < _PDU_HEAD_BYTES:
            return None
        head = bytes(self._head)
        self._head.clear()
        return head

    def _take_pdu_head(self, data: memoryview, end: int) -> int | None:
        if not self._head:
            if self.consumed >= end:
                return NEED_DATA
            # 1 PDU-type: decided on this octet alone, nothing is kept of an unknown protocol
            self.pdu_type = data[self.consumed]
            if not 1 <= self.pdu_type <= 7:
                return self._die(UNRECOGNISED)
        head = self._collect_head(data, end)
        if head is None:
            return NEED_DATA
        # 2 reserved, not tested; 3-6 PDU-length: of the variable field
        self._pdu_length = self._pdu_left = int.from_bytes(head[2:6], "big")
        if self.pdu_type == _P_DATA_TF:
            return self._begin_pdata()
        event = self._check_control_length()
        if event is None:
            self._control = bytearray(head)
            self._phase = _Phase.PDU_BODY
        return event

    def _check_control_length(self) -> int | None:
        length = self._pdu_length
        if self.pdu_type in (
            1,
            2,
        ):  # 68: the fixed fields before the items (PS3.8 Tables 9-11, 9-17)
            if length < ASSOCIATE_LENGTH_MIN_BYTES:
                return self._violate_length("at least 68")
            if length > self.control_pdu_max_bytes:
                return self._violate_length(f"at most {self.control_pdu_max_bytes}")
        elif length != 4:  # PS3.8 Tables 9-21, 9-24, 9-25, 9-26
            return self._violate_length("exactly 4")
        return None

    def _begin_pdata(self) -> int | None:
        if not self._accepted:
            self.pdu = b""
            self._phase = _Phase.SKIP if self._pdu_left else _Phase.PDU_HEAD
            return PDU
        if self.pdu_max_bytes and self._pdu_length > self.pdu_max_bytes:
            return self._violate_length(f"at most {self.pdu_max_bytes}")
        self.pdata_pdus += 1
        if self._pdu_length == 0:
            return self._count_empty(2)
        self._phase = _Phase.PDV_HEAD
        return None

    def _take_pdu_body(self, data: memoryview, end: int) -> int | None:
        take = min(end - self.consumed, self._pdu_left)
        self._control += data[self.consumed : self.consumed + take]
        self.consumed += take
        self._pdu_left -= take
        if self._pdu_left:
            return NEED_DATA
        self.pdu = bytes(self._control)
        self._control.clear()
        self._phase = _Phase.PDU_HEAD
        return PDU

    def _skip(self, data: memoryview, end: int) -> int | None:
        take = min(end - self.consumed, self._pdu_left)
        self.consumed += take
        self._pdu_left -= take
        if self._pdu_left:
            return NEED_DATA
        self._phase = _Phase.PDU_HEAD
        return None

    def _take_pdv_head(self, data: memoryview, end: int) -> int | None:
        offset = _PDU_HEAD_BYTES + self._pdu_length - self._pdu_left
        if self._pdu_left < _PDV_HEAD_BYTES:
            return self._violate(
                INVALID_PARAMETER,
                f"{self._pdu_left} bytes left in the P-DATA-TF, a presentation data value takes at least 6"
                " (PS3.8 Table 9-23)",
                offset,
            )
        head = self._collect_head(data, end)
        if head is None:
            return NEED_DATA
        # 1-4 Item-length: what follows it, context id and message control header included
        length = int.from_bytes(head[:4], "big")
        if not 2 <= length <= self._pdu_left - 4:
            return self._violate(
                INVALID_PARAMETER,
                f"PDV length {length}, allowed 2 to {self._pdu_left - 4} (PS3.8 Table 9-23)",
                offset,
            )
        self._pdv_left = length - 2
        # 5 Presentation-context-ID; 6 message control header
        if self._begin_fragment(head[4], head[5], offset) is not None:
            return VIOLATION
        self._pdu_left -= 4 + length
        self.fragments += 1
        if self._pdv_left:
            self._empty_run = 0
            return None
        if self._count_empty(offset) is not None:
            return VIOLATION
        return self._end_command(b"") if self._phase is _Phase.COMMAND else self._end_dataset_fragment()

    def _begin_fragment(self, context_id: int, control: int, offset: int) -> int | None:
        # control: bit 0 command, bit 1 last fragment; the others are not checked (PS3.8 section E.2)
        if context_id not in self._accepted:
            return self._violate(
                INVALID_PARAMETER,
                f"presentation-context-id {context_id} is not accepted here (PS3.8 section 9.3.5.1)",
                offset + 4,
            )
        if self.mid_message and context_id != self._message_context:
            return self._violate(
                UNEXPECTED_PARAMETER,
                f"presentation-context-id {context_id} within a message on {self._message_context}"
                " (PS3.8 section E.1)",
                offset + 4,
            )
        self._is_last = bool(control & 2)
        if control & 1:
            return self._begin_command_fragment(context_id, offset)
        if self._turn is not _Turn.DATASET:
            return self._violate(
                UNEXPECTED_PARAMETER,
                "dataset fragment where a command is due (PS3.8 section E.1)",
                offset + 5,
            )
        self._phase = _Phase.DATASET
        return None

    def _begin_command_fragment(self, context_id: int, offset: int) -> int | None:
        if self._turn is _Turn.DATASET:
            return self._violate(
                UNEXPECTED_PARAMETER,
                "command fragment where a dataset is due (PS3.8 section E.1)",
                offset + 5,
            )
        length = len(self._gathered) + self._pdv_left
        if length > self.command_max_bytes:
            text = f"command set of {length} bytes or more, allowed {self.command_max_bytes}"
            return self._violate(INVALID_PARAMETER, text, offset)
        self._turn = _Turn.MORE_COMMAND
        self._message_context = context_id
        self._phase = _Phase.COMMAND
        return None

    def _take_command(self, data: memoryview, end: int) -> int | None:
        take = min(end - self.consumed, self._pdv_left)
        piece = bytes(data[self.consumed : self.consumed + take])
        self.consumed += take
        self._pdv_left -= take
        if self._pdv_left == 0:
            return self._end_command(piece)
        self._gathered += piece
        return NEED_DATA

    def _end_command(self, piece: bytes) -> int | None:
        self._phase = _Phase.PDV_HEAD if self._pdu_left else _Phase.PDU_HEAD
        self._gathered += piece
        if not self._is_last:
            return None
        self.command = bytes(self._gathered)
        self._gathered.clear()
        self.context_id = self._message_context
        self.dataset_bytes = 0
        self._turn = _Turn.ANNOUNCE
        return COMMAND

    def _take_dataset(self, data: memoryview, end: int) -> int | None:
        if self.consumed == end:
            return NEED_DATA
        room = 0 if self._sink is None else len(self._sink) - self.filled
        if self._sink is None or room == 0:
            return SINK_FULL
        take = min(end - self.consumed, room, self._pdv_left)
        self._sink[self.filled : self.filled + take] = data[self.consumed : self.consumed + take]
        self.consumed += take
        return self._placed(take)

    def _placed(self, count: int) -> int | None:
        self.filled += count
        self.dataset_bytes += count
        self._pdv_left -= count
        return None if self._pdv_left else self._end_dataset_fragment()

    def _end_dataset_fragment(self) -> int | None:
        self._phase = _Phase.PDV_HEAD if self._pdu_left else _Phase.PDU_HEAD
        if not self._is_last:
            return None
        self._turn = _Turn.COMMAND
        return DATASET_END

    def _forget_message(self) -> None:
        self._turn = _Turn.COMMAND
        self._gathered.clear()
        if self._phase not in (_Phase.PDV_HEAD, _Phase.COMMAND, _Phase.DATASET):
            return
        if self._phase is _Phase.PDV_HEAD:  # octets of a head in pieces are consumed, but still in _pdu_left
            self._pdu_left -= len(self._head)
            self._head.clear()
        else:
            self._pdu_left += self._pdv_left
        self._phase = _Phase.SKIP

    def _count_empty(self, offset: int) -> int | None:
        self._empty_run += 1
        if self._empty_run > EMPTY_FRAGMENTS_MAX:
            return self._violate(
                INVALID_PARAMETER, f"{self._empty_run} fragments without payload in a row, allowed 64", offset
            )
        return None

    def _violate_length(self, allowed: str) -> int:
        name = _PDU_NAMES[self.pdu_type]
        text = f"PDU-length {self._pdu_length} of {name}, allowed {allowed} (PS3.8 section 9.3)"
        return self._violate(INVALID_PARAMETER, text, 2)

    def _violate(self, reason: int, text: str, offset: int) -> int:
        self.violation_reason = reason
        self.violation_text = text
        self.violation_offset = offset
        return self._die(VIOLATION)

    def _die(self, event: int) -> int:
        self._phase = _Phase.DEAD
        self._dead_event = event
        self._gathered.clear()
        self._control.clear()
        return event


_STEPS = {
    _Phase.PDU_HEAD: PduReader._take_pdu_head,
    _Phase.PDU_BODY: PduReader._take_pdu_body,
    _Phase.SKIP: PduReader._skip,
    _Phase.PDV_HEAD: PduReader._take_pdv_head,
    _Phase.COMMAND: PduReader._take_command,
    _Phase.DATASET: PduReader._take_dataset,
}
