"""Where the next PDUs of one dataset may be received in one system call, each payload into its place.

What the heads beside them say decides afterwards what the octets were. PS3.8 section 9.3.5.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from _codec.framing cimport PHASE_DATASET, PHASE_PDU_HEAD, TURN_DATASET, PduReader

cdef enum:
    EVENT_NEED_DATA = 0  # framing.pyx
    EVENT_NONE = 9
    PDV_HEAD_BYTES = 6  # of the PDU-length of a P-DATA-TF with one fragment
    PDU_LENGTH_MIN = 4096  # a shorter PDU is copied as cheaply
    WINDOW_MIN = 32768  # a smaller window is not worth a system call of its own


@cython.final
cdef class ScatterWindow:
    """A gather list of the rest of a fragment, then heads (kept aside) and payloads (in their place) in turn.

    size: the bytes it has room for. It is laid out for PDUs as long as the one before, of one fragment each.
    """

    def __cinit__(self, PduReader reader not None):
        self._reader = reader

    cpdef bint lay_out(self):
        """Make room for the next PDUs of the dataset under way; False if it does not pay.

        Receive into it, then call advance; do not feed the reader, or attach another buffer, in between.
        """
        cdef PduReader reader = self._reader
        cdef uint64_t first = 0
        cdef uint64_t room
        if reader._turn != TURN_DATASET or not reader._attached or reader._pdu_length < PDU_LENGTH_MIN:
            return False
        if reader._phase == PHASE_DATASET and reader._pdu_left == 0:
            first = reader._pdv_left
        elif reader._phase != PHASE_PDU_HEAD or reader._head_filled:
            return False
        room = reader._sink.len - reader.filled
        if room < WINDOW_MIN:
            return False
        self._lay_out(
            <uint8_t *>reader._sink.buf + reader.filled, room, first, reader._pdu_length - PDV_HEAD_BYTES
        )
        return True

    def receive(self, int fd):
        """Receive from a connected socket; 0 at the end of the stream, None if nothing is there.

        Raises OSError. Take note of the count by advance, before anything else is fed.
        """
        cdef ssize_t count
        if self.count == 0:
            raise ValueError("receive into a scatter window that is not laid out", 0)
        with nogil:
            count = readv(fd, self.parts, self.count)
        if count >= 0:
            return count
        if errno == EAGAIN or errno == EINTR:
            return None
        PyErr_SetFromErrno(OSError)

    cpdef tuple advance(self, Py_ssize_t n):
        """Take note of n bytes received; return (event as of PduReader.feed, what was not consumed).

        Raises ValueError if it is not laid out or n exceeds it.
        """
        cdef PduReader reader = self._reader
        cdef Py_ssize_t left = n
        cdef Py_ssize_t take
        cdef size_t offset = 0
        cdef int event = EVENT_NONE
        cdef int part
        if self.count == 0 or not 0 <= n <= self.size:
            raise ValueError("advance beyond the scatter window", n)
        keep = reader._sink_object if reader._sink_object is not None else <object>reader._sink.obj
        self.count, part = 0, self._begins_inside
        if part and left:
            take = min(left, <Py_ssize_t>self.parts[0].iov_len)
            left -= take
            event = reader._take_event(reader._placed(take))
        while left and event == EVENT_NONE:
            # The heads decide what the bytes laid out behind them are; which must not be written over.
            if reader._phase != PHASE_PDU_HEAD:
                break
            take = min(left, <Py_ssize_t>LEAD)
            reader.consumed = 0
            event = reader._run(<const uint8_t *>self.parts[part].iov_base, take)
            left -= reader.consumed
            if event == EVENT_NEED_DATA:
                event = EVENT_NONE
            if event != EVENT_NONE:
                offset = reader.consumed
                break
            part += 1
            if left == 0 or not self._is_next_place(part):
                break
            take = min(left, <Py_ssize_t>self.parts[part].iov_len)
            if <uint64_t>take > reader._pdv_left:
                # Shorter than the one before, and something follows it.
                take = offset = <Py_ssize_t>reader._pdv_left
                left -= take
                event = reader._take_event(reader._placed(take))
                break
            left -= take
            event = reader._take_event(reader._placed(take))
            part += 1
        rest = self._gather(part, offset, left)
        del keep
        return EVENT_NEED_DATA if event == EVENT_NONE else event, rest

    cdef int _lay_out(self, uint8_t *place, uint64_t room, uint64_t first, uint64_t payload) noexcept:
        # place: room bytes of the sink. first: what is due of a fragment. payload: of each PDU after it.
        cdef uint8_t *head = self._heads
        cdef uint64_t take = first if first < room else room
        self.count = 0
        self._begins_inside = take != 0
        self.size = <Py_ssize_t>take
        if take:
            self.parts[0].iov_base, self.parts[0].iov_len = place, take
            self.count = 1
            place += take
            room -= take
        while room and self.count < 2 * SCATTER_PDUS_MAX - 1:
            take = payload if payload < room else room
            self.parts[self.count].iov_base, self.parts[self.count].iov_len = head, LEAD
            self.parts[self.count + 1].iov_base, self.parts[self.count + 1].iov_len = place, take
            self.count += 2
            self.size += LEAD + <Py_ssize_t>take
            head += LEAD
            place += take
            room -= take
        return 0

    cdef bint _is_next_place(self, int part) noexcept:
        # Whether the next dataset byte belongs where the part begins.
        cdef PduReader reader = self._reader
        return (
            reader._phase == PHASE_DATASET
            and reader._attached
            and <uint8_t *>reader._sink.buf + reader.filled == <uint8_t *>self.parts[part].iov_base
        )

    cdef bytes _gather(self, int part, size_t offset, Py_ssize_t left):
        # left bytes of the stream, from an offset in a part on. The caller knows that so many were received.
        cdef size_t take
        cdef uint8_t *target
        if left == 0:
            return b""
        gathered = PyBytes_FromStringAndSize(NULL, left)
        target = <uint8_t *>PyBytes_AS_STRING(gathered)
        while left:
            take = self.parts[part].iov_len - offset
            if take > <size_t>left:
                take = left
            memcpy(target, <uint8_t *>self.parts[part].iov_base + offset, take)
            target += take
            left -= take
            part += 1
            offset = 0
        return gathered
