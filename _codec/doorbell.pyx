"""What follows a rung doorbell, as far as the lanes see to it: from the eventfd to them without Python.

A record that is no lane's, a backlog, a peer that waits for room: all that goes on in the general way, which
is the twin (handoff/dispatch.py, drain; processes/worker.py, _drain_intake).
Invariant: when rung() is over, the ring was found empty after sleep was announced in it, or the general way
was called, which sees to that; an error changes nothing about it.
"""

cimport cython
from libc.stdint cimport uint8_t, uint64_t
from posix.unistd cimport read

from _codec.borrowed cimport borrowed_octets
from _codec.entry_lane cimport EntryLane
from _codec.ring cimport Ring
from _codec.ticket_port cimport TicketPort

cdef enum:
    BATCHES_MAX = 16  # in one go, so that one busy peer does not stall the others


cdef class Doorbell:
    """What both ends have in common.

    bell: the eventfd. ring: what it rings for. room: its first octet is not 0 while the other end waits for
    room. go_on(record): the general way; record: one that was taken out of the ring and is no lane's, or
    None.
    """

    cdef int _bell
    cdef Ring _ring
    cdef object _room
    cdef const uint8_t *_room_word
    cdef object _go_on

    def __init__(self, int bell, Ring ring, room, go_on):
        self._bell = bell
        self._ring = ring
        self._room = room
        self._room_word = borrowed_octets(room, NULL)
        self._go_on = go_on

    def rung(self):
        """Take what the ring has; call when the doorbell is readable."""
        cdef uint64_t count
        read(self._bell, &count, sizeof(count))
        try:
            is_done, record = self._serve()
        except BaseException:
            self._go_on(None)
            raise
        if not is_done:
            self._go_on(record)

    cdef tuple _serve(self):
        # Have the lanes take what is there: (whether that was all, a record that they left or None).
        for _ in range(BATCHES_MAX):
            if self._is_held_up():
                break
            record = self._take()
            if record is not None:
                return False, record
            self._conclude()
            if self._room_word[0] or self._is_held_up():
                break
            if self._ring.sleep():
                return True, None
        return False, None

    cdef bint _is_held_up(self) except -1:
        # Whether there is something that only the general way sees to.
        return True

    cdef object _take(self):
        # Have the lanes take records up to one that they leave; return that.
        return None

    cdef int _conclude(self) except -1:
        # Do what is due after records were taken.
        return 0


@cython.final
cdef class ReceiptBell(Doorbell):
    """An acceptor's, for the receipts of one worker.

    inlet: the store lanes' (StoreInlet). link: the dispatcher's. waiting: what waits for slots, in queues.
    """

    cdef object _take_receipts
    cdef object _flush
    cdef object _worker
    cdef object _link
    cdef tuple _waiting

    def __init__(self, int bell, Ring ring, room, go_on, inlet, link, tuple waiting):
        Doorbell.__init__(self, bell, ring, room, go_on)
        self._take_receipts = inlet.take
        self._flush = inlet.flush
        self._worker = link.index
        self._link = link
        self._waiting = waiting

    cdef bint _is_held_up(self) except -1:
        for queue in self._waiting:
            if queue:
                return True
        return bool(self._link.backlog) or self._link.recount_position is None

    cdef object _take(self):
        return self._take_receipts(self._worker)

    cdef int _conclude(self) except -1:
        self._flush()
        return 0


@cython.final
cdef class TicketBell(Doorbell):
    """A worker's, for the tickets of one acceptor.

    tickets_max: held at most. sync(): has what was appended made durable.
    """

    cdef TicketPort _port
    cdef Py_ssize_t _tickets_max
    cdef object _sync
    cdef object _take_tickets
    cdef EntryLane _entries

    def __init__(self, int bell, Ring ring, room, go_on, TicketPort port, Py_ssize_t tickets_max, sync):
        Doorbell.__init__(self, bell, ring, room, go_on)
        self._port = port
        self._tickets_max = tickets_max
        self._sync = sync

    def use(self, forwarder, EntryLane entries):
        """Use these lanes from now on; None: everything takes the general way."""
        self._take_tickets = None if forwarder is None else forwarder.take
        self._entries = entries

    cdef bint _is_held_up(self) except -1:
        return (
            self._take_tickets is None
            or bool(self._port.waiting)
            or len(self._port.held) >= self._tickets_max
        )

    cdef object _take(self):
        return self._take_tickets(self._port)

    cdef int _conclude(self) except -1:
        if self._entries.has_written:
            self._entries.has_written = False
            self._sync()
        return 0
