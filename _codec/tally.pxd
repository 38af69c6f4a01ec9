"""Counting from other compiled modules."""

from libc.stdint cimport uint64_t


cdef class Tally:
    cdef uint64_t *cells  # of _owner's memory; NULL after release
    cdef Py_ssize_t count  # of cells
    cdef object _owner

    cdef void bump(self, Py_ssize_t slot, uint64_t amount) noexcept  # slot was checked by whoever keeps it


cdef class Histogram:
    cdef Tally _tally  # keeps the cells alive
    cdef uint64_t *_cells  # buckets, one for what is above all bounds, then the sum
    cdef uint64_t *_bounds  # ours; freed in __dealloc__
    cdef Py_ssize_t _bounds_count
    cdef double _scale

    cdef void note(self, double value) noexcept
