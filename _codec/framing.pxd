"""The reader's insides, for lanes and for what receives in its stead, without a Python object on the way."""

from libc.stdint cimport uint8_t, uint64_t


# What the next octet belongs to.
cdef enum Phase:
    PHASE_PDU_HEAD
    PHASE_PDU_BODY
    PHASE_SKIP
    PHASE_PDV_HEAD
    PHASE_COMMAND
    PHASE_DATASET
    PHASE_DEAD

# What the next fragment may be.
cdef enum Turn:
    TURN_COMMAND  # the first fragment of a command set
    TURN_MORE_COMMAND  # a command fragment of the same context
    TURN_ANNOUNCE  # a command set was reported: as TURN_COMMAND until expect_dataset(True)
    TURN_DATASET  # a dataset fragment of the same context


cdef enum LaneAnswer:
    LANE_FAILED  # with an exception
    LANE_LEAVES  # nothing was taken
    LANE_TAKES  # the dataset that follows goes into the buffer now attached
    LANE_TOOK  # all of it: no dataset follows


cdef class Lane:
    cdef readonly bint expects_much
    cdef readonly bint is_taking  # a message is under way in the lane: the next dataset bytes are its

    # A whole command set, from however many fragments. data: size bytes.
    cdef LaneAnswer begin(
        self, PduReader reader, int context_id, const uint8_t *data, Py_ssize_t size
    ) except LANE_FAILED
    cdef bint next_buffer(self, PduReader reader) except -1  # False: the lane gives the message up
    cdef bint finish(self, PduReader reader) except -1  # False: the lane gives the whole message up
    cdef int drop(self) except -1  # the message under way will not be completed


cdef class PduReader:
    cdef public uint64_t pdu_max_bytes  # of the variable field, P-DATA-TF; 0: no limit
    cdef public uint64_t control_pdu_max_bytes  # of the variable field, other types
    cdef public uint64_t command_max_bytes
    cdef readonly Py_ssize_t consumed  # absolute index into the data of the last feed
    cdef readonly int pdu_type
    cdef readonly bytes pdu
    cdef readonly bytes command
    cdef readonly int context_id
    cdef readonly Py_ssize_t filled  # bytes written into the attached buffer
    cdef readonly uint64_t dataset_bytes
    cdef readonly int violation_reason
    cdef readonly str violation_text
    cdef readonly uint64_t violation_offset  # bytes from the start of the PDU
    cdef readonly uint64_t pdata_pdus
    cdef readonly uint64_t fragments

    cdef Phase _phase
    cdef Turn _turn
    cdef int _dead_event
    cdef bint _negotiated  # there are accepted contexts
    cdef uint8_t _accepted[256]  # by presentation-context-id: 1 if accepted
    cdef uint8_t _head[6]  # a head that arrived in pieces
    cdef int _head_filled
    cdef uint64_t _pdu_length  # PDU-length of the current PDU
    cdef uint64_t _pdu_left  # of it, not consumed; while in a PDV: after that PDV
    cdef uint64_t _pdv_left  # payload bytes of the current PDV not consumed
    cdef bint _is_last  # the current PDV is the last fragment
    cdef int _message_context
    cdef int _empty_run  # fragments without payload, in a row
    cdef bytearray _gathered  # a command set that arrives in pieces
    cdef bytearray _control  # a PDU other than P-DATA-TF, as far as it has arrived
    cdef Py_buffer _sink  # valid while _attached; exported by us, released in attach and __dealloc__
    cdef object _sink_object
    cdef bint _attached
    cdef Lane _lane  # or None

    cpdef attach(self, buffer)
    cpdef object direct_window(self)
    cpdef int advance(self, Py_ssize_t n) except -1
    cdef int attach_memory(self, uint8_t *start, Py_ssize_t size, owner) except -1

    cdef bint _make_room(self) except -1  # False: the event SINK_FULL or LANE_LEFT is due
    cdef int _run(self, const uint8_t *data, Py_ssize_t end) except -1
    cdef const uint8_t *_collect_head(self, const uint8_t *data, Py_ssize_t end) noexcept
    cdef int _take_pdu_head(self, const uint8_t *data, Py_ssize_t end) except -1
    cdef int _check_control_length(self) except -1
    cdef int _begin_pdata(self) except -1
    cdef int _take_pdu_body(self, const uint8_t *data, Py_ssize_t end) except -1
    cdef int _skip(self, Py_ssize_t end) noexcept
    cdef int _take_pdv_head(self, const uint8_t *data, Py_ssize_t end) except -1
    cdef int _begin_fragment(self, int context_id, int control, uint64_t offset) except -1
    cdef int _begin_command_fragment(self, int context_id, uint64_t offset) except -1
    cdef int _take_command(self, const uint8_t *data, Py_ssize_t end) except -1
    cdef int _offer(self, const uint8_t *data, Py_ssize_t size) except -1
    cdef int _take_event(self, int event) except -1
    cdef int _end_command(self, bytes piece) except -1
    cdef int _take_dataset(self, const uint8_t *data, Py_ssize_t end) noexcept
    cdef int _placed(self, uint64_t count) noexcept
    cdef int _end_dataset_fragment(self) noexcept
    cdef int _forget_message(self) except -1
    cdef int _count_empty(self, uint64_t offset) except -1
    cdef int _violate_length(self, str allowed) except -1
    cdef int _violate(self, int reason, str text, uint64_t offset) except -1
    cdef int _die(self, int event) noexcept
