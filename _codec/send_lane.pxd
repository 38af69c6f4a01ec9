"""Sending from other compiled modules: who sends gets told, without a Python call on the way."""

from libc.stdint cimport uint8_t

from _codec.framing cimport Lane
from _codec.gathering cimport Parcel
from _codec.traffic cimport Traffic


cdef class SendUser:
    # The response is there; the operation is over.
    cdef int answered(self, SendOperation operation, int status) except -1
    # It will not come; error: why.
    cdef int failed(self, SendOperation operation, error) except -1


cdef class SendOperation:
    cdef readonly int message_id
    cdef readonly SendLane lane
    cdef readonly double began  # CLOCK_MONOTONIC, seconds
    cdef SendUser user
    cdef int context_id
    cdef int status
    cdef bint is_out  # its memory is not read any more: it has left, or is gathered
    cdef double out_at  # since when; meaningful once is_out
    cdef Py_ssize_t gathered_up_to  # where it ends among what leaves together


cdef class SendLane(Lane):
    cdef public bint is_usable
    cdef public bint quick_ack
    cdef public int window
    cdef public int outstanding
    cdef public double idle_since
    cdef public double deadline_s
    cdef readonly dict contexts
    cdef readonly object owner
    cdef SendOperation last  # begun last
    cdef int _fd
    cdef int _message_id
    cdef Py_ssize_t _fragment_max
    cdef object _has_unsent
    cdef Traffic _traffic
    cdef object _send_rest
    cdef object _violated
    cdef tuple _fault  # reason and text of what the peer did wrong
    cdef object _others  # Message IDs of operations of the general way
    cdef object _error  # what ended it
    cdef dict _pending  # Message ID to operation, oldest first
    cdef list _answered
    cdef Parcel _parcel  # messages that leave together
    cdef list _gathered  # their operations

    # False: nothing was sent, the connection is busy or the dataset takes too many pieces. is_awaited: a
    # sender waits for it, so it is gathered only if the peer is busy with others (as RFC 896 has it).
    cdef bint send(
        self, SendUser user, int context_id, const uint8_t *sop_class, Py_ssize_t sop_class_bytes,
        const uint8_t *sop_instance, Py_ssize_t sop_instance_bytes, list buffers, bint is_awaited,
    ) except -1
    cdef int give_back(self) except -1
    cdef bint _take(self, int context_id, message_id, int status) except -1
    cdef int _tell_answered(self) except -1
    cdef int _advance_message_id(self) except -1
    cdef object _tell(self, list operations, bint is_failed)
    cdef bint _makes_room(self, list buffers, bint is_awaited) except -1
    cdef int _gather(self, SendOperation operation, Py_ssize_t count) except -1
    cpdef int send_gathered(self) except -1
    cdef int _send_at_once(self, SendOperation operation, Py_ssize_t count, list buffers) except -1
    cdef int _ask_for_ack(self) except -1
    cdef int _break_off(self) noexcept
    cdef Py_ssize_t _lay_out(
        self, int context_id, const uint8_t *sop_class, Py_ssize_t sop_class_bytes,
        const uint8_t *sop_instance, Py_ssize_t sop_instance_bytes, list buffers,
    ) except -1
    cdef list _rest(self, Py_ssize_t count, Py_ssize_t written, list buffers)
