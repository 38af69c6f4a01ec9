"""The short cut of an instance through the spool: from its ticket into a segment, and, once it is durable,
from the slab to its destinations, without a Python object for a fact, an item or a mark.

Its user is processes/stored_entries.py, its twin processes/storing.py; spool/writer.py lends the place where
records are written and writes them, a run of records at a time. What cannot be sent at once, and what goes
wrong, is given to the twin.
Invariants: storing.py's. An entry is answered only when the disk has it; its slots go back when the
outcome of everything sent from them is known.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from _codec.checksum cimport CHECKSUM_IS_THERE, checksum, checksum_begin
from _codec.clock cimport now
from _codec.gathering cimport begin_gathering, end_gathering
from _codec.outlet cimport Outlet, Plan
from _codec.segment_record cimport (
    RECORD_ALIGNMENT,
    RECORD_HEAD_BYTES,
    RECORD_KIND_INSTANCE,
    RECORD_TRAILER_BYTES,
    instance_facts,
    put_record_head,
    put_record_trailer,
    record_bytes,
)
from _codec.send_lane cimport SendLane, SendOperation, SendUser
from _codec.tally cimport Histogram
from _codec.ticket_port cimport TicketPort
from _codec.ticket_record cimport TicketView, read_ticket

from crc32c import crc32c

checksum_begin()

cdef enum:
    RUN_MAX = 256  # entries written at once
    RUN_BYTES = 256 << 10  # a run of so many is written without waiting for more


@cython.final
cdef class StoredEntry:
    """One entry, from its ticket to its last delivery.

    ticket: its record. plan: what the rules say. instance: its bytes (processes/instances.py), set when the
    general way sends from them too; whoever uses them is counted there from then on.
    """

    @property
    def entry(self):
        """The entry as the ledger and the general way know it (spool/record.py)."""
        if self._entry is None:
            self._entry = self._lane._spool.entry_of(
                self.plan.model, self.seq, self.uid, self.study, self.series, self.received_ns,
                self.segment, self.offset, self.dataset_bytes, self.crc,
            )
        return self._entry

    @property
    def record(self):
        """The entry's facts."""
        return self.entry.record

    @property
    def location(self):
        """Where the entry's dataset is."""
        return self.entry.location

    @property
    def intake(self):
        """Where its ticket came from."""
        return self._port.intake

    cdef int end_use(self) except -1:
        # An operation is out of the slots, or has ended well; the last one gives them back.
        cdef Py_ssize_t slots
        self.uses -= 1
        if self.instance is not None:
            self.instance.used()
        elif self.uses == 0:
            slots = len(self._port.held[self._ticket_id])
            self._port.release(self._ticket_id)
            self._lane._loans.give_back(self._port.intake, slots)
        return 0


@cython.final
cdef class EntrySend(SendUser):
    """One entry of the spool on its way to one destination, past its queue.

    seq: the entry's number. entry: the lane's own; None for one of the general way: `tag` is its
    InstanceBytes and its item then. is_from_spool: all of it has left the slots, which are not its any more.
    """

    cdef int answered(self, SendOperation operation, int status) except -1:
        if status != 0:
            self._lane._on_trouble(self, operation, status, None)
            return 0
        self.outlet.count(operation, self._dataset_bytes, self._received_ns)
        if not self._lane._done:
            self._lane._on_done()
        self._lane._done.append(self)
        if self.entry is not None:
            if not self.is_from_spool:
                self.entry.end_use()
        else:
            self.tag[0].used()
        self.outlet.let_go(self._uid)
        return 0

    cdef int failed(self, SendOperation operation, error) except -1:
        self._lane._on_trouble(self, operation, 0, error)
        return 0


@cython.final
cdef class EntryLane:
    """The lane of one worker's spool.

    spool: where entries are written (see the stub, and processes/stored_entries.py). loans: whether slots
    may stay on loan after the answer (processes/hot_loans.py). on_unsent(entry, outlet, parked): an entry has
    to wait in a destination's queue, before the later versions of it that were parked. on_trouble(entry_send,
    operation, status, error): takes over what was not delivered. on_done(): take_done() has something.
    on_overrun(outlet): a destination hardly answers; what comes, and what waits, is the ledger's from now on.
    """

    def __init__(self, spool, loans, on_unsent, on_trouble, on_done, on_overrun):
        self._spool = spool
        self._loans = loans
        self._on_unsent = on_unsent
        self._on_trouble = on_trouble
        self._on_done = on_done
        self._on_overrun = on_overrun
        self._large_bytes = spool.large_from_bytes
        self._done = []
        self._leaving = []
        self._run = []
        self._run_buffers = []

    def count_into(self, Histogram store_seconds):
        """Count how long tickets take until they are answered."""
        self._store_seconds = store_seconds

    def flush(self):
        """Write the entries that were taken; spool.write_run() has them wait for the disk, or refused.

        What went through a window is written already: no buffers are given then.
        """
        if not self._run:
            return
        run, buffers = self._run, self._run_buffers
        self._run, self._run_buffers = [], []
        self.has_written = True
        self._spool.write_run(run, buffers, self._offset - self._begin)

    def answer(self, list run):
        """Answer entries that are durable; all at once, so that the acceptor is woken once.

        Those that are answered already are passed by: it is called again if something failed after it.
        """
        cdef StoredEntry entry
        cdef TicketPort port = None
        try:
            for entry in run:
                if entry._ticket_id not in entry._port.unanswered:
                    continue
                if port is not None and port is not entry._port:
                    port.ring()
                port = entry._port
                port.answer_quietly(entry._ticket_id, False)
                if self._store_seconds is not None:
                    self._store_seconds.note(now() - entry.began)
        finally:
            if port is not None:
                port.ring()

    def deliver(self, list run, Py_ssize_t start, list rest):
        """Send entries that are answered, from run[start] on: at once, or as soon as a lane is free.

        rest: gets those that have to take the general way. If something is raised, `reached` says at which
        entry; give_up() takes it back, and deliver() can be called again for those after it.
        """
        cdef StoredEntry entry
        cdef Outlet outlet
        cdef set left = {entry.uid for entry in rest}
        self._runs += 1
        self.reached = start
        begin_gathering()
        try:
            while self.reached < len(run):
                entry = run[self.reached]
                # A later version goes the way of the one before: that is nowhere yet, and would come after
                # it.
                if entry.uid in left or not self._send(entry):
                    left.add(entry.uid)
                    rest.append(entry)
                self.reached += 1
        finally:
            end_gathering()
        while self._leaving:
            outlet = self._leaving[len(self._leaving) - 1]
            outlet.tell_left()
            self._leaving.pop()

    def give_up(self, StoredEntry entry):
        """Take back the entry that deliver() had in hand when it raised; slots that nobody uses go back.

        Return the destination that was to get it just then and has not got it, or None.
        """
        cdef Outlet outlet = self._handing
        self._handing = None
        if outlet is not None:
            if self._is_sent or self._went_out(outlet):
                self._unhanded -= 1
                outlet = None
            elif self._has_uid:
                outlet.uids.pop(entry.uid, None)
        if entry.uses == 0 and entry._ticket_id in entry._port.held:
            entry._port.release(entry._ticket_id)
        while self._unhanded > 0 and entry.uses > 0:
            self._unhanded -= 1
            entry.end_use()
        return None if outlet is None else outlet.name

    def send(self, tag, seq, Outlet outlet, item, list buffers):
        """Send an entry of the general way to a destination at once, past its queue; False: nothing was sent.

        item: its key, sop_class, sop_instance, dataset_bytes and received_ns. buffers: the dataset, unchanged
        until the entry is among take_done()'s or in trouble. If something is raised, has_sent says whether it
        is on its way nevertheless.
        """
        cdef EntrySend send
        cdef str uid = item.sop_instance
        cdef bytes sop_class, sop_instance
        cdef SendLane lane
        cdef bint is_over = False
        self.has_sent = False
        lane = outlet.free_lane(uid, item.key)
        if lane is None:
            return False
        send = self._begin_send(outlet, uid, item.dataset_bytes, item.received_ns)
        send.seq = seq
        send.tag = tag
        sop_class = (<str>item.sop_class).encode("latin-1")
        sop_instance = uid.encode("latin-1")
        outlet.uids[uid] = None
        try:
            self._sending, self._over = send, lane
            is_over = lane.send(
                send, lane.contexts[item.key], sop_class, len(sop_class), sop_instance, len(sop_instance),
                buffers, False,
            )
            if is_over:
                outlet.begin(lane)
            self._sending = None
        finally:
            if not is_over:
                self.has_sent = self._went_out(outlet)
                if not self.has_sent:
                    del outlet.uids[uid]
        return is_over

    cdef bint _went_out(self, Outlet outlet) except -1:
        # Whether what was being sent when something was raised is on its way all the same; it counts then.
        send, self._sending = self._sending, None
        if send is None or self._over.last is None or self._over.last.user is not send:
            return False
        outlet.begin(self._over)
        return True

    def take_done(self):
        """Return what was delivered since the last call; on_done() said that there is something."""
        done = self._done
        self._done = []
        return done

    cdef bint append(
        self, TicketPort port, Plan plan, const TicketView *ticket, list buffers, bytes record,
        const uint8_t *study, Py_ssize_t study_bytes, const uint8_t *series, Py_ssize_t series_bytes,
    ) except -1:
        # Take a ticket into the run; False: the general way has to store it.
        cdef StoredEntry entry
        cdef uint64_t size
        cdef uint32_t crc = 0
        cdef bytes facts
        if ticket.dataset_bytes >= self._large_bytes:
            return False
        facts = instance_facts(ticket, study, study_bytes, series, series_bytes, plan.decision_part)
        if facts is None:
            return False
        size = record_bytes(PyBytes_GET_SIZE(facts), ticket.dataset_bytes)
        if not self._make_room(size):
            return False
        if self._window is not None and not self._write_through(
            facts, ticket.dataset_bytes, size, buffers, &crc
        ):
            # By the spool's own writes, from a run of its own; they say what is wrong.
            self.flush()
            self._spool.drop_window()
            if not self._make_room(size):
                return False
            crc = 0
        if self._window is None:
            for buffer in buffers:
                crc = _checksum_of(buffer, crc)
            self._run_buffers.append(self._head(facts, ticket.dataset_bytes))
            self._run_buffers += buffers
            self._run_buffers.append(self._trailer(facts, ticket.dataset_bytes, crc))
        entry = StoredEntry.__new__(StoredEntry)
        entry.seq = self._seq
        entry.ticket = record
        entry.plan = plan
        entry.began = now()
        entry._lane = self
        entry._port = port
        entry.uid = _text(ticket.sop_instance, ticket.sop_instance_bytes)
        entry.study = _text(study, study_bytes)
        entry.series = _text(series, series_bytes)
        entry._ticket_id = ticket.ticket_id
        entry.dataset_bytes = ticket.dataset_bytes
        entry.received_ns = ticket.received_ns
        entry.segment = self._segment
        entry.offset = self._offset + RECORD_HEAD_BYTES + PyBytes_GET_SIZE(facts)
        entry.crc = crc
        self._run.append(entry)
        self._seq += 1
        self._offset += size
        port.hold(ticket)
        return True

    cdef bint _write_through(
        self, bytes facts, uint64_t dataset_bytes, uint64_t size, list buffers, uint32_t *crc
    ) except -1:
        # The next record into the window; False: there is no writing there.
        cdef uint64_t dataset_at = self._offset + RECORD_HEAD_BYTES + PyBytes_GET_SIZE(facts)
        try:
            self._window.prepare(self._offset, self._offset + size)
            self._window.copy(dataset_at, buffers, crc)
            self._window.put(dataset_at + dataset_bytes, self._trailer(facts, dataset_bytes, crc[0]))
            # The head last: no sooner is it a record.
            self._window.put(self._offset, self._head(facts, dataset_bytes))
        except OSError:
            return False
        return True

    cdef bytes _head(self, bytes facts, uint64_t dataset_bytes):
        # What stands before the dataset in the next record.
        cdef bytes head
        cdef uint8_t *at
        cdef Py_ssize_t size = PyBytes_GET_SIZE(facts)
        if not CHECKSUM_IS_THERE:
            return self._spool.encode_head(
                RECORD_KIND_INSTANCE, self._segment, self._nonce, self._offset, self._seq, facts,
                dataset_bytes,
            ) + facts
        head = PyBytes_FromStringAndSize(NULL, RECORD_HEAD_BYTES + size)
        at = <uint8_t *>PyBytes_AS_STRING(head)
        memcpy(at + RECORD_HEAD_BYTES, PyBytes_AS_STRING(facts), size)
        put_record_head(
            at, self._segment, self._nonce, self._offset, self._seq, at + RECORD_HEAD_BYTES, <uint32_t>size,
            dataset_bytes,
        )
        return head

    cdef bytes _trailer(self, bytes facts, uint64_t dataset_bytes, uint32_t crc):
        # What stands behind it.
        cdef uint8_t trailer[RECORD_TRAILER_BYTES + RECORD_ALIGNMENT]
        cdef Py_ssize_t size = put_record_trailer(
            trailer, crc, RECORD_HEAD_BYTES + PyBytes_GET_SIZE(facts) + dataset_bytes
        )
        return PyBytes_FromStringAndSize(<const char *>trailer, size)

    cdef bint _make_room(self, uint64_t size) except -1:
        # Room for one more record in the run, or the beginning of a new run; False: the spool takes nothing.
        if self._run and (
            self._offset + size > self._end
            or self._offset - self._begin >= RUN_BYTES
            or len(self._run) >= RUN_MAX
        ):
            self.flush()
        if not self._run:
            place = self._spool.begin_run(size)
            if place is None:
                return False
            self._segment, self._nonce, self._begin, self._end, self._seq, self._window = place
            self._offset = self._begin
        return True

    def go_on(self, Outlet outlet):
        """Send entries that wait at a destination, as far as its lanes are free; call when one has become so.

        If the destination is not sound any more, they are given to its queue.
        """
        cdef StoredEntry entry
        cdef SendLane lane
        waiting = outlet.waiting
        while waiting:
            entry = waiting[0]
            lane = outlet.find(entry.plan.context_key)
            if not outlet.owner.is_sound or lane is None and not outlet.in_flight:
                self._give_up(outlet)
                return
            if lane is None:
                return
            waiting.popleft()
            if not self._send_over(entry, outlet, lane):
                waiting.appendleft(entry)
                if not outlet.in_flight:
                    self._give_up(outlet)
                return

    cdef int _give_up(self, Outlet outlet) except -1:
        # Give all that waits at a destination to its queue, each with the later versions parked behind it.
        cdef StoredEntry entry
        entries = list(outlet.waiting)
        outlet.waiting.clear()
        for entry in entries:
            self._on_unsent(entry, outlet, outlet.uids.pop(entry.uid))
        return 0

    cdef int _leave(self, StoredEntry entry, list outlets) except -1:
        # Leave an entry to the ledger for these destinations.
        cdef Outlet outlet
        calling_ae_title = entry.plan.model.calling_ae_title
        for outlet in outlets:
            if outlet.leave(calling_ae_title, entry.study, entry.seq):
                self._leaving.append(outlet)
        return 0

    cdef int _leave_waiting(self, Outlet outlet) except -1:
        # Leave to the ledger what waits at a destination already, but for what has later versions parked
        # behind it.
        cdef StoredEntry entry
        for entry in list(outlet.waiting):
            if outlet.uids[entry.uid]:
                continue
            outlet.backlog.give_back((entry.plan.model.calling_ae_title, entry.study), entry.seq)
            outlet.waiting.remove(entry)
            del outlet.uids[entry.uid]
            entry.end_use()
        self._on_overrun(outlet)
        return 0

    cdef bint _send(self, StoredEntry entry) except -1:
        # Send an entry to its destinations, let it wait there, or leave it to the ledger for those that take
        # nothing now; False: the general way has to see to it.
        cdef Outlet outlet
        cdef SendLane lane
        cdef list lanes = []
        cdef list taking = []
        cdef list leaving = []
        cdef Py_ssize_t i
        cdef Py_ssize_t slots
        cdef bint is_general = False
        self._unhanded = 0
        slots = len(entry._port.held[entry._ticket_id])
        if entry.plan.is_old:
            return False
        for outlet in entry.plan.outlets:
            outlet.ask(self._runs)
            if outlet.leaves_entries:
                leaving.append(outlet)
                continue
            if outlet.takes_entries and not outlet.has_waiting and entry.uid not in outlet.uids:
                lane = None if outlet.waiting else outlet.find(entry.plan.context_key)
                if lane is not None or outlet.may_wait(entry.plan.context_key):
                    lanes.append(lane)
                    taking.append(outlet)
                    continue
            if outlet.leaves_more():
                self._leave_waiting(outlet)
                leaving.append(outlet)
            else:
                is_general = True  # the others are asked all the same: they count what they do not answer
        if is_general:
            return False
        if taking and not self._loans.may_keep(entry._port.intake, slots):
            return False
        if leaving:
            self._leave(entry, leaving)
        if not taking:
            entry._port.release(entry._ticket_id)
            return True
        self._loans.keep(entry._port.intake, slots)
        entry.uses = <int>len(lanes)
        self._unhanded = len(lanes)
        for i in range(len(lanes)):
            lane, outlet = lanes[i], taking[i]
            self._is_sent = self._has_uid = False
            self._handing = outlet
            outlet.backlog.adopt(entry.seq)
            outlet.uids[entry.uid] = None
            self._has_uid = True
            if lane is None:
                outlet.waiting.append(entry)
            elif not self._send_over(entry, outlet, lane):
                del outlet.uids[entry.uid]
                self._has_uid = False
                self._on_unsent(entry, outlet, None)
            self._handing = None
            self._unhanded -= 1
        return True

    cdef bint _send_over(self, StoredEntry entry, Outlet outlet, SendLane lane) except -1:
        # Send an entry to one destination; False: the connection is busy.
        cdef TicketView ticket
        cdef EntrySend send
        cdef const uint8_t *record = <const uint8_t *>PyBytes_AS_STRING(entry.ticket)
        if not read_ticket(record, <uint32_t>PyBytes_GET_SIZE(entry.ticket), &ticket):
            raise AssertionError("a ticket that was read before")
        send = self._begin_send(outlet, entry.uid, entry.dataset_bytes, entry.received_ns)
        send.seq = entry.seq
        send.entry = entry
        self._sending, self._over = send, lane
        if not lane.send(
            send, lane.contexts[entry.plan.context_key], ticket.sop_class, ticket.sop_class_bytes,
            ticket.sop_instance, ticket.sop_instance_bytes, entry._port.buffers(&ticket), False,
        ):
            self._sending = None
            return False
        outlet.begin(lane)
        self._sending = None
        self._is_sent = True
        if lane.last.is_out:
            # Nobody reads the slots any more, and a second attempt can read the spool.
            send.is_from_spool = True
            entry.end_use()
        return True

    cdef EntrySend _begin_send(self, Outlet outlet, str uid, uint64_t dataset_bytes, uint64_t received_ns):
        cdef EntrySend send = EntrySend.__new__(EntrySend)
        send._lane = self
        send.outlet = outlet
        send._uid = uid
        send._dataset_bytes = dataset_bytes
        send._received_ns = received_ns
        return send


cdef uint32_t _checksum_of(buffer, uint32_t crc) except? 0:
    # The CRC32C of what stood before and this.
    cdef Py_buffer view
    if not CHECKSUM_IS_THERE:
        return crc32c(buffer, crc)
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    crc = checksum(<const uint8_t *>view.buf, view.len, crc)
    PyBuffer_Release(&view)
    return crc


cdef inline str _text(const uint8_t *octets, Py_ssize_t length):
    return PyUnicode_DecodeLatin1(<const char *>octets, length, NULL)
