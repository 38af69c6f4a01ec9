"""Messages that leave together: for how long they are gathered, and the memory they wait in.

Who sends several messages in one go says so (begin_gathering, or `with Gathering()` in Python); lanes then
copy small ones into their parcel, and are asked for it at the end. Invariant: whatever is raised meanwhile,
every lane that has gathered something is asked; one that cannot send it gives up its connection.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

import logging

_logger = logging.getLogger(__name__)

cdef enum:
    PARCEL_MAX = 65536  # octets of what leaves a lane together

cdef int _depth = 0
cdef list _lanes = []


cdef int begin_gathering() except -1:
    global _depth
    _depth += 1
    return 0


cdef int end_gathering() except -1:
    # Ask every lane to send. What goes wrong with one is logged and no more: its users are told by the end of
    # its connection, and who sends has others to look after.
    global _depth, _lanes
    _depth -= 1
    if _depth or not _lanes:
        return 0
    lanes, _lanes = _lanes, []
    for lane in lanes:
        try:
            lane.send_gathered()
        except Exception:
            _logger.exception("what was gathered could not be sent")
    return 0


cdef bint is_gathering() noexcept:
    return _depth > 0


cdef int remember(lane) except -1:
    _lanes.append(lane)
    return 0


@cython.final
cdef class Gathering:
    """`with Gathering():` what lanes send within is gathered, and leaves at its end. Await nothing in it."""

    def __enter__(self):
        begin_gathering()

    def __exit__(self, kind, error, traceback):
        end_gathering()


@cython.final
cdef class Parcel:
    """What one lane has gathered: whole messages, one behind the other."""

    def __dealloc__(self):
        PyMem_Free(self._octets)

    cdef bint open(self) noexcept:
        if self._octets is NULL:
            self._octets = <uint8_t *>PyMem_Malloc(PARCEL_MAX)
        return self._octets is not NULL

    cdef bint has_room(self, Py_ssize_t size) noexcept:
        return self.size + size <= PARCEL_MAX

    cdef void append(self, const uint8_t *octets, Py_ssize_t size) noexcept:
        memcpy(self._octets + self.size, octets, size)
        self.size += size

    cdef void empty(self) noexcept:
        self.size = 0

    cdef bytes rest(self, Py_ssize_t skip):
        return PyBytes_FromStringAndSize(<const char *>self._octets + skip, self.size - skip)
