"""Decode and encode command sets: always Implicit VR Little Endian (PS3.7 section 6.3.1).

Value representations are those of PS3.7 Annex E; retired elements count as unknown and stay bytes.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from _codec.little_endian cimport load_u16, load_u32, store_u16, store_u32

cdef enum:
    HEAD_BYTES = 8  # group, element, length
    GROUP_LENGTH_BYTES = 12  # the whole element (0000,0000)

cdef enum Kind:
    KIND_BYTES  # unknown: as it is
    KIND_US
    KIND_UL
    KIND_AT
    KIND_UI  # text padded with NUL
    KIND_TEXT  # AE, LO: text padded with a space


cdef inline Kind _kind(uint16_t element) noexcept:
    # PS3.7 Table E.1-1; one switch in C.
    if element in (
        0x0100, 0x0110, 0x0120, 0x0700, 0x0800, 0x0900, 0x0903, 0x1002, 0x1008, 0x1020, 0x1021, 0x1022,
        0x1023, 0x1031,
    ):
        return KIND_US
    if element in (0x0002, 0x0003, 0x1000, 0x1001):
        return KIND_UI
    if element in (0x0600, 0x0902, 0x1030):
        return KIND_TEXT
    if element in (0x0901, 0x1005):
        return KIND_AT
    if element == 0x0000:
        return KIND_UL
    return KIND_BYTES


def decode_command(data):
    """Return a command set's elements: tag to value; the group length is checked for shape and dropped.

    US: int, or a tuple if the multiplicity is not 1; UI, AE, LO: str (Latin-1) without trailing NULs and
    spaces; AT: tuple of tags as group << 16 | element; unknown elements: bytes.
    Raises ValueError(reason, offset): offset in bytes from the start of the data.
    """
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return _decode(<const uint8_t *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


cdef dict _decode(const uint8_t *data, Py_ssize_t size):
    cdef dict fields = {}
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t length
    cdef int previous = -1
    cdef uint16_t element
    while at < size:
        if size - at < HEAD_BYTES:
            raise ValueError(f"command element head takes 8 bytes, {size - at} left", at)
        # 1-2 group, 3-4 element, 5-8 value length
        if load_u16(data + at) != 0:
            raise ValueError(f"group {load_u16(data + at):04X} in a command set, allowed 0000", at)
        element = load_u16(data + at + 2)
        if element <= previous:
            raise ValueError(f"command element (0000,{element:04X}) is not in ascending order", at)
        previous = element
        length = load_u32(data + at + 4)
        if length > size - at - HEAD_BYTES:
            text = f"value of command element (0000,{element:04X}) takes {length} bytes"
            raise ValueError(f"{text}, {size - at - HEAD_BYTES} left", at + 4)
        value = _value(element, data + at + HEAD_BYTES, length, at + 4)
        if element:
            fields[<uint32_t>element] = value
        at += HEAD_BYTES + length
    return fields


cdef object _value(uint16_t element, const uint8_t *data, Py_ssize_t length, Py_ssize_t length_offset):
    # data: length bytes, checked by _decode.
    cdef Kind kind = _kind(element)
    cdef Py_ssize_t i
    if kind == KIND_US:
        if length == 2:
            return load_u16(data)
        if length & 1:
            _refuse_length(element, length, length_offset)
        return tuple([load_u16(data + 2 * i) for i in range(length // 2)])
    if kind == KIND_UI or kind == KIND_TEXT:
        while length and (data[length - 1] == 0 or data[length - 1] == 0x20):
            length -= 1
        return PyUnicode_DecodeLatin1(<const char *>data, length, NULL)
    if kind == KIND_AT:
        if length & 3:
            _refuse_length(element, length, length_offset)
        return tuple([
            (<uint32_t>load_u16(data + 4 * i) << 16) | load_u16(data + 4 * i + 2) for i in range(length // 4)
        ])
    if kind == KIND_UL:
        if length != 4:
            _refuse_length(element, length, length_offset)
        return load_u32(data)
    return PyBytes_FromStringAndSize(<const char *>data, length)


cdef int _refuse_length(uint16_t element, Py_ssize_t length, Py_ssize_t offset) except -1:
    text = f"value length {length} does not fit the VR of command element (0000,{element:04X})"
    raise ValueError(text, offset)


def encode_command(fields):
    """Return a command set: elements in ascending order after a computed (0000,0000).

    fields: tag to value as decode_command gives them; US takes an int or a sequence of ints, AT the same with
    tags, any element takes bytes. A (0000,0000) among them is ignored. Odd values are padded: UI and bytes
    with NUL, text with a space.
    Raises ValueError(reason, tag) for what the element cannot hold.
    """
    cdef list values = []
    cdef Py_ssize_t total = 0
    cdef bytes value
    cdef Py_ssize_t size
    cdef uint8_t *target
    for tag in sorted(fields):
        if not 0 <= tag <= 0xFFFF:
            raise ValueError("element outside group 0000 in a command set", tag)
        if tag == 0:
            continue
        value = _encode_value(tag, fields[tag])
        values.append((tag, value))
        total += HEAD_BYTES + PyBytes_GET_SIZE(value)
    if total > 0xFFFFFFFF - GROUP_LENGTH_BYTES:
        raise ValueError("command set of 4 GiB or more", total)
    encoded = PyBytes_FromStringAndSize(NULL, GROUP_LENGTH_BYTES + total)
    target = <uint8_t *>PyBytes_AS_STRING(encoded)
    target = _write_head(target, 0, 4)
    store_u32(target, <uint32_t>total)
    target += 4
    for tag, value in values:
        size = PyBytes_GET_SIZE(value)
        target = _write_head(target, tag, <uint32_t>size)
        memcpy(target, PyBytes_AS_STRING(value), size)
        target += size
    return encoded


cdef inline uint8_t *_write_head(uint8_t *target, uint16_t element, uint32_t length) noexcept:
    # target: room for 8 bytes, made by encode_command. Returns the position after the head.
    store_u16(target, 0)
    store_u16(target + 2, element)
    store_u32(target + 4, length)
    return target + HEAD_BYTES


cdef bytes _encode_value(uint16_t element, value):
    cdef Kind kind
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _padded(bytes(value), b"\0")
    kind = _kind(element)
    if isinstance(value, str):
        if kind not in (KIND_UI, KIND_TEXT, KIND_BYTES):
            raise ValueError("text for a command element of numbers", <uint32_t>element)
        try:
            text = value.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError("text outside Latin-1 for a command element", <uint32_t>element) from None
        return _padded(text, b"\0" if kind == KIND_UI else b" ")
    if kind != KIND_US and kind != KIND_AT:
        raise ValueError("numbers for a command element of text or of unknown VR", <uint32_t>element)
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return _encode_us(element, numbers) if kind == KIND_US else _encode_at(element, numbers)


cdef bytes _padded(bytes value, bytes padding):
    return value + padding if len(value) & 1 else value


cdef bytes _encode_us(uint16_t element, tuple numbers):
    cdef uint8_t *target
    cdef Py_ssize_t i
    encoded = PyBytes_FromStringAndSize(NULL, 2 * len(numbers))
    target = <uint8_t *>PyBytes_AS_STRING(encoded)
    for i in range(len(numbers)):
        if not 0 <= numbers[i] <= 0xFFFF:
            raise ValueError("number outside 0..65535 for a command element", <uint32_t>element)
        store_u16(target + 2 * i, numbers[i])
    return encoded


cdef bytes _encode_at(uint16_t element, tuple tags):
    cdef uint8_t *target
    cdef Py_ssize_t i
    cdef uint32_t tag
    encoded = PyBytes_FromStringAndSize(NULL, 4 * len(tags))
    target = <uint8_t *>PyBytes_AS_STRING(encoded)
    for i in range(len(tags)):
        if not 0 <= tags[i] <= 0xFFFFFFFF:
            raise ValueError("tag outside 0..FFFFFFFF for a command element", <uint32_t>element)
        tag = tags[i]
        store_u16(target + 4 * i, <uint16_t>(tag >> 16))
        store_u16(target + 4 * i + 2, <uint16_t>tag)
    return encoded
