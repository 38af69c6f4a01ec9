"""A queue of records in shared memory: one producer, one consumer, no lock.

Layout, native byte order, each party's words on lines of their own so that neither invalidates the other's
cache:
  0   u64 magic and version   8  u64 capacity in bytes   16 u64 epoch
  128 u64 head: bytes produced, monotonic (producer writes)
  256 u64 tail: bytes consumed, monotonic (consumer writes)
  384 u64 asleep: 1 while the consumer wants the doorbell (both write)
  512 records: u32 length, bytes, padded to 8; length FFFFFFFF: go on at the start
Invariant: bytes between tail and head are whole records; head moves only after its record is written
(release), tail only after it was copied out (release). Sleeping is announced before head is looked at again,
and head is published before the announcement is looked at, with a full fence between on both sides: one of
the two sees the other.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset
from posix.unistd cimport read, write

cdef extern from *:
    """
    #define ring_load_own(word) __atomic_load_n((word), __ATOMIC_RELAXED)
    #define ring_load(word) __atomic_load_n((word), __ATOMIC_ACQUIRE)
    #define ring_store(word, value) __atomic_store_n((word), (value), __ATOMIC_RELEASE)
    #define ring_exchange(word, value) __atomic_exchange_n((word), (value), __ATOMIC_SEQ_CST)
    #define ring_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
    """
    uint64_t ring_load_own(uint64_t *word) nogil
    uint64_t ring_load(uint64_t *word) nogil
    void ring_store(uint64_t *word, uint64_t value) nogil
    uint64_t ring_exchange(uint64_t *word, uint64_t value) nogil
    void ring_fence() nogil

RING_HEADER_BYTES = 512
RING_CAPACITY_MIN_BYTES = 64

cdef enum:
    HEADER_BYTES = 512
    CAPACITY_MIN_BYTES = 64
    CAPACITY_AT = 8
    EPOCH_AT = 16
    HEAD_AT = 128
    TAIL_AT = 256
    ASLEEP_AT = 384
    LENGTH_BYTES = 4

cdef uint64_t MAGIC = 0x31474E4952444D44  # "DMDRING1" in memory on a Little Endian host
cdef uint32_t WRAP = 0xFFFFFFFF


@cython.final
cdef class Ring:
    """One end of a ring; the same class serves producer and consumer, one of each at a time.

    buffer: writable, 8-byte aligned; RING_HEADER_BYTES and the records' space. It stays exported until
    release().
    initialise: write an empty ring's header; otherwise the header must be there.
    Raises ValueError(reason, value) if the buffer is too small, unaligned or no ring of this size.
    """

    def __cinit__(self, buffer, bint initialise=False):
        cdef uint8_t *base
        PyObject_GetBuffer(buffer, &self._view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        self._held = True
        base = <uint8_t *>self._view.buf
        if self._view.len < HEADER_BYTES + CAPACITY_MIN_BYTES:
            raise ValueError("buffer too small for a ring", self._view.len)
        if <uintptr_t>base & 7:
            raise ValueError("buffer not aligned to 8 bytes", <uintptr_t>base & 7)
        self._capacity = (self._view.len - HEADER_BYTES) & ~<uint64_t>7
        # Half of the space, so that a record fits into an empty ring wherever its end stands.
        self._record_max = ((self._capacity // 2) & ~<uint64_t>7) - LENGTH_BYTES
        if initialise:
            memset(base, 0, HEADER_BYTES)
            (<uint64_t *>(base + CAPACITY_AT))[0] = self._capacity
            ring_store(<uint64_t *>base, MAGIC)
        elif ring_load(<uint64_t *>base) != MAGIC:
            raise ValueError("no ring of this version", ring_load(<uint64_t *>base))
        elif (<uint64_t *>(base + CAPACITY_AT))[0] != self._capacity:
            raise ValueError("ring was made with another capacity", (<uint64_t *>(base + CAPACITY_AT))[0])
        self._head = <uint64_t *>(base + HEAD_AT)
        self._tail = <uint64_t *>(base + TAIL_AT)
        self._asleep = <uint64_t *>(base + ASLEEP_AT)
        self._epoch = <uint64_t *>(base + EPOCH_AT)
        self._records = base + HEADER_BYTES
        self._head_seen = self._tail_seen = ring_load(self._tail)

    def __dealloc__(self):
        if self._held:
            PyBuffer_Release(&self._view)

    def release(self):
        """Give the buffer back; the ring cannot be used any more. May be called again."""
        if self._held:
            self._records = NULL
            self._held = False
            PyBuffer_Release(&self._view)

    @property
    def head(self):
        """Bytes produced since the ring was made."""
        self._check_held()
        return ring_load(self._head)

    @property
    def tail(self):
        """Bytes consumed since the ring was made."""
        self._check_held()
        return ring_load(self._tail)

    @property
    def used_bytes(self):
        """Bytes between tail and head, records' lengths and padding included."""
        self._check_held()
        # tail first: head can only grow meanwhile, so the difference is never negative
        tail = ring_load(self._tail)
        return ring_load(self._head) - tail

    @property
    def capacity_bytes(self):
        """Bytes for records, their lengths and padding."""
        return self._capacity

    @property
    def record_max_bytes(self):
        """The longest record that push takes."""
        return self._record_max

    @property
    def epoch(self):
        """The consumer's generation: a word both ends can read and write."""
        self._check_held()
        return ring_load(self._epoch)

    @epoch.setter
    def epoch(self, uint64_t value):
        self._check_held()
        ring_store(self._epoch, value)

    def push(self, record):
        """Producer: append a record. 0: no room, nothing written; 1: written; 2: written, ring the doorbell.

        After 2 the consumer's announcement is taken: one doorbell is enough.
        Raises ValueError(reason, size) if the record is longer than record_max_bytes.
        """
        cdef Py_buffer view
        self._check_held()
        PyObject_GetBuffer(record, &view, PyBUF_SIMPLE)
        try:
            if <uint64_t>view.len > self._record_max:
                raise ValueError(f"record longer than {self._record_max} bytes", view.len)
            return self._push(<const uint8_t *>view.buf, <uint32_t>view.len)
        finally:
            PyBuffer_Release(&view)

    def push_quietly(self, record):
        """Producer: append a record that need not wake the consumer; it is found with the next one that does.

        0: no room, nothing written; 1: written. Raises ValueError as push does.
        """
        cdef Py_buffer view
        self._check_held()
        PyObject_GetBuffer(record, &view, PyBUF_SIMPLE)
        try:
            if <uint64_t>view.len > self._record_max:
                raise ValueError(f"record longer than {self._record_max} bytes", view.len)
            return self._write(<const uint8_t *>view.buf, <uint32_t>view.len)
        finally:
            PyBuffer_Release(&view)

    def pop(self):
        """Consumer: return the oldest record, or None.

        Raises ValueError(reason, position) if the shared memory holds no valid record there.
        """
        self._check_held()
        cdef uint64_t tail = ring_load_own(self._tail)
        if not self._has_record(tail):
            return None
        record = self._copy_out(&tail)
        ring_store(self._tail, tail)
        return record

    def pop_many(self, Py_ssize_t records_max):
        """Consumer: return up to records_max of the oldest records; their space is freed at once for all.

        Raises ValueError(reason, position) as pop does; then nothing is consumed.
        """
        self._check_held()
        cdef uint64_t tail = ring_load_own(self._tail)
        cdef list records = []
        while len(records) < records_max and self._has_record(tail):
            records.append(self._copy_out(&tail))
        if records:
            ring_store(self._tail, tail)
        return records

    def sleep(self):
        """Consumer: ask the next push to ring the doorbell. False: records are waiting, do not sleep."""
        self._check_held()
        ring_exchange(self._asleep, 1)
        ring_fence()
        if ring_load(self._head) == ring_load_own(self._tail):
            return True
        ring_exchange(self._asleep, 0)
        return False

    def skip_to_head(self):
        """Consumer: drop all waiting records; return the new tail."""
        self._check_held()
        self._head_seen = ring_load(self._head)
        ring_store(self._tail, self._head_seen)
        return self._head_seen

    cdef int _check_held(self) except -1:
        if self._records is NULL:
            raise ValueError("ring was released", 0)
        return 0

    cdef int _push(self, const uint8_t *data, uint32_t length) noexcept:
        # length is at most _record_max, checked by push.
        if not self._write(data, length):
            return 0
        return 2 if self._wakes() else 1

    cdef bint _wakes(self) noexcept:
        ring_fence()
        return ring_load_own(self._asleep) and ring_exchange(self._asleep, 0)

    cdef int _write(self, const uint8_t *data, uint32_t length) noexcept:
        cdef uint64_t head = ring_load_own(self._head)
        # & ~7: even a damaged head cannot make the writes below leave the buffer
        cdef uint64_t offset = (head % self._capacity) & ~<uint64_t>7
        cdef uint64_t to_end = self._capacity - offset
        cdef uint64_t size = (<uint64_t>length + LENGTH_BYTES + 7) & ~<uint64_t>7
        cdef uint64_t needed = size if size <= to_end else to_end + size
        if self._capacity - (head - self._tail_seen) < needed:
            self._tail_seen = ring_load(self._tail)
            if self._capacity - (head - self._tail_seen) < needed:
                return 0
        if size > to_end:
            memcpy(self._records + offset, &WRAP, LENGTH_BYTES)
            offset = 0
        memcpy(self._records + offset, &length, LENGTH_BYTES)
        memcpy(self._records + offset + LENGTH_BYTES, data, length)
        ring_store(self._head, head + needed)
        return 1

    cdef bint _has_record(self, uint64_t tail) noexcept:
        if tail >= self._head_seen:
            self._head_seen = ring_load(self._head)
        return tail != self._head_seen

    cdef uint64_t position(self) noexcept:
        return ring_load_own(self._head)

    cdef const uint8_t *peek(self, uint32_t *length, uint64_t *after) except? NULL:
        self._check_held()
        after[0] = ring_load_own(self._tail)
        if not self._has_record(after[0]):
            return NULL
        return self._locate(after, length)

    cdef void consume(self, uint64_t after) noexcept:
        ring_store(self._tail, after)

    cdef bytes _copy_out(self, uint64_t *tail):
        # The record at *tail, which moves past it.
        cdef uint32_t length = 0
        cdef const uint8_t *record = self._locate(tail, &length)
        return PyBytes_FromStringAndSize(<const char *>record, length)

    cdef const uint8_t *_locate(self, uint64_t *tail, uint32_t *length) except NULL:
        # The record at *tail, which moves past it.
        cdef const uint8_t *record = self._find(tail, length)
        if record is NULL:
            # The copy of head ends before the record does only if something is damaged: look at head itself.
            self._head_seen = ring_load(self._head)
            record = self._find(tail, length)
        if record is not NULL:
            return record
        if self._head_seen - tail[0] > self._capacity or ((self._head_seen - tail[0]) | tail[0]) & 7:
            raise ValueError("ring positions are corrupt", tail[0])
        raise ValueError("ring record is corrupt", tail[0])

    cdef const uint8_t *_find(self, uint64_t *tail, uint32_t *length) noexcept:
        # NULL: no valid record. What shared memory says is checked before it is believed.
        cdef uint64_t available = self._head_seen - tail[0]
        cdef uint64_t offset = tail[0] % self._capacity
        cdef uint64_t to_end = self._capacity - offset
        cdef uint64_t skipped = 0
        cdef uint64_t size
        if available > self._capacity or (available | tail[0]) & 7:
            return NULL
        memcpy(length, self._records + offset, LENGTH_BYTES)
        if length[0] == WRAP and available > to_end:
            skipped = to_end
            available -= to_end
            to_end = self._capacity
            offset = 0
            memcpy(length, self._records, LENGTH_BYTES)
        size = (<uint64_t>length[0] + LENGTH_BYTES + 7) & ~<uint64_t>7
        if size > available or size > to_end:
            return NULL
        tail[0] += skipped + size
        return self._records + offset + LENGTH_BYTES


def clear_bell(int bell):
    """Silence a doorbell, an eventfd that does not block; one that is silent already stays so."""
    cdef uint64_t rung
    read(bell, &rung, sizeof(rung))


def ring_bell(int bell):
    """Ring a doorbell, if that is possible: who listens looks anyway."""
    cdef uint64_t one = 1
    write(bell, &one, sizeof(one))
