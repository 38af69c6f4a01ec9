"""Memory that a Python object owns, used in place for as long as the borrower keeps that object."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t


cdef inline uint8_t *borrowed_octets(owner, Py_ssize_t *size_bytes) except NULL:
    # size_bytes: where to put how many there are, or NULL.
    # Not exported for good: the garbage collector could not clear a view in a cycle then.
    cdef Py_buffer view
    PyObject_GetBuffer(owner, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
    PyBuffer_Release(&view)
    if size_bytes is not NULL:
        size_bytes[0] = view.len
    return <uint8_t *>view.buf
