"""Invariant: the same calls leave the same octets in shared memory, whichever codec stands at either end."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

import _codec.ring
import router.wire.reference.ring
from tests.differential.twins import QUICK, outcome

TWINS = (_codec.ring.Ring, router.wire.reference.ring.Ring)
HEADER = _codec.ring.RING_HEADER_BYTES

# By length: drawn so, long records are as likely as short ones, and the ring wraps often.
RECORDS = st.integers(0, 64).map(lambda size: bytes(i + size for i in range(size)))
CALLS = st.one_of(
    st.tuples(st.just("push"), RECORDS),
    st.tuples(st.just("push"), RECORDS),
    st.tuples(st.just("pop")),
    st.tuples(st.just("pop_many"), st.integers(0, 4)),
    st.tuples(st.just("sleep")),
    st.tuples(st.just("skip_to_head")),
    st.tuples(st.just("damage"), st.integers(0, 15), st.integers(0, 0xFFFFFFFF)),
)
PRODUCER_CALLS = ("push",)


def run(producer_class, consumer_class, calls):
    """Run the calls over fresh memory; return every outcome with the octets it left."""
    memory = bytearray(HEADER + 128)
    producer = producer_class(memory, True)
    consumer = consumer_class(memory)
    seen = []
    for name, *args in calls:
        if name == "damage":
            struct.pack_into("=I", memory, HEADER + 8 * args[0], args[1])
            continue
        end = producer if name in PRODUCER_CALLS else consumer
        seen.append((outcome(getattr(end, name), *args), bytes(memory), end.used_bytes))
    return seen


@QUICK
@given(st.lists(CALLS, min_size=10, max_size=60))
def test_every_pair_of_ends_behaves_alike(calls):
    expected = run(*TWINS, calls)
    for producer_class in TWINS:
        for consumer_class in TWINS:
            assert run(producer_class, consumer_class, calls) == expected
