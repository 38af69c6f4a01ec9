"""New rows of the ledger, written many at a time without the interpreter's lock.

Its twin, and what the columns are: spool/ledger_insert.py and spool/ledger_rows.py. A row is made as the
msgpack array over which its checksum is taken; from there its columns are bound to the statement.
Invariant: the lock is held for no more than ROWS_AT_ONCE rows in one go, so the event loop need not wait.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.long cimport PyLong_AsLongLong
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.tuple cimport PyTuple_Check, PyTuple_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from _codec.checksum cimport CHECKSUM_IS_THERE, checksum, checksum_begin
from _codec.entry_lane cimport StoredEntry
from _codec.ledger_told cimport PendingRun
from _codec.msgpack_octets cimport put_head, write_number
from _codec.row_binding cimport DELIVERY_COLUMNS, INSTANCE_COLUMNS, insert_rows
from _codec.sqlite_link cimport Link, functions

from crc32c import crc32c

import msgpack

checksum_begin()

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    ROWS_AT_ONCE = 64
    LOOKED_AT_ONCE = 256  # entries of a run
    HEAD_BYTES = 9  # of any value
    ENTRY_FIELDS = 3  # as in spool/record.py
    RECORD_FIELDS = 13
    LOCATION_FIELDS = 5
    MARK_FIELDS = 9  # as in spool/states.py

cdef double YIELDS_MAX_S = 0.005  # in one call of insert; where others take more, this thread falls behind

cdef struct Place:
    int64_t segment
    int64_t dataset_bytes

_pack = msgpack.Packer(autoreset=True).pack


@cython.final
cdef class RowWriter:
    """Writes instances and deliveries into the tables of one connection.

    link: of the connection, whose transactions are the caller's. instance, delivery: the INSERT statements,
    a parameter a column.
    """

    cdef Link _link
    cdef void *_instance
    cdef void *_delivery
    cdef uint8_t *_octets  # of the rows that are being made
    cdef Py_ssize_t _capacity
    cdef Py_ssize_t _used
    cdef int _rows
    cdef double _patience_s  # for which the processor may still be left to others
    cdef tuple _packed_of  # the facts whose decision was written last, and how
    cdef bytes _packed

    def __cinit__(self, Link link not None, str instance, str delivery):
        self._link = link
        self._instance = link.prepare(instance)
        self._delivery = link.prepare(delivery)

    def close(self):
        """Give the statements up; before the connection is closed."""
        if self._instance is not NULL:
            functions.finalize(self._instance)
            self._instance = NULL
        if self._delivery is not NULL:
            functions.finalize(self._delivery)
            self._delivery = NULL

    def __dealloc__(self):
        PyMem_Free(self._octets)

    def insert(self, dict entries, dict marks, dict pending, dict ids, int run_min):
        """Write entries and the deliveries they begin with; return (sums, filed, others, runs).

        entries: by seq. marks: by destination, then seq; those of other entries are returned as `others`, a
        list. pending: by destination, runs of entries; at least run_min in a row without a mark are not
        written but returned in `runs`: (number, first seq, last seq, segment, bytes, latest at_ns). ids: the
        destinations' numbers. sums: (number, state, segment, count, bytes, latest at_ns) of the deliveries,
        those in runs included. filed: numbers of the entries whose dataset has a file of its own.
        Raises sqlite3.Error, TypeError, OverflowError; the transaction has to be rolled back then.
        """
        cdef list filed = []
        cdef list others = []
        cdef list found = []
        cdef Sums sums = Sums.__new__(Sums)
        cdef object entry, mark
        cdef Place place
        cdef int64_t number
        if self._instance is NULL:
            raise ValueError("closed")
        self._used = self._rows = 0
        self._patience_s = YIELDS_MAX_S
        for entry in entries.values():
            if isinstance(entry, StoredEntry):
                self._put_stored(<StoredEntry>entry)
            elif self._put_instance(entry):
                filed.append((<tuple>entry)[0])
            if self._rows == ROWS_AT_ONCE:
                self._write(self._instance, False)
        self._write(self._instance, False)
        for name, of_destination in marks.items():
            number = ids[name]
            for seq, mark in (<dict>of_destination).items():
                entry = entries.get(seq)
                if entry is None:
                    others.append(mark)
                    continue
                place = _place_of(entry)
                self._put_delivery(number, _checked(mark, MARK_FIELDS), place)
                sums.add(number, <tuple>mark, place)
                if self._rows == ROWS_AT_ONCE:
                    self._write(self._delivery, True)
        for name, runs in pending.items():
            number = ids[name]
            for run in <list>runs:
                self._put_run(number, name, run, marks.get(name), entries, run_min, sums, found)
        self._write(self._delivery, True)
        return sums.take(), filed, others, found

    cdef int _put_run(
        self, int64_t number, str name, PendingRun run, dict marked, dict entries, int run_min, Sums sums,
        list found,
    ) except -1:
        # What of a run is pending still, in as few pieces as it is in.
        cdef uint64_t seq
        cdef uint64_t first = run.first_seq
        if not marked and run.last_seq - first + 1 >= <uint64_t>run_min:
            return _keep_run(found, sums, number, run, first, run.last_seq, run.size_bytes, run.at_ns)
        for seq in range(run.first_seq, run.last_seq + 1):
            if seq % LOOKED_AT_ONCE == 0:
                with nogil:
                    pass
            if marked is not None and seq in marked:
                self._put_piece(number, name, run, first, seq, entries, run_min, sums, found)
                first = seq + 1
        return self._put_piece(number, name, run, first, run.last_seq + 1, entries, run_min, sums, found)

    cdef int _put_piece(
        self, int64_t number, str name, PendingRun run, uint64_t first, uint64_t end, dict entries,
        int run_min, Sums sums, list found,
    ) except -1:
        # Entries from first up to end, all of them pending.
        cdef uint64_t seq
        cdef uint64_t size_bytes = 0
        cdef int64_t at_ns, latest_ns = 0
        cdef bint is_run = end - first >= <uint64_t>run_min
        cdef Place place
        cdef tuple mark
        for seq in range(first, end):
            entry = entries[seq]
            place = _place_of(entry)
            at_ns = _received_ns(entry)
            if is_run:
                size_bytes += <uint64_t>place.dataset_bytes
                if seq == first or at_ns > latest_ns:
                    latest_ns = at_ns
                continue
            mark = (seq, name, 0, at_ns, 0, 0, "", None, False)
            self._put_delivery(number, mark, place)
            sums.add(number, mark, place)
            if self._rows == ROWS_AT_ONCE:
                self._write(self._delivery, True)
        if is_run and end > first:
            _keep_run(found, sums, number, run, first, end - 1, size_bytes, latest_ns)
        return 0

    cdef bint _put_instance(self, object fields) except -1:
        # Whether the dataset has a file of its own.
        cdef tuple entry, record, location
        cdef Py_ssize_t began, i
        entry = _checked(fields, ENTRY_FIELDS)
        record = _checked(entry[1], RECORD_FIELDS)
        location = _checked(entry[2], LOCATION_FIELDS)
        began = self._begin(INSTANCE_COLUMNS)
        self._put_int(entry[0])
        for i in range(LOCATION_FIELDS - 1):
            self._put_int(location[i])
        self._put_text(location[4])
        for i in range(9):
            self._put_text(record[i])
        self._put_int(record[9])
        self._put_decision(record)
        self._end(began)
        return location[4] is not None

    cdef int _put_stored(self, StoredEntry entry) except -1:
        # The same of an entry that is known as the lane knows it.
        cdef tuple model = _checked(entry.plan.model, RECORD_FIELDS)
        cdef Py_ssize_t began = self._begin(INSTANCE_COLUMNS)
        cdef Py_ssize_t i
        self._put_number(entry.seq)
        self._put_number(entry.segment)
        self._put_number(entry.offset)
        self._put_number(entry.dataset_bytes)
        self._put_number(entry.crc)
        self._put_text(None)
        self._put_text(model[0])
        self._put_text(entry.uid)
        self._put_text(model[2])
        self._put_text(entry.study)
        self._put_text(entry.series)
        for i in range(5, 9):
            self._put_text(model[i])
        self._put_number(entry.received_ns)
        self._put_decision(model)
        return self._end(began)

    cdef int _put_decision(self, tuple record) except -1:
        # (destinations, action, rules), as msgpack; the same for one entry after the other, mostly.
        if self._packed_of is not record:
            self._packed_of, self._packed = record, _pack((record[10], record[11], record[12]))
        self._need(PyBytes_GET_SIZE(self._packed))
        self._used += put_head(
            self._octets + self._used, 0xC4, 0xC5, 0xC6, <uint64_t>PyBytes_GET_SIZE(self._packed)
        )
        self._put(PyBytes_AS_STRING(self._packed), PyBytes_GET_SIZE(self._packed))
        return 0

    cdef int _put_delivery(self, int64_t number, tuple mark, Place place) except -1:
        cdef Py_ssize_t began
        self._need(8)
        memcpy(self._octets + self._used, &number, 8)
        self._used += 8
        began = self._begin(DELIVERY_COLUMNS)
        self._put_int(mark[0])
        self._put_text(mark[1])
        self._put_number(place.segment)
        self._put_number(place.dataset_bytes)
        self._put_int(mark[2])
        self._put_int(mark[4])
        self._put_int(mark[5])
        self._put_int(mark[3])
        self._put_text(mark[6])
        self._put_int(mark[7])
        return self._end(began)

    # A row: its columns as one msgpack array, and its checksum

    cdef Py_ssize_t _begin(self, int columns) except -1:
        cdef Py_ssize_t began = self._used
        self._need(HEAD_BYTES)
        if columns < 16:
            self._octets[self._used] = <uint8_t>(0x90 | columns)
            self._used += 1
        else:
            self._octets[self._used] = 0xDC
            self._octets[self._used + 1] = 0
            self._octets[self._used + 2] = <uint8_t>columns
            self._used += 3
        return began

    cdef int _end(self, Py_ssize_t began) except -1:
        cdef const uint8_t *row = self._octets + began
        cdef Py_ssize_t size = self._used - began
        cdef uint32_t crc
        if CHECKSUM_IS_THERE:
            crc = checksum(row, size, 0)
        else:
            crc = crc32c(PyBytes_FromStringAndSize(<const char *>row, size))
        self._need(4)
        memcpy(self._octets + self._used, &crc, 4)
        self._used += 4
        self._rows += 1
        return 0

    cdef int _put_int(self, value) except -1:
        if value is not None:
            return self._put_number(PyLong_AsLongLong(value))
        self._need(HEAD_BYTES)
        self._octets[self._used] = 0xC0
        self._used += 1
        return 0

    cdef int _put_number(self, int64_t value) except -1:
        self._need(HEAD_BYTES)
        self._used += write_number(self._octets + self._used, value)
        return 0

    cdef int _put_text(self, value) except -1:
        cdef Py_ssize_t size = 0
        cdef const char *octets
        self._need(HEAD_BYTES)
        if value is None:
            self._octets[self._used] = 0xC0
            self._used += 1
            return 0
        octets = PyUnicode_AsUTF8AndSize(value, &size)
        self._need(size)
        if size < 32:
            self._octets[self._used] = <uint8_t>(0xA0 | size)
            self._used += 1
        else:
            self._used += put_head(self._octets + self._used, 0xD9, 0xDA, 0xDB, <uint64_t>size)
        self._put(octets, size)
        return 0

    cdef int _put(self, const char *octets, Py_ssize_t size) except -1:
        memcpy(self._octets + self._used, octets, size)
        self._used += size
        return 0

    cdef int _need(self, Py_ssize_t more) except -1:
        # Room for so many octets and the head before them.
        cdef Py_ssize_t wanted = self._used + more + HEAD_BYTES
        cdef uint8_t *octets
        if wanted <= self._capacity:
            return 0
        wanted = max(2 * self._capacity, wanted, 65536)
        octets = <uint8_t *>PyMem_Realloc(self._octets, wanted)
        if octets is NULL:
            raise MemoryError()
        self._octets, self._capacity = octets, wanted
        return 0

    cdef int _write(self, void *statement, bint has_number) except -1:
        # Write the rows made so far.
        cdef int rows = self._rows
        cdef bint is_well
        cdef const uint8_t *octets = self._octets
        if not rows:
            return 0
        with nogil:
            is_well = insert_rows(statement, octets, rows, has_number, &self._patience_s)
        self._used = self._rows = 0
        if not is_well:
            error = self._link.error()
            functions.reset(statement)
            raise error
        return 0


@cython.final
cdef class Sums:
    # How the totals change, by destination, state and segment; rows of one kind come one after the other.
    cdef dict _sums
    cdef int64_t _number, _state, _segment, _count, _bytes, _at_ns

    def __cinit__(self):
        self._sums = {}

    cdef int add(self, int64_t number, tuple mark, Place place) except -1:
        cdef int64_t state = mark[2]
        cdef int64_t segment = place.segment
        cdef int64_t at_ns = mark[3]
        if not self._count or number != self._number or state != self._state or segment != self._segment:
            self._close()
            self._number, self._state, self._segment = number, state, segment
        if not self._count or at_ns > self._at_ns:
            self._at_ns = at_ns
        self._count += 1
        self._bytes += place.dataset_bytes
        return 0

    cdef int add_many(
        self, int64_t number, int64_t segment, int64_t count, int64_t size_bytes, int64_t at_ns
    ) except -1:
        # So many that are pending.
        self._close()
        self._number, self._state, self._segment = number, 0, segment
        self._count, self._bytes, self._at_ns = count, size_bytes, at_ns
        return self._close()

    cdef int _close(self) except -1:
        if self._count:
            key = (self._number, self._state, self._segment)
            count, size, at_ns = self._sums.get(key, (0, 0, self._at_ns))
            self._sums[key] = (count + self._count, size + self._bytes, max(at_ns, self._at_ns))
        self._count = self._bytes = 0
        return 0

    cdef list take(self):
        self._close()
        return [(*key, *sums) for key, sums in self._sums.items()]


cdef int _keep_run(
    list found, Sums sums, int64_t number, PendingRun run, uint64_t first, uint64_t last, uint64_t size_bytes,
    int64_t at_ns,
) except -1:
    found.append((number, first, last, run.segment, size_bytes, at_ns))
    sums.add_many(number, <int64_t>run.segment, <int64_t>(last - first + 1), <int64_t>size_bytes, at_ns)
    return 0


cdef int64_t _received_ns(object entry) except? -1:
    # entry: as in _place_of.
    cdef tuple record
    if isinstance(entry, StoredEntry):
        return <int64_t>(<StoredEntry>entry).received_ns
    record = <tuple>(<tuple>entry)[1]
    return record[9]


cdef Place _place_of(object entry) except *:
    # entry: one whose row is made.
    cdef Place place
    cdef tuple location
    if isinstance(entry, StoredEntry):
        place.segment, place.dataset_bytes = (<StoredEntry>entry).segment, (<StoredEntry>entry).dataset_bytes
    else:
        location = <tuple>(<tuple>entry)[2]
        place.segment, place.dataset_bytes = location[0], location[2]
    return place


cdef tuple _checked(object fields, Py_ssize_t count):
    # A named tuple as the plain one that it is.
    if not PyTuple_Check(fields) or PyTuple_GET_SIZE(<tuple>fields) != count:
        raise TypeError(f"{type(fields).__name__} is no tuple of {count}")
    return <tuple>fields
