"""The short cut of a C-STORE through the process that sends it: command set and dataset leave in one system
call, and the C-STORE-RSP is matched to its request, without a Python object for a PDU, an element or a task.

It is the compiled twin of services/c_store.request for an association of a pool: the same octets leave (a
differential test compares them), a response is taken only for a request of the lane's. What the lane cannot
do at once (output waits in the connection, a dataset in too many pieces) it leaves to that procedure; what
ends the association is told to every operation in the order in which they began. Small messages that are
sent in one go leave together: a peer that grants a window reads them, and answers, at once. Invariants: a
dataset's memory is not given back before the last octet of it has left or is gathered, also if the answer is
early; no octets of two messages mix. PS3.7 sections 9.1.1, 9.3.1 and 6.3.1; PS3.8 section 9.3.5 and Annex E.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset
from posix.unistd cimport close, dup

from _codec.clock cimport now
from _codec.command_elements cimport COMMAND_PDU_MAX, CONTROL_LAST, PDU_HEAD_BYTES, UID_MAX, put_pdu_head
from _codec.framing cimport LANE_FAILED, LANE_LEAVES, LANE_TOOK, Lane, LaneAnswer, PduReader
from _codec.gathering cimport Parcel, begin_gathering, end_gathering, is_gathering, remember
from _codec.store_messages cimport read_store_response, write_store_request
from _codec.traffic cimport Traffic

cdef extern from "sys/uio.h" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "sys/socket.h" nogil:
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    int MSG_NOSIGNAL
    int MSG_DONTWAIT
    Py_ssize_t send(int fd, const void *octets, size_t size, int flags)
    Py_ssize_t sendmsg(int fd, const msghdr *message, int flags)
    int setsockopt(int fd, int level, int option, const void *value, unsigned int size)
    int SHUT_RDWR
    int shutdown(int fd, int how)

cdef extern from "netinet/in.h" nogil:
    int IPPROTO_TCP

cdef extern from "netinet/tcp.h" nogil:
    int TCP_QUICKACK

cdef enum:
    PIECES_MAX = 512  # of one message: heads and parts of buffers; IOV_MAX is 1024
    HEADS_MAX = 256  # P-DATA-TFs of one dataset
    FRAGMENT_MAX = 1048576  # as _codec/pdata.pyx
    GATHERED_DATASET_MAX = 16384  # of a message that is gathered; to copy a longer one costs more than a call
    MESSAGE_ID_MAX = 65535
    STATUS_MISSING = -1
    # Reasons of an A-ABORT by the service provider (PS3.8 Table 9-26)
    UNEXPECTED_PDU = 2
    INVALID_PARAMETER = 6


cdef struct Piece:
    uint8_t *octets
    size_t size
    Py_ssize_t buffer  # index among the dataset's buffers; -1: of the heads
    size_t offset  # in that buffer

# One message is gathered at a time, and the interpreter lock is held meanwhile.
cdef Piece _pieces[PIECES_MAX]
cdef iovec _vectors[PIECES_MAX]
cdef uint8_t _command[COMMAND_PDU_MAX]
cdef uint8_t _heads[HEADS_MAX * PDU_HEAD_BYTES]


cdef class SendUser:
    """Whoever is told what became of an operation. See send_lane.pxd."""

    cdef int answered(self, SendOperation operation, int status) except -1:
        return 0

    cdef int failed(self, SendOperation operation, error) except -1:
        return 0


@cython.final
cdef class CallbackUser(SendUser):
    """Tells Python: on_answered(status, seconds), on_failed(error, seconds)."""

    cdef object _on_answered
    cdef object _on_failed

    def __cinit__(self, on_answered, on_failed):
        self._on_answered = on_answered
        self._on_failed = on_failed

    cdef int answered(self, SendOperation operation, int status) except -1:
        self._on_answered(status, now() - operation.began)
        return 0

    cdef int failed(self, SendOperation operation, error) except -1:
        self._on_failed(error, now() - operation.began)
        return 0


@cython.final
cdef class SendOperation:
    """One C-STORE-RQ under way."""


@cython.final
cdef class SendLane(Lane):
    """One association's lane, and how much of its window is taken.

    fd: the connection's socket; the lane uses a duplicate until end(), so that the number stays its own.
    contexts: what an instance needs to the presentation-context-id. window: operations at once.
    maximum_length: what the peer announced; 0: no limit. owner: whose lane it is. has_unsent(): whether
    octets wait in the connection. traffic: the connection's, for what leaves at once.
    send_rest(count, rest): send the buffers that are left of a message of count octets. is_usable: False
    once it is not lent any more. quick_ack: the peer waits for our ACK; ask for it at once. others: has the
    Message IDs of the operations that take the general way.
    """

    def __init__(
        self, int fd, dict contexts, int window, Py_ssize_t maximum_length, owner, has_unsent,
        Traffic traffic, send_rest, violated, others=(),
    ):
        self._fd = dup(fd)
        if self._fd < 0:
            raise OSError("the socket cannot be duplicated")
        self.contexts = contexts
        self.window = window
        self.owner = owner
        self.is_usable = True
        self.idle_since = now()
        self._has_unsent = has_unsent
        self._traffic = traffic
        self._send_rest = send_rest
        self._violated = violated
        self._others = others
        self._pending = {}
        self._answered = []
        self._parcel = Parcel.__new__(Parcel)
        self._gathered = []
        self._fragment_max = FRAGMENT_MAX
        if 0 < maximum_length and maximum_length - 6 < FRAGMENT_MAX:
            self._fragment_max = (maximum_length - 6) & ~<Py_ssize_t>1  # even (PS3.8 section E.1)
        if self._fragment_max < COMMAND_PDU_MAX:
            self._fragment_max = 0  # the command set may need two: everything goes the general way

    def __cinit__(self):
        self._fd = -1

    def __dealloc__(self):
        if self._fd >= 0:
            close(self._fd)

    @property
    def has_answers(self):
        """Whether settle() has something to do."""
        return len(self._answered) > 0 or self._fault is not None

    def next_message_id(self):
        """Return a Message ID that no operation in progress has; the window is far smaller than their
        number."""
        self._advance_message_id()
        return self._message_id

    def send_item(
        self, int context_id, str sop_class, str sop_instance, list buffers, on_answered, on_failed,
        bint is_awaited=False,
    ):
        """Send one instance; False if nothing was sent and the general way is to be taken.

        on_answered(status, seconds), on_failed(error, seconds): exactly one is called, later. is_awaited: as
        of send().
        """
        cdef bytes class_octets = sop_class.encode("latin-1")
        cdef bytes instance_octets = sop_instance.encode("latin-1")
        return self.send(
            CallbackUser(on_answered, on_failed), context_id, class_octets, len(class_octets),
            instance_octets, len(instance_octets), buffers, is_awaited,
        )

    def settle(self):
        """Tell the users of the operations that were answered; then answer a violation, if one came."""
        self._tell_answered()
        if self._fault is not None:
            fault, self._fault = self._fault, None
            self._violated(*fault)

    cdef int _tell_answered(self) except -1:
        cdef SendOperation operation
        cdef list early = []
        cdef list out = []
        if not self._answered:
            return 0
        answered, self._answered = self._answered, []
        for operation in answered:
            if operation.is_out or not self._has_unsent():
                operation.is_out = True
                out.append(operation)
            else:
                early.append(operation)  # its memory is still being read
        self._answered = early
        begin_gathering()  # an answer lets the next one go
        try:
            error = self._tell(out, False)
        finally:
            end_gathering()
        if error is not None:
            raise error
        return 0

    def end(self, error):
        """Tell the users of all operations that their association is over, oldest first.

        An answer to a request that did not leave whole is no answer.
        """
        cdef SendOperation operation
        cdef list answered = []
        cdef list rest = []
        pending, self._pending = self._pending, {}
        early, self._answered = self._answered, []
        self._parcel.empty()
        self._gathered = []
        self.is_usable = False
        if self._error is None:
            self._error = error
        if self._fd >= 0:
            close(self._fd)
            self._fd = -1
        for operation in early:
            (answered if operation.is_out else rest).append(operation)
        rest.extend(pending.values())
        rest.sort(key=_began)
        trouble = self._tell(answered, False)
        trouble = self._tell(rest, True) or trouble
        if trouble is not None:
            raise trouble

    def oldest_began(self):
        """Return when the oldest operation without an answer began (time.monotonic), or None."""
        cdef SendOperation operation
        for operation in self._pending.values():
            return operation.began
        return None

    def is_late(self, double at):
        """Say whether at this time (time.monotonic) the oldest operation has waited too long.

        That is for more than deadline_s since its request was out.
        """
        cdef SendOperation operation
        if self.deadline_s <= 0:
            return False
        for operation in self._pending.values():
            if not operation.is_out:
                if self._has_unsent():
                    return False  # the deadline for writing counts
                operation.is_out = True
                operation.out_at = at
            return at - operation.out_at >= self.deadline_s
        return False

    cdef object _tell(self, list operations, bint is_failed):
        # Tell each, whatever one of them does; return the first error of theirs, or None.
        cdef SendOperation operation
        trouble = None
        for operation in operations:
            try:
                if is_failed:
                    operation.user.failed(operation, self._error)
                else:
                    operation.user.answered(operation, operation.status)
            except Exception as error:
                trouble = trouble or error
        return trouble

    cdef LaneAnswer begin(
        self, PduReader reader, int context_id, const uint8_t *data, Py_ssize_t size
    ) except LANE_FAILED:
        cdef int message_id = 0
        cdef int status = STATUS_MISSING
        if not read_store_response(data, size, &message_id, &status):
            return LANE_LEAVES
        return LANE_TOOK if self._take(context_id, message_id, status) else LANE_LEAVES

    def take_response(self, int context_id, message_id, status):
        """Take a response that came the general way, with a dataset; False if nobody asked. Then settle().

        status: None if it has not one.
        """
        return self._take(context_id, message_id, STATUS_MISSING if status is None else status)

    cdef bint _take(self, int context_id, message_id, int status) except -1:
        cdef SendOperation operation
        found = self._pending.get(message_id)
        if found is None:
            return False
        operation = found
        if operation.context_id != context_id:
            text = f"C-STORE-RSP came in presentation context {context_id}"
            self._fault = (UNEXPECTED_PDU, f"{text}, its request went out in {operation.context_id}")
        elif status == STATUS_MISSING:
            self._fault = (INVALID_PARAMETER, "C-STORE-RSP without one Status")
        else:
            del self._pending[message_id]
            operation.status = status
            self._answered.append(operation)
        return True

    cdef bint send(
        self, SendUser user, int context_id, const uint8_t *sop_class, Py_ssize_t sop_class_bytes,
        const uint8_t *sop_instance, Py_ssize_t sop_instance_bytes, list buffers, bint is_awaited,
    ) except -1:
        cdef Py_ssize_t count
        cdef SendOperation operation
        cdef bint is_gathered
        if self._fragment_max == 0 or self._fd < 0:
            return False
        if sop_class_bytes > UID_MAX or sop_instance_bytes > UID_MAX:
            return False
        is_gathered = self._makes_room(buffers, is_awaited)
        if not self._parcel.size and self._has_unsent():
            return False
        self._advance_message_id()
        count = self._lay_out(
            context_id, sop_class, sop_class_bytes, sop_instance, sop_instance_bytes, buffers
        )
        if count == 0:
            return False
        operation = SendOperation.__new__(SendOperation)
        operation.message_id = self._message_id
        operation.lane = self
        operation.user = user
        operation.context_id = context_id
        operation.began = operation.out_at = now()
        self._pending[self._message_id] = operation
        self.last = operation
        if is_gathered:
            self._gather(operation, count)
        else:
            self._send_at_once(operation, count, buffers)
        return True

    cdef bint _makes_room(self, list buffers, bint is_awaited) except -1:
        # Whether a dataset is to leave along with others. Then there is room, else what was gathered has
        # left.
        cdef Py_ssize_t size = 0
        cdef bint is_small
        for buffer in buffers:
            size += len(buffer)
        is_small = size <= GATHERED_DATASET_MAX and (not is_awaited or len(self._pending) > 0)
        is_small = is_small and is_gathering() and self._parcel.open()
        size += COMMAND_PDU_MAX + PDU_HEAD_BYTES * (size // self._fragment_max + 1)
        if self._parcel.size and not (is_small and self._parcel.has_room(size)):
            self.send_gathered()
        return is_small and self._parcel.has_room(size)

    cdef int _gather(self, SendOperation operation, Py_ssize_t count) except -1:
        # Copy the message in _pieces behind those that are to leave with it.
        cdef Py_ssize_t i
        if not self._parcel.size:
            remember(self)
        for i in range(count):
            self._parcel.append(_pieces[i].octets, <Py_ssize_t>_pieces[i].size)
        operation.gathered_up_to = self._parcel.size
        operation.is_out = True  # unless it turns out otherwise, before anybody is told
        self._gathered.append(operation)
        return 0

    cpdef int send_gathered(self) except -1:
        """Send what was gathered; call it before anything is sent over the connection the general way."""
        cdef SendOperation operation
        cdef Py_ssize_t total = self._parcel.size
        cdef Py_ssize_t written = 0
        if not total:
            return 0
        operations, self._gathered = self._gathered, []
        try:
            if not self._has_unsent():
                written = max(0, send(self._fd, self._parcel._octets, total, MSG_NOSIGNAL | MSG_DONTWAIT))
            if written == total:
                self._traffic.sent += total
            else:
                for operation in operations:
                    operation.is_out = operation.gathered_up_to <= written
                self._send_rest(total, [self._parcel.rest(written)])
        except BaseException:
            self._break_off()
            raise
        finally:
            self._parcel.empty()
        return self._ask_for_ack()

    cdef int _break_off(self) noexcept:
        # What is left of a message cannot be sent: no other may follow its beginning.
        self.is_usable = False
        shutdown(self._fd, SHUT_RDWR)
        return 0

    cdef int _send_at_once(self, SendOperation operation, Py_ssize_t count, list buffers) except -1:
        # Send the message in _pieces.
        cdef Py_ssize_t i, written
        cdef Py_ssize_t total = 0
        cdef msghdr message
        for i in range(count):
            _vectors[i].iov_base = _pieces[i].octets
            _vectors[i].iov_len = _pieces[i].size
            total += _pieces[i].size
        memset(&message, 0, sizeof(message))
        message.msg_iov = _vectors
        message.msg_iovlen = count
        written = sendmsg(self._fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
        if written < 0:
            written = 0  # the connection will learn what is wrong when it sends the rest, or reads
        operation.is_out = written == total
        if operation.is_out:
            self._traffic.sent += total
        else:
            try:
                self._send_rest(total, self._rest(count, written, buffers))
            except BaseException:
                self._break_off()
                raise
        return self._ask_for_ack()

    cdef int _ask_for_ack(self) except -1:
        cdef int one = 1
        if self.quick_ack:
            setsockopt(self._fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one))
        return 0

    cdef int _advance_message_id(self) except -1:
        # Go on to the next Message ID that no operation in progress has.
        while True:
            self._message_id = self._message_id % MESSAGE_ID_MAX + 1
            if self._message_id not in self._pending and self._message_id not in self._others:
                return 0

    cdef int give_back(self) except -1:
        # One operation is over.
        self.outstanding -= 1
        if self.outstanding == 0:
            self.idle_since = now()
            if not self.is_usable:
                self.owner.retired()
        return 0

    cdef Py_ssize_t _lay_out(
        self, int context_id, const uint8_t *sop_class, Py_ssize_t sop_class_bytes,
        const uint8_t *sop_instance, Py_ssize_t sop_instance_bytes, list buffers,
    ) except -1:
        # Lay the message into _pieces; 0: it takes too many. The buffers' memory stays where it is while
        # their owners hold it for us, which is until the operation is over.
        cdef Py_buffer view
        cdef Py_ssize_t count = 1
        cdef Py_ssize_t heads = 0
        cdef Py_ssize_t left = 0
        cdef Py_ssize_t fragment_left = 0
        cdef Py_ssize_t index, at, take
        _pieces[0].octets = _command
        _pieces[0].size = write_store_request(
            _command, context_id, self._message_id, sop_class, sop_class_bytes, sop_instance,
            sop_instance_bytes,
        )
        _pieces[0].buffer = -1
        for buffer in buffers:
            left += len(buffer)
        if left == 0:
            return 0
        for index in range(len(buffers)):
            PyObject_GetBuffer(buffers[index], &view, PyBUF_SIMPLE)
            at = 0
            while at < view.len:
                if fragment_left == 0:
                    if heads == HEADS_MAX or count >= PIECES_MAX - 1:
                        PyBuffer_Release(&view)
                        return 0
                    fragment_left = left if left < self._fragment_max else self._fragment_max
                    left -= fragment_left
                    put_pdu_head(
                        _heads + heads * PDU_HEAD_BYTES, context_id, <uint32_t>fragment_left,
                        0 if left else CONTROL_LAST,
                    )
                    _pieces[count].octets = _heads + heads * PDU_HEAD_BYTES
                    _pieces[count].size = PDU_HEAD_BYTES
                    _pieces[count].buffer = -1
                    heads += 1
                    count += 1
                if count == PIECES_MAX:
                    PyBuffer_Release(&view)
                    return 0
                take = view.len - at if view.len - at < fragment_left else fragment_left
                _pieces[count].octets = <uint8_t *>view.buf + at
                _pieces[count].size = take
                _pieces[count].buffer = index
                _pieces[count].offset = at
                count += 1
                at += take
                fragment_left -= take
            PyBuffer_Release(&view)
        return count

    cdef list _rest(self, Py_ssize_t count, Py_ssize_t written, list buffers):
        # What sendmsg did not take, as buffers: heads copied, parts of the dataset as views.
        cdef list rest = []
        cdef Py_ssize_t i
        cdef size_t skip = written
        for i in range(count):
            if skip >= _pieces[i].size:
                skip -= _pieces[i].size
                continue
            if _pieces[i].buffer < 0:
                rest.append(PyBytes_FromStringAndSize(
                    <const char *>_pieces[i].octets + skip, <Py_ssize_t>(_pieces[i].size - skip)
                ))
            else:
                view = memoryview(buffers[_pieces[i].buffer])
                rest.append(view[_pieces[i].offset + skip:_pieces[i].offset + _pieces[i].size])
            skip = 0
        return rest


def _began(SendOperation operation):
    return operation.began
