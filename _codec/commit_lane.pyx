"""The short cut of a group commit: one fdatasync after another without the interpreter's lock.

Its user is spool/writer.py, its twin the general way there: a group that asks for no more than the sync of
one segment is made durable here, by the commit's own thread (spool/group_commit.py), which rings the owner's
eventfd itself. In Python the lock changes hands twice for a sync, and a busy owner gives it up late.
Invariants: what request() has told is durable when taken() says so, not before: it was read before the sync
began, and the sync returned 0. After one failed sync there is no other.
"""

cimport cython
from libc.errno cimport EINTR, errno
from libc.stdint cimport uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
from posix.unistd cimport close, dup, fdatasync, write

from _codec.clock cimport now

import os

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    ctypedef struct pthread_condattr_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *, void *)
    int pthread_mutex_destroy(pthread_mutex_t *)
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)
    int pthread_condattr_init(pthread_condattr_t *)
    int pthread_condattr_setclock(pthread_condattr_t *, int)
    int pthread_condattr_destroy(pthread_condattr_t *)
    int pthread_cond_init(pthread_cond_t *, pthread_condattr_t *)
    int pthread_cond_destroy(pthread_cond_t *)
    int pthread_cond_signal(pthread_cond_t *)
    int pthread_cond_timedwait(pthread_cond_t *, pthread_mutex_t *, timespec *)

cdef struct Group:
    int descriptor
    uint64_t segment
    uint64_t seq
    uint64_t offset


@cython.final
cdef class CommitLane:
    """What the owner's thread and the commit's share.

    bell: an eventfd, rung after each sync; duplicated. before: called with the lock ahead of each sync, for
    crash points.
    """

    cdef pthread_mutex_t _mutex
    cdef pthread_cond_t _changed
    cdef int _bell  # ours
    cdef object _before
    cdef bint _is_asleep  # the commit's thread, in serve()
    cdef bint _is_called
    cdef bint _is_wanted  # what _wanted says
    cdef uint64_t _requested_seq  # the owner's
    cdef Group _wanted
    cdef Group _synced
    cdef int _error  # of the sync that failed
    cdef uint64_t _groups
    cdef double _seconds
    cdef double _last_s

    def __cinit__(self, int bell, before=None):
        cdef pthread_condattr_t attributes
        pthread_mutex_init(&self._mutex, NULL)
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(&self._changed, &attributes)
        pthread_condattr_destroy(&attributes)
        self._bell = dup(bell)
        if self._bell < 0:
            raise OSError(errno, os.strerror(errno))
        self._before = before

    def __dealloc__(self):
        if self._bell >= 0:
            close(self._bell)
        pthread_cond_destroy(&self._changed)
        pthread_mutex_destroy(&self._mutex)

    def request(self, int descriptor, uint64_t segment, uint64_t seq, uint64_t offset):
        """Have a segment synced, whose entries up to seq, which ends at offset, are written; owner's thread.

        Nothing else may have to be synced for them. A request that was not begun yet is replaced; one for the
        same entries is not needed twice.
        """
        if seq == self._requested_seq:
            return
        self._requested_seq = seq
        pthread_mutex_lock(&self._mutex)
        self._wanted = Group(descriptor, segment, seq, offset)
        self._is_wanted = True
        self._unlock_and_wake()

    def call(self):
        """Have serve() return as soon as no sync runs; from any thread."""
        pthread_mutex_lock(&self._mutex)
        self._is_called = True
        self._unlock_and_wake()

    def serve(self, double idle_s):
        """Sync what is requested; return True once call() was called, False after so long without either.

        For the commit's thread. Raises OSError if a sync fails; nothing is synced then ever again.
        """
        cdef int error
        cdef bint is_called = False
        with nogil:
            error = self._serve(idle_s, &is_called)
        if error:
            raise OSError(error, os.strerror(error))
        return is_called

    @property
    def synced_seq(self):
        """The newest entry that is durable by this lane, 0 for none."""
        return self._synced.seq

    @property
    def last_s(self):
        """How long the newest sync took; 0 before the first."""
        return self._last_s

    def taken(self):
        """Return (segment, seq, offset) of the newest entry that is durable by this lane, how many groups
        that took, and how long they took together."""
        cdef Group synced
        cdef uint64_t groups
        cdef double seconds
        pthread_mutex_lock(&self._mutex)
        synced, groups, seconds = self._synced, self._groups, self._seconds
        pthread_mutex_unlock(&self._mutex)
        return synced.segment, synced.seq, synced.offset, groups, seconds

    cdef void _unlock_and_wake(self) noexcept nogil:
        # In this order, or who is woken would wait for the mutex at once.
        cdef bint is_asleep = self._is_asleep
        pthread_mutex_unlock(&self._mutex)
        if is_asleep:
            pthread_cond_signal(&self._changed)

    cdef int _serve(self, double idle_s, bint *is_called) noexcept nogil:
        # Return an errno, or 0.
        cdef int error = 0
        cdef bint is_idle = False
        cdef timespec end
        pthread_mutex_lock(&self._mutex)
        while not error:
            if self._is_wanted:
                error = self._sync()
                is_idle = False
                continue
            if self._is_called or is_idle:
                break
            clock_gettime(CLOCK_MONOTONIC, &end)
            end.tv_sec += <long>idle_s
            end.tv_nsec += <long>((idle_s - <long>idle_s) * 1e9)
            if end.tv_nsec >= 1000000000:
                end.tv_sec += 1
                end.tv_nsec -= 1000000000
            self._is_asleep = True
            is_idle = pthread_cond_timedwait(&self._changed, &self._mutex, &end) != 0
            self._is_asleep = False
        is_called[0] = self._is_called
        self._is_called = False
        pthread_mutex_unlock(&self._mutex)
        return error

    cdef int _sync(self) noexcept nogil:
        # Sync what is wanted; return an errno, or 0. The caller holds the mutex.
        cdef Group group = self._wanted
        cdef int error = 0
        cdef double began = now()
        cdef uint64_t one = 1
        if self._error:
            return self._error
        self._is_wanted = False
        pthread_mutex_unlock(&self._mutex)
        if self._before is not None:
            with gil:
                self._before()
        # Interrupted says nothing of the bytes. Any other failure is final.
        while fdatasync(group.descriptor) != 0:
            error = errno
            if error != EINTR:
                break
            error = 0
        pthread_mutex_lock(&self._mutex)
        if error:
            self._error = error
            return error
        self._synced = group
        self._groups += 1
        self._last_s = now() - began
        self._seconds += self._last_s
        pthread_mutex_unlock(&self._mutex)
        write(self._bell, &one, sizeof(one))
        pthread_mutex_lock(&self._mutex)
        return 0
