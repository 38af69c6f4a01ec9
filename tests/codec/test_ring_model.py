"""The ring against a model: a queue of records, and two ends that die and come back.

Invariants: what was pushed comes out once, in order and unchanged; a full ring refuses and loses nothing; a
consumer that sleeps is woken by the first push after; an end that is attached anew finds what is there.
"""

from __future__ import annotations

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import _codec.ring
import router.wire.reference.ring

TWINS = (_codec.ring, router.wire.reference.ring)
ALIGNMENT = 8
LENGTH_BYTES = 4


class RingModel(RuleBasedStateMachine):
    """One ring; either end may be either twin."""

    @initialize(size=st.sampled_from([64, 128, 200, 1024]), twin=st.sampled_from(TWINS))
    def create(self, size: int, twin: object) -> None:
        self.memory = bytearray(_codec.ring.RING_HEADER_BYTES + size)
        self.producer = twin.Ring(self.memory, True)
        self.consumer = twin.Ring(self.memory)
        self.queue: deque[bytes] = deque()
        self.is_asleep = False

    @rule(size=st.integers(0, 600), octet=st.integers(0, 255))
    def push(self, size: int, octet: int) -> None:
        record = bytes([octet]) * min(size, self.producer.record_max_bytes)
        pushed = self.producer.push(record)
        if pushed:
            assert (pushed == 2) == self.is_asleep
            self.is_asleep = False
            self.queue.append(record)
        else:
            stored = -(-(len(record) + LENGTH_BYTES) // ALIGNMENT) * ALIGNMENT
            # A record does not go around the end, so at most its own size less one word may lie idle there.
            assert self.producer.used_bytes + 2 * stored - ALIGNMENT > self.producer.capacity_bytes

    @rule()
    def pop(self) -> None:
        assert self.consumer.pop() == (self.queue.popleft() if self.queue else None)

    @rule(count=st.integers(0, 6))
    def pop_many(self, count: int) -> None:
        taken = self.consumer.pop_many(count)
        assert taken == [self.queue.popleft() for _ in range(min(count, len(self.queue)))]

    @rule()
    def sleep(self) -> None:
        assert self.consumer.sleep() == (not self.queue)
        self.is_asleep = not self.queue

    @rule()
    def skip_to_head(self) -> None:
        assert self.consumer.skip_to_head() == self.producer.head
        self.queue.clear()

    @rule(twin=st.sampled_from(TWINS), which=st.sampled_from(["producer", "consumer"]))
    def come_back(self, twin: object, which: str) -> None:
        getattr(self, which).release()
        setattr(self, which, twin.Ring(self.memory))

    @rule(epoch=st.integers(0, 2**64 - 1))
    def count_an_epoch(self, epoch: int) -> None:
        self.producer.epoch = epoch
        assert self.consumer.epoch == epoch

    @invariant()
    def an_empty_ring_holds_nothing(self) -> None:
        if not hasattr(self, "memory"):
            return
        assert self.producer.used_bytes == self.consumer.used_bytes <= self.producer.capacity_bytes
        assert (self.producer.used_bytes == 0) == (not self.queue)

    def teardown(self) -> None:
        if hasattr(self, "memory"):
            assert self.consumer.pop_many(len(self.queue) + 1) == list(self.queue)
            self.producer.release()
            self.consumer.release()
            self.memory.clear()  # nobody holds it any more


TestRing = RingModel.TestCase
TestRing.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
