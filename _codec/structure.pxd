"""Following a dataset's nesting from other compiled modules, one after the other with the same object."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    LEVELS = 130  # the dataset, and for each sequence itself and one item of it; one to spare
    MISSING = -1  # too few octets for a step
    LOOK_BYTES = 16  # what one step looks at: a head, and the tag of an item that its value may begin with


cdef struct Level:
    uint64_t end  # where it ends; if a delimiter ends it: where that must have come
    bint is_delimited
    bint is_sequence  # holds items; else elements
    bint is_guessed  # began as a sequence does, but nothing says that it is one
    int flags  # as in dataset.pxd


cdef class StructureScan:
    cdef readonly uint64_t next_offset
    cdef readonly str fault
    cdef readonly uint64_t fault_offset
    cdef readonly bint is_excessive
    cdef readonly int depth_max

    cdef Level _levels[LEVELS]
    cdef int _top  # index of the innermost level
    cdef int _depth  # sequences open
    cdef uint64_t _at  # where the next step begins; before next_offset by what is carried
    cdef uint64_t _elements
    cdef uint8_t _carry[LOOK_BYTES]  # octets seen, too few for a step
    cdef uint64_t _carried

    # Follow another dataset from here on.
    cdef int begin(self, uint64_t dataset_bytes, int flags) except -1
    # As feed, of size octets.
    cdef bint look(self, const uint8_t *data, uint64_t size, uint64_t offset) except -1

    cdef int _follow(self, const uint8_t *data, uint64_t size) except -1
    cdef uint64_t _follow_carried(self, const uint8_t *data, uint64_t size) except? 0
    cdef void _close_levels(self) noexcept
    cdef void _leave(self) noexcept
    cdef int64_t _step(self, const uint8_t *data, uint64_t size) except? MISSING
    cdef int64_t _step_item(self, Level *level, uint32_t tag, uint32_t length) except? MISSING
    cdef int64_t _step_element(
        self, Level *level, uint32_t tag, const uint8_t *data, uint64_t size
    ) except? MISSING
    cdef int64_t _open_undefined(self, Level *level, uint32_t tag, uint16_t vr, uint64_t head) except? MISSING
    cdef int64_t _open_sequence(
        self, uint64_t head, uint64_t end, bint is_delimited, bint is_guessed, int flags
    ) except? MISSING
    cdef int64_t _counted(self, int64_t step) except? MISSING
    cdef void _enter(
        self, uint64_t end, bint is_delimited, bint is_sequence, bint is_guessed, int flags
    ) noexcept
    cdef int64_t _fail(self, str fault) except? MISSING
