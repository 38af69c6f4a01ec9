"""A C-STORE-RQ about which nothing needs a decision, its success (PS3.7 section 9.3.1), and which of an
association are open."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from _codec cimport little_endian as little
from _codec.command_elements cimport (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    C_STORE_RQ,
    C_STORE_RSP,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    COMMAND_PDU_MAX,
    GROUP_LENGTH_BYTES,
    MESSAGE_ID,
    MESSAGE_ID_BEING_RESPONDED_TO,
    NO_DATASET,
    PDU_HEAD_BYTES,
    PRIORITY,
    STATUS,
    UID_MAX,
    Element,
    end_command_pdu,
    next_element,
    put_uid,
    put_us,
    stripped,
)

cdef enum:
    OPEN_MAX = 64  # operations that one lane has under way


cdef struct OpenMessages:
    # Message IDs of requests that a lane has not answered yet.
    int count
    int ids[OPEN_MAX]


cdef inline bint is_message_open(const OpenMessages *messages, int message_id) noexcept:
    cdef int i
    for i in range(messages.count):
        if messages.ids[i] == message_id:
            return True
    return False


cdef inline void open_message(OpenMessages *messages, int message_id) noexcept:
    # The caller has seen to it that there is room.
    messages.ids[messages.count] = message_id
    messages.count += 1


cdef inline void close_message(OpenMessages *messages, int message_id) noexcept:
    cdef int i
    for i in range(messages.count):
        if messages.ids[i] == message_id:
            messages.count -= 1
            messages.ids[i] = messages.ids[messages.count]
            return


cdef struct StoreRequest:
    # Places in the command set, padding left out.
    const uint8_t *sop_class
    Py_ssize_t sop_class_bytes
    const uint8_t *sop_instance
    Py_ssize_t sop_instance_bytes
    int message_id


cdef inline bint read_request(const uint8_t *data, Py_ssize_t size, StoreRequest *request) noexcept:
    # True for a C-STORE-RQ of the usual elements, each once, in order, whole (PS3.7 Table 9.3-1).
    cdef Element element
    cdef int seen = 0
    element.number, element.after = -1, 0
    while element.after < size:
        if not next_element(data, size, &element):
            return False
        if element.number == AFFECTED_SOP_CLASS_UID:
            request.sop_class = element.value
            request.sop_class_bytes = stripped(element.value, element.length)
            seen |= 1
        elif element.number == AFFECTED_SOP_INSTANCE_UID:
            request.sop_instance = element.value
            request.sop_instance_bytes = stripped(element.value, element.length)
            seen |= 2
        elif element.number == 0:
            if element.length != 4:
                return False
        elif element.length != 2:
            return False
        elif element.number == COMMAND_FIELD:
            if little.load_u16(element.value) != C_STORE_RQ:
                return False
            seen |= 4
        elif element.number == MESSAGE_ID:
            request.message_id = little.load_u16(element.value)
            seen |= 8
        elif element.number == COMMAND_DATA_SET_TYPE:
            if little.load_u16(element.value) == NO_DATASET:
                return False
            seen |= 16
        elif element.number != PRIORITY:
            return False
    return seen == 31


cdef inline bint is_uid(const uint8_t *text, Py_ssize_t length) noexcept:
    # As standard/uids.py is_valid_uid: components of digits joined by single dots (PS3.5 section 9.1).
    cdef Py_ssize_t i
    cdef bint after_digit = False
    if not 1 <= length <= UID_MAX:
        return False
    for i in range(length):
        if 0x30 <= text[i] <= 0x39:
            after_digit = True
        elif text[i] == 0x2E and after_digit:
            after_digit = False
        else:
            return False
    return after_digit


cdef inline bytes store_success(int context_id, bytes command):
    # The C-STORE-RSP with status 0000H as one P-DATA-TF (PS3.7 Table 9.3-2). command: the request's, read
    # before.
    cdef StoreRequest request
    cdef uint8_t response[COMMAND_PDU_MAX]
    cdef uint8_t *at = response + PDU_HEAD_BYTES + GROUP_LENGTH_BYTES
    read_request(<const uint8_t *>PyBytes_AS_STRING(command), PyBytes_GET_SIZE(command), &request)
    at = put_uid(at, AFFECTED_SOP_CLASS_UID, request.sop_class, request.sop_class_bytes)
    at = put_us(at, COMMAND_FIELD, C_STORE_RSP)
    at = put_us(at, MESSAGE_ID_BEING_RESPONDED_TO, request.message_id)
    at = put_us(at, COMMAND_DATA_SET_TYPE, NO_DATASET)
    at = put_us(at, STATUS, 0)
    at = put_uid(at, AFFECTED_SOP_INSTANCE_UID, request.sop_instance, request.sop_instance_bytes)
    return PyBytes_FromStringAndSize(<const char *>response, end_command_pdu(response, context_id, at))
