"""Messages that leave together, for the compiled modules that send."""

from libc.stdint cimport uint8_t

# Between the two, small messages are gathered; they leave at the end, those of one lane in one system call.
# They nest; nothing may be awaited in between, and end_gathering() must follow whatever is raised.
cdef int begin_gathering() except -1
cdef int end_gathering() except -1
cdef bint is_gathering() noexcept
# Have lane.send_gathered() called at the end.
cdef int remember(lane) except -1


cdef class Parcel:
    cdef uint8_t *_octets  # NULL until the first message
    cdef readonly Py_ssize_t size  # of what is in it

    # False: there is no memory for it.
    cdef bint open(self) noexcept
    cdef bint has_room(self, Py_ssize_t size) noexcept
    # There must be room.
    cdef void append(self, const uint8_t *octets, Py_ssize_t size) noexcept
    cdef void empty(self) noexcept
    # What is behind the first octets of it.
    cdef bytes rest(self, Py_ssize_t skip)
