"""Count into shared cells of 64 bits: one store a count, no Python number made.

The cells belong to one writer; readers in other processes see the old or the new number, never a torn one.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint64_t

from _codec.borrowed cimport borrowed_octets


@cython.final
cdef class Tally:
    """Cells that this process writes.

    cells: writable, a multiple of 8 bytes; it must stay mapped until release().
    Raises ValueError(reason, slot) for a slot outside.
    """

    def __cinit__(self, cells):
        cdef Py_ssize_t size_bytes = 0
        self.cells = <uint64_t *>borrowed_octets(cells, &size_bytes)
        self.count = size_bytes // 8
        self._owner = cells

    def release(self):
        """Give the buffer back; nothing may be counted any more."""
        self.cells = NULL
        self.count = 0
        self._owner = None

    def add(self, Py_ssize_t slot, uint64_t amount=1):
        """Count."""
        _check(self, slot, 1)
        self.cells[slot] += amount

    cdef void bump(self, Py_ssize_t slot, uint64_t amount) noexcept:
        if 0 <= slot < self.count:
            self.cells[slot] += amount


@cython.final
cdef class Histogram:
    """A histogram in the cells from `slot` on: a cell a bucket, one for what is above all, then the sum.

    bounds: upper bounds, ascending, in scaled units. scale: scaled units in one of those observed.
    """

    def __cinit__(self, Tally tally, Py_ssize_t slot, bounds, double scale):
        cdef Py_ssize_t i
        self._bounds_count = len(bounds)
        _check(tally, slot, self._bounds_count + 2)
        self._bounds = <uint64_t *>PyMem_Malloc(sizeof(uint64_t) * (self._bounds_count + 1))
        if self._bounds is NULL:
            raise MemoryError()
        for i in range(self._bounds_count):
            self._bounds[i] = bounds[i]
        self._tally = tally
        self._cells = tally.cells + slot
        self._scale = scale

    def __dealloc__(self):
        PyMem_Free(self._bounds)

    def observe(self, double value):
        """Count a value; below 0 counts as 0."""
        self.note(value)

    cdef void note(self, double value) noexcept:
        cdef uint64_t amount = 0
        cdef Py_ssize_t i = 0
        if self._tally.cells is NULL:
            return
        if value > 0:
            amount = <uint64_t>(value * self._scale)
        while i < self._bounds_count and self._bounds[i] < amount:
            i += 1
        self._cells[i] += 1
        self._cells[self._bounds_count + 1] += amount


cdef int _check(Tally tally, Py_ssize_t slot, Py_ssize_t cells) except -1:
    if slot < 0 or slot + cells > tally.count:
        raise ValueError("slot outside the cells", slot)
    return 0
