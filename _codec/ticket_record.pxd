"""The record of a ticket (handoff/ticket.py) read in place, if it names slots and no file."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from _codec cimport big_endian as big

cdef enum:
    TICKET_SLOTS_MAX = 64  # of a dataset that a lane takes


cdef struct TicketView:
    # A ticket's record in place; texts point into it.
    uint64_t ticket_id
    uint64_t slots[TICKET_SLOTS_MAX]
    Py_ssize_t slot_count
    uint64_t dataset_bytes
    const uint8_t *sop_class
    Py_ssize_t sop_class_bytes
    const uint8_t *sop_instance
    Py_ssize_t sop_instance_bytes
    const uint8_t *transfer_syntax
    Py_ssize_t transfer_syntax_bytes
    const uint8_t *source_part  # from the transfer syntax to ack, packed
    Py_ssize_t source_part_bytes
    const uint8_t *sender_part  # from the calling AE title to the source, packed
    Py_ssize_t sender_part_bytes
    uint64_t received_ns


cdef struct Reader:
    const uint8_t *at
    const uint8_t *end
    bint failed


cdef inline uint64_t _read_number(Reader *reader) noexcept:
    cdef const uint8_t *at = reader.at
    cdef Py_ssize_t left = reader.end - at
    if left >= 1 and at[0] <= 0x7F:
        reader.at = at + 1
        return at[0]
    if left >= 2 and at[0] == 0xCC:
        reader.at = at + 2
        return at[1]
    if left >= 3 and at[0] == 0xCD:
        reader.at = at + 3
        return (<uint64_t>at[1] << 8) | at[2]
    if left >= 5 and at[0] == 0xCE:
        reader.at = at + 5
        return big.load_u32(at + 1)
    if left >= 9 and at[0] == 0xCF:
        reader.at = at + 9
        return (<uint64_t>big.load_u32(at + 1) << 32) | big.load_u32(at + 5)
    reader.failed = True
    return 0


cdef inline Py_ssize_t _read_array(Reader *reader) noexcept:
    cdef const uint8_t *at = reader.at
    cdef Py_ssize_t left = reader.end - at
    if left >= 1 and 0x90 <= at[0] <= 0x9F:
        reader.at = at + 1
        return at[0] & 0x0F
    if left >= 3 and at[0] == 0xDC:
        reader.at = at + 3
        return (at[1] << 8) | at[2]
    reader.failed = True
    return 0


cdef inline const uint8_t *_read_text(Reader *reader, Py_ssize_t *length) noexcept:
    cdef const uint8_t *at = reader.at
    cdef Py_ssize_t left = reader.end - at
    cdef Py_ssize_t head = 1
    length[0] = 0
    if left >= 1 and 0xA0 <= at[0] <= 0xBF:
        length[0] = at[0] & 0x1F
    elif left >= 2 and at[0] == 0xD9:
        head = 2
        length[0] = at[1]
    elif left >= 3 and at[0] == 0xDA:
        head = 3
        length[0] = (at[1] << 8) | at[2]
    else:
        reader.failed = True
        return at
    if left < head + length[0]:
        reader.failed = True
        return at
    reader.at = at + head + length[0]
    return at + head


cdef inline bint read_ticket(const uint8_t *record, uint32_t size, TicketView *ticket) noexcept:
    # True for a ticket (handoff/ticket.py) that names slots, not a file.
    cdef Reader reader
    cdef Py_ssize_t i, length
    if size < 4 or memcmp(record, b"\xDC\x00\x10\x00", 4):
        return False
    reader.at, reader.end, reader.failed = record + 4, record + size, False
    ticket.ticket_id = _read_number(&reader)
    ticket.slot_count = _read_array(&reader)
    if reader.failed or not 1 <= ticket.slot_count <= TICKET_SLOTS_MAX:
        return False
    for i in range(ticket.slot_count):
        ticket.slots[i] = _read_number(&reader)
    if reader.at >= reader.end or reader.at[0] != 0xA0:  # a file
        return False
    reader.at += 1
    ticket.dataset_bytes = _read_number(&reader)
    ticket.sop_class = _read_text(&reader, &ticket.sop_class_bytes)
    ticket.sop_instance = _read_text(&reader, &ticket.sop_instance_bytes)
    ticket.source_part = reader.at
    ticket.transfer_syntax = _read_text(&reader, &ticket.transfer_syntax_bytes)
    ticket.sender_part = reader.at
    for _ in range(4):  # calling and called AE title, peer address, source
        _read_text(&reader, &length)
    ticket.sender_part_bytes = reader.at - ticket.sender_part
    _read_text(&reader, &length)  # ack
    ticket.source_part_bytes = reader.at - ticket.source_part
    ticket.received_ns = _read_number(&reader)
    return not reader.failed
