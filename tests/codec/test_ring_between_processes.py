"""The ring between two processes at once: every record arrives once, in order, and no wake-up is lost."""

from __future__ import annotations

import mmap
import os
import signal
import struct

from _codec.ring import Ring

RECORDS = 20000


def produce(ring: Ring, doorbell: int) -> None:
    for number in range(RECORDS):
        record = struct.pack("=I", number) + b"x" * (number % 50)
        while (pushed := ring.push(record)) == 0:
            os.sched_yield()
        if pushed == 2:
            os.eventfd_write(doorbell, 1)


def consume(ring: Ring, doorbell: int) -> int:
    expected = 0
    while expected < RECORDS:
        for record in ring.pop_many(16):
            (number,) = struct.unpack_from("=I", record)
            assert number == expected
            assert len(record) == 4 + number % 50
            expected += 1
        if expected < RECORDS and ring.sleep():
            os.eventfd_read(doorbell)  # hangs, up to the test's timeout, if a wake-up is lost
    return expected


def test_records_pass_between_processes_in_order_without_a_lost_wake_up():
    memory = mmap.mmap(-1, 512 + 1024)
    doorbell = os.eventfd(0)
    Ring(memory, True).release()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            produce(Ring(memory), doorbell)
            status = 0
        finally:
            os._exit(status)
    ring = Ring(memory)
    try:
        consumed = consume(ring, doorbell)
        used_bytes = ring.used_bytes
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(child, 0)
        ring.release()
        memory.close()
        os.close(doorbell)
    assert (consumed, used_bytes, os.waitstatus_to_exitcode(status)) == (RECORDS, 0, 0)
