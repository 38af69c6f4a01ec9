"""The few msgpack types that lanes write and read in the records of rings (handoff/ticket.py)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from _codec cimport big_endian as big

cdef enum:
    PACKED_ARRAY_0 = 0x90
    PACKED_ARRAY_3 = 0x93
    PACKED_ARRAY_6 = 0x96
    PACKED_EMPTY = 0xA0
    PACKED_FALSE = 0xC2
    PACKED_TRUE = 0xC3
    PACKED_U32 = 0xCE
    PACKED_U64 = 0xCF
    PACKED_STR8 = 0xD9
    PACKED_ARRAY16 = 0xDC
    # The first of each record (handoff/ticket.py, _KINDS)
    KIND_TICKET = 0
    KIND_RECEIPT = 1
    KIND_RELEASE = 2


cdef inline uint8_t *pack_u64(uint8_t *at, uint64_t value) noexcept:
    at[0] = PACKED_U64
    big.store_u32(at + 1, <uint32_t>(value >> 32))
    big.store_u32(at + 5, <uint32_t>value)
    return at + 9


cdef inline uint8_t *append_octets(uint8_t *at, bytes octets) noexcept:
    memcpy(at, PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets))
    return at + PyBytes_GET_SIZE(octets)


cdef inline uint8_t *pack_slots(uint8_t *at, slots) except NULL:
    # A list or tuple of fewer than 65,536 slots; the caller has seen to the room.
    cdef Py_ssize_t slot
    if not slots:
        at[0] = PACKED_ARRAY_0
        return at + 1
    at[0] = PACKED_ARRAY16
    at[1] = <uint8_t>(len(slots) >> 8)
    at[2] = <uint8_t>(len(slots) & 0xFF)
    at += 3
    for slot in slots:
        at[0] = PACKED_U32
        big.store_u32(at + 1, <uint32_t>slot)
        at += 5
    return at
