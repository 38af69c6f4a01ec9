"""A segment's file on a RAM disk, mapped to be written: no look-up and lock by the kernel for each page.

Only on tmpfs, where the mapping is the file's very pages: what is written is there for every reader at once,
and outlives the process as after a write. Whoever makes the file has reserved its pages, so that no room can
be missing. A few megabytes ahead of what is written are mapped at a time, and stay so: whoever writes the
file again (spool/recycled.py) finds its pages mapped. They are the file's own: this takes no memory.
Twin: router/wire/reference/segment_window.py.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EINVAL, EIO, EOPNOTSUPP, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, madvise, mmap, munmap
from posix.stat cimport fstat, struct_stat

from _codec.checksum cimport CHECKSUM_IS_THERE, checksum_begin
from _codec.guarded_copy cimport guarded_begin, guarded_copy

import os

from crc32c import crc32c

cdef extern from "<sys/vfs.h>" nogil:
    struct statfs_t "statfs":
        long f_type
    int fstatfs(int descriptor, statfs_t *found)

cdef enum:
    TMPFS_MAGIC = 0x01021994  # linux/magic.h
    MADV_POPULATE_READ = 22  # since Linux 5.14; maps neighbours too, and tmpfs lets them be written at once
    AHEAD_BYTES = 2 << 20  # mapped at a time: some 50 us

cdef uint64_t PAGE_MASK = os.sysconf("SC_PAGE_SIZE") - 1
cdef bint has_begun = False


@cython.final
cdef class SegmentWindow:
    """The first `size` octets of a file.

    descriptor: open for reading and writing; not kept. size: the pages up to there are reserved.
    Raises OSError, EOPNOTSUPP where the file does not lie on a RAM disk; ValueError if it is shorter.
    """

    def __cinit__(self, int descriptor, uint64_t size):
        global has_begun
        cdef statfs_t system
        cdef struct_stat found
        cdef void *memory
        if fstatfs(descriptor, &system) != 0 or fstat(descriptor, &found) != 0:
            raise _os_error(errno)
        if system.f_type != TMPFS_MAGIC:
            raise _os_error(EOPNOTSUPP)
        if size == 0 or <uint64_t>found.st_size < size:
            raise ValueError(f"a window of {size} octets on a file of {found.st_size}")
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        if memory == MAP_FAILED:
            raise _os_error(errno)
        if not has_begun:
            has_begun = True
            checksum_begin()
            guarded_begin()
        self._memory = <uint8_t *>memory
        self._size = size

    def __dealloc__(self):
        self.close()

    def close(self):
        """Unmap; harmless twice."""
        cdef uint8_t *memory = self._memory
        self._memory = NULL
        if memory != NULL:
            with nogil:  # of many pages it takes a millisecond
                munmap(memory, self._size)

    def cut(self, uint64_t length):
        """Take note that the file was truncated; its pages are reserved again before it is written again."""
        self._end = min(self._end, (length + PAGE_MASK) & ~PAGE_MASK)

    def write(self, uint64_t offset, list buffers, uint32_t crc=0):
        """Write buffers one after another; return the CRC32C of them all, going on from `crc`.

        Raises OSError if a page cannot be had, or is gone from the file: what is there then is undefined.
        ValueError for what is outside, and for a closed window.
        """
        self.prepare(offset, offset + sum(map(len, buffers)))
        self.copy(offset, buffers, &crc)
        return crc

    cdef int prepare(self, uint64_t begin, uint64_t end) except -1:
        # Map what lies from `begin` to `end` and, if that is not there yet, some more behind it. Ahead of put
        # and copy: without it each page costs a fault.
        self._place(begin, end - begin)
        if end <= self._end:
            return 0
        begin = max(self._end, begin & ~PAGE_MASK)
        end = min(end + AHEAD_BYTES, self._size + PAGE_MASK) & ~PAGE_MASK
        # EINVAL: a kernel that does not know it yet.
        if madvise(self._memory + begin, end - begin, MADV_POPULATE_READ) != 0 and errno != EINVAL:
            raise _os_error(errno)
        self._end = end
        return 0

    cdef int put(self, uint64_t offset, bytes data) except -1:
        # Write a few octets, as write.
        cdef size_t size = PyBytes_GET_SIZE(data)
        if guarded_copy(self._place(offset, size), <const uint8_t *>PyBytes_AS_STRING(data), size, NULL):
            raise _os_error(EIO)
        return 0

    cdef int copy(self, uint64_t offset, list buffers, uint32_t *crc) except -1:
        # As write.
        cdef Py_buffer view
        cdef int gone
        for buffer in buffers:
            PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
            try:
                gone = guarded_copy(
                    self._place(offset, view.len), <const uint8_t *>view.buf, view.len,
                    crc if CHECKSUM_IS_THERE else NULL,
                )
                offset += view.len
            finally:
                PyBuffer_Release(&view)
            if gone:
                raise _os_error(EIO)
            if not CHECKSUM_IS_THERE:
                crc[0] = crc32c(buffer, crc[0])
        return 0

    cdef uint8_t *_place(self, uint64_t offset, uint64_t size) except NULL:
        # Where to write: the bounds of every access are checked here.
        if self._memory == NULL:
            raise ValueError("the window is closed")
        if offset > self._size or size > self._size - offset:
            raise ValueError(f"{size} octets at {offset} of {self._size}")
        return self._memory + offset


cdef object _os_error(int number):
    return OSError(number, os.strerror(number))
