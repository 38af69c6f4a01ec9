"""A scatter window's insides, for what receives into it."""

from libc.stdint cimport uint8_t, uint64_t

from _codec.framing cimport PduReader


cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

    ssize_t readv(int fd, const iovec *parts, int count)


cdef enum:
    LEAD = 12  # octets before the payload of a P-DATA-TF with one fragment
    SCATTER_PDUS_MAX = 64  # received in one go, at most


cdef class ScatterWindow:
    cdef readonly Py_ssize_t size  # bytes in all parts
    cdef iovec parts[2 * SCATTER_PDUS_MAX + 1]  # the rest of a fragment, then heads and payloads in turn
    cdef uint8_t _heads[LEAD * SCATTER_PDUS_MAX]
    cdef int count  # of parts; 0: not to be received into
    cdef PduReader _reader
    cdef bint _begins_inside  # the first part is the rest of a fragment

    cpdef bint lay_out(self)
    cpdef tuple advance(self, Py_ssize_t n)

    cdef int _lay_out(self, uint8_t *place, uint64_t room, uint64_t first, uint64_t payload) noexcept
    cdef bint _is_next_place(self, int part) noexcept
    cdef bytes _gather(self, int part, size_t offset, Py_ssize_t left)
