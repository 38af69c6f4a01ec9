"""Walking an encoded dataset's wanted elements from other compiled modules."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t


cdef enum:
    # How the elements of one level are encoded.
    IMPLICIT = 1
    BIG = 2
    FRAGMENTS = 4  # encapsulated pixel data: items hold octets, not elements


cdef struct Head:
    uint32_t tag
    uint32_t length  # of the value; FFFFFFFF: undefined
    uint16_t vr  # two characters, the first in the high octet; UN if implicit
    int size  # octets of the head: 8 or 12


cdef enum WalkStep:
    WALK_FAILED  # with an exception
    WALK_FOUND  # a wanted element: head, value_at, value_end
    WALK_DONE  # past the last wanted tag, or the data end exactly here
    WALK_MORE  # the element at `at` is not wholly inside the data


cdef struct Walk:
    const uint8_t *data  # size octets
    Py_ssize_t size
    Py_ssize_t at  # of the next element
    Py_ssize_t start  # of the element found
    int flags
    const uint32_t *wanted  # ascending; wanted_count of them, at least one
    Py_ssize_t wanted_count
    Py_ssize_t next_wanted
    Head head
    Py_ssize_t value_at
    Py_ssize_t value_end  # may lie behind the data
    bint is_last  # the element found is the last wanted one

cdef WalkStep next_wanted(Walk *walk) except WALK_FAILED
