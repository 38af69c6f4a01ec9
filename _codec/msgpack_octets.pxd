"""Writing msgpack: heads and whole numbers. The caller has seen to it that there is room for 9 octets."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from _codec cimport big_endian as big


cdef inline int put_head(
    uint8_t *at, uint8_t tag8, uint8_t tag16, uint8_t tag32, uint64_t size
) noexcept nogil:
    # The head of something with a length.
    if size < 0x100:
        at[0], at[1] = tag8, <uint8_t>size
        return 2
    if size < 0x10000:
        at[0], at[1], at[2] = tag16, <uint8_t>(size >> 8), <uint8_t>size
        return 3
    at[0] = tag32
    big.store_u32(at + 1, <uint32_t>size)
    return 5


cdef inline int write_number(uint8_t *at, int64_t value) noexcept nogil:
    cdef uint64_t octets = <uint64_t>value
    if -32 <= value < 128:
        at[0] = <uint8_t>value
        return 1
    if value >= 0 and octets <= <uint64_t>0xFFFFFFFF:
        return put_head(at, 0xCC, 0xCD, 0xCE, octets)
    if -0x80 <= value < 0:
        at[0], at[1] = 0xD0, <uint8_t>value
        return 2
    if -0x8000 <= value < 0:
        at[0], at[1], at[2] = 0xD1, <uint8_t>(octets >> 8), <uint8_t>octets
        return 3
    if -0x80000000 <= value < 0:
        at[0] = 0xD2
        big.store_u32(at + 1, <uint32_t>octets)
        return 5
    at[0] = 0xCF if value >= 0 else 0xD3
    big.store_u32(at + 1, <uint32_t>(octets >> 32))
    big.store_u32(at + 5, <uint32_t>octets)
    return 9
