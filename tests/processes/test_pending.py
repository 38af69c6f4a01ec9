"""What is pending is bounded, and who opens the most loses the oldest of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.processes.pending import Pending, group_of


def nobody(address: str) -> bool:
    return False


def test_nobody_goes_below_the_limit() -> None:
    pending: Pending[int] = Pending(2, nobody)
    assert [pending.add(1, "10.0.0.1"), pending.add(2, "10.0.0.1")] == [None, None]
    pending.discard(1)
    pending.discard(1)
    assert pending.add(3, "10.0.0.1") is None
    assert len(pending) == 2


def test_a_flood_from_one_address_pushes_out_only_its_own() -> None:
    pending: Pending[int] = Pending(10, nobody)
    pending.add(-1, "10.0.0.9")
    pending.add(-2, "10.0.0.8")
    gone = [pending.add(number, "10.0.0.1") for number in range(100)]
    assert gone == [None] * 8 + list(range(92))
    assert pending.add(-3, "10.0.0.7") == 92


def test_addresses_that_a_source_names_lose_theirs_last() -> None:
    pending: Pending[int] = Pending(4, lambda address: address == "10.0.0.1")
    for number in range(3):
        pending.add(number, "10.0.0.1")
    pending.add(10, "10.0.0.2")
    assert pending.add(3, "10.0.0.1") == 10
    assert pending.add(4, "10.0.0.1") == 0


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("nonsense:", "nonsense:"),
    ],
)
def test_an_ipv6_peer_counts_by_its_network(address: str, group: str) -> None:
    assert group_of(address) == group


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=200))
def test_it_never_holds_more_than_its_limit_and_forgets_nobody_else(steps: list[tuple[int, bool]]) -> None:
    pending: Pending[int] = Pending(5, lambda address: address == "a0")
    held: set[int] = set()
    for number, (address, leaves) in enumerate(steps):
        if leaves and held:
            one = min(held)
            pending.discard(one)
            held.discard(one)
            continue
        victim = pending.add(number, f"a{address}")
        held.add(number)
        if victim is not None:
            held.remove(victim)
        assert len(pending) == len(held) <= 5
