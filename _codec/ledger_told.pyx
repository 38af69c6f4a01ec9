"""Telling the ledger of the entry lane's entries: a run of new ones, and what of them was delivered.

Its user, and the twin for one entry at a time, is spool/ledger_batch.py, whose dictionaries are filled here.
"""

cimport cython
from libc.stdint cimport int64_t

from _codec.entry_lane cimport EntrySend, StoredEntry
from _codec.outlet cimport Outlet

cdef object _tuple_new = tuple.__new__

cdef enum:
    RUN_ENTRIES_MAX = 4096  # as in spool/ledger_batch.py


@cython.final
cdef class PendingRun:
    """Entries that begin pending for one destination: each number from first_seq to last_seq, all of one
    segment.

    size_bytes: of their datasets. at_ns: when the latest was received.
    """

    def __init__(self, first_seq, last_seq, segment, size_bytes, at_ns):
        self.first_seq, self.last_seq, self.segment = first_seq, last_seq, segment
        self.size_bytes, self.at_ns = size_bytes, at_ns


def tell_run(list run, dict entries, dict pending):
    """Enter new entries; return what that adds, (destination, count, bytes), and how many runs it begins.

    entries: by seq. pending: by destination, the runs (PendingRun) of those that are pending there.
    """
    cdef StoredEntry entry
    cdef Outlet outlet
    cdef dict added = {}
    cdef int begun = 0
    for entry in run:
        entries[entry.seq] = entry
        for outlet in entry.plan.outlets:
            begun += _begin_pending(pending, outlet.name, entry)
            _count(added, outlet.name, entry.dataset_bytes)
    return _counts(added), begun


cdef bint _begin_pending(dict pending, str name, StoredEntry entry) except -1:
    # Enter an entry as pending; whether a run begins with it.
    cdef PendingRun last
    cdef list runs = pending.get(name)
    if runs is None:
        runs = pending[name] = []
    if runs:
        last = runs[len(runs) - 1]
        if (
            last.last_seq + 1 == entry.seq and last.segment == entry.segment
            and entry.seq - last.first_seq < RUN_ENTRIES_MAX
        ):
            last.last_seq = entry.seq
            last.size_bytes += entry.dataset_bytes
            if <int64_t>entry.received_ns > last.at_ns:
                last.at_ns = <int64_t>entry.received_ns
            return False
    last = PendingRun.__new__(PendingRun)
    last.first_seq = last.last_seq = entry.seq
    last.segment, last.size_bytes, last.at_ns = entry.segment, entry.dataset_bytes, <int64_t>entry.received_ns
    runs.append(last)
    return True


def tell_delivered(list done, dict entries, dict marks, dict held, mark_type, pending, delivered, now_ns):
    """Enter what was delivered of these entries; return what that changes, how many marks of this batch are
    new, and those it is not so simple for.

    The last is a list of (seq, destination): entries that are not of this batch, or in another state. marks:
    by destination, then seq. held: by destination, the numbers that it holds, from which they are taken.
    mark_type, pending, delivered: spool/states.py's.
    """
    cdef EntrySend send
    cdef StoredEntry entry
    cdef dict changed = {}
    cdef list others = []
    cdef int fresh = 0
    cdef dict of_destination
    cdef tuple old
    for send in done:
        seq, name = send.seq, send.outlet.name
        (<set>held[name]).discard(seq)
        found = entries.get(seq)
        if not isinstance(found, StoredEntry) or send.outlet not in (<StoredEntry>found).plan.outlets:
            others.append((seq, name))
            continue
        entry = <StoredEntry>found
        of_destination = _of(marks, name)
        mark = of_destination.get(seq)
        if mark is None:
            fresh += 1
        else:
            old = <tuple>mark
            if old[2] is not pending or old[8]:
                others.append((seq, name))
                continue
        of_destination[seq] = _tuple_new(
            mark_type, (seq, name, delivered, now_ns, 0, 0, "", 0, False)
        )
        _count(changed, name, entry.dataset_bytes)
    return _counts(changed), fresh, others


cdef dict _of(dict marks, str name):
    of_destination = marks.get(name)
    if of_destination is None:
        of_destination = marks[name] = {}
    return of_destination


cdef int _count(dict counts, str name, int64_t size) except -1:
    cdef Count count = counts.get(name)
    if count is None:
        count = counts[name] = Count.__new__(Count)
    count.deliveries += 1
    count.octets += size
    return 0


cdef list _counts(dict counts):
    cdef Count count
    return [(name, count.deliveries, count.octets) for name, count in counts.items()]


cdef class Count:
    # Deliveries to one destination, and their bytes.
    cdef int64_t deliveries, octets
