"""sqlite's own functions, and a connection's handle, for compiled modules that write rows."""

from libc.stdint cimport int64_t

cdef enum:
    SQLITE_OK = 0
    SQLITE_DONE = 101

ctypedef int (*step_function)(void *statement) noexcept nogil
ctypedef int (*bind_int64_function)(void *statement, int index, int64_t value) noexcept nogil
ctypedef int (*bind_null_function)(void *statement, int index) noexcept nogil
ctypedef int (*bind_octets_function)(
    void *statement, int index, const void *octets, int count, void *destructor
) noexcept nogil


cdef struct Functions:
    step_function step
    step_function reset
    step_function finalize
    bind_int64_function bind_int64
    bind_null_function bind_null
    bind_octets_function bind_text  # UTF-8; destructor NULL: the octets stay as they are until the next step
    bind_octets_function bind_blob


cdef Functions functions


cdef class Link:
    cdef void *_database

    cdef void *prepare(self, str statement) except NULL
    cdef object error(self)
