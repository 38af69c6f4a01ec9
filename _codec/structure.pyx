"""Follow the nesting of an encoded dataset, buffer by buffer, without looking at values.

PS3.5 section 7.1 (data element structure), 7.5 (sequences), A.4 (encapsulated pixel data). What is asked is
whether a parser that recurses would be led deeper than NESTING_MAX sequences, and whether every length stays
inside what it belongs to.
Invariant: work is linear in the number of elements, values are stepped over, nesting costs no stack, and no
read leaves the data.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from _codec cimport big_endian as big, little_endian as little
from _codec.dataset cimport BIG, FRAGMENTS, IMPLICIT
from _codec.elements cimport has_short_length, load_length, load_tag

STRUCTURE_ELEMENTS_MAX = 1 << 24

cdef enum:
    DEPTH_MAX = 64  # sequences open at once
    ELEMENTS_MAX = 1 << 24  # elements, items and delimiters of one dataset
    VR_SQ = 0x5351
    VR_UN = 0x554E
    VR_OB = 0x4F42
    VR_OW = 0x4F57

cdef uint64_t DATASET_MAX = 1 << 62
cdef uint32_t ITEM = 0xFFFEE000
cdef uint32_t ITEM_DELIMITATION = 0xFFFEE00D
cdef uint32_t SEQUENCE_DELIMITATION = 0xFFFEE0DD
cdef uint32_t UNDEFINED = 0xFFFFFFFF


@cython.final
cdef class StructureScan:
    """Follow one dataset; `feed` takes its buffers in order, those between may be left out.

    dataset_bytes: of the whole dataset. next_offset: the first octet still needed, from the dataset's start.
    fault: what is wrong, "" while nothing is; fault_offset: where, from the dataset's start.
    is_excessive: the fault is nesting deeper than 64 or more than STRUCTURE_ELEMENTS_MAX elements, else a
    length or a tag that cannot be. depth_max: most sequences open at once so far.
    A value that begins as a sequence does, of an element whose VR is not known, is followed as one; if it is
    none after all, it is a value.
    """

    def __cinit__(self, uint64_t dataset_bytes, bint implicit_vr, bint big_endian):
        self.begin(dataset_bytes, (IMPLICIT if implicit_vr else 0) | (BIG if big_endian else 0))

    @property
    def done(self):
        """Whether the end was reached or a fault found: no more octets are needed."""
        return bool(self.fault) or self.next_offset == self._levels[0].end

    def feed(self, data, uint64_t offset):
        """Take octets of the dataset from this offset on; return whether more are needed.

        Those before next_offset are stepped over. Raises ValueError(reason, offset) for octets that begin
        behind next_offset or leave the dataset.
        """
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self.look(<const uint8_t *>view.buf, <uint64_t>view.len, offset)
        finally:
            PyBuffer_Release(&view)

    cdef int begin(self, uint64_t dataset_bytes, int flags) except -1:
        if dataset_bytes > DATASET_MAX:
            raise ValueError("dataset too large", dataset_bytes)
        memset(&self._levels[0], 0, sizeof(Level))
        self._levels[0].end = dataset_bytes
        self._levels[0].flags = flags
        self.fault = ""
        self.next_offset = self.fault_offset = self._at = self._elements = self._carried = 0
        self.is_excessive = False
        self.depth_max = self._top = self._depth = 0
        return 0

    cdef bint look(self, const uint8_t *data, uint64_t size, uint64_t offset) except -1:
        cdef uint64_t known
        if offset > self._levels[0].end or size > self._levels[0].end - offset:
            raise ValueError("octets leave the dataset", offset)
        if offset > self.next_offset and not self.fault:
            raise ValueError("octets are missing", self.next_offset)
        known = self.next_offset - offset
        if not self.fault and known < size:
            self._follow(data + known, size - known)
        return not self.fault and self.next_offset != self._levels[0].end

    cdef int _follow(self, const uint8_t *data, uint64_t size) except -1:
        # data: size octets from next_offset on, at least one.
        cdef uint64_t used = 0
        cdef int64_t step = 0
        if self._carried:
            used = self._follow_carried(data, size)
        while used < size and not self.fault:
            step = self._step(data + used, size - used)
            if step < 0:
                break
            self._at += step
            used += step
        if step < 0 and not self.fault:
            # Too few octets for a step are fewer than LOOK_BYTES.
            self._carried = size - used
            memcpy(self._carry, data + used, self._carried)
        while self._top and self._at == self._levels[0].end and not self.fault:
            self._close_levels()
            if self._top:
                self._fail("cut short")
        self.next_offset = self._at + self._carried
        return 0

    cdef uint64_t _follow_carried(self, const uint8_t *data, uint64_t size) except? 0:
        # Go on in what was carried, with some of data behind it. Returns the octets of data dealt with, a
        # value behind them included; size with all carried again if there are still too few.
        cdef uint8_t joined[2 * LOOK_BYTES]
        cdef uint64_t carried = self._carried
        cdef uint64_t more = size if size < LOOK_BYTES else LOOK_BYTES
        cdef uint64_t total = carried + more
        cdef uint64_t used = 0
        cdef int64_t step
        memcpy(joined, self._carry, carried)
        memcpy(joined + carried, data, more)
        self._carried = 0
        while used < carried and not self.fault:
            step = self._step(joined + used, total - used)
            if step < 0:
                self._carried = total - used
                memcpy(self._carry, joined + used, self._carried)
                return size
            self._at += step
            used += step
        return used - carried if used > carried else 0

    cdef void _close_levels(self) noexcept:
        # Leave what ends here by its length.
        cdef Level *level = &self._levels[self._top]
        while self._top and not level.is_delimited and self._at == level.end:
            self._leave()
            level = &self._levels[self._top]

    cdef void _leave(self) noexcept:
        if self._levels[self._top].is_sequence:
            self._depth -= 1
        self._top -= 1

    cdef int64_t _step(self, const uint8_t *data, uint64_t size) except? MISSING:
        # One element's head, item's head or delimiter at data, which holds size octets. Returns how many
        # octets of the dataset are dealt with, the value of an element that is no sequence included; MISSING:
        # too few octets. A fault that was found is in `fault`.
        cdef Level *level
        cdef uint32_t tag
        self._close_levels()
        level = &self._levels[self._top]
        if level.end - self._at < 8:
            return self._fail("cut short")
        if size < 8:
            return MISSING
        tag = load_tag(data, level.flags)
        if level.is_sequence:
            return self._step_item(level, tag, load_length(data + 4, level.flags))
        if tag == ITEM_DELIMITATION and level.is_delimited:
            self._leave()
            return self._counted(8)
        return self._step_element(level, tag, data, size)

    cdef int64_t _step_item(self, Level *level, uint32_t tag, uint32_t length) except? MISSING:
        cdef uint64_t left = level.end - self._at - 8
        if tag == SEQUENCE_DELIMITATION and level.is_delimited:
            self._leave()
            return self._counted(8)
        if tag != ITEM:
            return self._fail(f"{_name(tag)} where an item or the end of a sequence is due")
        if length != UNDEFINED and length > left:
            return self._fail("item leaves its sequence")
        if level.flags & FRAGMENTS:
            if length == UNDEFINED:
                return self._fail("fragment of undefined length")
            return self._counted(8 + <int64_t>length)
        if length == UNDEFINED:
            self._enter(level.end, True, False, False, level.flags)
        else:
            self._enter(self._at + 8 + length, False, False, False, level.flags)
        return self._counted(8)

    cdef int64_t _step_element(
        self, Level *level, uint32_t tag, const uint8_t *data, uint64_t size
    ) except? MISSING:
        # data: an element's head, 8 octets of it at least.
        cdef uint64_t left = level.end - self._at
        cdef uint64_t head = 8
        cdef uint32_t length
        cdef uint16_t vr = VR_UN
        cdef int flags = level.flags
        if tag >> 16 == 0xFFFE:
            return self._fail(f"{_name(tag)} where an element is due")
        if flags & IMPLICIT:
            length = load_length(data + 4, flags)
        else:
            vr = <uint16_t>((data[4] << 8) | data[5])
            if has_short_length(vr):
                length = big.load_u16(data + 6) if flags & BIG else little.load_u16(data + 6)
            elif not (65 <= data[4] <= 90 and 65 <= data[5] <= 90):
                return self._fail(f"VR of {_name(tag)} is not two capital letters")
            elif left < 12:
                return self._fail("cut short")
            elif size < 12:
                return MISSING
            else:
                head = 12
                length = load_length(data + 8, flags)
        if length == UNDEFINED:
            return self._open_undefined(level, tag, vr, head)
        if length > left - head:
            return self._fail(f"value of {_name(tag)} leaves what it lies in")
        if vr == VR_SQ:
            return self._open_sequence(head, self._at + head + length, False, False, flags)
        if vr == VR_UN and length >= 8:
            if size < head + 4:
                return MISSING
            if not flags & IMPLICIT:
                flags = IMPLICIT  # and Little Endian, whatever the transfer syntax (PS3.5 section 6.2.2)
            if load_tag(data + head, flags) == ITEM:
                return self._open_sequence(head, self._at + head + length, False, True, flags)
        return self._counted(head + length)

    cdef int64_t _open_undefined(
        self, Level *level, uint32_t tag, uint16_t vr, uint64_t head
    ) except? MISSING:
        cdef int flags = level.flags
        if not flags & IMPLICIT and vr != VR_SQ:
            if vr == VR_UN:
                flags = IMPLICIT
            elif vr == VR_OB or vr == VR_OW:
                flags |= FRAGMENTS
            else:
                return self._fail(f"undefined length of {_name(tag)}, which is no sequence")
        return self._open_sequence(head, level.end, True, False, flags)

    cdef int64_t _open_sequence(
        self, uint64_t head, uint64_t end, bint is_delimited, bint is_guessed, int flags
    ) except? MISSING:
        # Go behind the head of an element that is a sequence; a fault if it is one too many.
        if self._depth == DEPTH_MAX:
            self.is_excessive = True
            return self._fail("sequences nested deeper than 64")
        self._depth += 1
        if self._depth > self.depth_max:
            self.depth_max = self._depth
        self._enter(end, is_delimited, True, is_guessed, flags)
        return self._counted(head)

    cdef int64_t _counted(self, int64_t step) except? MISSING:
        # Count an element, item or delimiter; return the step.
        self._elements += 1
        if self._elements > ELEMENTS_MAX:
            self.is_excessive = True
            return self._fail(f"more than {ELEMENTS_MAX} elements")
        return step

    cdef void _enter(
        self, uint64_t end, bint is_delimited, bint is_sequence, bint is_guessed, int flags
    ) noexcept:
        # Open a level. There is room: sequences are counted, and an item is left before its sequence goes on.
        cdef Level *level
        self._top += 1
        level = &self._levels[self._top]
        level.end = end
        level.is_delimited = is_delimited
        level.is_sequence = is_sequence
        level.is_guessed = is_guessed
        level.flags = flags

    cdef int64_t _fail(self, str fault) except? MISSING:
        # Take note of a fault; inside what only began as a sequence it says that this is none: step over it.
        cdef int index = self._top
        cdef uint64_t end
        while index > 0 and not self.is_excessive:
            if self._levels[index].is_guessed:
                end = self._levels[index].end
                while self._top >= index:
                    self._leave()
                return <int64_t>(end - self._at)
            index -= 1
        self.fault = fault
        self.fault_offset = self._at
        return 0


cdef str _name(uint32_t tag):
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
