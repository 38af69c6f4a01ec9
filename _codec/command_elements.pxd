"""Reading and writing single elements of command sets: Implicit VR Little Endian (PS3.7 section 6.3.1)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from _codec cimport big_endian as big, little_endian as little


cdef enum:
    # (0000,eeee), PS3.7 Annex E.1
    AFFECTED_SOP_CLASS_UID = 0x0002
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
    PRIORITY = 0x0700
    COMMAND_DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    AFFECTED_SOP_INSTANCE_UID = 0x1000
    C_STORE_RQ = 0x0001
    C_STORE_RSP = 0x8001
    DATASET_FOLLOWS = 0x0001
    NO_DATASET = 0x0101
    ELEMENT_HEAD_BYTES = 8  # group, element, length
    GROUP_LENGTH_BYTES = 12  # the whole element (0000,0000)
    PDU_HEAD_BYTES = 12  # P-DATA-TF head, Item-length, Presentation-context-ID, message control header
    CONTROL_LAST = 2  # message control header (PS3.8 section E.2)
    CONTROL_COMMAND_LAST = 3
    COMMAND_PDU_MAX = 512  # two UIDs of 64 octets, seven element heads, the PDU's head
    UID_MAX = 64  # PS3.5 section 9.1


cdef struct Element:
    int number  # of group 0000; -1 before the first
    const uint8_t *value
    Py_ssize_t length
    Py_ssize_t after  # where the next one begins


cdef inline bint next_element(const uint8_t *data, Py_ssize_t size, Element *element) noexcept nogil:
    # Move to the element at `after`; False if it is not whole, not of group 0000, or does not ascend. Checks
    # the bounds; the caller asks only while `after` is less than size.
    cdef Py_ssize_t at = element.after
    cdef int number
    if size - at < ELEMENT_HEAD_BYTES or little.load_u16(data + at) != 0:
        return False
    number = little.load_u16(data + at + 2)
    if number <= element.number:
        return False
    element.number = number
    element.length = little.load_u32(data + at + 4)
    element.value = data + at + ELEMENT_HEAD_BYTES
    if element.length > size - at - ELEMENT_HEAD_BYTES:
        return False
    element.after = at + ELEMENT_HEAD_BYTES + element.length
    return True


cdef inline Py_ssize_t stripped(const uint8_t *value, Py_ssize_t length) noexcept nogil:
    # The length without the padding that a UID may have, and that some peers add.
    while length and (value[length - 1] == 0 or value[length - 1] == 0x20):
        length -= 1
    return length


cdef inline uint8_t *put_us(uint8_t *at, int element, int value) noexcept nogil:
    little.store_u16(at, 0)
    little.store_u16(at + 2, <uint16_t>element)
    little.store_u32(at + 4, 2)
    little.store_u16(at + 8, <uint16_t>value)
    return at + 10


cdef inline uint8_t *put_uid(uint8_t *at, int element, const uint8_t *uid, Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t padded = length + (length & 1)
    little.store_u16(at, 0)
    little.store_u16(at + 2, <uint16_t>element)
    little.store_u32(at + 4, <uint32_t>padded)
    memcpy(at + 8, uid, length)
    if padded != length:
        at[8 + length] = 0
    return at + 8 + padded


cdef inline void put_pdu_head(uint8_t *head, int context_id, uint32_t payload, int control) noexcept nogil:
    head[0] = 4  # 1 PDU-type: P-DATA-TF
    head[1] = 0  # 2 reserved
    big.store_u32(head + 2, payload + 6)  # 3-6 PDU-length
    big.store_u32(head + 6, payload + 2)  # 7-10 Item-length
    head[10] = <uint8_t>context_id  # 11 Presentation-context-ID
    head[11] = <uint8_t>control  # 12 message control header


cdef inline Py_ssize_t end_command_pdu(uint8_t *pdu, int context_id, const uint8_t *end) noexcept nogil:
    # Write the heads of a command set that stands in pdu behind PDU_HEAD_BYTES + GROUP_LENGTH_BYTES, up to
    # end.
    cdef uint32_t size = <uint32_t>(end - pdu - PDU_HEAD_BYTES)
    little.store_u32(pdu + PDU_HEAD_BYTES, 0)
    little.store_u32(pdu + PDU_HEAD_BYTES + 4, 4)
    little.store_u32(pdu + PDU_HEAD_BYTES + 8, size - GROUP_LENGTH_BYTES)
    put_pdu_head(pdu, context_id, size, CONTROL_COMMAND_LAST)
    return PDU_HEAD_BYTES + size
