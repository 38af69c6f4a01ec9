"""The short cut of a ticket through a worker: from the ring to the destinations and back, without a Python
object for an attribute, a fact or an item.

It takes a ticket only if everything about it was decided before: same sender, class and syntax, same values
of the attributes that rules look at, and a decision that waits for nothing but the destinations' answers
(or for nothing at all: discard). Everything else, and whatever goes wrong on the way, is
processes/handling.py's: it is the twin, and gets a forward that failed as if it had sent it itself.
Invariants: handling.py's, above all that success is answered only when every destination has answered
success; and the order of versions: an instance is sent to a destination only if none with its UID is under
way or waits there.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from _codec.clock cimport now
from _codec.command_elements cimport UID_MAX, stripped
from _codec.dataset cimport BIG, IMPLICIT, WALK_DONE, WALK_FOUND, Walk, WalkStep, next_wanted
from _codec.entry_lane cimport EntryLane
from _codec.gathering cimport begin_gathering, end_gathering
from _codec.outlet cimport Outlet, Plan
from _codec.send_lane cimport SendLane, SendOperation, SendUser
from _codec.structure cimport StructureScan
from _codec.tally cimport Histogram, Tally
from _codec.ticket_port cimport TicketPort
from _codec.ticket_record cimport TicketView, read_ticket

cdef enum:
    KEY_MAX = 4096  # of a decision's key; a longer one is decided anew each time
    PLANS_MAX = 4096  # decisions kept; then all are forgotten
    TICKETS_MAX = 4096  # taken in one go
    DESTINATIONS_MAX = 16
    FLAGS_UNKNOWN = -1  # a transfer syntax that the lane does not read

cdef uint32_t SOP_INSTANCE_UID = 0x00080018
cdef uint32_t STUDY_INSTANCE_UID = 0x0020000D
cdef uint32_t SERIES_INSTANCE_UID = 0x0020000E


@cython.final
cdef class Forward(SendUser):
    """One ticket on its way to its destinations."""

    cdef readonly bytes record
    cdef readonly object intake
    cdef readonly double began
    cdef readonly dict under_way  # destination's name to operation
    cdef readonly dict delivered  # destination's name to status
    cdef Forwarder _forwarder
    cdef TicketPort _port
    cdef Plan _plan
    cdef str _uid
    cdef uint64_t _ticket_id
    cdef uint64_t _dataset_bytes
    cdef uint64_t _received_ns
    cdef int _left

    @property
    def decision(self):
        """What the rules say."""
        return self._plan.decision

    def owner_of(self, str name):
        """Return the destination of this name, also when a reload has taken it away meanwhile."""
        cdef Outlet outlet
        for outlet in self._plan.outlets:
            if outlet.name == name:
                return outlet.owner
        raise KeyError(name)

    cdef int answered(self, SendOperation operation, int status) except -1:
        cdef Outlet outlet = self._outlet_of(operation)
        if status != 0:
            self._forwarder._give_up(self)
            self._forwarder._on_trouble(self, outlet.name, operation, status, None)
            return 0
        outlet.count(operation, self._dataset_bytes, self._received_ns)
        self.delivered[outlet.name] = 0
        del self.under_way[outlet.name]
        self._left -= 1
        if self._left == 0:
            self._forwarder._finish(self)
        outlet.let_go(self._uid)
        return 0

    cdef int failed(self, SendOperation operation, error) except -1:
        cdef Outlet outlet = self._outlet_of(operation)
        self._forwarder._give_up(self)
        self._forwarder._on_trouble(self, outlet.name, operation, 0, error)
        return 0

    cdef Outlet _outlet_of(self, SendOperation operation):
        cdef Outlet outlet
        for outlet in self._plan.outlets:
            if self.under_way.get(outlet.name) is operation:
                return outlet
        raise AssertionError("an operation of another forward")


cdef class Forwarder:
    """The lane of one worker.

    wanted: the tags rules and identification need, ascending; ignored: those of them that no rule looks at.
    encoding_of(transfer syntax): (implicit VR, Big Endian), None for one that the lane leaves alone.
    on_trouble(forward, destination, operation, status,
    error): takes over a forward of which one operation failed; the lane has let go of it.
    entries: takes what is stored first. is_open: whether tickets are taken. known: of the ticket that take()
    returned last, (decision, Study Instance UID, Series Instance UID), None if they are to be found out.
    scan_policy: as limits.structure_scan.
    """

    cdef public bint is_open
    cdef public str scan_policy
    cdef public Py_ssize_t discarded_cell
    cdef readonly tuple known
    cdef readonly dict forwards  # by ticket id, oldest first
    cdef dict _plans
    cdef bytes _wanted
    cdef bytes _ignored  # for each of the wanted, 1 if its value decides nothing
    cdef bytes _key  # of the ticket that take() returned, if only its decision is missing
    cdef tuple _context_key
    cdef object _encoding_of
    cdef object _on_trouble
    cdef EntryLane _entries
    cdef dict _flags
    cdef bytes _flags_for  # which transfer syntax was looked for last
    cdef int _flags_found
    cdef StructureScan _scan
    cdef Tally _tally
    cdef Histogram _store_seconds
    cdef const uint8_t *_study  # of the ticket at hand, in its slot; NULL: none, or not a plain one
    cdef Py_ssize_t _study_bytes
    cdef const uint8_t *_series
    cdef Py_ssize_t _series_bytes
    cdef uint8_t _key_octets[KEY_MAX]

    def __init__(self, encoding_of, on_trouble, EntryLane entries):
        self._encoding_of = encoding_of
        self._on_trouble = on_trouble
        self._entries = entries
        self._plans = {}
        self._flags = {}
        self._flags_for = b""
        self._flags_found = FLAGS_UNKNOWN
        self._scan = StructureScan(0, False, False)
        self.forwards = {}
        self.scan_policy = "off"
        self.discarded_cell = -1
        self.use_rules(())

    def use_rules(self, wanted, ignored=()):
        """Forget every decision; from now on read these tags, ascending."""
        cdef Py_ssize_t i
        cdef uint32_t *tags
        self._forget_plans()
        self._key = None
        self._wanted = PyBytes_FromStringAndSize(NULL, len(wanted) * sizeof(uint32_t))
        tags = <uint32_t *>PyBytes_AS_STRING(self._wanted)
        for i in range(len(wanted)):
            tags[i] = wanted[i]
        self._ignored = bytes([tag in ignored for tag in wanted])

    def count_into(self, Tally tally, Histogram store_seconds, discarded_cell):
        """Count what is answered."""
        self._tally = tally
        self._store_seconds = store_seconds
        self.discarded_cell = discarded_cell

    def take(self, TicketPort port):
        """Forward the tickets that can be, until one record is not the lane's: return that, or None at the
        end."""
        begin_gathering()
        try:
            return self._take(port)
        finally:
            end_gathering()

    cdef bytes _take(self, TicketPort port):
        cdef uint32_t size = 0
        cdef uint64_t after = 0
        cdef const uint8_t *record
        self._key = None
        self.known = None
        for _ in range(TICKETS_MAX):
            record = port.tickets.peek(&size, &after)
            if record is NULL:
                break
            if not self._forward(port, record, size):
                other = PyBytes_FromStringAndSize(<const char *>record, size)
                port.tickets.consume(after)
                self._entries.flush()
                return other
            port.tickets.consume(after)
        self._entries.flush()
        return None

    def learn(self, decision, outlets, model=None, bytes decision_part=None):
        """Remember the decision on the ticket that take() returned last, if it was only that which was
        missing.

        outlets: of its destinations; None if every such ticket is to take the general way. model,
        decision_part: given if it is stored first: the InstanceRecord of all such tickets, as far as it is
        the same, and what encode_decision makes of its end.
        """
        cdef Plan plan
        if self._key is None:
            return
        if len(self._plans) >= PLANS_MAX:
            self._forget_plans()
        plan = Plan.__new__(Plan)
        plan.decision = decision
        plan.context_key = self._context_key
        plan.outlets = outlets if outlets and len(outlets) <= DESTINATIONS_MAX else None
        plan.discards = decision.action == "discard"
        plan.model = model if plan.outlets is not None else None
        plan.decision_part = decision_part
        self._plans[self._key] = plan
        self._key = None

    def late(self, double began_before):
        """Return the forwards that began before a time (time.monotonic); oldest first."""
        cdef Forward forward
        late = []
        for forward in self.forwards.values():
            if forward.began >= began_before:
                break
            late.append(forward)
        return late

    def give_up(self, Forward forward):
        """Let go of a forward; its operations tell their new users what becomes of them."""
        self._give_up(forward)

    def hand_over(self, SendOperation operation, SendUser user):
        """Have somebody else told what becomes of an operation."""
        operation.user = user

    cdef int _forget_plans(self) except -1:
        cdef Plan plan
        for plan in self._plans.values():
            plan.is_old = True
        self._plans = {}
        return 0

    cdef int _give_up(self, Forward forward) except -1:
        self.forwards.pop(forward._ticket_id, None)
        return 0

    cdef int _finish(self, Forward forward) except -1:
        del self.forwards[forward._ticket_id]
        forward._port.answer(forward._ticket_id, True)
        if self._store_seconds is not None:
            self._store_seconds.note(now() - forward.began)
        return 0

    cdef bint _forward(self, TicketPort port, const uint8_t *record, uint32_t size) except -1:
        # True: the ticket is under way, or answered.
        cdef TicketView ticket
        cdef Py_ssize_t key_bytes
        cdef Plan plan
        cdef list buffers
        if not self.is_open or not read_ticket(record, size, &ticket):
            return False
        buffers = port.buffers(&ticket)
        if not buffers:  # the general way says what is wrong with it
            return False
        key_bytes = self._read_key(&ticket, buffers[0])
        if key_bytes == 0 or not self._is_sound(&ticket, buffers):
            return False
        key = PyBytes_FromStringAndSize(<const char *>self._key_octets, key_bytes)
        found = self._plans.get(key)
        if found is None:
            self._key = key
            self._context_key = (
                _text(ticket.sop_class, ticket.sop_class_bytes),
                _text(ticket.transfer_syntax, ticket.transfer_syntax_bytes),
            )
            return False
        plan = found
        if plan.discards:
            port.hold(&ticket)
            port.answer(ticket.ticket_id, True)
            if self._tally is not None:
                self._tally.bump(self.discarded_cell, 1)
            return True
        if plan.model is not None:
            if self._store(port, plan, &ticket, buffers, record, size):
                return True
        elif plan.outlets is not None and self._send(port, plan, &ticket, buffers, record, size):
            return True
        self._know(plan)
        return False

    cdef bint _store(
        self, TicketPort port, Plan plan, const TicketView *ticket, list buffers, const uint8_t *record,
        uint32_t size,
    ) except -1:
        if self._study is NULL or self._series is NULL:
            return False
        return self._entries.append(
            port, plan, ticket, buffers, PyBytes_FromStringAndSize(<const char *>record, size),
            self._study, self._study_bytes, self._series, self._series_bytes,
        )

    cdef int _know(self, Plan plan) except -1:
        # Spare the general way what was found out here.
        if self._study is not NULL and self._series is not NULL:
            self.known = (
                plan.decision, _text(self._study, self._study_bytes), _text(self._series, self._series_bytes)
            )
        return 0

    cdef bint _send(
        self, TicketPort port, Plan plan, const TicketView *ticket, list buffers, const uint8_t *record,
        uint32_t size,
    ) except -1:
        cdef Outlet outlet
        cdef SendLane lane
        cdef Forward forward
        cdef list lanes = []
        uid = _text(ticket.sop_instance, ticket.sop_instance_bytes)
        for outlet in plan.outlets:
            lane = outlet.free_lane(uid, plan.context_key)
            if lane is None:
                return False
            lanes.append(lane)
        forward = Forward.__new__(Forward)
        forward._forwarder = self
        forward._port = port
        forward._plan = plan
        forward._uid = uid
        forward._ticket_id = ticket.ticket_id
        forward._dataset_bytes = ticket.dataset_bytes
        forward._received_ns = ticket.received_ns
        forward._left = len(lanes)
        forward.record = PyBytes_FromStringAndSize(<const char *>record, size)
        forward.intake = port.intake
        forward.began = now()
        forward.under_way = {}
        forward.delivered = {}
        return self._start(forward, lanes, ticket, buffers)

    cdef bint _start(self, Forward forward, list lanes, const TicketView *ticket, list buffers) except -1:
        # Send over each lane. False: not even the first was ready, and nothing has happened.
        cdef Py_ssize_t i
        cdef SendLane lane
        cdef Outlet outlet
        for i in range(len(lanes)):
            lane = lanes[i]
            outlet = forward._plan.outlets[i]
            if not lane.send(
                forward, lane.contexts[forward._plan.context_key], ticket.sop_class, ticket.sop_class_bytes,
                ticket.sop_instance, ticket.sop_instance_bytes, buffers, True,
            ):
                if i == 0:
                    return False
                forward._port.hold(ticket)
                self._give_up(forward)
                self._on_trouble(forward, outlet.name, None, 0, None)
                return True
            if i == 0:
                self.forwards[forward._ticket_id] = forward
            outlet.begin(lane)
            outlet.uids[forward._uid] = None
            forward.under_way[outlet.name] = lane.last
        forward._port.hold(ticket)
        return True

    cdef Py_ssize_t _read_key(self, const TicketView *ticket, head) except -1:
        # The key of the ticket's decision into _key_octets; 0 if the general way has to look.
        cdef Py_buffer view
        cdef int flags = self._flags_of(ticket)
        if flags == FLAGS_UNKNOWN:
            return 0
        PyObject_GetBuffer(head, &view, PyBUF_SIMPLE)
        try:
            return self._walk(ticket, <const uint8_t *>view.buf, view.len, flags)
        except ValueError:
            return 0  # it is refused the general way
        finally:
            PyBuffer_Release(&view)

    cdef Py_ssize_t _walk(
        self, const TicketView *ticket, const uint8_t *data, Py_ssize_t size, int flags
    ) except -1:
        cdef Walk walk
        cdef WalkStep step
        cdef Py_ssize_t length
        cdef Py_ssize_t used = 0
        cdef bint is_named = False
        cdef const uint8_t *ignored = <const uint8_t *>PyBytes_AS_STRING(self._ignored)
        self._study = self._series = NULL
        if size < 8 or not (flags & IMPLICIT or (65 <= data[4] <= 90 and 65 <= data[5] <= 90)):
            return 0
        used = _put(self._key_octets, used, ticket.sop_class, ticket.sop_class_bytes)
        used = _put(self._key_octets, used, ticket.source_part, ticket.source_part_bytes)
        walk.data, walk.size, walk.at, walk.flags = data, size, 0, flags
        walk.wanted = <const uint32_t *>PyBytes_AS_STRING(self._wanted)
        walk.wanted_count = PyBytes_GET_SIZE(self._wanted) // sizeof(uint32_t)
        walk.next_wanted, walk.is_last = 0, False
        if walk.wanted_count == 0:
            return 0
        while True:
            step = next_wanted(&walk)
            if step == WALK_DONE:
                if walk.at == size and ticket.slot_count > 1:
                    return 0  # elements go on in the next slot
                return used if is_named and used > 0 else 0
            if step != WALK_FOUND or walk.value_end > size or used < 0:
                return 0
            length = walk.value_end - walk.value_at
            if walk.head.tag == SOP_INSTANCE_UID:
                length = stripped(data + walk.value_at, length)
                if is_named or length != ticket.sop_instance_bytes:
                    return 0
                if memcmp(data + walk.value_at, ticket.sop_instance, length):
                    return 0
                is_named = True
            elif walk.head.tag == STUDY_INSTANCE_UID:
                self._study_bytes = stripped(data + walk.value_at, length)
                self._study = data + walk.value_at if _is_plain(data + walk.value_at, length) else NULL
            elif walk.head.tag == SERIES_INSTANCE_UID:
                self._series_bytes = stripped(data + walk.value_at, length)
                self._series = data + walk.value_at if _is_plain(data + walk.value_at, length) else NULL
            if not ignored[walk.next_wanted]:
                length = walk.value_end - walk.value_at
                used = _put(self._key_octets, used, <const uint8_t *>&walk.head.tag, sizeof(uint32_t))
                used = _put(self._key_octets, used, <const uint8_t *>&walk.head.vr, 2)
                used = _put(self._key_octets, used, data + walk.value_at, length)

    cdef int _flags_of(self, const TicketView *ticket) except -2:
        # Mostly the one before's.
        if ticket.transfer_syntax_bytes == PyBytes_GET_SIZE(self._flags_for) and memcmp(
            ticket.transfer_syntax, PyBytes_AS_STRING(self._flags_for), ticket.transfer_syntax_bytes
        ) == 0:
            return self._flags_found
        syntax = PyBytes_FromStringAndSize(
            <const char *>ticket.transfer_syntax, ticket.transfer_syntax_bytes
        )
        flags = self._flags.get(syntax)
        if flags is None:
            encoding = self._encoding_of(syntax.decode("latin-1"))
            if encoding is None:
                flags = FLAGS_UNKNOWN
            else:
                flags = (IMPLICIT if encoding[0] else 0) | (BIG if encoding[1] else 0)
            if len(self._flags) < PLANS_MAX:
                self._flags[syntax] = flags
        self._flags_for, self._flags_found = syntax, flags
        return flags

    cdef bint _is_sound(self, const TicketView *ticket, list buffers) except -1:
        # Whether the structural scan finds nothing; what it finds is judged the general way.
        cdef uint64_t offset = 0
        cdef StructureScan scan = self._scan
        if self.scan_policy == "off":
            return True
        if ticket.dataset_bytes & 1:
            return False
        scan.begin(ticket.dataset_bytes, self._flags_of(ticket))
        for buffer in buffers:
            if not scan.feed(buffer, offset):
                break
            offset += len(buffer)
        return not scan.fault


cdef inline bint _is_plain(const uint8_t *text, Py_ssize_t length) noexcept:
    # Whether a value is one UID of digits and dots, padding apart.
    cdef Py_ssize_t i
    length = stripped(text, length)
    for i in range(length):
        if not (0x30 <= text[i] <= 0x39 or text[i] == 0x2E):
            return False
    return 0 < length <= UID_MAX


cdef inline str _text(const uint8_t *octets, Py_ssize_t length):
    return PyUnicode_DecodeLatin1(<const char *>octets, length, NULL)


cdef Py_ssize_t _put(uint8_t *target, Py_ssize_t used, const uint8_t *octets, Py_ssize_t length) noexcept:
    # Append a length and the octets; -1 once they do not fit.
    cdef int64_t size = length
    if used < 0 or used + 8 + length > KEY_MAX:
        return -1
    memcpy(target + used, &size, 8)
    memcpy(target + used + 8, octets, length)
    return used + 8 + length
