"""Where the next PDUs of one dataset may be received in one system call, each payload into its place.

What the heads beside them say decides what the octets were: PduReader.advance_scatter. PS3.8 section 9.3.5.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy


@cython.final
cdef class ScatterWindow:
    """A gather list of the rest of a fragment, then heads (kept aside) and payloads (in their place) in turn.

    size: the bytes it has room for. It is laid out for PDUs as long as the one before, of one fragment each.
    """

    def receive(self, int fd):
        """Receive from a connected socket; 0 at the end of the stream, None if nothing is there.

        Raises OSError. Take note of the count by PduReader.advance_scatter, before anything else is fed.
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

    cdef int lay_out(self, uint8_t *place, uint64_t room, uint64_t first, uint64_t payload) noexcept:
        # place: room bytes of the sink. first: what is due of a fragment. payload: of each PDU after it.
        cdef uint8_t *head = self._heads
        cdef uint64_t take = first if first < room else room
        self.count = self.first_head = 0
        self.size = <Py_ssize_t>take
        if take:
            self.parts[0].iov_base, self.parts[0].iov_len = place, take
            self.count = self.first_head = 1
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

    cdef bytes gather(self, int part, size_t offset, Py_ssize_t left):
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
