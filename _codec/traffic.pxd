"""Counting what passes from other compiled modules."""

from libc.stdint cimport uint64_t


cdef class Traffic:
    cdef public uint64_t received
    cdef public uint64_t sent
    cdef public double heard_at
