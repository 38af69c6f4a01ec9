"""The short cut of a C-STORE through the process that receives it: from the command set to the ticket, and
from the receipt to the C-STORE-RSP, without a Python object for a PDU, a command element or a task.

It takes a C-STORE-RQ only if nothing about it needs a decision: every element is one that the service knows,
the SOP class is the context's, the SOP Instance UID is well formed, the Message ID is free, a slot is free.
What it leaves, or gives up in the middle (no slot left, no room in the ring, a dataset that belongs into a
file), goes on through protocol/association.py and services/c_store.py as if there were no lane; those are its
twin, and a differential test holds both equal.
Invariants: those of handoff/dispatch.py, whose book holds the lane's loans too. No success leaves but by a
receipt. PS3.7 sections 9.1.1, 9.3.1 and 6.3.1; PS3.8 section 9.3.5 and Annex E.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp
from posix.unistd cimport write

from _codec.borrowed cimport borrowed_octets
from _codec.clock cimport now
from _codec.command_elements cimport UID_MAX
from _codec.framing cimport LANE_FAILED, LANE_LEAVES, LANE_TAKES, Lane, LaneAnswer, PduReader
from _codec.open_messages cimport OPEN_MAX, OpenMessages, close_message, is_message_open, open_message
from _codec.ring cimport Ring
from _codec.store_messages cimport StoreRequest, is_uid, read_store_request, store_success
from _codec.store_ticket cimport (
    ANSWER_OTHER,
    ANSWER_RELEASED,
    ANSWER_SUCCESS_RELEASED,
    TicketAnswer,
    read_ticket_answer,
    write_ticket,
)
from _codec.tally cimport Histogram, Tally


cdef enum:
    RECORD_MAX = 32000  # handoff/ticket.py RECORD_BYTES_MAX
    SLOTS_TAKEN_MAX = 1000  # of one dataset in the lane
    RECEIPTS_MAX = 4096  # taken in one go
    PACKED_MAX = 4096  # of what is the same in all tickets of a context


@cython.final
cdef class Context:
    """What of a ticket is the same for every instance of one presentation context, packed."""

    cdef bytes abstract_syntax
    cdef bytes head  # the SOP class
    cdef bytes tail  # from the transfer syntax to ack

    def __init__(self, bytes abstract_syntax, bytes head, bytes tail):
        self.abstract_syntax = abstract_syntax
        self.head = head
        self.tail = tail


@cython.final
cdef class StoreLoan:
    """A loan of the lane's, in the dispatcher's book among the others (see handoff/dispatch.py, Loan)."""

    cdef readonly uint64_t ticket_id
    cdef readonly bytes record
    cdef readonly double deadline
    cdef public object state
    cdef public object position
    cdef StoreLane _lane
    cdef list _slots
    cdef bytes _command  # the request's
    cdef int _context_id
    cdef int _message_id
    cdef uint64_t _dataset_bytes
    cdef double _began

    @property
    def ticket(self):
        """The ticket, decoded from its record."""
        return self._lane._inlet._decode(self.record)

    def on_receipt(self, receipt):
        """Answer what is no plain success; the lane's user knows how."""
        self._lane._answer_otherwise(self, receipt)


cdef class StoreInlet:
    """What all lanes of a process share: the slab, the rings, the dispatcher's book, the counts.

    slab: its free list, taken bytes, lent bytes and views are used in place. unanswered: the dispatcher's
    book of loans by ticket id. decode: a ticket's record to the ticket. choose: a SOP Instance UID to the
    worker's index. sent: the state of a loan that has no receipt. answered: of one that has it, and whose
    slots are still lent. accepting: the stage of a worker that takes tickets.
    """

    cdef public bint is_closed  # new instances take the general way
    cdef public object at_last_fragment  # called before an instance is lent; None: nothing
    cdef public uint64_t instances
    cdef list _free
    cdef bytearray _taken
    cdef uint8_t *_taken_octets
    cdef object _lent
    cdef uint8_t *_lent_octets
    cdef list _views
    cdef Py_ssize_t _slot_bytes
    cdef uint64_t _spill_bytes
    cdef double _receipt_s
    cdef Py_ssize_t _loans_max
    cdef uint64_t _last_ticket_id
    cdef dict _unanswered
    cdef list _ports
    cdef object _decode
    cdef object _choose
    cdef object _sent
    cdef object _answered
    cdef object _accepting
    cdef list _waiting  # lanes with responses to send
    cdef Tally _tally
    cdef Py_ssize_t _instances_cell
    cdef Py_ssize_t _bytes_cell
    cdef Histogram _receive_seconds
    cdef Histogram _answer_seconds
    cdef uint8_t _buffer[RECORD_MAX]

    def __init__(
        self, slab, dict unanswered, *, first_ticket_id, spill_bytes, receipt_s, loans_max, decode, choose,
        sent, answered, accepting,
    ):
        self._free = slab.free_slots
        self._taken = slab.taken
        self._taken_octets = <uint8_t *>self._taken
        self._lent = slab.lent
        self._lent_octets = borrowed_octets(self._lent, NULL)
        self._views = slab.views
        self._slot_bytes = slab.slot_bytes
        self._spill_bytes = spill_bytes
        self._receipt_s = receipt_s
        self._loans_max = loans_max
        self._last_ticket_id = first_ticket_id
        self._unanswered = unanswered
        self._ports = []
        self._decode = decode
        self._choose = choose
        self._sent = sent
        self._answered = answered
        self._accepting = accepting
        self._waiting = []

    def add_worker(self, link, Ring tickets, Ring receipts, int bell):
        """Take note of the next worker: the dispatcher's link, both rings, and its doorbell."""
        cdef Port port = Port()
        port.link = link
        port.loans = link.loans
        port.tickets = tickets
        port.receipts = receipts
        port.bell = bell
        self._ports.append(port)

    def count_into(self, Tally tally, instances_cell, bytes_cell, receive_seconds, answer_seconds):
        """Count what is received with success in these cells and histograms."""
        self._tally = tally
        self._instances_cell = instances_cell
        self._bytes_cell = bytes_cell
        self._receive_seconds = receive_seconds
        self._answer_seconds = answer_seconds

    def take(self, Py_ssize_t worker):
        """Take the receipts that wait, answering plain successes; return the first other record, or None."""
        cdef Port port = self._ports[worker]
        cdef uint32_t size = 0
        cdef uint64_t after = 0
        cdef int left = RECEIPTS_MAX
        cdef const uint8_t *record = port.receipts.peek(&size, &after)
        while record is not NULL and left:
            left -= 1
            if not self._settle(port, record, size):
                other = PyBytes_FromStringAndSize(<const char *>record, size)
                port.receipts.consume(after)
                return other
            port.receipts.consume(after)
            record = port.receipts.peek(&size, &after)
        return None

    def flush(self):
        """Send the responses that take() made: those of one association together.

        What one association raises is raised when the others have theirs.
        """
        cdef StoreLane lane
        if not self._waiting:
            return
        waiting = self._waiting
        self._waiting = []
        trouble = None
        for lane in waiting:
            try:
                lane._flush()
            except Exception as error:
                trouble = error
        if trouble is not None:
            raise trouble

    cdef bint _settle(self, Port port, const uint8_t *record, uint32_t size) except -1:
        # True: the record was a plain success or a release of one of our loans, and is done with.
        cdef uint64_t ticket_id = 0
        cdef TicketAnswer answer = read_ticket_answer(record, size, &ticket_id)
        if answer == ANSWER_OTHER:
            return False
        found = port.loans.get(ticket_id)
        if type(found) is not StoreLoan:
            return False
        if answer == ANSWER_RELEASED:
            return self._take_release(port, found)
        return self._take_success(port, found, answer == ANSWER_SUCCESS_RELEASED)

    cdef bint _take_success(self, Port port, StoreLoan loan, bint is_released) except -1:
        if loan.state is not self._sent or loan.ticket_id not in self._unanswered:
            return False
        if is_released:
            del port.loans[loan.ticket_id]
            self.give_back(loan._slots)
        else:
            loan.state = self._answered
        del self._unanswered[loan.ticket_id]
        if self._tally is not None:
            self._tally.bump(self._instances_cell, 1)
            self._tally.bump(self._bytes_cell, loan._dataset_bytes)
            self._answer_seconds.note(now() - loan._began)
        loan._lane._answer(loan)
        return True

    cdef bint _take_release(self, Port port, StoreLoan loan) except -1:
        if loan.state is not self._answered:
            return False
        del port.loans[loan.ticket_id]
        self.give_back(loan._slots)
        return True

    cdef int allocate(self) except -2:
        # A slot, or -1.
        cdef Py_ssize_t slot
        if not self._free:
            return -1
        slot = self._free.pop()
        self._taken_octets[slot] = 1
        return <int>slot

    cdef int give_back(self, list slots) except -1:
        cdef Py_ssize_t slot
        for slot in slots:
            self._taken_octets[slot] = 0
            self._lent_octets[slot] = 0
            self._free.append(slot)
        return 0

    cdef bint submit(self, StoreLane lane, uint64_t dataset_bytes, const StoreRequest *request) except -1:
        # Lend the lane's slots to a worker; False: nothing was lent.
        cdef Port port = self._ports[0]
        cdef Py_ssize_t worker = 0
        cdef Py_ssize_t slot
        cdef StoreLoan loan
        cdef Context context
        cdef Py_ssize_t size
        cdef int pushed
        cdef uint64_t position
        cdef uint64_t one = 1
        if self.at_last_fragment is not None:
            self.at_last_fragment()
        if len(self._ports) > 1:
            worker = self._choose(request.sop_instance[:request.sop_instance_bytes].decode("ascii"))
            port = self._ports[worker]
        if port.link.stage is not self._accepting or port.link.backlog:
            return False
        if len(port.loans) >= self._loans_max:
            return False
        self._last_ticket_id += 1
        # The lane has seen to it that the record is no longer than the buffer.
        context = lane._contexts[lane._context_id]
        size = write_ticket(
            self._buffer, self._last_ticket_id, lane._slots, dataset_bytes, context.head, request,
            context.tail, lane._association_id,
        )
        # Lent before sent: a death in between leaves a slot to recount, never one that is written while read.
        for slot in lane._slots:
            self._lent_octets[slot] = <uint8_t>(worker + 1)
        position = port.tickets.position()
        pushed = port.tickets._push(self._buffer, <uint32_t>size)
        if not pushed:
            for slot in lane._slots:
                self._lent_octets[slot] = 0
            return False
        loan = StoreLoan.__new__(StoreLoan)
        loan.ticket_id = self._last_ticket_id
        loan.record = PyBytes_FromStringAndSize(<const char *>self._buffer, size)
        loan.state = self._sent
        loan.position = position
        loan._lane = lane
        loan._slots = lane._slots
        loan._command = lane._command
        loan._context_id = lane._context_id
        loan._message_id = request.message_id
        loan._dataset_bytes = dataset_bytes
        loan._began = now()
        loan.deadline = loan._began + self._receipt_s
        port.loans[self._last_ticket_id] = loan
        self._unanswered[self._last_ticket_id] = loan
        self.instances += 1
        if self._tally is not None:
            self._receive_seconds.note(loan._began - lane._began)
        if pushed == 2:
            write(port.bell, &one, 8)
        return True


@cython.final
cdef class Port:
    """One worker, as a lane's instances reach it."""

    cdef object link
    cdef dict loans
    cdef Ring tickets
    cdef Ring receipts
    cdef int bell


@cython.final
cdef class StoreLane(Lane):
    """One association's lane.

    association_id: as in its tickets. operations_max: operations of the peer's at once.
    adopt(slots, total, began): makes a dataset sink of what has arrived, for a message given up; total:
    bytes in all slots but the last. send(octets): sends whole PDUs.
    otherwise(context_id, command, receipt, dataset_bytes, seconds): answers what is no plain success.
    """

    cdef public int others_open  # requests that are answered outside the lane
    cdef public int operations_max
    cdef readonly uint64_t instances
    cdef StoreInlet _inlet
    cdef uint64_t _association_id
    cdef object _adopt
    cdef object _send
    cdef object _otherwise
    cdef list _contexts
    cdef OpenMessages _open
    cdef list _responses
    # The message under way
    cdef int _context_id
    cdef bytes _command
    cdef list _slots
    cdef uint64_t _total  # bytes in all slots but the last
    cdef double _began

    def __init__(self, StoreInlet inlet, uint64_t association_id, int operations_max, adopt, send, otherwise):
        self._inlet = inlet
        self._association_id = association_id
        self.operations_max = operations_max if operations_max < OPEN_MAX else OPEN_MAX
        self._adopt = adopt
        self._send = send
        self._otherwise = otherwise
        self._contexts = [None] * 256
        self._responses = []

    def set_context(self, int context_id, bytes abstract_syntax, bytes head, bytes tail):
        """Serve a presentation context. head, tail: packed parts of its tickets, see Context."""
        if len(abstract_syntax) > UID_MAX or len(head) + len(tail) > PACKED_MAX:
            raise ValueError("abstract syntax or packed parts of a ticket are too long", context_id)
        self._contexts[context_id] = Context(abstract_syntax, head, tail)

    @property
    def open_count(self):
        """Requests that the lane has not answered yet."""
        return self._open.count

    def is_open(self, int message_id):
        """Say whether the lane has a request with this Message ID that is not answered yet."""
        return is_message_open(&self._open, message_id)

    def leave(self):
        """Give up the message under way; return (command set, sink with all that has arrived)."""
        command, slots = self._command, self._slots
        self._command = None
        self._slots = None
        self.is_taking = False
        return command, self._adopt(slots, self._total, self._began)

    def close(self):
        """Send nothing more: the association has ended. What is lent comes back in its own time.

        `otherwise` is still told of failures, until nothing is open any more: they are counted.
        """
        self._send = self._adopt = None
        if self._open.count == 0:
            self._otherwise = None

    cdef LaneAnswer begin(
        self, PduReader reader, int context_id, const uint8_t *data, Py_ssize_t size
    ) except LANE_FAILED:
        cdef StoreRequest request
        cdef Context context = self._contexts[context_id]
        cdef int slot
        if context is None or self._inlet.is_closed or self.others_open or self._send is None:
            return LANE_LEAVES
        if self._open.count >= self.operations_max or not read_store_request(data, size, &request):
            return LANE_LEAVES
        if request.sop_class_bytes != PyBytes_GET_SIZE(context.abstract_syntax) or memcmp(
            request.sop_class, PyBytes_AS_STRING(context.abstract_syntax), request.sop_class_bytes
        ):
            return LANE_LEAVES
        if not is_uid(request.sop_instance, request.sop_instance_bytes):
            return LANE_LEAVES
        if is_message_open(&self._open, request.message_id):
            return LANE_LEAVES
        slot = self._inlet.allocate()
        if slot < 0:
            return LANE_LEAVES
        self._slots = [slot]
        self._total = 0
        self._context_id = context_id
        self._command = PyBytes_FromStringAndSize(<const char *>data, size)
        self._began = now()
        self.is_taking = True
        reader.attach(self._inlet._views[slot])
        return LANE_TAKES

    cdef bint next_buffer(self, PduReader reader) except -1:
        cdef int slot
        cdef StoreInlet inlet = self._inlet
        if inlet.is_closed or len(self._slots) >= SLOTS_TAKEN_MAX:
            return False
        if self._total + 2 * <uint64_t>inlet._slot_bytes > inlet._spill_bytes:
            return False
        slot = inlet.allocate()
        if slot < 0:
            return False
        self._total += reader.filled
        self._slots.append(slot)
        reader.attach(inlet._views[slot])
        return True

    cdef bint finish(self, PduReader reader) except -1:
        cdef StoreRequest request
        cdef uint64_t total = self._total + reader.filled
        if total == 0 or not read_store_request(
            <const uint8_t *>PyBytes_AS_STRING(self._command), PyBytes_GET_SIZE(self._command), &request
        ):
            return False
        if not self._inlet.submit(self, total, &request):
            return False
        reader.attach(None)
        open_message(&self._open, request.message_id)
        self.instances += 1
        self._slots = None
        self._command = None
        self.is_taking = False
        return True

    cdef int drop(self) except -1:
        self._inlet.give_back(self._slots)
        self._slots = None
        self._command = None
        self.is_taking = False
        return 0

    cdef int _answer(self, StoreLoan loan) except -1:
        close_message(&self._open, loan._message_id)
        if self._send is None:
            if self._open.count == 0:
                self._otherwise = None
            return 0
        if not self._responses:
            self._inlet._waiting.append(self)
        self._responses.append(store_success(loan._context_id, loan._command))
        return 0

    cdef int _flush(self) except -1:
        responses = self._responses
        self._responses = []
        if self._send is not None:
            self._send(responses[0] if len(responses) == 1 else b"".join(responses))
        return 0

    cdef int _answer_otherwise(self, StoreLoan loan, receipt) except -1:
        close_message(&self._open, loan._message_id)
        if self._otherwise is not None:
            seconds = now() - loan._began
            self._otherwise(loan._context_id, loan._command, receipt, loan._dataset_bytes, seconds)
            if self._send is None and self._open.count == 0:
                self._otherwise = None
        return 0
