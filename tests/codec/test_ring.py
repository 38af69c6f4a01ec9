"""The ring: records in order, room and doorbell, and shared memory that is not believed."""

from __future__ import annotations

import os
import select
import struct

import pytest

HEADER = 512


@pytest.fixture
def r(codec):
    return codec.ring


@pytest.fixture
def memory():
    return bytearray(HEADER + 128)


def test_records_come_out_in_the_order_they_went_in(r, memory):
    ring = r.Ring(memory, True)
    assert [ring.push(record) for record in (b"one", bytearray(b"two"), memoryview(b"three"), b"")] == [
        1,
        1,
        1,
        1,
    ]
    assert [ring.pop() for _ in range(5)] == [b"one", b"two", b"three", b"", None]


def test_a_second_end_attaches_to_what_is_there(r, memory):
    producer = r.Ring(memory, True)
    producer.push(b"early")
    consumer = r.Ring(memory)
    producer.push(b"late")
    assert consumer.pop_many(10) == [b"early", b"late"]
    assert (producer.tail, producer.used_bytes) == (producer.head, 0)


def test_positions_and_sizes_are_as_laid_out(r, memory):
    ring = r.Ring(memory, True)
    assert (ring.capacity_bytes, ring.record_max_bytes, r.RING_HEADER_BYTES) == (128, 60, HEADER)
    ring.push(b"12345")
    assert (ring.head, ring.tail, ring.used_bytes) == (16, 0, 16)
    assert struct.unpack_from("=Q", memory, 128) == (16,)
    assert memory[HEADER : HEADER + 9] == struct.pack("=I", 5) + b"12345"
    ring.pop()
    assert struct.unpack_from("=Q", memory, 256) == (16,)


def test_a_full_ring_takes_nothing_until_there_is_room(r, memory):
    ring = r.Ring(memory, True)
    assert [ring.push(b"x" * 28) for _ in range(5)] == [1, 1, 1, 1, 0]
    assert ring.used_bytes == 128
    assert ring.pop() == b"x" * 28
    assert (ring.push(b"y" * 28), ring.push(b"")) == (1, 0)
    assert ring.pop_many(9) == [b"x" * 28] * 3 + [b"y" * 28]


def test_a_record_that_does_not_fit_before_the_end_starts_over(r, memory):
    ring = r.Ring(memory, True)
    ring.push(b"a" * 60)
    ring.push(b"b" * 28)
    assert ring.pop() == b"a" * 60
    assert ring.push(b"c" * 60) == 1  # 32 bytes are left at the end
    assert (ring.head, ring.used_bytes) == (64 + 32 + 32 + 64, 128)
    assert [ring.pop(), ring.pop(), ring.pop()] == [b"b" * 28, b"c" * 60, None]


def test_the_longest_record_fits_wherever_an_empty_ring_stands(r, memory):
    for filling in range(0, 128, 8):
        ring = r.Ring(memory, True)
        for _ in range(filling // 8):
            assert ring.push(b"") == 1
            assert ring.pop() == b""
        assert ring.push(b"x" * 60) == 1
        assert ring.pop() == b"x" * 60


def test_a_record_longer_than_half_the_ring_is_refused(r, memory):
    with pytest.raises(ValueError, match="longer than 60 bytes") as caught:
        r.Ring(memory, True).push(bytes(61))
    assert caught.value.args[1] == 61


def test_pop_many_takes_no_more_than_asked_for(r, memory):
    ring = r.Ring(memory, True)
    for record in (b"1", b"2", b"3"):
        ring.push(record)
    assert ring.pop_many(0) == []
    assert ring.pop_many(2) == [b"1", b"2"]
    assert ring.pop_many(2) == [b"3"]
    assert ring.pop_many(2) == []


def test_the_first_push_to_a_sleeper_asks_for_the_doorbell(r, memory):
    producer = r.Ring(memory, True)
    consumer = r.Ring(memory)
    assert consumer.sleep()
    assert [producer.push(b"1"), producer.push(b"2")] == [2, 1]


def test_nobody_sleeps_over_waiting_records(r, memory):
    ring = r.Ring(memory, True)
    ring.push(b"1")
    assert not ring.sleep()
    assert ring.push(b"2") == 1


def test_skip_to_head_drops_what_waits(r, memory):
    ring = r.Ring(memory, True)
    ring.push(b"1")
    ring.push(b"2")
    assert ring.skip_to_head() == ring.head == 16
    assert ring.pop() is None
    ring.push(b"3")
    assert ring.pop() == b"3"


def test_the_epoch_is_shared(r, memory):
    one, other = r.Ring(memory, True), r.Ring(memory)
    assert one.epoch == 0
    other.epoch = 0xFFFFFFFFFFFFFFFF
    assert one.epoch == 0xFFFFFFFFFFFFFFFF


@pytest.mark.parametrize("size", [0, HEADER, HEADER + 63])
def test_a_buffer_too_small_is_refused(r, size):
    memory = bytearray(size)
    with pytest.raises(ValueError, match="too small") as caught:
        r.Ring(memory, True)
    assert caught.value.args[1] == size
    memory.clear()  # not held any more


def test_a_buffer_that_cannot_be_written_is_refused(r):
    with pytest.raises(BufferError):
        r.Ring(bytes(HEADER + 128), True)


def test_memory_that_holds_no_ring_is_refused(r, memory):
    with pytest.raises(ValueError, match="no ring of this version"):
        r.Ring(memory)


def test_a_ring_of_another_size_is_refused(r):
    memory = bytearray(HEADER + 256)
    r.Ring(memory, True).release()
    with pytest.raises(ValueError, match="another capacity") as caught:
        r.Ring(memoryview(memory)[:-8])
    assert caught.value.args[1] == 256


def test_a_released_ring_holds_no_memory_and_does_nothing(r, memory):
    ring = r.Ring(memory, True)
    ring.release()
    ring.release()
    memory.clear()
    for use in (
        ring.pop,
        ring.sleep,
        ring.skip_to_head,
        lambda: ring.push(b""),
        lambda: ring.head,
        lambda: ring.epoch,
    ):
        with pytest.raises(ValueError, match="ring was released"):
            use()


@pytest.mark.parametrize("length", [8, 61, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF])
def test_a_damaged_length_is_refused_and_not_followed(r, memory, length):
    ring = r.Ring(memory, True)
    ring.push(b"1234")
    struct.pack_into("=I", memory, HEADER, length)
    for pop in (ring.pop, lambda: ring.pop_many(5)):
        with pytest.raises(ValueError, match="record is corrupt") as caught:
            pop()
        assert caught.value.args[1] == 0
    assert ring.skip_to_head() == 8
    assert ring.pop() is None


@pytest.mark.parametrize("head", [129, 4, 1 << 40, (1 << 64) - 8])
def test_damaged_positions_are_refused(r, memory, head):
    ring = r.Ring(memory, True)
    struct.pack_into("=Q", memory, 128, head)
    with pytest.raises(ValueError, match="positions are corrupt"):
        ring.pop()


def test_a_damaged_head_does_not_make_push_leave_the_buffer(r):
    memory = bytearray(HEADER + 128 + 64)
    ring = r.Ring(memoryview(memory)[: HEADER + 128], True)
    for head in range(130):
        struct.pack_into("=QQ", memory, 128, head, 0)
        struct.pack_into("=Q", memory, 256, head)
        ring.push(b"x" * 60)
    assert memory[HEADER + 128 :] == bytes(64)


def test_capacity_is_cut_to_whole_words(r):
    assert r.Ring(bytearray(HEADER + 135), True).capacity_bytes == 128


def test_a_doorbell_rings_until_it_is_silenced_and_silencing_it_twice_is_no_mistake(r):
    bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        r.ring_bell(bell)
        r.ring_bell(bell)
        assert select.select([bell], [], [], 0)[0] == [bell]
        r.clear_bell(bell)
        assert select.select([bell], [], [], 0)[0] == []
        r.clear_bell(bell)
    finally:
        os.close(bell)


def test_a_doorbell_that_cannot_be_rung_is_no_mistake(r):
    bell = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        r.ring_bell(bell)
    finally:
        os.close(bell)
