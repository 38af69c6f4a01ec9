"""The load tool's share of each instance: what a storage SCU and SCP for load do for every C-STORE.

Three classes: Image patches the next instance into a prepared stream, Lane keeps what is under way on a
sending association and takes its answers, Skimmer passes over whole C-STORE-RQs that look like the one it
was shown and writes their answers. Whatever they have not been shown is left to the caller, octet by octet
where it began.
Invariant: nothing is taken in part; a position returned is where the next PDU, PDV or payload begins.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcmp, memcpy

from _codec.big_endian cimport load_u32

NUMBER_DIGITS = 10
UID_BYTES = 24
HISTOGRAM_CELLS = 2432
ANSWERED_CELL = 2432
CELLS = 2433
ANSWERS_MAX = 8
WINDOW_MAX = 65535
NUMBERS_MAX = 1 << 27

cdef enum:
    DIGITS = 10
    OWN_UID_BYTES = 24
    OWN_PREFIX_BYTES = 6  # "2.25.1", then 18 digits
    SUB_BITS = 6  # 64 steps an octave: a latency is known to 1.6 %
    HISTOGRAM = 2432  # up to 2**43 ns
    ANSWERED = 2432
    SHAPES_MAX = 8
    PDATA_TF = 4
    PDU_HEAD_BYTES = 6
    PDATA_HEAD_BYTES = 12
    COMMAND_AND_LAST = 3
    COMMAND_BIT = 1
    LAST_BIT = 2
    KEPT_MAX = 1 << 27  # numbers kept by one association: 1 GB


cdef inline void put_digits(uint8_t *place, uint64_t number) noexcept nogil:
    # the caller has checked that DIGITS octets are there
    cdef int i
    for i in range(DIGITS - 1, -1, -1):
        place[i] = 48 + number % 10
        number //= 10


cdef inline int histogram_cell(uint64_t value) noexcept nogil:
    cdef int shift = 0
    while value >> shift >= 2 << SUB_BITS:
        shift += 1
    shift = (shift << SUB_BITS) + <int>(value >> shift)
    return shift if shift < HISTOGRAM else HISTOGRAM - 1


@cython.final
cdef class Image:
    """The octets of one instance that change, and where.

    head: the stream's beginning, written to in place; id_at, command_number_at, dataset_number_at: offsets
    of Message ID and of the last digits of both SOP Instance UIDs in it. Raises ValueError if one leaves
    the head.
    """

    cdef readonly bytearray head
    cdef Py_ssize_t _id_at
    cdef Py_ssize_t _command_number_at
    cdef Py_ssize_t _dataset_number_at

    def __init__(self, bytearray head not None, Py_ssize_t id_at, Py_ssize_t command_number_at,
                 Py_ssize_t dataset_number_at):
        cdef Py_ssize_t size = len(head)
        if min(id_at, command_number_at, dataset_number_at) < 0 or id_at + 2 > size:
            raise ValueError("an offset leaves the head")
        if max(command_number_at, dataset_number_at) + DIGITS > size:
            raise ValueError("an offset leaves the head")
        self.head = head
        self._id_at = id_at
        self._command_number_at = command_number_at
        self._dataset_number_at = dataset_number_at

    def patch(self, uint64_t number, unsigned int message_id):
        """Make the head that of another instance."""
        cdef uint8_t *head = <uint8_t *>PyByteArray_AS_STRING(self.head)
        head[self._id_at] = message_id & 0xFF
        head[self._id_at + 1] = message_id >> 8
        put_digits(head + self._command_number_at, number)
        put_digits(head + self._dataset_number_at, number)


cdef struct Operation:
    int64_t sent_ns
    uint64_t number
    bint under_way


cdef struct AnswerShape:
    Py_ssize_t size  # octets of the whole PDU
    Py_ssize_t id_at
    Py_ssize_t number_at  # last digits of the Affected SOP Instance UID; -1: the answer has none
    uint8_t *octets  # as a success answer has them; owned


@cython.final
cdef class Lane:
    """Operations under way on one association, by Message ID 1..window.

    counts: an array of CELLS signed 64-bit counts shared by all lanes: the histogram of latencies, then
    the number of answers. Raises ValueError if it is smaller or the window is not 1..WINDOW_MAX.
    """

    cdef readonly int window
    cdef readonly int free
    cdef uint16_t *_free_ids
    cdef Operation *_operations
    cdef AnswerShape _shapes[SHAPES_MAX]
    cdef int _shape_count
    cdef int64_t[::1] _counts

    def __cinit__(self, int window, counts):
        cdef int message_id
        if not 0 < window <= WINDOW_MAX:
            raise ValueError(f"window {window}, allowed 1..{WINDOW_MAX}")
        self._counts = counts
        if len(self._counts) < CELLS:
            raise ValueError(f"{len(self._counts)} counts, {CELLS} are needed")
        self._free_ids = <uint16_t *>PyMem_Malloc(window * sizeof(uint16_t))
        self._operations = <Operation *>PyMem_Malloc((window + 1) * sizeof(Operation))
        if self._free_ids == NULL or self._operations == NULL:
            raise MemoryError
        self.window = window
        self.free = window
        for message_id in range(1, window + 1):
            self._free_ids[window - message_id] = message_id
            self._operations[message_id].under_way = False

    def __dealloc__(self):
        cdef int i
        PyMem_Free(self._free_ids)
        PyMem_Free(self._operations)
        for i in range(self._shape_count):
            PyMem_Free(self._shapes[i].octets)

    def begin(self, uint64_t number, int64_t sent_ns):
        """Take a free Message ID for an instance; the caller has looked at `free`."""
        cdef int message_id
        if self.free == 0:
            raise ValueError("no message id is free")
        self.free -= 1
        message_id = self._free_ids[self.free]
        self._operations[message_id].sent_ns = sent_ns
        self._operations[message_id].number = number
        self._operations[message_id].under_way = True
        return message_id

    def end(self, int message_id, int64_t now_ns):
        """Count the answer to an operation; return its instance's number.

        Raises ValueError if none is under way.
        """
        if not 0 < message_id <= self.window or not self._operations[message_id].under_way:
            raise ValueError(f"answer to message id {message_id}, which is not under way")
        self._finish(message_id, now_ns)
        return self._operations[message_id].number

    cdef void _finish(self, int message_id, int64_t now_ns) noexcept:
        # message_id was checked by the caller
        cdef Operation *operation = &self._operations[message_id]
        operation.under_way = False
        self._free_ids[self.free] = message_id
        self.free += 1
        self._counts[histogram_cell(max(0, now_ns - operation.sent_ns))] += 1
        self._counts[ANSWERED] += 1

    def learn(self, bytes pdu not None, Py_ssize_t id_at, Py_ssize_t number_at):
        """Remember what a success answer looks like: from now on `take` takes such ones.

        At most ANSWERS_MAX.
        """
        cdef Py_ssize_t size = PyBytes_GET_SIZE(pdu)
        cdef AnswerShape *shape = &self._shapes[self._shape_count]
        if self._shape_count == SHAPES_MAX:
            return
        if not PDU_HEAD_BYTES <= id_at <= size - 2 or number_at > size - DIGITS or -1 < number_at < id_at + 2:
            raise ValueError("an offset leaves the answer")
        if load_u32(<uint8_t *>PyBytes_AS_STRING(pdu) + 2) + PDU_HEAD_BYTES != <uint64_t>size:
            raise ValueError("not one whole PDU")
        shape.octets = <uint8_t *>PyMem_Malloc(size)
        if shape.octets == NULL:
            raise MemoryError
        memcpy(shape.octets, PyBytes_AS_STRING(pdu), size)
        shape.size = size
        shape.id_at = id_at
        shape.number_at = number_at
        self._shape_count += 1

    def take(self, bytearray data not None, Py_ssize_t position, Py_ssize_t end, int64_t now_ns):
        """Count whole success answers from position on; return where the first one begins that is not
        known.
        """
        cdef uint8_t *octets = <uint8_t *>PyByteArray_AS_STRING(data)
        cdef int message_id
        if position < 0 or end > PyByteArray_GET_SIZE(data):
            raise ValueError("the answers leave the buffer")
        while position < end:
            message_id = self._known(octets + position, end - position)
            if message_id == 0:
                break
            position += PDU_HEAD_BYTES + load_u32(octets + position + 2)  # as `learn` has checked it
            self._finish(message_id, now_ns)
        return position

    cdef int _known(self, uint8_t *pdu, Py_ssize_t left) noexcept:
        """Return the Message ID of an answer of a known shape to an operation under way, else 0."""
        cdef int i, message_id
        cdef Py_ssize_t tail
        cdef AnswerShape *shape
        cdef uint8_t digits[DIGITS]
        for i in range(self._shape_count):
            shape = &self._shapes[i]
            tail = shape.id_at + 2
            if left < shape.size or memcmp(pdu, shape.octets, shape.id_at) != 0:
                continue
            message_id = pdu[shape.id_at] | pdu[shape.id_at + 1] << 8
            if not 0 < message_id <= self.window or not self._operations[message_id].under_way:
                return 0
            if shape.number_at >= 0:
                put_digits(digits, self._operations[message_id].number)
                if memcmp(pdu + shape.number_at, digits, DIGITS) != 0:
                    continue
                if memcmp(pdu + tail, shape.octets + tail, shape.number_at - tail) != 0:
                    continue
                tail = shape.number_at + DIGITS
            if memcmp(pdu + tail, shape.octets + tail, shape.size - tail) == 0:
                return message_id
        return 0


@cython.final
cdef class Skimmer:
    """The place inside the inbound stream of one association, and the plain C-STOREs that went through.

    pdu_left: octets of the P-DATA-TF after the current PDV; pdv_left: dataset octets of the current PDV
    still to come; is_last: it is the dataset's last fragment; dataset_bytes: octets of the dataset so far;
    is_plain: the current dataset belongs to a command that `skim` took, and is completed here. All may be
    written by the caller between messages. instances, octets: completed here since the last
    `take_numbers`; last_ns: when.
    """

    cdef public uint64_t pdu_left
    cdef public uint64_t pdv_left
    cdef public bint is_last
    cdef public uint64_t dataset_bytes
    cdef public bint is_plain
    cdef readonly uint64_t instances
    cdef readonly uint64_t octets
    cdef readonly uint64_t odd_sizes  # completed with another size than learned
    cdef readonly int64_t last_ns
    cdef bytes _request
    cdef bytearray _answer
    cdef Py_ssize_t _id_at
    cdef Py_ssize_t _uid_at
    cdef Py_ssize_t _answer_id_at
    cdef Py_ssize_t _answer_uid_at
    cdef uint64_t _size
    cdef uint64_t *_numbers
    cdef Py_ssize_t _kept
    cdef Py_ssize_t _room
    cdef uint64_t _number

    def __dealloc__(self):
        PyMem_Free(self._numbers)

    def learn(self, bytes request not None, Py_ssize_t id_at, Py_ssize_t uid_at, bytearray answer not None,
              Py_ssize_t answer_id_at, Py_ssize_t answer_uid_at, uint64_t size):
        """Take such commands from now on, and no other.

        request: a whole C-STORE-RQ command in one P-DATA-TF, whose SOP Instance UID is one of the load
        tool's; answer: what is answered, patched at the offsets; size: of its dataset, 0 = any.
        """
        if not PDATA_HEAD_BYTES <= id_at or id_at + 2 > uid_at or uid_at + OWN_UID_BYTES > len(request):
            raise ValueError("an offset leaves the request")
        if load_u32(<uint8_t *>PyBytes_AS_STRING(request) + 2) + PDU_HEAD_BYTES != <uint64_t>len(request):
            raise ValueError("not one whole PDU")
        if not 0 <= answer_id_at <= len(answer) - 2 or not 0 <= answer_uid_at <= len(answer) - OWN_UID_BYTES:
            raise ValueError("an offset leaves the answer")
        self._request = request
        self._answer = answer
        self._id_at = id_at
        self._uid_at = uid_at
        self._answer_id_at = answer_id_at
        self._answer_uid_at = answer_uid_at
        self._size = size

    def forget(self):
        """Take no command any more."""
        self._request = None

    def skim(self, bytearray data not None, Py_ssize_t position, Py_ssize_t end, bytearray out not None,
             int64_t now_ns):
        """Pass over what is known, append the answers to out; return where the first thing begins that is
        not.
        """
        cdef uint8_t *octets = <uint8_t *>PyByteArray_AS_STRING(data)
        cdef uint64_t take
        if position < 0 or end > PyByteArray_GET_SIZE(data):
            raise ValueError("the octets leave the buffer")
        while position < end:
            if self.pdv_left:
                if not self.is_plain:
                    break
                take = min(self.pdv_left, <uint64_t>(end - position))
                self.pdv_left -= take
                self.dataset_bytes += take
                position += take
                if self.pdv_left == 0 and self.is_last:
                    self._complete(out, now_ns)
            elif self.pdu_left or octets[position] != PDATA_TF or end - position < PDATA_HEAD_BYTES:
                break
            elif octets[position + 11] & COMMAND_BIT:
                if self._request is None or not self._is_known(octets + position, end - position):
                    break
                position += PyBytes_GET_SIZE(self._request)
            elif not self._begin_fragment(octets + position):
                break
            else:
                position += PDATA_HEAD_BYTES
        return position

    cdef bint _begin_fragment(self, uint8_t *pdu) noexcept:
        """Enter a P-DATA-TF of one dataset PDV that belongs to a plain command; the caller has seen its
        head.
        """
        cdef uint64_t pdv_bytes = load_u32(pdu + 6)
        if not self.is_plain or pdv_bytes < 3 or pdv_bytes + 4 != load_u32(pdu + 2):
            return False
        self.pdv_left = pdv_bytes - 2
        self.is_last = pdu[11] & LAST_BIT
        return True

    cdef bint _is_known(self, uint8_t *pdu, Py_ssize_t left) noexcept:
        """Enter a whole command of the known shape: patch its answer, remember its number."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self._request)
        cdef uint8_t *known = <uint8_t *>PyBytes_AS_STRING(self._request)
        cdef uint8_t *answer = <uint8_t *>PyByteArray_AS_STRING(self._answer)
        cdef Py_ssize_t tail = self._id_at + 2
        cdef Py_ssize_t digits_at = self._uid_at + OWN_PREFIX_BYTES
        cdef Py_ssize_t i
        cdef uint64_t number = 0
        if left < size or memcmp(pdu, known, self._id_at) != 0:
            return False
        if memcmp(pdu + tail, known + tail, digits_at - tail) != 0:
            return False
        for i in range(digits_at, self._uid_at + OWN_UID_BYTES):
            if not 48 <= pdu[i] <= 57:
                return False
            number = number * 10 + pdu[i] - 48
        tail = self._uid_at + OWN_UID_BYTES
        if memcmp(pdu + tail, known + tail, size - tail) != 0:
            return False
        memcpy(answer + self._answer_id_at, pdu + self._id_at, 2)
        memcpy(answer + self._answer_uid_at, pdu + self._uid_at, OWN_UID_BYTES)
        self._number = number
        self.dataset_bytes = 0
        self.is_plain = True
        return True

    def complete(self, bytearray out not None, int64_t now_ns):
        """Count the current dataset and append its answer, where the caller has seen its end."""
        if not self.is_plain:
            raise ValueError("no dataset of a known command is under way")
        self._complete(out, now_ns)

    cdef int _complete(self, bytearray out, int64_t now_ns) except -1:
        cdef Py_ssize_t owed = PyByteArray_GET_SIZE(out)
        cdef Py_ssize_t size = PyByteArray_GET_SIZE(self._answer)
        PyByteArray_Resize(out, owed + size)
        memcpy(PyByteArray_AS_STRING(out) + owed, PyByteArray_AS_STRING(self._answer), size)
        self.is_plain = False
        self.instances += 1
        self.octets += self.dataset_bytes
        if self._size and self._size != self.dataset_bytes:
            self.odd_sizes += 1
        self.last_ns = now_ns
        if self._kept == self._room:
            self._grow()
        self._numbers[self._kept] = self._number
        self._kept += 1
        return 0

    cdef int _grow(self) except -1:
        cdef Py_ssize_t room = max(1024, 2 * self._room)
        cdef uint64_t *numbers
        if room > KEPT_MAX:
            raise MemoryError("more instances on one association than are kept")
        numbers = <uint64_t *>PyMem_Realloc(self._numbers, room * sizeof(uint64_t))
        if numbers == NULL:
            raise MemoryError
        self._numbers = numbers
        self._room = room
        return 0

    def take_numbers(self):
        """Return the 18 digits of each UID completed since the last time, as native u64; begin anew."""
        taken = b""
        if self._kept:
            taken = PyBytes_FromStringAndSize(<char *>self._numbers, self._kept * sizeof(uint64_t))
        self._kept = 0
        self.instances = 0
        self.octets = 0
        self.odd_sizes = 0
        return taken
