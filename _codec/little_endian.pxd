"""Load and store unsigned integers in Little Endian order (PS3.5 section 7.3; PS3.7 section 6.3.1).

Octet by octet, so that any alignment and any host order is right; compilers make one instruction of it.
The caller has checked that the octets are there.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef inline uint16_t load_u16(const uint8_t *octets) noexcept nogil:
    return <uint16_t>(octets[0] | (octets[1] << 8))


cdef inline uint32_t load_u32(const uint8_t *octets) noexcept nogil:
    return (
        <uint32_t>octets[0]
        | (<uint32_t>octets[1] << 8)
        | (<uint32_t>octets[2] << 16)
        | (<uint32_t>octets[3] << 24)
    )


cdef inline void store_u16(uint8_t *octets, uint16_t value) noexcept nogil:
    octets[0] = <uint8_t>value
    octets[1] = <uint8_t>(value >> 8)


cdef inline void store_u32(uint8_t *octets, uint32_t value) noexcept nogil:
    octets[0] = <uint8_t>value
    octets[1] = <uint8_t>(value >> 8)
    octets[2] = <uint8_t>(value >> 16)
    octets[3] = <uint8_t>(value >> 24)


cdef inline void store_u64(uint8_t *octets, uint64_t value) noexcept nogil:
    store_u32(octets, <uint32_t>value)
    store_u32(octets + 4, <uint32_t>(value >> 32))
