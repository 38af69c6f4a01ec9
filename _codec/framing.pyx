"""Cut one association's inbound byte stream into PDUs, command sets and dataset bytes.

PS3.8 section 9.3 (PDU structures) and Annex E (presentation data values). No I/O, no clock.
Invariant: a dataset byte is copied once, from the caller's receive buffer into the attached buffer; it never
becomes a Python object. What is held between two calls is at most one PDU that is not P-DATA-TF, or one
command set, each within its limit.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_SIMPLE,
    PyBUF_WRITABLE,
    PyBuffer_FillInfo,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

from _codec.big_endian cimport load_u32

NEED_DATA, PDU, COMMAND, SINK_FULL, DATASET_END, VIOLATION, UNRECOGNISED = range(7)
LANE_LEFT, LANE_LEFT_WHOLE = 7, 8

EMPTY_FRAGMENTS_MAX = 64
DIRECT_WINDOW_MIN_BYTES = 4096
ASSOCIATE_LENGTH_MIN_BYTES = 68

# Reasons of an A-ABORT by the service provider (PS3.8 Table 9-26).
UNEXPECTED_PARAMETER = 5
INVALID_PARAMETER = 6

cdef enum Event:
    EVENT_NEED_DATA = 0
    EVENT_PDU = 1
    EVENT_COMMAND = 2
    EVENT_SINK_FULL = 3
    EVENT_DATASET_END = 4
    EVENT_VIOLATION = 5
    EVENT_UNRECOGNISED = 6
    EVENT_LANE_LEFT = 7
    EVENT_LANE_LEFT_WHOLE = 8
    EVENT_NONE = 9  # go on; never leaves this file

cdef enum:
    PDU_HEAD_BYTES = 6  # PDU-type, reserved, PDU-length (PS3.8 section 9.3.1)
    PDV_HEAD_BYTES = 6  # Item-length, Presentation-context-ID, message control header (Table 9-23, Annex E.2)
    P_DATA_TF = 4
    FRAGMENTS_EMPTY_MAX = 64
    WINDOW_MIN_BYTES = 4096
    ASSOCIATE_MIN_BYTES = 68

cdef tuple PDU_NAMES = (
    "", "A-ASSOCIATE-RQ", "A-ASSOCIATE-AC", "A-ASSOCIATE-RJ",
    "P-DATA-TF", "A-RELEASE-RQ", "A-RELEASE-RP", "A-ABORT",
)


cdef class Lane:
    """A short cut for one kind of message: what it takes never comes up as an event. See framing.pxd.

    expects_much: whether the next message is probably long.
    """

    cdef LaneAnswer begin(
        self, PduReader reader, int context_id, const uint8_t *data, Py_ssize_t size
    ) except LANE_FAILED:
        return LANE_LEAVES

    cdef bint next_buffer(self, PduReader reader) except -1:
        return False

    cdef bint finish(self, PduReader reader) except -1:
        return False

    cdef int drop(self) except -1:
        return 0


@cython.final
cdef class PduReader:
    """Read one association's inbound bytes; `feed` returns one event at a time.

    pdu_max_bytes: largest PDU-length of a P-DATA-TF accepted; 0: no limit.
    control_pdu_max_bytes: largest PDU-length of any other PDU.
    command_max_bytes: largest command set accepted, all its fragments together.
    """

    def __cinit__(
        self,
        uint64_t pdu_max_bytes,
        uint64_t control_pdu_max_bytes=262144,
        uint64_t command_max_bytes=65536,
    ):
        self.pdu_max_bytes = pdu_max_bytes
        self.control_pdu_max_bytes = control_pdu_max_bytes
        self.command_max_bytes = command_max_bytes
        self.pdu = self.command = b""
        self.violation_text = ""
        self._phase = PHASE_PDU_HEAD
        self._turn = TURN_COMMAND
        self._gathered = bytearray()
        self._control = bytearray()
        memset(self._accepted, 0, sizeof(self._accepted))

    def __dealloc__(self):
        if self._attached:
            PyBuffer_Release(&self._sink)

    @property
    def mid_message(self):
        """True while more fragments of the current message are due."""
        return self._turn == TURN_MORE_COMMAND or self._turn == TURN_DATASET

    @property
    def mid_pdu(self):
        """True while more octets of the current PDU are due."""
        return self._head_filled != 0 or self._phase not in (PHASE_PDU_HEAD, PHASE_DEAD)

    def set_contexts(self, ids):
        """Accept P-DATA-TF on these presentation-context-ids only; none, as at the start: let P-DATA-TF pass
        unread.

        Without contexts a P-DATA-TF is the event PDU with pdu_type 4 and no octets, and its body is skipped;
        what was under way of a message is forgotten, the rest of its P-DATA-TF skipped.
        """
        cdef uint8_t accepted[256]
        cdef bint negotiated = False
        memset(accepted, 0, sizeof(accepted))
        for context_id in ids:
            if not 0 <= context_id <= 255:
                raise ValueError("presentation-context-id outside 0..255", context_id)
            accepted[<int>context_id] = 1
            negotiated = True
        memcpy(self._accepted, accepted, sizeof(accepted))
        self._negotiated = negotiated
        if not negotiated:
            self._forget_message()

    def expect_dataset(self, bint expected):
        """Say whether a dataset follows the command set just reported (its Command Data Set Type)."""
        if self._turn != TURN_ANNOUNCE:
            raise ValueError("expect_dataset without a command set just reported", 0)
        self._turn = TURN_DATASET if expected else TURN_COMMAND

    def use_lane(self, Lane lane):
        """Offer every command set to this lane first; None: to none.

        What a lane has begun and cannot end comes up as LANE_LEFT (its buffer is full) or LANE_LEFT_WHOLE
        (the message is complete).
        """
        self._lane = lane

    def drop_lane_message(self):
        """Have the lane forget the message under way in it, if there is one."""
        if self._lane is not None and self._lane.is_taking:
            self.attach(None)
            self._lane.drop()

    cpdef attach(self, buffer):
        """Write the dataset bytes that come next into this buffer, from its start; None: detach.

        The buffer stays exported (a memoryview or mmap cannot be released) until the next attach.
        """
        cdef Py_buffer view
        if buffer is not None:
            PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        if self._attached:
            self._attached = False
            PyBuffer_Release(&self._sink)
        if buffer is not None:
            self._sink = view
            self._attached = True
        self._sink_object = buffer
        self.filled = 0

    cdef int attach_memory(self, uint8_t *start, Py_ssize_t size, owner) except -1:
        # As attach, for memory that the owner keeps: size bytes. There is no direct window of it.
        cdef Py_buffer view
        PyBuffer_FillInfo(&view, owner, start, size, False, PyBUF_WRITABLE)
        self.attach(None)
        self._sink = view
        self._attached = True
        return 0

    def feed(self, data, Py_ssize_t start, Py_ssize_t end):
        """Consume data[start:end] up to the next event and return that; `consumed` says up to where.

        After VIOLATION or UNRECOGNISED everything is consumed and the same event returned for ever.
        Raises ValueError if start..end leaves the data.
        """
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if start < 0 or end < start or end > view.len:
                raise ValueError("start..end leaves the data", start)
            self.consumed = start
            return self._run(<const uint8_t *>view.buf, end)
        finally:
            PyBuffer_Release(&view)

    cpdef object direct_window(self):
        """Return the part of the attached buffer that the current PDV will fill.

        None between fragments, without a buffer, and for less than DIRECT_WINDOW_MIN_BYTES.
        Receive into it, then call advance; do not feed in between.
        """
        cdef uint64_t room
        if self._phase != PHASE_DATASET or not self._attached or self._sink_object is None:
            return None
        room = self._sink.len - self.filled
        if room > self._pdv_left:
            room = self._pdv_left
        if room < WINDOW_MIN_BYTES:
            return None
        view = memoryview(self._sink_object)
        if view.itemsize != 1 or view.ndim != 1:
            view = view.cast("B")
        return view[self.filled:self.filled + <Py_ssize_t>room]

    cpdef int advance(self, Py_ssize_t n) except -1:
        """Take note of n bytes received into direct_window(); return the event as feed does.

        Raises ValueError if there is no window or n exceeds it.
        """
        if self._phase == PHASE_DEAD:
            return self._dead_event
        if (
            n < 0
            or self._phase != PHASE_DATASET
            or not self._attached
            or n > self._sink.len - self.filled
            or <uint64_t>n > self._pdv_left
        ):
            raise ValueError("advance beyond the direct window", n)
        cdef int event = self._take_event(self._placed(n))
        return EVENT_NEED_DATA if event == EVENT_NONE else event

    cdef bint _make_room(self) except -1:
        # Have the lane go on with its next buffer if octets are due and the one before is full.
        if self._phase != PHASE_DATASET or self._lane is None or not self._lane.is_taking:
            return True
        return self.filled < self._sink.len or self._lane.next_buffer(self)

    cdef int _run(self, const uint8_t *data, Py_ssize_t end) except -1:
        # feed has checked that data holds consumed..end.
        cdef int event = EVENT_NONE
        while event == EVENT_NONE:
            if self._phase == PHASE_DATASET:
                event = self._take_event(self._take_dataset(data, end))
            elif self._phase == PHASE_PDV_HEAD:
                event = self._take_event(self._take_pdv_head(data, end))
            elif self._phase == PHASE_PDU_HEAD:
                event = self._take_pdu_head(data, end)
            elif self._phase == PHASE_COMMAND:
                event = self._take_command(data, end)
            elif self._phase == PHASE_PDU_BODY:
                event = self._take_pdu_body(data, end)
            elif self._phase == PHASE_SKIP:
                event = self._skip(end)
            else:
                event = self._dead_event
        if self._phase == PHASE_DEAD:
            self.consumed = end
        return event

    cdef const uint8_t *_collect_head(self, const uint8_t *data, Py_ssize_t end) noexcept:
        # Six head octets, in place or from _head; NULL while some are missing.
        cdef Py_ssize_t available = end - self.consumed
        cdef const uint8_t *start = data + self.consumed
        if self._head_filled == 0 and available >= PDU_HEAD_BYTES:
            self.consumed += PDU_HEAD_BYTES
            return start
        if available > PDU_HEAD_BYTES - self._head_filled:
            available = PDU_HEAD_BYTES - self._head_filled
        memcpy(self._head + self._head_filled, start, available)
        self._head_filled += <int>available
        self.consumed += available
        if self._head_filled < PDU_HEAD_BYTES:
            return NULL
        self._head_filled = 0
        return self._head

    cdef int _take_pdu_head(self, const uint8_t *data, Py_ssize_t end) except -1:
        cdef const uint8_t *head
        if self._head_filled == 0:
            if self.consumed >= end:
                return EVENT_NEED_DATA
            # 1 PDU-type: decided on this octet alone, nothing is kept of an unknown protocol
            self.pdu_type = data[self.consumed]
            if not 1 <= self.pdu_type <= 7:
                return self._die(EVENT_UNRECOGNISED)
        head = self._collect_head(data, end)
        if head is NULL:
            return EVENT_NEED_DATA
        # 2 reserved, not tested; 3-6 PDU-length: of the variable field
        self._pdu_length = self._pdu_left = load_u32(head + 2)
        if self.pdu_type == P_DATA_TF:
            return self._begin_pdata()
        if self._check_control_length() != EVENT_NONE:
            return EVENT_VIOLATION
        self._control = bytearray(head[:PDU_HEAD_BYTES])
        self._phase = PHASE_PDU_BODY
        return EVENT_NONE

    cdef int _check_control_length(self) except -1:
        cdef uint64_t length = self._pdu_length
        if self.pdu_type in (1, 2):  # 68: the fixed fields before the items (PS3.8 Tables 9-11, 9-17)
            if length < ASSOCIATE_MIN_BYTES:
                return self._violate_length("at least 68")
            if length > self.control_pdu_max_bytes:
                return self._violate_length(f"at most {self.control_pdu_max_bytes}")
        elif length != 4:  # PS3.8 Tables 9-21, 9-24, 9-25, 9-26
            return self._violate_length("exactly 4")
        return EVENT_NONE

    cdef int _begin_pdata(self) except -1:
        if not self._negotiated:
            self.pdu = b""
            self._phase = PHASE_SKIP if self._pdu_left else PHASE_PDU_HEAD
            return EVENT_PDU
        if self.pdu_max_bytes and self._pdu_length > self.pdu_max_bytes:
            return self._violate_length(f"at most {self.pdu_max_bytes}")
        self.pdata_pdus += 1
        if self._pdu_length == 0:
            return self._count_empty(2)
        self._phase = PHASE_PDV_HEAD
        return EVENT_NONE

    cdef int _take_pdu_body(self, const uint8_t *data, Py_ssize_t end) except -1:
        cdef uint64_t take = end - self.consumed
        if take > self._pdu_left:
            take = self._pdu_left
        self._control.extend(data[self.consumed:self.consumed + <Py_ssize_t>take])
        self.consumed += take
        self._pdu_left -= take
        if self._pdu_left:
            return EVENT_NEED_DATA
        self.pdu = bytes(self._control)
        self._control = bytearray()
        self._phase = PHASE_PDU_HEAD
        return EVENT_PDU

    cdef int _skip(self, Py_ssize_t end) noexcept:
        cdef uint64_t take = end - self.consumed
        if take > self._pdu_left:
            take = self._pdu_left
        self.consumed += take
        self._pdu_left -= take
        if self._pdu_left:
            return EVENT_NEED_DATA
        self._phase = PHASE_PDU_HEAD
        return EVENT_NONE

    cdef int _take_pdv_head(self, const uint8_t *data, Py_ssize_t end) except -1:
        cdef const uint8_t *head
        cdef uint64_t offset = PDU_HEAD_BYTES + self._pdu_length - self._pdu_left
        cdef uint64_t length
        if self._pdu_left < PDV_HEAD_BYTES:
            return self._violate(
                INVALID_PARAMETER,
                f"{self._pdu_left} bytes left in the P-DATA-TF, a presentation data value takes at least 6"
                " (PS3.8 Table 9-23)",
                offset,
            )
        head = self._collect_head(data, end)
        if head is NULL:
            return EVENT_NEED_DATA
        # 1-4 Item-length: what follows it, context id and message control header included
        length = load_u32(head)
        if not 2 <= length <= self._pdu_left - 4:
            return self._violate(
                INVALID_PARAMETER,
                f"PDV length {length}, allowed 2 to {self._pdu_left - 4} (PS3.8 Table 9-23)",
                offset,
            )
        self._pdv_left = length - 2
        # 5 Presentation-context-ID; 6 message control header
        if self._begin_fragment(head[4], head[5], offset) != EVENT_NONE:
            return EVENT_VIOLATION
        self._pdu_left -= 4 + length
        self.fragments += 1
        if self._pdv_left:
            self._empty_run = 0
            return EVENT_NONE
        if self._count_empty(offset) != EVENT_NONE:
            return EVENT_VIOLATION
        return self._end_command(b"") if self._phase == PHASE_COMMAND else self._end_dataset_fragment()

    cdef int _begin_fragment(self, int context_id, int control, uint64_t offset) except -1:
        # control: bit 0 command, bit 1 last fragment; the others are not checked (PS3.8 section E.2)
        if not self._accepted[context_id]:
            return self._violate(
                INVALID_PARAMETER,
                f"presentation-context-id {context_id} is not accepted here (PS3.8 section 9.3.5.1)",
                offset + 4,
            )
        if context_id != self._message_context and self._turn in (TURN_MORE_COMMAND, TURN_DATASET):
            return self._violate(
                UNEXPECTED_PARAMETER,
                f"presentation-context-id {context_id} within a message on {self._message_context}"
                " (PS3.8 section E.1)",
                offset + 4,
            )
        self._is_last = control & 2
        if control & 1:
            return self._begin_command_fragment(context_id, offset)
        if self._turn != TURN_DATASET:
            text = "dataset fragment where a command is due (PS3.8 section E.1)"
            return self._violate(UNEXPECTED_PARAMETER, text, offset + 5)
        self._phase = PHASE_DATASET
        return EVENT_NONE

    cdef int _begin_command_fragment(self, int context_id, uint64_t offset) except -1:
        cdef uint64_t length = self._pdv_left
        if self._turn == TURN_DATASET:
            text = "command fragment where a dataset is due (PS3.8 section E.1)"
            return self._violate(UNEXPECTED_PARAMETER, text, offset + 5)
        if self._turn == TURN_MORE_COMMAND:
            length += len(self._gathered)
        if length > self.command_max_bytes:
            text = f"command set of {length} bytes or more, allowed {self.command_max_bytes}"
            return self._violate(INVALID_PARAMETER, text, offset)
        self._turn = TURN_MORE_COMMAND
        self._message_context = context_id
        self._phase = PHASE_COMMAND
        return EVENT_NONE

    cdef int _take_command(self, const uint8_t *data, Py_ssize_t end) except -1:
        cdef uint64_t take = end - self.consumed
        if take > self._pdv_left:
            take = self._pdv_left
        if self._lane is not None and take == self._pdv_left and self._is_last and not len(self._gathered):
            if self._offer(data + self.consumed, <Py_ssize_t>take):
                self.consumed += take
                self._pdv_left = 0
                return EVENT_NONE
        piece = PyBytes_FromStringAndSize(<const char *>data + self.consumed, <Py_ssize_t>take)
        self.consumed += take
        self._pdv_left -= take
        if self._pdv_left == 0:
            return self._end_command(piece)
        self._gathered.extend(piece)
        return EVENT_NEED_DATA

    cdef int _offer(self, const uint8_t *data, Py_ssize_t size) except -1:
        # data: a whole command set. 1: the lane has taken it.
        cdef LaneAnswer answer = self._lane.begin(self, self._message_context, data, size)
        if answer == LANE_LEAVES:
            return 0
        self._phase = PHASE_PDV_HEAD if self._pdu_left else PHASE_PDU_HEAD
        self._turn = TURN_DATASET if answer == LANE_TAKES else TURN_COMMAND
        self.context_id = self._message_context
        self.dataset_bytes = 0
        return 1

    cdef int _take_event(self, int event) except -1:
        # What concerns the lane's own message is settled with it.
        if self._lane is None or not self._lane.is_taking:
            return event
        if event == EVENT_SINK_FULL:
            return EVENT_NONE if self._lane.next_buffer(self) else EVENT_LANE_LEFT
        if event == EVENT_DATASET_END:
            return EVENT_NONE if self._lane.finish(self) else EVENT_LANE_LEFT_WHOLE
        return event

    cdef int _end_command(self, bytes piece) except -1:
        # piece: the rest of the fragment; the usual command set is one piece and copied once
        self._phase = PHASE_PDV_HEAD if self._pdu_left else PHASE_PDU_HEAD
        if not self._is_last:
            self._gathered.extend(piece)
            return EVENT_NONE
        if len(self._gathered):
            self._gathered.extend(piece)
            piece = bytes(self._gathered)
            self._gathered = bytearray()
            if self._lane is not None and self._offer(
                <const uint8_t *>PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece)
            ):
                return EVENT_NONE
        self.context_id = self._message_context
        self.dataset_bytes = 0
        self.command = piece
        self._turn = TURN_ANNOUNCE
        return EVENT_COMMAND

    cdef int _take_dataset(self, const uint8_t *data, Py_ssize_t end) noexcept:
        cdef uint64_t take = end - self.consumed
        cdef uint64_t room = 0
        if take == 0:
            return EVENT_NEED_DATA
        if self._attached:
            room = self._sink.len - self.filled
        if room == 0:
            return EVENT_SINK_FULL
        if take > room:
            take = room
        if take > self._pdv_left:
            take = self._pdv_left
        memcpy(<uint8_t *>self._sink.buf + self.filled, data + self.consumed, take)
        self.consumed += take
        return self._placed(take)

    cdef int _placed(self, uint64_t count) noexcept:
        # count bytes of the current PDV stand in the attached buffer; the caller checked room and _pdv_left.
        self.filled += count
        self.dataset_bytes += count
        self._pdv_left -= count
        return EVENT_NONE if self._pdv_left else self._end_dataset_fragment()

    cdef int _end_dataset_fragment(self) noexcept:
        self._phase = PHASE_PDV_HEAD if self._pdu_left else PHASE_PDU_HEAD
        if not self._is_last:
            return EVENT_NONE
        self._turn = TURN_COMMAND
        return EVENT_DATASET_END

    cdef int _forget_message(self) except -1:
        self._turn = TURN_COMMAND
        self._gathered = bytearray()
        if self._phase not in (PHASE_PDV_HEAD, PHASE_COMMAND, PHASE_DATASET):
            return 0
        if self._phase == PHASE_PDV_HEAD:  # octets of a head in pieces are consumed, but still in _pdu_left
            self._pdu_left -= self._head_filled
            self._head_filled = 0
        else:
            self._pdu_left += self._pdv_left
        self._phase = PHASE_SKIP
        return 0

    cdef int _count_empty(self, uint64_t offset) except -1:
        self._empty_run += 1
        if self._empty_run > FRAGMENTS_EMPTY_MAX:
            return self._violate(
                INVALID_PARAMETER, f"{self._empty_run} fragments without payload in a row, allowed 64", offset
            )
        return EVENT_NONE

    cdef int _violate_length(self, str allowed) except -1:
        name = PDU_NAMES[self.pdu_type]
        text = f"PDU-length {self._pdu_length} of {name}, allowed {allowed} (PS3.8 section 9.3)"
        return self._violate(INVALID_PARAMETER, text, 2)

    cdef int _violate(self, int reason, str text, uint64_t offset) except -1:
        self.violation_reason = reason
        self.violation_text = text
        self.violation_offset = offset
        return self._die(EVENT_VIOLATION)

    cdef int _die(self, int event) noexcept:
        self._phase = PHASE_DEAD
        self._dead_event = event
        self._gathered = self._control = None
        return event
