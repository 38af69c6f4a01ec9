"""From rows that are made as msgpack to a statement's columns: the half of ledger_rows.pyx without the lock.

The processor is offered to others every few rows: the thread that syncs segments is often woken on this one,
though another is idle (a guest's idle processors count as taken), and would wait there for a tick.
"""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from _codec cimport big_endian as big
from _codec.clock cimport now
from _codec.sqlite_link cimport SQLITE_DONE, functions

cdef extern from "sched.h" nogil:
    int sched_yield()

cdef enum:
    ROWS_BETWEEN_YIELDS = 8  # some 25 us
    INSTANCE_COLUMNS = 17  # with the decision, without the checksum
    DELIVERY_COLUMNS = 10  # likewise; the second is the destination's name, its number is bound


cdef inline bint insert_rows(
    void *statement, const uint8_t *at, int rows, bint has_number, double *patience_s
) noexcept nogil:
    # Run the statement for each row; False: the library says why.
    cdef int row
    for row in range(rows):
        if has_number:
            at = _bind_delivery(statement, at)
        else:
            at = _bind_instance(statement, at)
        if functions.step(statement) != SQLITE_DONE:
            return False
        functions.reset(statement)
        if patience_s[0] > 0 and row % ROWS_BETWEEN_YIELDS == ROWS_BETWEEN_YIELDS - 1:
            patience_s[0] -= _yield_processor()
    return True


cdef inline double _yield_processor() noexcept nogil:
    # Let others run who wait for this processor; return for how many seconds they did.
    cdef double began = now()
    sched_yield()
    return now() - began


cdef inline const uint8_t *_bind_instance(void *statement, const uint8_t *at) noexcept nogil:
    cdef int column
    at += 3
    for column in range(1, INSTANCE_COLUMNS + 1):
        at = _bind(statement, column, at)
    return _bind_checksum(statement, INSTANCE_COLUMNS + 1, at)


cdef inline const uint8_t *_bind_delivery(void *statement, const uint8_t *at) noexcept nogil:
    cdef int column
    cdef int64_t number
    memcpy(&number, at, 8)
    at += 9
    for column in range(1, DELIVERY_COLUMNS + 1):
        at = _bind(statement, column, at)
    functions.bind_int64(statement, 2, number)
    return _bind_checksum(statement, DELIVERY_COLUMNS + 1, at)


cdef inline const uint8_t *_bind_checksum(void *statement, int column, const uint8_t *at) noexcept nogil:
    cdef uint32_t crc
    memcpy(&crc, at, 4)
    functions.bind_int64(statement, column, crc)
    return at + 4


cdef inline const uint8_t *_bind(void *statement, int column, const uint8_t *at) noexcept nogil:
    # Bind one value as msgpack has it; return where the next one begins.
    cdef uint8_t tag = at[0]
    cdef Py_ssize_t size, head
    if tag < 0x80 or tag >= 0xE0:
        functions.bind_int64(statement, column, <int8_t>tag)
        return at + 1
    if tag == 0xC0:
        functions.bind_null(statement, column)
        return at + 1
    if 0xCC <= tag <= 0xD3:
        return _bind_number(statement, column, at)
    if tag & 0xE0 == 0xA0:
        size, head = tag & 0x1F, 1
    elif tag == 0xC4 or tag == 0xD9:
        size, head = at[1], 2
    elif tag == 0xC5 or tag == 0xDA:
        size, head = big.load_u16(at + 1), 3
    else:
        size, head = big.load_u32(at + 1), 5
    if 0xC4 <= tag <= 0xC6:
        functions.bind_blob(statement, column, at + head, <int>size, NULL)
    else:
        functions.bind_text(statement, column, at + head, <int>size, NULL)
    return at + head + size


cdef inline const uint8_t *_bind_number(void *statement, int column, const uint8_t *at) noexcept nogil:
    cdef uint8_t tag = at[0]
    cdef int size = 1 << (tag & 3)
    cdef uint64_t octets = 0
    cdef int64_t value
    cdef int i
    for i in range(size):
        octets = octets << 8 | at[1 + i]
    if tag == 0xD0:
        value = <int8_t>octets
    elif tag == 0xD1:
        value = <int16_t>octets
    elif tag == 0xD2:
        value = <int32_t>octets
    else:
        value = <int64_t>octets
    functions.bind_int64(statement, column, value)
    return at + 1 + size
