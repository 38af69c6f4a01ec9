"""Ticket ports from other compiled modules."""

from libc.stdint cimport uint8_t, uint64_t

from _codec.ring cimport Ring
from _codec.ticket_record cimport TicketView


cdef class TicketPort:
    cdef readonly object intake
    cdef Ring tickets
    cdef Ring receipts
    cdef int bell
    cdef list views
    cdef Py_ssize_t slot_bytes
    cdef dict held
    cdef set unanswered
    cdef object outbox
    cdef object waiting  # the outbox's records

    cdef int hold(self, const TicketView *ticket) except -1
    cdef list buffers(self, const TicketView *ticket)
    cdef int answer(self, uint64_t ticket_id, bint releases) except -1
    # As answer, but who reads it is woken by ring() only.
    cdef int answer_quietly(self, uint64_t ticket_id, bint releases) except -1
    cdef int ring(self) except -1
    cdef int release(self, uint64_t ticket_id) except -1
    cdef int _send(self, const uint8_t *record, Py_ssize_t size) except -1
