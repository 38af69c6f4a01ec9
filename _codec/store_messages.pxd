"""The C-STORE-RQ and the C-STORE-RSP as lanes read and write them, if nothing needs a decision. PS3.7 section
9.3.1."""

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
    DATASET_FOLLOWS,
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

cdef struct StoreRequest:
    # Places in the command set, padding left out.
    const uint8_t *sop_class
    Py_ssize_t sop_class_bytes
    const uint8_t *sop_instance
    Py_ssize_t sop_instance_bytes
    int message_id


cdef inline bint read_store_request(const uint8_t *data, Py_ssize_t size, StoreRequest *request) noexcept:
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


cdef inline Py_ssize_t write_store_request(
    uint8_t *command, int context_id, int message_id, const uint8_t *sop_class, Py_ssize_t sop_class_bytes,
    const uint8_t *sop_instance, Py_ssize_t sop_instance_bytes,
) noexcept:
    # The C-STORE-RQ as one P-DATA-TF in command; the caller has checked the UIDs' lengths.
    cdef uint8_t *at = command + PDU_HEAD_BYTES + GROUP_LENGTH_BYTES
    at = put_uid(at, AFFECTED_SOP_CLASS_UID, sop_class, sop_class_bytes)
    at = put_us(at, COMMAND_FIELD, C_STORE_RQ)
    at = put_us(at, MESSAGE_ID, message_id)
    at = put_us(at, PRIORITY, 0)
    at = put_us(at, COMMAND_DATA_SET_TYPE, DATASET_FOLLOWS)
    at = put_uid(at, AFFECTED_SOP_INSTANCE_UID, sop_instance, sop_instance_bytes)
    return end_command_pdu(command, context_id, at)


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
    read_store_request(<const uint8_t *>PyBytes_AS_STRING(command), PyBytes_GET_SIZE(command), &request)
    at = put_uid(at, AFFECTED_SOP_CLASS_UID, request.sop_class, request.sop_class_bytes)
    at = put_us(at, COMMAND_FIELD, C_STORE_RSP)
    at = put_us(at, MESSAGE_ID_BEING_RESPONDED_TO, request.message_id)
    at = put_us(at, COMMAND_DATA_SET_TYPE, NO_DATASET)
    at = put_us(at, STATUS, 0)
    at = put_uid(at, AFFECTED_SOP_INSTANCE_UID, request.sop_instance, request.sop_instance_bytes)
    return PyBytes_FromStringAndSize(<const char *>response, end_command_pdu(response, context_id, at))


cdef inline bint has_fitting_length(int number, Py_ssize_t length) noexcept:
    # Whether a value of this length can be of the element's VR (PS3.7 Table E.1-1), as command.pyx asks.
    if number == 0:
        return length == 4
    if number in (0x0901, 0x1005):  # AT
        return length & 3 == 0
    if number in (
        0x0110, 0x0700, 0x0903, 0x1002, 0x1008, 0x1020, 0x1021, 0x1022, 0x1023, 0x1031,
    ):  # US
        return length & 1 == 0
    return True


cdef inline bint read_store_response(
    const uint8_t *data, Py_ssize_t size, int *message_id, int *status
) noexcept:
    # True for a C-STORE-RSP without a dataset, whose elements ascend and are whole (PS3.7 Table 9.3-2);
    # status stays as it was if there is none.
    cdef Element element
    cdef int value
    cdef int seen = 0
    element.number, element.after = -1, 0
    while element.after < size:
        if not next_element(data, size, &element):
            return False
        if element.number not in (
            COMMAND_FIELD, MESSAGE_ID_BEING_RESPONDED_TO, COMMAND_DATA_SET_TYPE, STATUS
        ):
            if not has_fitting_length(element.number, element.length):
                return False  # the general way says what is wrong
            continue
        if element.length != 2:
            if element.number == STATUS:
                continue
            return False
        value = little.load_u16(element.value)
        if element.number == COMMAND_FIELD:
            if value != C_STORE_RSP:
                return False
            seen |= 1
        elif element.number == MESSAGE_ID_BEING_RESPONDED_TO:
            message_id[0] = value
            seen |= 2
        elif element.number == COMMAND_DATA_SET_TYPE:
            if value != NO_DATASET:
                return False
            seen |= 4
        else:
            status[0] = value
    return seen & 7 == 7
