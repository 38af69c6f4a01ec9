"""Reading heads of data elements (PS3.5 section 7.1), in either byte order. The caller checks the bounds."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from _codec cimport big_endian as big, little_endian as little


cdef enum:
    ELEMENT_BIG = 2  # among the flags: Big Endian


cdef inline uint32_t load_tag(const uint8_t *data, int flags) noexcept nogil:
    # data: 4 octets.
    if flags & ELEMENT_BIG:
        return big.load_u32(data)
    return (<uint32_t>little.load_u16(data) << 16) | little.load_u16(data + 2)


cdef inline uint32_t load_length(const uint8_t *data, int flags) noexcept nogil:
    # data: 4 octets.
    return big.load_u32(data) if flags & ELEMENT_BIG else little.load_u32(data)


cdef inline bint has_short_length(uint16_t vr) noexcept nogil:
    # PS3.5 Table 7.1-2; every other VR, those of the future included, has a 32-bit length.
    return vr in (
        0x4145, 0x4153, 0x4154, 0x4353, 0x4441, 0x4453, 0x4454,  # AE AS AT CS DA DS DT
        0x4644, 0x464C, 0x4953, 0x4C4F, 0x4C54, 0x504E, 0x5348,  # FD FL IS LO LT PN SH
        0x534C, 0x5353, 0x5354, 0x544D, 0x5549, 0x554C, 0x5553,  # SL SS ST TM UI UL US
    )
