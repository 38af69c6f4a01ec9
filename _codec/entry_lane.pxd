"""Entries of the spool from other compiled modules."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from _codec.outlet cimport Outlet, Plan
from _codec.segment_window cimport SegmentWindow
from _codec.send_lane cimport SendLane, SendOperation, SendUser
from _codec.tally cimport Histogram
from _codec.ticket_port cimport TicketPort
from _codec.ticket_record cimport TicketView


cdef class StoredEntry:
    cdef readonly uint64_t seq
    cdef readonly bytes ticket  # its record
    cdef readonly Plan plan
    cdef readonly double began
    cdef readonly int uses  # destinations that need the slots: sending from them, or waiting to
    cdef public object instance  # its InstanceBytes, once the general way needs them
    cdef EntryLane _lane
    cdef TicketPort _port
    cdef object _entry
    cdef str uid
    cdef str study
    cdef str series
    cdef uint64_t _ticket_id
    cdef uint64_t dataset_bytes
    cdef readonly uint64_t received_ns
    cdef uint64_t segment
    cdef uint64_t offset
    cdef uint32_t crc

    cdef int end_use(self) except -1


cdef class EntrySend(SendUser):
    cdef readonly uint64_t seq
    cdef readonly Outlet outlet
    cdef readonly StoredEntry entry
    cdef readonly object tag
    cdef readonly bint is_from_spool
    cdef EntryLane _lane
    cdef str _uid
    cdef uint64_t _dataset_bytes
    cdef uint64_t _received_ns


cdef class EntryLane:
    cdef object _spool
    cdef object _loans
    cdef object _on_unsent
    cdef object _on_trouble
    cdef object _on_done
    cdef object _on_overrun
    cdef Histogram _store_seconds
    cdef uint64_t _runs  # delivered so far
    cdef readonly Py_ssize_t reached  # of the run that is being delivered
    cdef readonly bint has_sent
    cdef public bint has_written  # since whoever has it made durable has reset this
    # What give_up() has to know of the entry in hand:
    cdef Outlet _handing  # which destination it is given to
    cdef bint _has_uid  # and has its SOP Instance UID among its own by this
    cdef bint _is_sent  # and gets it
    cdef EntrySend _sending  # what is being sent to it
    cdef SendLane _over  # over which lane
    cdef Py_ssize_t _unhanded  # destinations that were to get it from its slots and have not
    cdef list _done
    cdef list _leaving  # outlets of which entries of this run stay in the ledger
    cdef list _run
    cdef list _run_buffers
    cdef uint64_t _large_bytes
    cdef uint64_t _seq  # of the next entry of the run
    cdef uint64_t _segment
    cdef uint64_t _nonce
    cdef uint64_t _begin
    cdef uint64_t _offset  # of the next record of the run
    cdef uint64_t _end
    cdef SegmentWindow _window  # what the run is written through; None: by the spool

    cdef bint append(
        self, TicketPort port, Plan plan, const TicketView *ticket, list buffers, bytes record,
        const uint8_t *study, Py_ssize_t study_bytes, const uint8_t *series, Py_ssize_t series_bytes,
    ) except -1
    cdef bint _write_through(
        self, bytes facts, uint64_t dataset_bytes, uint64_t size, list buffers, uint32_t *crc
    ) except -1
    cdef bytes _head(self, bytes facts, uint64_t dataset_bytes)
    cdef bytes _trailer(self, bytes facts, uint64_t dataset_bytes, uint32_t crc)
    cdef bint _make_room(self, uint64_t size) except -1
    cdef bint _went_out(self, Outlet outlet) except -1
    cdef int _give_up(self, Outlet outlet) except -1
    cdef int _leave(self, StoredEntry entry, list outlets) except -1
    cdef int _leave_waiting(self, Outlet outlet) except -1
    cdef bint _send(self, StoredEntry entry) except -1
    cdef bint _send_over(self, StoredEntry entry, Outlet outlet, SendLane lane) except -1
    cdef EntrySend _begin_send(self, Outlet outlet, str uid, uint64_t dataset_bytes, uint64_t received_ns)
