"""CRC32C (RFC 3720 appendix B.4) by the processor's own instruction, where it has one."""

from libc.stdint cimport uint8_t, uint32_t


cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>

    #define CHECKSUM_LANE 4096  /* octets of each of the three CRCs that are taken side by side */
    #define CHECKSUM_STRETCH (3 * CHECKSUM_LANE)

    #if defined(__x86_64__)
    #include <immintrin.h>
    #define CHECKSUM_IS_THERE __builtin_cpu_supports("sse4.2")

    /* By octet of a CRC's register: what it becomes when CHECKSUM_LANE zeros follow. */
    static uint32_t checksum_shift[4][256];

    __attribute__((target("sse4.2")))
    static inline uint64_t checksum_next(uint64_t crc, const uint8_t *at) {
        uint64_t octets;
        memcpy(&octets, at, 8);
        return _mm_crc32_u64(crc, octets);
    }

    __attribute__((target("sse4.2")))
    static uint32_t checksum_register(const uint8_t *at, size_t size, uint32_t crc) {
        uint64_t one = crc;
        while (size >= CHECKSUM_STRETCH) {
            uint64_t two = 0, three = 0;
            for (size_t i = 0; i < CHECKSUM_LANE; i += 8) {
                one = checksum_next(one, at + i);
                two = checksum_next(two, at + CHECKSUM_LANE + i);
                three = checksum_next(three, at + 2 * CHECKSUM_LANE + i);
            }
            for (int i = 0; i < 2; i++) {
                one = checksum_shift[0][one & 0xFF] ^ checksum_shift[1][one >> 8 & 0xFF]
                    ^ checksum_shift[2][one >> 16 & 0xFF] ^ checksum_shift[3][one >> 24 & 0xFF];
                one ^= i == 0 ? two : three;
            }
            at += CHECKSUM_STRETCH;
            size -= CHECKSUM_STRETCH;
        }
        for (; size >= 8; size -= 8, at += 8)
            one = checksum_next(one, at);
        for (; size > 0; size--, at++)
            one = _mm_crc32_u8((uint32_t)one, *at);
        return (uint32_t)one;
    }

    __attribute__((target("sse4.2")))
    static void checksum_fill_shift(void) {
        for (int octet = 0; octet < 4; octet++)
            for (int bit = 0; bit < 8; bit++) {
                uint64_t crc = (uint64_t)1 << (8 * octet + bit);
                for (size_t i = 0; i < CHECKSUM_LANE; i += 8)
                    crc = _mm_crc32_u64(crc, 0);
                for (int i = 0; i < 1 << bit; i++)
                    checksum_shift[octet][i | 1 << bit] = checksum_shift[octet][i] ^ (uint32_t)crc;
            }
    }

    static inline void checksum_begin(void) {
        if (CHECKSUM_IS_THERE)
            checksum_fill_shift();
    }

    static inline uint32_t checksum(const uint8_t *at, size_t size, uint32_t crc) {
        return ~checksum_register(at, size, ~crc);
    }
    #else
    #define CHECKSUM_IS_THERE 0
    static inline void checksum_begin(void) {}

    static inline uint32_t checksum(const uint8_t *at, size_t size, uint32_t crc) {
        (void)at, (void)size;
        return crc;
    }
    #endif
    """
    # Whether there is such an instruction; without it nothing below may be called.
    bint CHECKSUM_IS_THERE
    # Once in a module, before the first.
    void checksum_begin() noexcept
    # That of size octets; crc: of what stands before them, 0 for nothing.
    uint32_t checksum(const uint8_t *at, size_t size, uint32_t crc) noexcept
