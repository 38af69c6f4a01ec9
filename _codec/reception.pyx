"""The short cut of received octets from the socket to a lane, and of its responses to the socket: no Python
between two reads of a message, and none for a message that the lane takes whole.

It stands before the general way of drivers/connection.py (get_buffer, buffer_updated), which is its twin:
what the reader reports, and output that waits, goes on there. Unlike it, this one receives all that is there
of a dataset in one go, past the event loop (a ScatterWindow: each payload into its place).
Invariants: the socket is only read while the event loop reports octets on it, and never after Python was
called; it is only written to while nothing waits to be written. The end of the stream and errors are left for
the event loop to find. PS3.8 section 9.3.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from _codec.borrowed cimport borrowed_octets
from _codec.clock cimport now
from _codec.framing cimport PHASE_DATASET, TURN_DATASET, TURN_MORE_COMMAND, PduReader
from _codec.scatter_window cimport ScatterWindow, readv
from _codec.send_lane cimport SendLane
from _codec.traffic cimport Traffic

cdef extern from "sys/socket.h" nogil:
    int MSG_NOSIGNAL
    int MSG_DONTWAIT
    ssize_t send(int fd, const void *octets, size_t size, int flags)

cdef enum:
    EVENT_NEED_DATA = 0  # framing.pyx
    NO_SOCKET = -1
    FIRST_OF_LONG = 4096  # of the staging memory, after a long dataset: the next is probably long too
    READS_MAX = 16  # of one association in one go; then others have their turn


cdef enum Landing:
    LANDING_GENERAL  # where the connection said
    LANDING_STAGING
    LANDING_DIRECT


@cython.final
cdef class Reception:
    """What one connection receives, as far as a lane takes it.

    staging: memory that all connections of a loop share between two calls. first: the part of it that is
    offered between messages. connection: see Connection.take_event and Connection.go_on. traffic: its.
    """

    cdef object _connection
    cdef Traffic _traffic
    cdef object _transport
    cdef object _unsent_bytes  # of the transport: how many wait in it
    cdef object _is_closing
    cdef object _upper_layer
    cdef object _get_buffer  # the general way
    cdef object _buffer_updated
    cdef object _staging
    cdef object _first
    cdef object _first_of_long
    cdef const uint8_t *_octets  # of the staging memory
    cdef PduReader _reader  # None: everything goes the general way
    cdef SendLane _lane
    cdef ScatterWindow _window  # made when it is first wanted
    cdef object _outbox
    cdef object _ends
    cdef int _fd
    cdef Landing _landing
    cdef Py_ssize_t _offered
    cdef bint _is_long

    def __init__(self, connection, Traffic traffic, staging, first):
        self._connection = connection
        self._traffic = traffic
        self._get_buffer = connection.get_buffer
        self._buffer_updated = connection.buffer_updated
        self._staging = staging
        self._octets = borrowed_octets(staging, NULL)
        self._first = first
        self._first_of_long = staging[:FIRST_OF_LONG]
        self._fd = NO_SOCKET

    def open(self, transport, upper_layer, PduReader reader, SendLane lane, int fd, outbox, ends):
        """Take the short cut from now on: the reader has a lane.

        lane: if it is one that sends. fd: the transport's socket; -1: it is not to be read or written to
        here, as under TLS. outbox, ends: while they are not empty, the connection is told of everything
        received.
        """
        self._transport = transport
        self._unsent_bytes = transport.get_write_buffer_size
        self._is_closing = transport.is_closing
        self._upper_layer = upper_layer
        self._reader = reader
        self._lane = lane
        self._fd = fd
        self._outbox = outbox
        self._ends = ends

    def close(self):
        """Let go of everything: the connection is gone."""
        self._reader = None
        self._lane = None
        self._window = None
        self._fd = NO_SOCKET
        self._outbox = self._ends = None
        self._connection = self._get_buffer = self._buffer_updated = None
        self._transport = self._unsent_bytes = self._is_closing = self._upper_layer = None

    def get_buffer(self, sizehint):
        """Return where the next octets are to be received."""
        cdef PduReader reader = self._reader
        if reader is None:
            self._landing = LANDING_GENERAL
            return self._get_buffer(sizehint)
        if reader._phase == PHASE_DATASET and reader._make_room():
            window = reader.direct_window()
            if window is not None:
                self._landing = LANDING_DIRECT
                self._is_long = True
                self._offered = len(window)
                return window
        self._landing = LANDING_STAGING
        if self._is_long:
            self._offered = len(self._first_of_long)
            return self._first_of_long
        self._offered = len(self._first)
        return self._first

    def buffer_updated(self, Py_ssize_t nbytes):
        """Take note of nbytes received there."""
        cdef PduReader reader = self._reader
        cdef SendLane lane = self._lane
        cdef uint64_t received = nbytes
        cdef Py_ssize_t start = 0
        cdef Py_ssize_t end = 0
        cdef int event
        if self._landing == LANDING_GENERAL or reader is None:
            self._buffer_updated(nbytes)
            return
        data = self._staging
        if self._landing == LANDING_DIRECT:
            event = reader.advance(nbytes)
        else:
            reader.consumed = 0
            event = reader._run(self._octets, nbytes)
            start, end = reader.consumed, nbytes
            if reader._turn not in (TURN_DATASET, TURN_MORE_COMMAND):
                self._is_long = False
        if event == EVENT_NEED_DATA and nbytes == self._offered and self._fd != NO_SOCKET:
            event, data, start = self._drain(reader, &received)
            end = len(data)
        self._traffic.received += received
        self._traffic.heard_at = now()
        if event != EVENT_NEED_DATA:
            self._connection.take_event(event, data, start, end)
            return
        if lane is not None and lane.has_answers:
            lane.settle()
        if self._outbox or self._ends:
            self._connection.go_on()

    def has_unsent(self):
        """Whether octets wait, so that none may be sent past them; also if none may be sent at all."""
        return (
            self._transport is None
            or bool(self._outbox)
            or self._unsent_bytes() > 0
            or self._is_closing()
            or not self._upper_layer.may_send_data
        )

    def send(self, bytes pdus):
        """Send PDUs that a lane has encoded, in their turn; nothing if no message may be sent any more."""
        cdef ssize_t count
        cdef Py_ssize_t size = PyBytes_GET_SIZE(pdus)
        connection = self._connection
        if connection is None:
            return
        if self._fd == NO_SOCKET or self.has_unsent():
            connection.send_whole(pdus)
            return
        count = send(self._fd, PyBytes_AS_STRING(pdus), size, MSG_NOSIGNAL | MSG_DONTWAIT)
        if count < size:  # what is wrong with the connection it will learn when it sends the rest, or reads
            self._transport.write(pdus[count:] if count > 0 else pdus)
        self._traffic.sent += size
        if connection.is_held:
            connection.advance()

    cdef tuple _drain(self, PduReader reader, uint64_t *received):
        # Receive what is there of a dataset; return an event, and octets that it leaves, from where on.
        cdef ScatterWindow window = self._window
        cdef ssize_t count
        cdef Py_ssize_t size
        cdef int event
        cdef bytes rest
        if window is None:
            window = self._window = ScatterWindow.__new__(ScatterWindow, reader)
        for _ in range(READS_MAX):
            if not (reader._make_room() and window.lay_out()):
                break
            self._is_long = True
            size = window.size
            count = readv(self._fd, window.parts, window.count)
            if count <= 0:
                window.count = 0
                break
            received[0] += count
            event, rest = window.advance(count)
            if event != EVENT_NEED_DATA:
                return event, rest, 0
            if rest:
                reader.consumed = 0
                event = reader._run(<const uint8_t *>PyBytes_AS_STRING(rest), PyBytes_GET_SIZE(rest))
                if event != EVENT_NEED_DATA:
                    return event, rest, reader.consumed
            if count < size:
                break
        return EVENT_NEED_DATA, b"", 0
