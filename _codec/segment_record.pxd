"""What stands before and behind a dataset in a segment, as spool/segment.py lays it out: its twin."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from _codec cimport big_endian as big, little_endian as little
from _codec.checksum cimport checksum
from _codec.ticket_record cimport TicketView

cdef enum:
    RECORD_HEAD_BYTES = 48
    RECORD_TRAILER_BYTES = 8
    RECORD_ALIGNMENT = 8
    RECORD_KIND_INSTANCE = 1
    FACTS_MAX = 8192  # of an instance's facts in the lane


cdef inline uint64_t record_bytes(uint64_t meta_bytes, uint64_t payload_bytes) noexcept nogil:
    # The space of a record, padding included.
    cdef uint64_t size = RECORD_HEAD_BYTES + meta_bytes + payload_bytes + RECORD_TRAILER_BYTES
    return (size + RECORD_ALIGNMENT - 1) & ~<uint64_t>(RECORD_ALIGNMENT - 1)


cdef inline void put_record_head(
    uint8_t *at, uint64_t number, uint64_t nonce, uint64_t offset, uint64_t seq, const uint8_t *meta,
    uint32_t meta_bytes, uint64_t payload_bytes,
) noexcept nogil:
    # number, nonce: the segment's. offset: where the head will stand.
    memcpy(at, b"\xc5DRr", 4)
    little.store_u64(at + 4, nonce)
    at[12] = RECORD_KIND_INSTANCE
    at[13] = 0
    little.store_u16(at + 14, RECORD_HEAD_BYTES)
    little.store_u64(at + 16, seq)
    little.store_u64(at + 24, payload_bytes)
    little.store_u32(at + 32, meta_bytes)
    little.store_u32(at + 36, checksum(meta, meta_bytes, 0) if meta_bytes else 0)
    little.store_u32(at + 40, <uint32_t>number)
    little.store_u32(at + 44, checksum(at, 44, <uint32_t>offset))


cdef inline Py_ssize_t put_record_trailer(
    uint8_t *at, uint32_t payload_crc, uint64_t unpadded_bytes
) noexcept nogil:
    # Return how many octets that is, padding included. unpadded_bytes: of head, meta and payload.
    cdef Py_ssize_t padding = <Py_ssize_t>(-unpadded_bytes & (RECORD_ALIGNMENT - 1))
    little.store_u32(at, payload_crc)
    memcpy(at + 4, b"DRe\xc5", 4)
    memset(at + RECORD_TRAILER_BYTES, 0, padding)
    return RECORD_TRAILER_BYTES + padding


cdef inline bytes instance_facts(
    const TicketView *ticket, const uint8_t *study, Py_ssize_t study_bytes, const uint8_t *series,
    Py_ssize_t series_bytes, bytes decision_part,
):
    # An InstanceRecord (spool/record.py) as msgpack, or None if it is too long for the lane.
    cdef uint8_t facts[FACTS_MAX]
    cdef uint8_t *at = facts
    cdef Py_ssize_t tail_bytes = PyBytes_GET_SIZE(decision_part)
    if 512 + ticket.sop_class_bytes + ticket.source_part_bytes + tail_bytes > FACTS_MAX:
        return None
    at[0] = 0x9D  # an array of 13
    at = _put_text(at + 1, ticket.sop_class, ticket.sop_class_bytes)
    at = _put_text(at, ticket.sop_instance, ticket.sop_instance_bytes)
    at = _put_text(at, ticket.transfer_syntax, ticket.transfer_syntax_bytes)
    at = _put_text(at, study, study_bytes)
    at = _put_text(at, series, series_bytes)
    memcpy(at, ticket.sender_part, ticket.sender_part_bytes)
    at += ticket.sender_part_bytes
    at[0] = 0xCF
    big.store_u32(at + 1, <uint32_t>(ticket.received_ns >> 32))
    big.store_u32(at + 5, <uint32_t>ticket.received_ns)
    at += 9
    memcpy(at, PyBytes_AS_STRING(decision_part), tail_bytes)
    at += tail_bytes
    return PyBytes_FromStringAndSize(<const char *>facts, at - facts)


cdef inline uint8_t *_put_text(uint8_t *at, const uint8_t *octets, Py_ssize_t length) noexcept:
    # A text of at most 255 octets, as msgpack.
    at[0] = 0xD9
    at[1] = <uint8_t>length
    memcpy(at + 2, octets, length)
    return at + 2 + length
