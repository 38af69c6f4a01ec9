"""Memory that a Python object owns, used in place for as long as the borrower keeps that object."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t


cdef inline uint8_t *borrowed_octets(owner) except NULL:
    # Not exported for good: the garbage collector could not clear a view in a cycle then.
    cdef Py_buffer view
    PyObject_GetBuffer(owner, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
    PyBuffer_Release(&view)
    return <uint8_t *>view.buf
