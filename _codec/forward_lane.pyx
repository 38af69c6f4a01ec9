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
from posix.unistd cimport write

from _codec cimport big_endian as big
from _codec.clock cimport now, wall_ns
from _codec.command_elements cimport UID_MAX, stripped
from _codec.dataset cimport BIG, IMPLICIT, WALK_DONE, WALK_FOUND, Walk, WalkStep, next_wanted
from _codec.ring cimport Ring
from _codec.send_lane cimport SendLane, SendOperation, SendUser
from _codec.tally cimport Histogram, Tally

from _codec.structure import StructureScan

cdef enum:
    KEY_MAX = 4096  # of a decision's key; a longer one is decided anew each time
    PLANS_MAX = 4096  # decisions kept; then all are forgotten
    TICKETS_MAX = 4096  # taken in one go
    SLOTS_MAX = 64  # of a dataset that the lane takes
    DESTINATIONS_MAX = 16
    RECEIPT_MAX = 512
    FLAGS_UNKNOWN = -1  # a transfer syntax that the lane does not read

cdef const char *TICKET_HEAD = b"\xDC\x00\x10\x00"  # an array of 16 elements, the first the kind
cdef uint32_t SOP_INSTANCE_UID = 0x00080018
cdef double SLOW_ANSWER_S = 0.035  # as in delivery/sender.py
cdef uint64_t SMALL_BYTES = 65536
cdef uint32_t STUDY_INSTANCE_UID = 0x0020000D
cdef uint32_t SERIES_INSTANCE_UID = 0x0020000E


cdef struct TicketView:
    # A ticket's record in place; texts point into it.
    uint64_t ticket_id
    uint64_t slots[SLOTS_MAX]
    Py_ssize_t slot_count
    uint64_t dataset_bytes
    const uint8_t *sop_class
    Py_ssize_t sop_class_bytes
    const uint8_t *sop_instance
    Py_ssize_t sop_instance_bytes
    const uint8_t *transfer_syntax
    Py_ssize_t transfer_syntax_bytes
    const uint8_t *source_part  # from the transfer syntax to ack, packed
    Py_ssize_t source_part_bytes
    const uint8_t *ack
    Py_ssize_t ack_bytes
    uint64_t received_ns


cdef struct Reader:
    const uint8_t *at
    const uint8_t *end
    bint failed


@cython.final
cdef class Outlet:
    """One destination, as forwards reach it; what the destination and the lane both count and keep.

    owner: its takes_directly says whether nothing waits there, and pump() goes on with what does. uids: of
    what is under way or waits. lanes: of its associations.
    """

    cdef readonly object owner
    cdef readonly str name
    cdef readonly dict uids
    cdef public list lanes
    cdef public int in_flight
    cdef public uint64_t delivered
    cdef public bint has_waiting  # set when something begins to wait; pump() clears it
    cdef public bint is_ill  # set when it was set back or is late: its owner wants to know of a success
    cdef Tally _tally
    cdef Py_ssize_t _sent_cell
    cdef Py_ssize_t _bytes_cell
    cdef Histogram _deliver_seconds
    cdef Histogram _end_to_end

    def __init__(self, owner, str name, dict uids):
        self.owner = owner
        self.name = name
        self.uids = uids
        self.lanes = []

    def count_into(self, Tally tally, sent_cell, bytes_cell, deliver_seconds, end_to_end):
        """Count what is delivered with success in these cells and histograms."""
        self._tally = tally
        self._sent_cell = sent_cell
        self._bytes_cell = bytes_cell
        self._deliver_seconds = deliver_seconds
        self._end_to_end = end_to_end

    cdef int count(self, SendOperation operation, uint64_t dataset_bytes, uint64_t received_ns) except -1:
        # An operation has ended well.
        cdef double seconds = now() - operation.began
        if seconds > SLOW_ANSWER_S and dataset_bytes < SMALL_BYTES:
            operation.lane.quick_ack = True
        operation.lane.give_back()
        self.in_flight -= 1
        self.delivered += 1
        if self._tally is not None:
            self._tally.bump(self._sent_cell, 1)
            self._tally.bump(self._bytes_cell, dataset_bytes)
            self._deliver_seconds.note(seconds)
            self._end_to_end.note((<double>wall_ns() - <double>received_ns) * 1e-9)
        return 0

    cdef int let_go(self, str uid) except -1:
        # Let the next version of an instance go, and what waits.
        if self.is_ill:
            self.is_ill = False
            self.owner.has_answered_well()
        parked = self.uids.pop(uid)
        if parked:
            self.owner.release_parked(uid, parked)
        if self.has_waiting:
            self.owner.pump()
        return 0

    cdef SendLane find(self, tuple key):
        # The least busy lane that has this context and room in its window, or None.
        cdef SendLane lane
        cdef SendLane best = None
        for lane in self.lanes:
            if lane.outstanding >= lane.window or not lane.is_usable or key not in lane.contexts:
                continue
            if lane.outstanding == 0:
                return lane
            if best is None or lane.outstanding < best.outstanding:
                best = lane
        return best


@cython.final
cdef class Plan:
    """What becomes of every ticket with one key."""

    cdef object decision
    cdef tuple context_key  # abstract syntax and transfer syntax
    cdef list outlets  # None: the general way
    cdef bint discards


@cython.final
cdef class TicketPort:
    """One acceptor's channel and slab, as the lane uses them. intake: whose books of tickets it shares."""

    cdef object intake
    cdef Ring tickets
    cdef Ring receipts
    cdef int bell
    cdef list views
    cdef Py_ssize_t slot_bytes
    cdef dict held
    cdef set unanswered
    cdef object outbox

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

    cdef int answer(self, uint64_t ticket_id) except -1:
        # Send the receipt of success, the slots with it.
        cdef uint8_t receipt[RECEIPT_MAX]
        cdef uint8_t *at = receipt
        cdef Py_ssize_t slot
        cdef int pushed = 0
        cdef uint64_t one = 1
        slots = self.held.pop(ticket_id)
        self.unanswered.remove(ticket_id)
        at[0] = 0x96
        at[1] = 1  # Receipt
        at[2] = 0xCF
        big.store_u32(at + 3, <uint32_t>(ticket_id >> 32))
        big.store_u32(at + 7, <uint32_t>ticket_id)
        at[11] = 0  # status
        at[12] = 0xA0  # no comment
        at[13] = 0xDC
        at[14] = 0
        at[15] = <uint8_t>len(slots)
        at += 16
        for slot in slots:
            at[0] = 0xCE
            big.store_u32(at + 1, <uint32_t>slot)
            at += 5
        at[0] = 0xC3  # released
        at += 1
        if len(self.outbox) == 0:
            pushed = self.receipts._push(receipt, <uint32_t>(at - receipt))
        if pushed == 0:
            self.outbox.send(PyBytes_FromStringAndSize(<const char *>receipt, at - receipt))
        elif pushed == 2:
            write(self.bell, &one, 8)
        return 0


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


@cython.final
cdef class EntrySend(SendUser):
    """One entry of the spool on its way to one destination, past its queue. tag: whose it is."""

    cdef readonly object tag
    cdef readonly Outlet outlet
    cdef Forwarder _forwarder
    cdef str _uid
    cdef uint64_t _dataset_bytes
    cdef uint64_t _received_ns

    cdef int answered(self, SendOperation operation, int status) except -1:
        if status != 0:
            self._forwarder._on_entry_trouble(self, operation, status, None)
            return 0
        self.outlet.count(operation, self._dataset_bytes, self._received_ns)
        if not self._forwarder._done:
            self._forwarder._on_done()
        self._forwarder._done.append(self)
        self.outlet.let_go(self._uid)
        return 0

    cdef int failed(self, SendOperation operation, error) except -1:
        self._forwarder._on_entry_trouble(self, operation, 0, error)
        return 0


cdef class Forwarder:
    """The lane of one worker.

    wanted: the tags rules and identification need, ascending; ignored: those of them that no rule looks at.
    encoding_of(transfer syntax): (implicit VR, Big Endian), None for one that the lane leaves alone.
    on_trouble(forward, destination, operation, status,
    error): takes over a forward of which one operation failed; the lane has let go of it.
    on_entry_trouble(entry, operation, status, error): the same for an entry. on_done(): take_done() has
    something. is_open: whether tickets are taken. known: of the ticket that take() returned last, (decision,
    Study Instance UID, Series Instance UID), None if they are to be found out. scan_policy: as
    limits.structure_scan.
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
    cdef object _on_entry_trouble
    cdef object _on_done
    cdef list _done
    cdef dict _flags
    cdef Tally _tally
    cdef Histogram _store_seconds
    cdef const uint8_t *_study  # of the ticket at hand, in its slot; NULL: none, or not a plain one
    cdef Py_ssize_t _study_bytes
    cdef const uint8_t *_series
    cdef Py_ssize_t _series_bytes
    cdef uint8_t _key_octets[KEY_MAX]

    def __init__(self, encoding_of, on_trouble, on_entry_trouble, on_done):
        self._encoding_of = encoding_of
        self._on_trouble = on_trouble
        self._on_entry_trouble = on_entry_trouble
        self._on_done = on_done
        self._done = []
        self._flags = {}
        self.forwards = {}
        self.scan_policy = "off"
        self.discarded_cell = -1
        self.use_rules(())

    def use_rules(self, wanted, ignored=()):
        """Forget every decision; from now on read these tags, ascending."""
        cdef Py_ssize_t i
        cdef uint32_t *tags
        self._plans = {}
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
        cdef uint32_t size = 0
        cdef uint64_t after = 0
        cdef const uint8_t *record
        self._key = None
        self.known = None
        for _ in range(TICKETS_MAX):
            record = port.tickets.peek(&size, &after)
            if record is NULL:
                return None
            if not self._forward(port, record, size):
                other = PyBytes_FromStringAndSize(<const char *>record, size)
                port.tickets.consume(after)
                return other
            port.tickets.consume(after)
        return None

    def send_entry(self, tag, Outlet outlet, item, list buffers):
        """Send an entry of the spool to a destination at once, past its queue; False: nothing was sent.

        item: its key, sop_class, sop_instance, dataset_bytes and received_ns. buffers: the dataset, unchanged
        until the entry is among take_done()'s or in trouble.
        """
        cdef EntrySend entry
        cdef SendLane lane = outlet.find(item.key)
        cdef str uid = item.sop_instance
        cdef bytes sop_class, sop_instance
        if lane is None or uid in outlet.uids or outlet.has_waiting or not outlet.owner.takes_directly:
            return False
        entry = EntrySend.__new__(EntrySend)
        entry.tag = tag
        entry.outlet = outlet
        entry._forwarder = self
        entry._uid = uid
        entry._dataset_bytes = item.dataset_bytes
        entry._received_ns = item.received_ns
        sop_class = (<str>item.sop_class).encode("latin-1")
        sop_instance = uid.encode("latin-1")
        if not lane.send(
            entry, lane.contexts[item.key], sop_class, len(sop_class), sop_instance, len(sop_instance),
            buffers,
        ):
            return False
        lane.outstanding += 1
        outlet.in_flight += 1
        outlet.uids[uid] = None
        return True

    def take_done(self):
        """Return the entries that were delivered since the last call; on_done() said that there are some."""
        done = self._done
        self._done = []
        return done

    def learn(self, decision, outlets):
        """Remember the decision on the ticket that take() returned last, if it was only that which was
        missing.

        outlets: of its destinations; None if every such ticket is to take the general way.
        """
        cdef Plan plan
        if self._key is None:
            return
        if len(self._plans) >= PLANS_MAX:
            self._plans.clear()
        plan = Plan.__new__(Plan)
        plan.decision = decision
        plan.context_key = self._context_key
        plan.outlets = outlets if outlets and len(outlets) <= DESTINATIONS_MAX else None
        plan.discards = decision.action == "discard"
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

    cdef int _give_up(self, Forward forward) except -1:
        self.forwards.pop(forward._ticket_id, None)
        return 0

    cdef int _finish(self, Forward forward) except -1:
        del self.forwards[forward._ticket_id]
        forward._port.answer(forward._ticket_id)
        if self._store_seconds is not None:
            self._store_seconds.note(now() - forward.began)
        return 0

    cdef bint _forward(self, TicketPort port, const uint8_t *record, uint32_t size) except -1:
        # True: the ticket is under way, or answered.
        cdef TicketView ticket
        cdef Py_ssize_t key_bytes
        cdef Plan plan
        cdef list buffers
        if not self.is_open or not _read_ticket(record, size, &ticket):
            return False
        if not 0 < ticket.slot_count * port.slot_bytes - <Py_ssize_t>ticket.dataset_bytes < port.slot_bytes:
            if ticket.slot_count * port.slot_bytes != <Py_ssize_t>ticket.dataset_bytes:
                return False
        if not self._are_slots(port, &ticket):
            return False
        buffers = self._buffers(port, &ticket)
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
            self._hold(port, &ticket)
            port.answer(ticket.ticket_id)
            if self._tally is not None:
                self._tally.bump(self.discarded_cell, 1)
            return True
        if plan.outlets is None or not self._send(port, plan, &ticket, buffers, record, size):
            self._know(plan)
            return False
        return True

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
            lane = outlet.find(plan.context_key)
            if lane is None or uid in outlet.uids or outlet.has_waiting or not outlet.owner.takes_directly:
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
                ticket.sop_instance, ticket.sop_instance_bytes, buffers,
            ):
                if i == 0:
                    return False
                self._hold(forward._port, ticket)
                self._give_up(forward)
                self._on_trouble(forward, outlet.name, None, 0, None)
                return True
            if i == 0:
                self.forwards[forward._ticket_id] = forward
            lane.outstanding += 1
            outlet.in_flight += 1
            outlet.uids[forward._uid] = None
            forward.under_way[outlet.name] = lane.last
        self._hold(forward._port, ticket)
        return True

    cdef int _hold(self, TicketPort port, const TicketView *ticket) except -1:
        # Enter the ticket into the intake's books.
        cdef Py_ssize_t i
        port.held[ticket.ticket_id] = tuple([ticket.slots[i] for i in range(ticket.slot_count)])
        port.unanswered.add(ticket.ticket_id)
        return 0

    cdef bint _are_slots(self, TicketPort port, const TicketView *ticket) noexcept:
        # Whether the slab has the slots of a ticket; the general way says what is wrong with one of others.
        cdef Py_ssize_t i
        for i in range(ticket.slot_count):
            if ticket.slots[i] >= <uint64_t>len(port.views):
                return False
        return True

    cdef list _buffers(self, TicketPort port, const TicketView *ticket):
        # The dataset where it lies; the slots' number fits its length, checked by the caller.
        cdef list buffers = []
        cdef Py_ssize_t i
        cdef Py_ssize_t left = <Py_ssize_t>ticket.dataset_bytes
        for i in range(ticket.slot_count):
            view = port.views[<Py_ssize_t>ticket.slots[i]]
            buffers.append(view if left >= port.slot_bytes else view[:left])
            left -= port.slot_bytes
        return buffers

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
        return flags

    cdef bint _is_sound(self, const TicketView *ticket, list buffers) except -1:
        # Whether the structural scan finds nothing; what it finds is judged the general way.
        cdef int flags
        cdef uint64_t offset = 0
        if self.scan_policy == "off":
            return True
        if ticket.dataset_bytes & 1:
            return False
        flags = self._flags_of(ticket)
        scan = StructureScan(ticket.dataset_bytes, bool(flags & IMPLICIT), bool(flags & BIG))
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


cdef bint _read_ticket(const uint8_t *record, uint32_t size, TicketView *ticket) noexcept:
    # True for a ticket (handoff/ticket.py) that names slots, not a file, and waits for delivery or for
    # nothing.
    cdef Reader reader
    cdef Py_ssize_t i
    if size < 4 or memcmp(record, TICKET_HEAD, 4):
        return False
    reader.at, reader.end, reader.failed = record + 4, record + size, False
    ticket.ticket_id = _read_number(&reader)
    ticket.slot_count = _read_array(&reader)
    if reader.failed or not 1 <= ticket.slot_count <= SLOTS_MAX:
        return False
    for i in range(ticket.slot_count):
        ticket.slots[i] = _read_number(&reader)
    if reader.at >= reader.end or reader.at[0] != 0xA0:  # a file
        return False
    reader.at += 1
    ticket.dataset_bytes = _read_number(&reader)
    ticket.sop_class = _read_text(&reader, &ticket.sop_class_bytes)
    ticket.sop_instance = _read_text(&reader, &ticket.sop_instance_bytes)
    ticket.source_part = reader.at
    ticket.transfer_syntax = _read_text(&reader, &ticket.transfer_syntax_bytes)
    for _ in range(5):  # calling and called AE title, peer address, source, ack
        ticket.ack = _read_text(&reader, &ticket.ack_bytes)
    ticket.source_part_bytes = reader.at - ticket.source_part
    ticket.received_ns = _read_number(&reader)
    return not reader.failed


cdef uint64_t _read_number(Reader *reader) noexcept:
    cdef const uint8_t *at = reader.at
    cdef Py_ssize_t left = reader.end - at
    if left >= 1 and at[0] <= 0x7F:
        reader.at = at + 1
        return at[0]
    if left >= 2 and at[0] == 0xCC:
        reader.at = at + 2
        return at[1]
    if left >= 3 and at[0] == 0xCD:
        reader.at = at + 3
        return (<uint64_t>at[1] << 8) | at[2]
    if left >= 5 and at[0] == 0xCE:
        reader.at = at + 5
        return big.load_u32(at + 1)
    if left >= 9 and at[0] == 0xCF:
        reader.at = at + 9
        return (<uint64_t>big.load_u32(at + 1) << 32) | big.load_u32(at + 5)
    reader.failed = True
    return 0


cdef Py_ssize_t _read_array(Reader *reader) noexcept:
    cdef const uint8_t *at = reader.at
    cdef Py_ssize_t left = reader.end - at
    if left >= 1 and 0x90 <= at[0] <= 0x9F:
        reader.at = at + 1
        return at[0] & 0x0F
    if left >= 3 and at[0] == 0xDC:
        reader.at = at + 3
        return (at[1] << 8) | at[2]
    reader.failed = True
    return 0


cdef const uint8_t *_read_text(Reader *reader, Py_ssize_t *length) noexcept:
    cdef const uint8_t *at = reader.at
    cdef Py_ssize_t left = reader.end - at
    cdef Py_ssize_t head = 1
    length[0] = 0
    if left >= 1 and 0xA0 <= at[0] <= 0xBF:
        length[0] = at[0] & 0x1F
    elif left >= 2 and at[0] == 0xD9:
        head = 2
        length[0] = at[1]
    elif left >= 3 and at[0] == 0xDA:
        head = 3
        length[0] = (at[1] << 8) | at[2]
    else:
        reader.failed = True
        return at
    if left < head + length[0]:
        reader.failed = True
        return at
    reader.at = at + head + length[0]
    return at + head
