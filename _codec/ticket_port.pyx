"""One acceptor's channel and slab for the lanes of a worker: tickets in, receipts and releases out."""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from posix.unistd cimport write

from _codec.packed cimport (
    KIND_RECEIPT,
    KIND_RELEASE,
    PACKED_ARRAY_3,
    PACKED_ARRAY_6,
    PACKED_EMPTY,
    PACKED_FALSE,
    PACKED_TRUE,
    pack_slots,
    pack_u64,
)
from _codec.ring cimport Ring
from _codec.ticket_record cimport TicketView

cdef enum:
    RECORD_MAX = 512  # a receipt with the slots of the longest dataset that a lane takes
    QUIET_SLOTS_MAX = 2  # as in handoff/intake.py


@cython.final
cdef class TicketPort:
    """One acceptor's channel and slab, as the lane uses them. intake: whose books of tickets it shares."""

    def __init__(
        self, intake, Ring tickets, Ring receipts, int bell, slab, dict held, set unanswered, outbox
    ):
        self.intake = intake
        self.tickets = tickets
        self.receipts = receipts
        self.bell = bell
        self.views = slab.views
        self.slot_bytes = slab.slot_bytes
        self.held = held
        self.unanswered = unanswered
        self.outbox = outbox
        self.waiting = outbox.waiting

    cdef int hold(self, const TicketView *ticket) except -1:
        # Enter a ticket into the intake's books.
        cdef Py_ssize_t i
        self.held[ticket.ticket_id] = tuple([ticket.slots[i] for i in range(ticket.slot_count)])
        self.unanswered.add(ticket.ticket_id)
        return 0

    cdef list buffers(self, const TicketView *ticket):
        # A dataset where it lies, or None if the ticket names what the slab does not have.
        cdef list buffers = []
        cdef Py_ssize_t i
        cdef Py_ssize_t left = <Py_ssize_t>ticket.dataset_bytes
        cdef Py_ssize_t room = ticket.slot_count * self.slot_bytes - left
        if not (0 < room < self.slot_bytes or room == 0):
            return None
        for i in range(ticket.slot_count):
            if ticket.slots[i] >= <uint64_t>len(self.views):
                return None
            view = self.views[<Py_ssize_t>ticket.slots[i]]
            buffers.append(view if left >= self.slot_bytes else view[:left])
            left -= self.slot_bytes
        return buffers

    cdef int answer(self, uint64_t ticket_id, bint releases) except -1:
        self.answer_quietly(ticket_id, releases)
        return self.ring()

    cdef int ring(self) except -1:
        # Wake who reads the receipts, if it sleeps.
        cdef uint64_t one = 1
        if self.receipts._wakes():
            write(self.bell, &one, 8)
        return 0

    cdef int answer_quietly(self, uint64_t ticket_id, bint releases) except -1:
        # Send the receipt of success, the slots with it or not.
        cdef uint8_t receipt[RECORD_MAX]
        cdef uint8_t *at = receipt
        slots = self.held[ticket_id] if releases else ()
        at[0] = PACKED_ARRAY_6
        at[1] = KIND_RECEIPT
        at = pack_u64(at + 2, ticket_id)
        at[0] = 0  # status
        at[1] = PACKED_EMPTY  # no comment
        at = pack_slots(at + 2, slots)
        at[0] = PACKED_TRUE if releases else PACKED_FALSE
        self._send(receipt, at + 1 - receipt)
        self.unanswered.remove(ticket_id)  # not before: without memory for the receipt it is sent later
        if releases:
            del self.held[ticket_id]
        return 0

    cdef int release(self, uint64_t ticket_id) except -1:
        # Give back the slots of a ticket that was answered.
        cdef uint8_t record[RECORD_MAX]
        cdef uint8_t *at = record
        slots = self.held.pop(ticket_id)
        at[0] = PACKED_ARRAY_3
        at[1] = KIND_RELEASE
        at = pack_slots(pack_u64(at + 2, ticket_id), slots)
        self._send(record, at - record)
        return self.ring() if len(slots) > QUIET_SLOTS_MAX else 0

    cdef int _send(self, const uint8_t *record, Py_ssize_t size) except -1:
        # Into the ring, or behind what waits for room there.
        if self.waiting or not self.receipts._write(record, <uint32_t>size):
            self.outbox.send(PyBytes_FromStringAndSize(<const char *>record, size))
        return 0
