"""The record of a ticket as the acceptor's lane writes it, and the answers to it that the lane reads in place
(handoff/ticket.py)."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from _codec cimport big_endian as big
from _codec.clock cimport wall_ns
from _codec.packed cimport (
    KIND_RECEIPT,
    KIND_RELEASE,
    KIND_TICKET,
    PACKED_ARRAY16,
    PACKED_ARRAY_0,
    PACKED_ARRAY_3,
    PACKED_ARRAY_6,
    PACKED_EMPTY,
    PACKED_FALSE,
    PACKED_STR8,
    PACKED_TRUE,
    PACKED_U64,
    append_octets,
    pack_slots,
    pack_u64,
)
from _codec.store_messages cimport StoreRequest

cdef enum:
    TICKET_ELEMENTS = 16  # the kind and the fields of Ticket
    RECEIPT_BYTES_MIN = 15  # no slots
    RELEASE_BYTES_MIN = 12


cdef enum TicketAnswer:
    ANSWER_OTHER  # a failure, a comment, another kind of record
    ANSWER_SUCCESS  # the slots stay lent
    ANSWER_SUCCESS_RELEASED
    ANSWER_RELEASED  # the worker has sent from the slots and needs them no more


cdef inline Py_ssize_t write_ticket(
    uint8_t *record, uint64_t ticket_id, list slots, uint64_t dataset_bytes, bytes head,
    const StoreRequest *request, bytes tail, uint64_t association_id,
) except -1:
    # head: the SOP class, packed. tail: from the transfer syntax to ack, packed. The caller has seen to the
    # room.
    cdef uint8_t *at = record
    at[0] = PACKED_ARRAY16
    at[1] = 0
    at[2] = TICKET_ELEMENTS
    at[3] = KIND_TICKET
    at = pack_slots(pack_u64(at + 4, ticket_id), slots)
    at[0] = PACKED_EMPTY  # no file
    at = pack_u64(at + 1, dataset_bytes)
    at = append_octets(at, head)
    at[0] = PACKED_STR8
    at[1] = <uint8_t>request.sop_instance_bytes
    memcpy(at + 2, request.sop_instance, request.sop_instance_bytes)
    at = append_octets(at + 2 + request.sop_instance_bytes, tail)
    at = pack_u64(at, wall_ns())
    at = pack_u64(at, association_id)
    at[0] = 0  # no CRC32C of a file
    return at + 1 - record


cdef inline TicketAnswer read_ticket_answer(
    const uint8_t *record, uint32_t size, uint64_t *ticket_id
) noexcept:
    if size < RELEASE_BYTES_MIN or record[2] != PACKED_U64:
        return ANSWER_OTHER
    ticket_id[0] = (<uint64_t>big.load_u32(record + 3) << 32) | big.load_u32(record + 7)
    # Array of 3, kind, u64 ticket id, slots.
    if record[0] == PACKED_ARRAY_3 and record[1] == KIND_RELEASE:
        return ANSWER_RELEASED
    # Array of 6, kind, u64 ticket id, status 0, no comment, slots, whether these are released.
    if record[0] != PACKED_ARRAY_6 or record[1] != KIND_RECEIPT or size < RECEIPT_BYTES_MIN:
        return ANSWER_OTHER
    if record[11] != 0 or record[12] != PACKED_EMPTY:
        return ANSWER_OTHER
    if record[size - 1] == PACKED_TRUE:
        return ANSWER_SUCCESS_RELEASED
    if record[size - 1] == PACKED_FALSE and record[13] == PACKED_ARRAY_0:
        return ANSWER_SUCCESS
    return ANSWER_OTHER
