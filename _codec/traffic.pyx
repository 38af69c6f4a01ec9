"""What has passed over one connection, counted by its compiled and its Python parts alike."""

cimport cython


@cython.final
cdef class Traffic:
    """received, sent: octets. heard_at: when the last one came, as time.monotonic tells."""
