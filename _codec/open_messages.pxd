"""The Message IDs of one association's requests that a lane has not answered yet."""

cdef enum:
    OPEN_MAX = 64  # operations that one lane has under way


cdef struct OpenMessages:
    int count
    int ids[OPEN_MAX]


cdef inline bint is_message_open(const OpenMessages *messages, int message_id) noexcept:
    cdef int i
    for i in range(messages.count):
        if messages.ids[i] == message_id:
            return True
    return False


cdef inline void open_message(OpenMessages *messages, int message_id) noexcept:
    # The caller has seen to it that there is room.
    messages.ids[messages.count] = message_id
    messages.count += 1


cdef inline void close_message(OpenMessages *messages, int message_id) noexcept:
    cdef int i
    for i in range(messages.count):
        if messages.ids[i] == message_id:
            messages.count -= 1
            messages.ids[i] = messages.ids[messages.count]
            return
