"""Copying into a mapped file of a RAM disk, its CRC32C taken on the way; a page that is gone is survived.

One pass: each stretch of the source is read into the first-level cache for the CRC and copied from there,
past the caches: the file is not read again soon, and what is sent next, the source, stays in them.
A page that a mapped file has lost (somebody truncated it) is a SIGBUS; during a copy it is an error returned,
at any other moment what it was before.
"""

from libc.stdint cimport uint8_t, uint32_t


cdef extern from * nogil:
    """
    #include <setjmp.h>
    #include <signal.h>
    #include <stdint.h>
    #include <string.h>

    #if defined(__x86_64__)
    #include <immintrin.h>
    #define GUARDED_HAS_CRC __builtin_cpu_supports("sse4.2")
    #else
    #define GUARDED_HAS_CRC 0
    #endif

    #define GUARDED_LANE 4096  /* octets of each of the three CRCs that are taken side by side */
    #define GUARDED_STRETCH (3 * GUARDED_LANE)
    #define GUARDED_LINE 64

    /* By octet of a CRC's register: what it becomes when GUARDED_LANE zeros follow. */
    static uint32_t guarded_shift[4][256];
    /* Of this thread: where to go on if a page is not there; NULL outside of a copy. */
    static __thread sigjmp_buf *guarded_landing __attribute__((tls_model("initial-exec")));
    static struct sigaction guarded_former;

    static void guarded_on_bus(int number, siginfo_t *info, void *context) {
        (void)context;
        if (guarded_landing != NULL)
            siglongjmp(*guarded_landing, 1);
        /* Returning repeats the access, and the former handler gets it. */
        sigaction(SIGBUS, &guarded_former, NULL);
        if (info->si_code <= 0)
            raise(number);
    }

    #if defined(__x86_64__)
    __attribute__((target("sse4.2")))
    static inline uint64_t guarded_next(uint64_t crc, const uint8_t *at) {
        uint64_t octets;
        memcpy(&octets, at, 8);
        return _mm_crc32_u64(crc, octets);
    }

    __attribute__((target("sse4.2")))
    static uint32_t guarded_crc(const uint8_t *at, size_t size, uint32_t crc) {
        uint64_t one = crc;
        while (size >= GUARDED_STRETCH) {
            uint64_t two = 0, three = 0;
            for (size_t i = 0; i < GUARDED_LANE; i += 8) {
                one = guarded_next(one, at + i);
                two = guarded_next(two, at + GUARDED_LANE + i);
                three = guarded_next(three, at + 2 * GUARDED_LANE + i);
            }
            for (int i = 0; i < 2; i++) {
                one = guarded_shift[0][one & 0xFF] ^ guarded_shift[1][one >> 8 & 0xFF]
                    ^ guarded_shift[2][one >> 16 & 0xFF] ^ guarded_shift[3][one >> 24 & 0xFF];
                one ^= i == 0 ? two : three;
            }
            at += GUARDED_STRETCH;
            size -= GUARDED_STRETCH;
        }
        for (; size >= 8; size -= 8, at += 8)
            one = guarded_next(one, at);
        for (; size > 0; size--, at++)
            one = _mm_crc32_u8((uint32_t)one, *at);
        return (uint32_t)one;
    }

    __attribute__((target("sse4.2")))
    static void guarded_fill_shift(void) {
        for (int octet = 0; octet < 4; octet++)
            for (int bit = 0; bit < 8; bit++) {
                uint64_t crc = (uint64_t)1 << (8 * octet + bit);
                for (size_t i = 0; i < GUARDED_LANE; i += 8)
                    crc = _mm_crc32_u64(crc, 0);
                for (int i = 0; i < 1 << bit; i++)
                    guarded_shift[octet][i | 1 << bit] = guarded_shift[octet][i] ^ (uint32_t)crc;
            }
    }

    /* Both ends of to are on the border of a line. */
    static void guarded_stream(uint8_t *to, const uint8_t *from, size_t size) {
        for (; size > 0; size -= GUARDED_LINE, to += GUARDED_LINE, from += GUARDED_LINE) {
            __m128i one = _mm_loadu_si128((const __m128i *)from);
            __m128i two = _mm_loadu_si128((const __m128i *)(from + 16));
            __m128i three = _mm_loadu_si128((const __m128i *)(from + 32));
            __m128i four = _mm_loadu_si128((const __m128i *)(from + 48));
            _mm_stream_si128((__m128i *)to, one);
            _mm_stream_si128((__m128i *)(to + 16), two);
            _mm_stream_si128((__m128i *)(to + 32), three);
            _mm_stream_si128((__m128i *)(to + 48), four);
        }
    }

    static uint32_t guarded_pass(uint8_t *to, const uint8_t *from, size_t size, uint32_t crc) {
        size_t step = -(uintptr_t)to % GUARDED_LINE;
        if (step > size)
            step = size;
        memcpy(to, from, step);
        crc = guarded_crc(from, step, ~crc);
        to += step, from += step, size -= step;
        for (; size >= GUARDED_LINE; to += step, from += step, size -= step) {
            step = size < GUARDED_STRETCH ? size / GUARDED_LINE * GUARDED_LINE : GUARDED_STRETCH;
            crc = guarded_crc(from, step, crc);
            guarded_stream(to, from, step);
        }
        memcpy(to, from, size);
        crc = guarded_crc(from, size, crc);
        _mm_sfence();
        return ~crc;
    }
    #else
    static void guarded_fill_shift(void) {}

    static uint32_t guarded_pass(uint8_t *to, const uint8_t *from, size_t size, uint32_t crc) {
        memcpy(to, from, size);
        return crc;
    }
    #endif

    static void guarded_begin(void) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_sigaction = guarded_on_bus;
        action.sa_flags = SA_SIGINFO | SA_NODEFER;
        sigaction(SIGBUS, &action, &guarded_former);
        if (GUARDED_HAS_CRC)
            guarded_fill_shift();
    }

    static int guarded_copy(uint8_t *to, const uint8_t *from, size_t size, uint32_t *crc) {
        sigjmp_buf landing;
        if (sigsetjmp(landing, 0)) {
            guarded_landing = NULL;
            return -1;
        }
        guarded_landing = &landing;
        __asm__ volatile("" ::: "memory");
        if (crc != NULL)
            *crc = guarded_pass(to, from, size, *crc);
        else
            memcpy(to, from, size);
        __asm__ volatile("" ::: "memory");
        guarded_landing = NULL;
        return 0;
    }
    """
    # Whether guarded_copy takes a CRC: on a processor that has an instruction for it.
    bint GUARDED_HAS_CRC
    # Once in a process, before the first copy.
    void guarded_begin() noexcept
    # Copy; -1 if a page of `to` is gone. crc: that of what stands before, continued; NULL for none.
    int guarded_copy(uint8_t *to, const uint8_t *from_, size_t size, uint32_t *crc) noexcept
