"""Runs of pending entries from other compiled modules."""

from libc.stdint cimport int64_t, uint64_t


cdef class PendingRun:
    cdef public uint64_t first_seq
    cdef public uint64_t last_seq
    cdef public uint64_t segment
    cdef public uint64_t size_bytes
    cdef public int64_t at_ns  # wall clock
