"""Find attributes in an encoded dataset, in place and without building one.

PS3.5 section 7.1 (data element structure), 7.5 (sequences), A.4 (encapsulated pixel data). Only the top level
is looked at: sequences are stepped over by their length or, if that is undefined, by their delimiters.
Invariant: no read leaves the data; work is linear in the data and nesting costs no stack.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from _codec cimport big_endian as big, little_endian as little
from _codec.elements cimport has_short_length, load_length, load_tag

NESTING_MAX = 64
VALUE_MAX_BYTES = 16384

cdef enum:
    DEPTH_MAX = 64
    VALUE_MAX = 16384
    VR_SQ = 0x5351
    VR_UN = 0x554E
    VR_OB = 0x4F42
    VR_OW = 0x4F57

cdef Py_ssize_t OUTSIDE = -1  # the position asked for is not inside the data
cdef uint32_t ITEM = 0xFFFEE000
cdef uint32_t ITEM_DELIMITATION = 0xFFFEE00D
cdef uint32_t SEQUENCE_DELIMITATION = 0xFFFEE0DD
cdef uint32_t UNDEFINED = 0xFFFFFFFF

cdef tuple _packed_for = None  # the `wanted` of the last call; held, so that its identity stays its own
cdef bytes _packed = None  # the same as an array of uint32


def scan_attributes(data, Py_ssize_t start, bint implicit_vr, bint big_endian, tuple wanted not None):
    """Return (found, resume, done) for the wanted tags of a dataset's top level.

    data: the dataset or a part of it; start: index of an element's first octet.
    wanted: tags as group << 16 | element, ascending.
    found: tag to (VR, value octets as they are); VR is "UN" where it is implicit; a value is cut at
    VALUE_MAX_BYTES; of an element of undefined length, the octets before its delimiter; of a repeated tag,
    the first.
    done: past the last wanted tag, or at the end of the data exactly (then resume == len(data), and if more
    data follows it goes on there). Otherwise resume is the index of the first element not wholly inside the
    data, or behind the data if a value nobody wants ends there: go on from there with more data.
    Raises ValueError(reason, offset), offset from the start of data, for what cannot be parsed.
    """
    cdef Py_buffer view
    cdef bytes packed = _pack(wanted)
    cdef const uint32_t *tags
    cdef int flags = (IMPLICIT if implicit_vr else 0) | (BIG if big_endian else 0)
    if start < 0:
        raise ValueError("start is negative", start)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        tags = <const uint32_t *>PyBytes_AS_STRING(packed)
        return _scan(<const uint8_t *>view.buf, view.len, start, flags, tags, len(wanted))
    finally:
        PyBuffer_Release(&view)


cdef bytes _pack(tuple wanted):
    global _packed_for, _packed
    cdef uint32_t *tags
    cdef Py_ssize_t i
    if wanted is _packed_for:
        return _packed
    packed = PyBytes_FromStringAndSize(NULL, len(wanted) * sizeof(uint32_t))
    tags = <uint32_t *>PyBytes_AS_STRING(packed)
    for i in range(len(wanted)):
        if not 0 <= wanted[i] <= 0xFFFFFFFF or (i and wanted[i] <= wanted[i - 1]):
            raise ValueError("wanted tags are not ascending", i)
        tags[i] = wanted[i]
    _packed = packed
    _packed_for = wanted
    return packed


cdef tuple _scan(
    const uint8_t *data, Py_ssize_t size, Py_ssize_t at, int flags,
    const uint32_t *wanted, Py_ssize_t wanted_count,
):
    # wanted: wanted_count ascending tags.
    cdef dict found = {}
    cdef Walk walk
    cdef WalkStep step
    if wanted_count == 0:
        return found, at, True
    walk.data, walk.size, walk.at, walk.flags = data, size, at, flags
    walk.wanted, walk.wanted_count, walk.next_wanted, walk.is_last = wanted, wanted_count, 0, False
    while True:
        step = next_wanted(&walk)
        if step == WALK_DONE:
            return found, walk.at, True
        if step == WALK_MORE:
            return found, walk.at, False
        if walk.head.tag not in found:
            if not _keep(found, &walk.head, data, size, walk.value_at, walk.value_end):
                return found, walk.start, False


cdef WalkStep next_wanted(Walk *walk) except WALK_FAILED:
    # Every read is behind a comparison with size.
    cdef Head head
    cdef Py_ssize_t at
    cdef const uint32_t *wanted = walk.wanted
    if walk.is_last:
        return WALK_DONE
    while walk.at < walk.size:
        at = walk.at
        if walk.size - at < 4:
            return WALK_MORE
        head.tag = load_tag(walk.data + at, walk.flags)
        if head.tag > wanted[walk.wanted_count - 1]:
            return WALK_DONE
        if not _read_head(walk.data, walk.size, at, walk.flags, &head):
            return WALK_MORE
        walk.value_at = at + head.size
        if head.length == UNDEFINED:
            walk.value_end = _find_delimiter(
                walk.data, walk.size, walk.value_at, _nested_flags(&head, walk.flags, at)
            )
            if walk.value_end == OUTSIDE:
                return WALK_MORE
        else:
            walk.value_end = walk.value_at + head.length
        # Tags that do not ascend (an error of the sender) are still looked up from the start.
        if walk.next_wanted and head.tag <= wanted[walk.next_wanted - 1]:
            walk.next_wanted = 0
        while wanted[walk.next_wanted] < head.tag:
            walk.next_wanted += 1
        walk.start = at
        walk.at = walk.value_end + 8 if head.length == UNDEFINED else walk.value_end
        if wanted[walk.next_wanted] == head.tag:
            walk.is_last = walk.next_wanted == walk.wanted_count - 1
            walk.head = head
            return WALK_FOUND
    return WALK_DONE if walk.at == walk.size else WALK_MORE


cdef bint _keep(
    dict found, const Head *head, const uint8_t *data, Py_ssize_t size,
    Py_ssize_t value_at, Py_ssize_t value_end,
) except -1:
    # Copy the value, or its first VALUE_MAX octets; False if they are not wholly inside the data.
    cdef char vr[2]
    cdef Py_ssize_t take = value_end - value_at
    if take > VALUE_MAX:
        take = VALUE_MAX
    if take > size - value_at:
        return False
    vr[0] = <char>(head.vr >> 8)
    vr[1] = <char>(head.vr & 0xFF)
    found[head.tag] = (
        PyUnicode_DecodeLatin1(vr, 2, NULL), PyBytes_FromStringAndSize(<const char *>data + value_at, take)
    )
    return True


cdef bint _read_head(const uint8_t *data, Py_ssize_t size, Py_ssize_t at, int flags, Head *head) except -1:
    # Fill *head from data[at:]; False if it is not wholly inside. Checks the bounds itself.
    cdef Py_ssize_t left = size - at
    cdef const uint8_t *octets = data + at
    if left < 8:
        return False
    # 1-2 group, 3-4 element
    head.tag = load_tag(octets, flags)
    if head.tag >> 16 == 0xFFFE:
        raise ValueError(f"item or delimiter {_name(head.tag)} where a data element is due", at)
    head.size = 8
    if flags & IMPLICIT:
        head.vr = VR_UN
        head.length = load_length(octets + 4, flags)  # 5-8 value length
        return True
    head.vr = <uint16_t>((octets[4] << 8) | octets[5])  # 5-6 VR
    if has_short_length(head.vr):  # 7-8 value length
        head.length = big.load_u16(octets + 6) if flags & BIG else little.load_u16(octets + 6)
        return True
    if not (65 <= octets[4] <= 90 and 65 <= octets[5] <= 90):
        vr = f"{octets[4]:02X}H {octets[5]:02X}H"
        raise ValueError(f"VR {vr} of {_name(head.tag)} is not two capital letters", at)
    if left < 12:
        return False
    head.size = 12
    head.length = load_length(octets + 8, flags)  # 7-8 reserved, 9-12 value length
    return True


cdef int _nested_flags(const Head *head, int flags, Py_ssize_t at) except -1:
    # How the content of an element of undefined length is encoded.
    if flags & IMPLICIT or head.vr == VR_SQ:
        return flags
    if head.vr == VR_UN:
        return IMPLICIT  # and Little Endian, whatever the transfer syntax (PS3.5 section 6.2.2)
    if head.vr == VR_OB or head.vr == VR_OW:
        return flags | FRAGMENTS
    vr = chr(head.vr >> 8) + chr(head.vr & 0xFF)
    raise ValueError(f"undefined length of {_name(head.tag)} with VR {vr}", at)


cdef Py_ssize_t _find_delimiter(const uint8_t *data, Py_ssize_t size, Py_ssize_t at, int flags) except -2:
    # at: the first item of a sequence of undefined length. Returns the index of its delimiter, or OUTSIDE.
    cdef int outer[DEPTH_MAX]
    cdef int depth = 0
    cdef bint in_item = False  # between the elements of an item of undefined length
    cdef Head head
    while size - at >= 8:
        head.tag = load_tag(data + at, flags)
        if in_item and head.tag != ITEM_DELIMITATION:
            if not _read_head(data, size, at, flags, &head):
                return OUTSIDE
            if head.length == UNDEFINED:
                if depth == DEPTH_MAX - 1:
                    raise ValueError("sequences nested deeper than 64", at)
                outer[depth] = flags
                depth += 1
                flags = _nested_flags(&head, flags, at)
                in_item = False
                at += head.size
            else:
                at += head.size + <Py_ssize_t>head.length
        elif in_item:
            in_item = False
            at += 8
        elif head.tag == SEQUENCE_DELIMITATION:
            if depth == 0:
                return at
            depth -= 1
            flags = outer[depth]
            in_item = True
            at += 8
        elif head.tag == ITEM:
            head.length = load_length(data + at + 4, flags)
            in_item = head.length == UNDEFINED
            if in_item and flags & FRAGMENTS:
                raise ValueError("fragment of undefined length (PS3.5 section A.4)", at)
            at += 8 if in_item else 8 + <Py_ssize_t>head.length
        else:
            raise ValueError(f"{_name(head.tag)} where an item or a sequence delimiter is due", at)
    return OUTSIDE


cdef str _name(uint32_t tag):
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
