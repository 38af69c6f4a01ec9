"""Slots are given out once, come back once, and what was lent outlives its owner."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from router.handoff.slab import SLOTS_MAX, Slab, create_slab_fd

SLOT = mmap.PAGESIZE


@pytest.fixture
def slab() -> Iterator[Slab]:
    slab = Slab.create(4 * SLOT, SLOT)
    yield slab
    slab.close()


def take(slab: Slab) -> int:
    index = slab.allocate()
    assert index is not None
    return index


def test_every_slot_is_given_out_once_and_then_none(slab: Slab) -> None:
    taken = [slab.allocate() for _ in range(5)]
    assert sorted(index for index in taken if index is not None) == [0, 1, 2, 3]
    assert taken[4] is None
    assert (slab.slots_free, slab.slots_used, slab.slots_total) == (0, 4, 4)


def test_the_slot_freed_last_is_used_first(slab: Slab) -> None:
    first, second = take(slab), take(slab)
    slab.free(second)
    slab.free(first)
    assert slab.allocate() == first


@pytest.mark.parametrize("index", [-1, 0, 4])
def test_a_slot_that_is_not_in_use_cannot_be_freed(slab: Slab, index: int) -> None:
    with pytest.raises(ValueError, match="not in use"):
        slab.free(index)


def test_a_slot_cannot_be_freed_twice(slab: Slab) -> None:
    index = take(slab)
    slab.free(index)
    with pytest.raises(ValueError, match="not in use"):
        slab.free(index)
    assert slab.slots_free == 4


def test_a_free_slot_cannot_be_lent(slab: Slab) -> None:
    with pytest.raises(ValueError, match="not in use"):
        slab.lend([0], worker=0)


def test_a_worker_reads_what_the_owner_wrote_and_cannot_write(slab: Slab) -> None:
    indices = [take(slab), take(slab)]
    slab.view(indices[0])[:] = b"a" * SLOT
    slab.view(indices[1])[:3] = b"end"
    reader = Slab.attach(os.dup(slab.fd))
    views = reader.chain(indices, SLOT + 3)
    assert b"".join(views) == b"a" * SLOT + b"end"
    assert all(view.readonly for view in views)
    del views
    reader.close()


@pytest.mark.parametrize(("size", "lengths"), [(0, []), (1, [1]), (SLOT, [SLOT]), (SLOT + 1, [SLOT, 1])])
def test_a_chain_is_cut_to_the_dataset(slab: Slab, size: int, lengths: list[int]) -> None:
    assert [len(view) for view in slab.chain((0, 1), size)] == lengths


@pytest.mark.parametrize(
    ("indices", "size"), [((0,), SLOT + 1), ((), 1), ((-1,), 1), ((4,), 1), ((0, 4), SLOT)]
)
def test_a_chain_that_leaves_the_slab_is_refused(slab: Slab, indices: tuple[int, ...], size: int) -> None:
    with pytest.raises(ValueError, match=r"slot"):
        slab.chain(indices, size)


def test_the_arena_cannot_change_its_size(slab: Slab) -> None:
    for size in (SLOT, 64 * SLOT):
        with pytest.raises(PermissionError):
            os.ftruncate(slab.fd, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(slab.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


@pytest.mark.parametrize(
    ("slab_bytes", "slot_bytes"),
    [(SLOT, SLOT + 8), (SLOT - 1, SLOT), (SLOT, 0), ((SLOTS_MAX + 1) * SLOT, SLOT)],
)
def test_sizes_that_do_not_work_are_refused(slab_bytes: int, slot_bytes: int) -> None:
    with pytest.raises(ValueError, match="allowed"):
        create_slab_fd(slab_bytes, slot_bytes)


def test_other_memory_is_no_slab() -> None:
    fd = os.memfd_create("other")
    with pytest.raises(ValueError, match="not a slab"):
        Slab.attach(fd)
    os.pwrite(fd, os.pread(create_slab_fd(SLOT, SLOT), SLOT, 0), 0)
    with pytest.raises(ValueError, match="slab of 1 slots"):
        Slab.attach(fd)
    os.close(fd)


def test_a_borrowed_view_outlives_a_closed_slab() -> None:
    slab = Slab.create(SLOT, SLOT)
    view = slab.view(take(slab))
    view[:2] = b"ok"
    slab.close()
    assert bytes(view[:2]) == b"ok"


class SlabModel(RuleBasedStateMachine):
    """The owner may die at any step; its successor sees as used exactly what was lent."""

    slots = Bundle("slots")

    def __init__(self) -> None:
        super().__init__()
        self.slab = Slab.create(6 * SLOT, SLOT)
        self.taken: set[int] = set()
        self.lent: dict[int, int] = {}
        self.generation = self.slab.generation

    def teardown(self) -> None:
        self.slab.close()

    @rule(target=slots)
    def allocate(self) -> int:
        index = self.slab.allocate()
        assert (index is None) == (len(self.taken) == 6)
        if index is None:
            return -1
        assert index not in self.taken
        self.taken.add(index)
        return index

    @rule(index=consumes(slots))
    def free(self, index: int) -> None:
        if index in self.taken:
            self.slab.free(index)
            self.taken.remove(index)
            self.lent.pop(index, None)

    @rule(index=slots, worker=st.integers(0, 254))
    def lend(self, index: int, worker: int) -> None:
        if index in self.taken:
            self.slab.lend([index], worker)
            self.lent[index] = worker

    @rule()
    def die(self) -> None:
        fd = os.dup(self.slab.fd)
        self.slab.close()
        self.slab = Slab.own(fd)
        self.taken = set(self.lent)
        assert self.slab.generation == self.generation + 1
        self.generation += 1

    @invariant()
    def counts_agree(self) -> None:
        assert self.slab.slots_used == len(self.taken)
        for worker in {0, *self.lent.values()}:
            assert self.slab.lent_to(worker) == sorted(i for i, w in self.lent.items() if w == worker)


TestSlabModel = SlabModel.TestCase
TestSlabModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
