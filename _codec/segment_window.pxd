"""Windows on segments from other compiled modules."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef class SegmentWindow:
    cdef uint8_t *_memory  # of the whole file; NULL once closed
    cdef uint64_t _size  # octets
    cdef uint64_t _end  # pages up to here are mapped, as far as they were written; the border of one

    cdef int prepare(self, uint64_t begin, uint64_t end) except -1
    cdef int put(self, uint64_t offset, bytes data) except -1
    cdef int copy(self, uint64_t offset, list buffers, uint32_t *crc) except -1
    cdef uint8_t *_place(self, uint64_t offset, uint64_t size) except NULL
