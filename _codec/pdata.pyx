"""Cut outbound command sets and datasets into P-DATA-TF PDUs.

PS3.8 section 9.3.5 and Annexes D.1 (maximum length) and E (fragments). A dataset's bytes are not copied: the
result holds heads and views of the caller's buffers, ready for sendmsg or writelines.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from _codec.big_endian cimport store_u32

FRAGMENT_MAX_BYTES = 1 << 20

cdef enum:
    HEAD_BYTES = 12  # P-DATA-TF head (6), Item-length (4), Presentation-context-ID, message control header
    PDV_OVERHEAD_BYTES = 6  # of it, within the PDU's variable field
    LENGTH_MIN = 8  # the smallest maximum_length that lets an even, non-empty fragment through
    FRAGMENT_MAX = 1048576
    CONTROL_COMMAND = 1  # message control header, bit 0 (PS3.8 section E.2)
    CONTROL_LAST = 2  # bit 1


def command_pdus(int context_id, command, Py_ssize_t maximum_length):
    """Return a command set as one or more whole P-DATA-TF PDUs.

    maximum_length: what the peer announced; counts the PDU's variable field; 0: no limit (PS3.8 section D.1).
    Raises ValueError(reason, value) if maximum_length is 1 to 7 or the context id is no octet.
    """
    cdef Py_ssize_t fragment_max = _fragment_max(context_id, maximum_length)
    cdef Py_buffer view
    cdef Py_ssize_t left, take, count
    cdef int control
    cdef uint8_t *target
    cdef const uint8_t *source
    PyObject_GetBuffer(command, &view, PyBUF_SIMPLE)
    try:
        left = view.len
        source = <const uint8_t *>view.buf
        count = (left + fragment_max - 1) // fragment_max if left else 1
        pdus = PyBytes_FromStringAndSize(NULL, left + count * HEAD_BYTES)
        target = <uint8_t *>PyBytes_AS_STRING(pdus)
        for _ in range(count):
            take = left if left < fragment_max else fragment_max
            left -= take
            control = CONTROL_COMMAND if left else CONTROL_COMMAND | CONTROL_LAST
            _write_head(target, context_id, <uint32_t>take, control)
            memcpy(target + HEAD_BYTES, source, take)
            target += HEAD_BYTES + take
            source += take
        return pdus
    finally:
        PyBuffer_Release(&view)


def dataset_pdus(int context_id, buffers, Py_ssize_t maximum_length, bint is_last=True):
    """Return a dataset as heads (bytes) and views of the buffers, in sending order.

    Each PDU is a head followed by at least one view; a PDV goes on in the next buffer where one ends, so that
    PDUs are full whatever the buffers' sizes. A dataset of no bytes gives one head if is_last, else nothing.
    The list can be longer than IOV_MAX.
    buffers: of one dataset, in order; they must stay unchanged until sent.
    maximum_length: as for command_pdus; fragments hold at most FRAGMENT_MAX_BYTES.
    is_last: False: more of this dataset follows in another call; then the bytes must be an even number.
    Raises ValueError(reason, value) as command_pdus does, and for an odd number of bytes before the end.
    """
    cdef Py_ssize_t fragment_max = _fragment_max(context_id, maximum_length)
    cdef Py_ssize_t left, take
    cdef list views = []
    left = _collect_views(buffers, views)
    if left & 1 and not is_last:
        raise ValueError("odd number of bytes before the last fragment (PS3.8 section E.1)", left)
    cdef list pdus = []
    if left == 0:
        return [_head(context_id, 0, CONTROL_LAST)] if is_last else pdus
    full_head = _head(context_id, <uint32_t>fragment_max, 0) if left > fragment_max else None
    cdef Py_ssize_t index = 0
    cdef Py_ssize_t at = 0
    while left:
        take = left if left < fragment_max else fragment_max
        left -= take
        if left:
            pdus.append(full_head)
        else:
            pdus.append(_head(context_id, <uint32_t>take, CONTROL_LAST if is_last else 0))
        index, at = _append_views(pdus, views, index, at, take)
    return pdus


cdef Py_ssize_t _fragment_max(int context_id, Py_ssize_t maximum_length) except -1:
    if not 0 <= context_id <= 255:
        raise ValueError("presentation-context-id outside 0..255", context_id)
    if maximum_length < 0 or 0 < maximum_length < LENGTH_MIN:
        raise ValueError("maximum length leaves no room for a fragment (PS3.8 section D.1)", maximum_length)
    if maximum_length == 0 or maximum_length - PDV_OVERHEAD_BYTES > FRAGMENT_MAX:
        return FRAGMENT_MAX
    return (maximum_length - PDV_OVERHEAD_BYTES) & ~<Py_ssize_t>1  # fragments are even (PS3.8 section E.1)


cdef void _write_head(uint8_t *head, int context_id, uint32_t payload, int control) noexcept:
    # head: HEAD_BYTES of room; payload at most FRAGMENT_MAX.
    head[0] = 4  # 1 PDU-type: P-DATA-TF
    head[1] = 0  # 2 reserved
    store_u32(head + 2, payload + PDV_OVERHEAD_BYTES)  # 3-6 PDU-length
    store_u32(head + 6, payload + 2)  # 7-10 Item-length
    head[10] = <uint8_t>context_id  # 11 Presentation-context-ID
    head[11] = <uint8_t>control  # 12 message control header


cdef bytes _head(int context_id, uint32_t payload, int control):
    cdef uint8_t head[HEAD_BYTES]
    _write_head(head, context_id, payload, control)
    return PyBytes_FromStringAndSize(<const char *>head, HEAD_BYTES)


cdef Py_ssize_t _collect_views(buffers, list views) except -1:
    # Byte views of the buffers that hold anything; returns their total size.
    cdef Py_ssize_t total = 0
    for buffer in buffers:
        view = memoryview(buffer)
        if view.ndim != 1 or view.itemsize != 1:
            view = view.cast("B")
        if len(view):
            views.append(view)
            total += len(view)
    return total


cdef tuple _append_views(list pdus, list views, Py_ssize_t index, Py_ssize_t at, Py_ssize_t take):
    # Views of the next `take` bytes from views[index][at:]; the caller knows that there are that many.
    cdef Py_ssize_t size
    cdef Py_ssize_t end
    while take:
        view = views[index]
        size = len(view)
        end = at + take if at + take < size else size
        pdus.append(view if at == 0 and end == size else view[at:end])
        take -= end - at
        at = end
        if at == size:
            index += 1
            at = 0
    return index, at
