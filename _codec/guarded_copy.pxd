"""Copying into a mapped file of a RAM disk, its CRC32C taken on the way; a page that is gone is survived.

One pass: each stretch of the source is read into the first-level cache for the CRC and copied from there,
past the caches: the file is not read again soon, and what is sent next, the source, stays in them.
A page that a mapped file has lost (somebody truncated it) is a SIGBUS; during a copy it is an error returned,
at any other moment what it was before.
"""

from libc.stdint cimport uint8_t, uint32_t

from _codec.checksum cimport checksum_begin  # its C comes first


cdef extern from * nogil:
    """
    #include <setjmp.h>
    #include <signal.h>
    #include <stdint.h>
    #include <string.h>

    #define GUARDED_LINE 64

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
        crc = checksum_register(from, step, ~crc);
        to += step, from += step, size -= step;
        for (; size >= GUARDED_LINE; to += step, from += step, size -= step) {
            step = size < CHECKSUM_STRETCH ? size / GUARDED_LINE * GUARDED_LINE : CHECKSUM_STRETCH;
            crc = checksum_register(from, step, crc);
            guarded_stream(to, from, step);
        }
        memcpy(to, from, size);
        crc = checksum_register(from, size, crc);
        _mm_sfence();
        return ~crc;
    }
    #else
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
    # Once in a process, before the first copy.
    void guarded_begin() noexcept
    # Copy; -1 if a page of `to` is gone. crc: that of what stands before, continued, where there is an
    # instruction for it (checksum.pxd); NULL for none.
    int guarded_copy(uint8_t *to, const uint8_t *from_, size_t size, uint32_t *crc) noexcept
