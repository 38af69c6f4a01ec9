"""Outlets and plans from other compiled modules."""

from libc.stdint cimport uint64_t

from _codec.send_lane cimport SendLane, SendOperation
from _codec.tally cimport Histogram, Tally


cdef class Outlet:
    cdef readonly object owner
    cdef readonly str name
    cdef readonly dict uids
    cdef public object backlog
    cdef public object entries
    cdef readonly object waiting
    cdef public list lanes
    cdef public int in_flight
    cdef public uint64_t delivered
    cdef public bint has_waiting  # set when something begins to wait, or is behind; pump() clears it
    cdef readonly bint is_overrun
    cdef int overrun  # entries for which there was no room, less OVERRUN_PER_ANSWER for each answer
    cdef public bint is_ill  # set when it was set back or is late: its owner wants to know of a success
    cdef bint takes_entries  # as found out at the beginning of a run of entries
    cdef bint leaves_entries  # to the ledger: they have to wait
    cdef bint has_all_lanes
    cdef uint64_t asked_at  # which run that was
    cdef int _overrun_of_run
    cdef uint64_t _general_run  # of the general way, of which that was counted last
    cdef list _left  # (flow, seq) of entries of the run that stay in the ledger: where the flow changes
    cdef str _left_calling
    cdef str _left_study
    cdef uint64_t _left_up_to  # the last of them
    cdef Tally _tally
    cdef Py_ssize_t _sent_cell
    cdef Py_ssize_t _bytes_cell
    cdef Histogram _deliver_seconds
    cdef Histogram _end_to_end

    cdef int count(self, SendOperation operation, uint64_t dataset_bytes, uint64_t received_ns) except -1
    cpdef int ease(self) except -1
    cpdef int catch_up(self) except -1
    cdef int let_go(self, str uid) except -1
    cdef SendLane find(self, tuple key)
    cdef SendLane free_lane(self, str uid, tuple key)
    cdef int ask(self, uint64_t run) except -1
    cdef bint may_wait(self, tuple key) except -1
    cdef bint leaves_more(self) except -1
    cdef bint _count_overrun(self) except -1
    cdef bint leave(self, str calling_ae_title, str study, uint64_t seq) except -1
    cdef int tell_left(self) except -1
    cdef int begin(self, SendLane lane) except -1


cdef class Plan:
    cdef readonly object decision
    cdef tuple context_key  # abstract syntax and transfer syntax
    cdef list outlets  # None: the general way
    cdef bint discards
    cdef object model  # not None: it is stored first; an InstanceRecord with what is the same in all
    cdef bytes decision_part  # the end of that, packed
    cdef bint is_old  # rules or destinations were changed since
