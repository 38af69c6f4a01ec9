"""The clocks, as Python's time.monotonic and time.time_ns tell them."""

from libc.stdint cimport uint64_t
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec


cdef inline double now() noexcept nogil:
    cdef timespec clock
    clock_gettime(CLOCK_MONOTONIC, &clock)
    return <double>clock.tv_sec + <double>clock.tv_nsec * 1e-9


cdef inline uint64_t wall_ns() noexcept nogil:
    cdef timespec clock
    clock_gettime(CLOCK_REALTIME, &clock)
    return <uint64_t>clock.tv_sec * 1000000000 + <uint64_t>clock.tv_nsec
