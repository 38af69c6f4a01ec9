"""Telling the ledger of the entry lane's entries: a run of new ones, and what of them was delivered.

Its user, and the twin for one entry at a time, is spool/ledger_batch.py, whose dictionaries are filled here.
"""

from libc.stdint cimport int64_t

from _codec.entry_lane cimport EntrySend, StoredEntry
from _codec.outlet cimport Outlet

cdef object _tuple_new = tuple.__new__


def tell_run(list run, dict entries, dict marks, mark_type, pending):
    """Enter new entries, and the marks they start with; return what that adds, (destination, count, bytes).

    entries: by seq. marks: by destination, then seq. mark_type, pending: spool/states.py's.
    """
    cdef StoredEntry entry
    cdef Outlet outlet
    cdef dict added = {}
    cdef dict of_destination
    for entry in run:
        seq, received_ns = entry.seq, entry.received_ns
        entries[seq] = entry
        for outlet in entry.plan.outlets:
            of_destination = _of(marks, outlet.name)
            of_destination[seq] = _tuple_new(
                mark_type, (seq, outlet.name, pending, received_ns, 0, 0, "", None, False)
            )
            _count(added, outlet.name, entry.dataset_bytes)
    return _counts(added)


def tell_delivered(list done, dict entries, dict marks, dict held, mark_type, pending, delivered, now_ns):
    """Enter what was delivered of these entries; return what that changes, and those it is not so simple for.

    The second is a list of (seq, destination): entries that are not of this batch, or in another state. held:
    by destination, the numbers that it holds, from which they are taken.
    """
    cdef EntrySend send
    cdef StoredEntry entry
    cdef dict changed = {}
    cdef list others = []
    cdef dict of_destination
    cdef tuple old
    for send in done:
        seq, name = send.seq, send.outlet.name
        (<set>held[name]).discard(seq)
        of_destination = marks.get(name)
        found = entries.get(seq)
        if of_destination is None or not isinstance(found, StoredEntry):
            others.append((seq, name))
            continue
        entry = <StoredEntry>found
        mark = of_destination.get(seq)
        old = <tuple>mark
        if mark is None or old[2] is not pending or old[8]:
            others.append((seq, name))
            continue
        of_destination[seq] = _tuple_new(
            mark_type, (seq, name, delivered, now_ns, 0, 0, "", 0, False)
        )
        _count(changed, name, entry.dataset_bytes)
    return _counts(changed), others


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
