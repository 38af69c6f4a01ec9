"""Where tickets go: a destination as the lanes reach it, and what becomes of all tickets of one kind."""

cimport cython
from libc.stdint cimport uint64_t

from _codec.clock cimport now, wall_ns
from _codec.send_lane cimport SendLane, SendOperation
from _codec.tally cimport Tally

from collections import deque

cdef enum:
    WAITING_MAX = 64  # entries of the spool that wait at one destination with their slots
    # From when on what comes stays in the ledger: the destination takes nothing, or a small part of it.
    OVERRUN_MAX = 128
    OVERRUN_RUN_MAX = 16  # counted of one run: it may be long, and no answer is seen meanwhile
    OVERRUN_PER_ANSWER = 8
cdef double SLOW_ANSWER_S = 0.035  # as in delivery/sender.py
cdef uint64_t SMALL_BYTES = 65536


@cython.final
cdef class Outlet:
    """One destination, as forwards reach it; what the destination and the lane both count and keep.

    owner: its takes_directly says whether it may be sent to, and pump() goes on with what waits. uids: of
    what is under way or waits. lanes: of its associations. backlog: what it is owed beyond (see
    processes/backlog.py); entries of the spool ask it whether they must wait. entries: the entry lane, if
    there is one. waiting: entries that wait for a lane; there are some only while something is under way,
    whose end lets them go on. is_overrun: so much more comes than is answered that all of it is left to the
    ledger, until some have been answered.
    """

    def __init__(self, owner, str name, dict uids):
        self.owner = owner
        self.name = name
        self.uids = uids
        self.lanes = []
        self.waiting = deque()
        self._left = []

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
        self.ease()
        if self._tally is not None:
            self._tally.bump(self._sent_cell, 1)
            self._tally.bump(self._bytes_cell, dataset_bytes)
            self._deliver_seconds.note(seconds)
            self._end_to_end.note((<double>wall_ns() - <double>received_ns) * 1e-9)
        return 0

    cpdef int ease(self) except -1:
        """Take note of an answer: it takes what it is sent."""
        if self.overrun <= OVERRUN_PER_ANSWER:
            self.catch_up()
        else:
            self.overrun -= OVERRUN_PER_ANSWER
        return 0

    cpdef int catch_up(self) except -1:
        """Forget that more came than is answered: it gets all it can take again."""
        self.overrun = 0
        self.is_overrun = False
        return 0

    cdef int let_go(self, str uid) except -1:
        # Let the next version of an instance go, and what waits.
        if self.is_ill:
            self.is_ill = False
            self.owner.has_answered_well()
        parked = self.uids.pop(uid)
        if parked:
            self.owner.release_parked(uid, parked)
        if self.waiting:
            self.entries.go_on(self)
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

    cdef SendLane free_lane(self, str uid, tuple key):
        # A lane over which this instance may go at once, past the queue, or None.
        cdef SendLane lane = self.find(key)
        if lane is None or uid in self.uids or self.has_waiting or not self.owner.takes_directly:
            return None
        return lane

    cdef int ask(self, uint64_t run) except -1:
        # Find out, once for each run of entries, whether they may be sent past the queue, wait for a lane, or
        # have to stay in the ledger (one that is idle has to be told of them, which is the general way's).
        cdef bint must_wait
        if self.asked_at == run:
            return 0
        self.asked_at = run
        self._overrun_of_run = 0
        must_wait = self.backlog.must_wait
        if must_wait:
            self.takes_entries = False
            self.leaves_entries = (
                self.in_flight > 0 or self.backlog.is_paced or not (self.owner.is_up and self.owner.is_idle)
            )
            return 0
        self.leaves_entries = False
        self.takes_entries = self.owner.takes_directly
        self.has_all_lanes = not self.owner.can_grow
        return 0

    cdef bint may_wait(self, tuple key) except -1:
        # Whether an entry may wait here until a lane is free: all that there can be are busy.
        cdef SendLane lane
        if self.entries is None or not self.in_flight or not self.has_all_lanes:
            return False
        if len(self.waiting) >= WAITING_MAX:
            return False
        for lane in self.lanes:
            if lane.is_usable and key in lane.contexts:
                return True
        return False

    cdef bint leaves_more(self) except -1:
        # An entry has to wait: whether it, and what follows, is to stay in the ledger.
        if self._overrun_of_run >= OVERRUN_RUN_MAX:
            return False
        if len(self.waiting) < WAITING_MAX and not (self.has_waiting and self.owner.is_crowded):
            return False
        self.leaves_entries = self._count_overrun()
        return self.leaves_entries

    def leaves_one_more(self, run):
        """As leaves_more, of an entry of the general way that finds the queue full of what is not answered.

        run: a number for all that comes together.
        """
        if self._general_run != run:
            self._general_run = run
            self._overrun_of_run = 0
        return self._overrun_of_run < OVERRUN_RUN_MAX and self._count_overrun()

    cdef bint _count_overrun(self) except -1:
        self._overrun_of_run += 1
        self.overrun += 1
        self.is_overrun = self.overrun > OVERRUN_MAX
        return self.is_overrun

    cdef bint leave(self, str calling_ae_title, str study, uint64_t seq) except -1:
        # Leave an entry of this run to the ledger; True: it is the first.
        cdef bint is_first = not self._left
        if is_first or study != self._left_study or calling_ae_title != self._left_calling:
            self._left_calling, self._left_study = calling_ae_title, study
            self._left.append(((calling_ae_title, study), seq))
        self._left_up_to = seq
        return is_first

    cdef int tell_left(self) except -1:
        # The run is over: tell the backlog what was left of it. It is fetched once there is room.
        self.has_waiting = True
        self.backlog.leave_run(self._left, self._left_up_to)
        self._left = []
        return 0

    cdef int begin(self, SendLane lane) except -1:
        # Take note of an instance that has just been sent over a lane; its UID is entered by who took it.
        lane.outstanding += 1
        self.in_flight += 1
        return 0


@cython.final
cdef class Plan:
    """What becomes of every ticket with one key."""
