"""The short cut of a C-STORE to a handler of the library's user: from the command set to a dataset in memory,
and from success to the C-STORE-RSP, without a Python object for a PDU, a command element or a task.

It takes a C-STORE-RQ only if nothing about it needs a decision, as store_lane.pyx does; what it leaves goes
on through protocol/association.py and services/c_store.py as if there were no lane. Those are its twin, and a
differential test holds both equal. PS3.7 sections 9.1.1, 9.3.1 and 6.3.1; PS3.8 section 9.3.5 and Annex E.
Invariant: between the connection and the bytes that a handler sees a dataset byte is copied once more at
most, and not at all if it comes through a scatter window and its dataset is about as long as the one before.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from _codec.command_elements cimport UID_MAX
from _codec.framing cimport LANE_FAILED, LANE_LEAVES, LANE_TAKES, Lane, LaneAnswer, PduReader
from _codec.open_messages cimport OPEN_MAX, OpenMessages, close_message, is_message_open, open_message
from _codec.store_messages cimport StoreRequest, is_uid, read_store_request, store_success

from _codec.command import decode_command

cdef extern from "Python.h":
    int _PyBytes_Resize(PyObject **bytes, Py_ssize_t size) except -1

cdef enum:
    BUFFER_FIRST = 16384  # of a dataset about whose size nothing is known
    BUFFER_SECOND = 262144
    BUFFER_NEXT = 1048576
    SLACK = 32768  # datasets of a series differ a little; the last fragment is expected as long as the others
    EXPECTED_MAX = 4194304
    IN_LANE_MAX = 67108864  # longer datasets leave the lane
    SPARE_MIN = 65536  # a smaller buffer costs nothing to make
    SPARE_LARGEST = 2097152
    SPARE_MAX = 16  # buffers kept for the next dataset: fresh memory costs more than receiving into it

cdef list _spare = []


cdef bytes _take_buffer(Py_ssize_t size):
    # Memory that nobody else has: at least size bytes.
    if size >= SPARE_MIN and _spare:
        found = _spare.pop()
        if PyBytes_GET_SIZE(found) >= size:
            return found
    return PyBytes_FromStringAndSize(NULL, size)


cdef int _give_back(bytes buffer) except -1:
    if SPARE_MIN <= PyBytes_GET_SIZE(buffer) <= SPARE_LARGEST and len(_spare) < SPARE_MAX:
        _spare.append(buffer)
    return 0


@cython.final
cdef class LaneDataset:
    """A dataset in memory. What nobody has looked at serves again for the next."""

    cdef list _pieces  # full ones, before the last; or None
    cdef bytes _last
    cdef Py_ssize_t _filled  # of the last
    cdef bint _is_whole  # _last is the dataset, and somebody else may have it

    def __len__(self):
        cdef Py_ssize_t size = self._filled
        if self._pieces is not None:
            for piece in self._pieces:
                size += PyBytes_GET_SIZE(piece)
        return size

    def getvalue(self):
        """Return the encoded dataset."""
        if not self._is_whole:
            if self._pieces is None:
                self._cut()
            else:
                self._join()
            self._is_whole = True
        return self._last

    def behind(self, bytes head):
        """Return a head and the encoded dataset behind it, copied once; the memory still serves again."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(head)
        cdef bytes joined = PyBytes_FromStringAndSize(NULL, size + len(self))
        cdef uint8_t *target = <uint8_t *>PyBytes_AS_STRING(joined)
        memcpy(target, PyBytes_AS_STRING(head), size)
        self._copy(target + size)
        return joined

    def __dealloc__(self):
        if self._is_whole:
            return
        if self._last is not None:
            _give_back(self._last)
        if self._pieces is not None:
            for piece in self._pieces:
                _give_back(piece)

    cdef int _cut(self) except -1:
        # Nobody else has the buffer yet, so it may still change its size.
        cdef bytes buffer = self._last
        cdef PyObject *raw = <PyObject *>buffer
        if PyBytes_GET_SIZE(buffer) == self._filled:
            return 0
        self._last = None
        Py_INCREF(buffer)
        buffer = None
        _PyBytes_Resize(&raw, self._filled)
        self._last = <bytes>raw
        Py_DECREF(self._last)
        return 0

    cdef int _join(self) except -1:
        cdef bytes piece
        cdef bytes joined = PyBytes_FromStringAndSize(NULL, len(self))
        self._copy(<uint8_t *>PyBytes_AS_STRING(joined))
        for piece in self._pieces:
            _give_back(piece)
        _give_back(self._last)
        self._pieces = None
        self._last = joined
        self._filled = PyBytes_GET_SIZE(joined)
        return 0

    cdef int _copy(self, uint8_t *target) except -1:
        # target: room for the whole dataset.
        cdef bytes piece
        if self._pieces is not None:
            for piece in self._pieces:
                memcpy(target, PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
                target += PyBytes_GET_SIZE(piece)
        memcpy(target, PyBytes_AS_STRING(self._last), self._filled)
        return 0


@cython.final
cdef class LaneRequest:
    """A C-STORE-RQ that has arrived whole; a message as a handler and a response need it."""

    cdef readonly int context_id
    cdef readonly LaneDataset dataset
    cdef bytes _octets
    cdef int _message_id
    cdef dict _command

    @property
    def command(self):
        """The command set, decoded when it is first asked for."""
        if self._command is None:
            self._command = decode_command(self._octets)
        return self._command


@cython.final
cdef class HandlerLane(Lane):
    """One association's lane.

    operations_max: operations of the peer's at once. admits(): whether the lane may take a request now.
    on_request(request): is given each request that has arrived; must not raise. adopt(pieces, last): makes a
    dataset sink of what has arrived, for a message given up; last: the buffer that is being filled.
    """

    cdef public int others_open  # requests that are answered outside the lane
    cdef public int operations_max
    cdef readonly uint64_t instances
    cdef object _admits
    cdef object _on_request
    cdef object _adopt
    cdef list _contexts  # abstract syntaxes, or None
    cdef OpenMessages _open
    cdef Py_ssize_t _expected  # bytes of a dataset as long as the one before
    # The message under way
    cdef int _context_id
    cdef int _message_id
    cdef bytes _octets
    cdef list _pieces
    cdef bytes _buffer
    cdef uint64_t _total  # bytes in the pieces

    def __init__(self, int operations_max, admits, on_request, adopt):
        self.operations_max = operations_max if operations_max < OPEN_MAX else OPEN_MAX
        self._admits = admits
        self._on_request = on_request
        self._adopt = adopt
        self._contexts = [None] * 256

    def set_context(self, int context_id, bytes abstract_syntax):
        """Serve a presentation context."""
        if len(abstract_syntax) > UID_MAX:
            raise ValueError("abstract syntax is too long", context_id)
        self._contexts[context_id] = abstract_syntax

    @property
    def open_count(self):
        """Requests that the lane has not answered yet."""
        return self._open.count

    def is_open(self, int message_id):
        """Say whether the lane has a request with this Message ID that is not answered yet."""
        return is_message_open(&self._open, message_id)

    def leave(self):
        """Give up the message under way; return (command set, sink with all that has arrived)."""
        octets, pieces, buffer = self._octets, self._pieces, self._buffer
        self._forget()
        return octets, self._adopt(pieces or [], buffer)

    def answered(self, LaneRequest request):
        """Take note that a request is answered, or will not be."""
        close_message(&self._open, request._message_id)

    @staticmethod
    def success(LaneRequest request):
        """Return the successful response to a request, as one whole P-DATA-TF."""
        return store_success(request.context_id, request._octets)

    def close(self):
        """Take no further request: the association has ended."""
        self._admits = self._on_request = self._adopt = None

    cdef LaneAnswer begin(
        self, PduReader reader, int context_id, const uint8_t *data, Py_ssize_t size
    ) except LANE_FAILED:
        cdef StoreRequest request
        cdef bytes abstract_syntax = self._contexts[context_id]
        if abstract_syntax is None or self.others_open or self._open.count >= self.operations_max:
            return LANE_LEAVES
        if not read_store_request(data, size, &request):
            return LANE_LEAVES
        if request.sop_class_bytes != PyBytes_GET_SIZE(abstract_syntax) or memcmp(
            request.sop_class, PyBytes_AS_STRING(abstract_syntax), request.sop_class_bytes
        ):
            return LANE_LEAVES
        if not is_uid(request.sop_instance, request.sop_instance_bytes):
            return LANE_LEAVES
        if is_message_open(&self._open, request.message_id):
            return LANE_LEAVES
        if self._admits is None or not self._admits():
            return LANE_LEAVES
        self._context_id = context_id
        self._message_id = request.message_id
        self._octets = PyBytes_FromStringAndSize(<const char *>data, size)
        self._total = 0
        self.is_taking = True
        self._fill(reader, self._expected if self._expected else BUFFER_FIRST)
        return LANE_TAKES

    cdef bint next_buffer(self, PduReader reader) except -1:
        # Called when the buffer is full.
        if self._total >= IN_LANE_MAX:
            return False
        if self._pieces is None:
            self._pieces = []
        self._pieces.append(self._buffer)
        self._total += reader.filled
        self._fill(reader, BUFFER_SECOND if self._total < BUFFER_SECOND else BUFFER_NEXT)
        return True

    cdef bint finish(self, PduReader reader) except -1:
        cdef LaneRequest request = LaneRequest.__new__(LaneRequest)
        cdef LaneDataset dataset = LaneDataset.__new__(LaneDataset)
        cdef uint64_t total = self._total + reader.filled
        dataset._filled = reader.filled
        reader.attach(None)
        dataset._pieces = self._pieces
        dataset._last = self._buffer
        request.dataset = dataset
        request.context_id = self._context_id
        request._message_id = self._message_id
        request._octets = self._octets
        self._expected = _expected_after(total)
        self.expects_much = total > SPARE_MIN
        open_message(&self._open, self._message_id)
        self.instances += 1
        self._forget()
        self._on_request(request)
        return True

    cdef int drop(self) except -1:
        self._forget()
        return 0

    cdef int _fill(self, PduReader reader, Py_ssize_t size) except -1:
        self._buffer = _take_buffer(size)
        reader.attach_memory(
            <uint8_t *>PyBytes_AS_STRING(self._buffer), PyBytes_GET_SIZE(self._buffer), self._buffer
        )
        return 0

    cdef int _forget(self) except -1:
        self._octets = None
        self._pieces = None
        self._buffer = None
        self.is_taking = False
        return 0


cdef Py_ssize_t _expected_after(uint64_t total) noexcept:
    # How much room the next dataset gets, given the size of the one before.
    if total <= BUFFER_FIRST:
        return 0
    if total >= EXPECTED_MAX - SLACK:
        return EXPECTED_MAX
    return (<Py_ssize_t>total + SLACK + 4095) & ~<Py_ssize_t>4095
