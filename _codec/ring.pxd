"""Both ends of a ring from other compiled modules, without a bytes object for each record."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef class Ring:
    cdef Py_buffer _view
    cdef bint _held  # _view is ours to release
    cdef uint8_t *_records  # NULL after release
    cdef uint64_t *_head
    cdef uint64_t *_tail
    cdef uint64_t *_asleep
    cdef uint64_t *_epoch
    cdef uint64_t _capacity  # bytes, multiple of 8
    cdef uint64_t _record_max  # bytes of payload
    cdef uint64_t _head_seen  # consumer's copy of head: never more than head
    cdef uint64_t _tail_seen  # producer's copy of tail: never more than tail

    cdef int _check_held(self) except -1
    # Producer: 0 no room, 1 written, 2 written and the doorbell is due; length at most _record_max.
    cdef int _push(self, const uint8_t *data, uint32_t length) noexcept
    cdef int _write(self, const uint8_t *data, uint32_t length) noexcept  # as _push, the doorbell left alone
    cdef bint _wakes(self) noexcept  # producer, after it: whether the doorbell is due
    cdef uint64_t position(self) noexcept  # producer: where the next record will stand
    # Consumer: the oldest record in place, NULL for none; good until consume(), which moves past it.
    cdef const uint8_t *peek(self, uint32_t *length, uint64_t *after) except? NULL
    cdef void consume(self, uint64_t after) noexcept
    cdef bint _has_record(self, uint64_t tail) noexcept
    cdef const uint8_t *_locate(self, uint64_t *tail, uint32_t *length) except NULL
    cdef const uint8_t *_find(self, uint64_t *tail, uint32_t *length) noexcept
    cdef bytes _copy_out(self, uint64_t *tail)
