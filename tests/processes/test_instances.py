"""Where the bytes of an instance are: in the acceptor's slab while hot, then in the spool."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from router.errors import SpoolError
from router.handoff.ticket import Receipt
from router.processes.instances import InstanceBytes, read_file, read_head, read_head_of, remove_file
from router.spool.payload import CHUNK_BYTES
from router.spool.record import Location
from tests.support.handoff import SLOT, Pair, make_ticket

LOCATION = Location(segment=1, offset=64, length=2 * SLOT, crc=None)


class Spool:
    """A spool that holds one dataset."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.opened = 0

    def open_payload(self, location: Location) -> Iterable[bytes]:
        self.opened += 1
        return iter([self.data[at : at + CHUNK_BYTES] for at in range(0, len(self.data), CHUNK_BYTES)])


class Lent:
    """One ticket of two slots on its way through a worker."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.receipts: list[Receipt] = []
        ticket = pair.ticket(slots=2)
        for number, slot in enumerate(ticket.slots):
            pair.slab.view(slot)[:] = bytes([65 + number]) * SLOT
        self.data = b"A" * SLOT + b"B" * SLOT
        assert pair.dispatcher.submit(ticket, self.receipts.append)
        (self.ticket,) = pair.intakes[0].receive()
        self.spool = Spool(self.data)
        self.instance = InstanceBytes.of_ticket(self.spool, pair.intakes[0], self.ticket)

    def answer(self, *, release: bool = False) -> None:
        """Answer the ticket as the worker does."""
        self.pair.intakes[0].answer(self.ticket, 0, release=release)

    @property
    def slots_used(self) -> int:
        """Slots the acceptor misses, after it has heard everything."""
        self.pair.dispatcher.drain(0)
        return self.pair.slab.slots_used


@pytest.fixture
def lent() -> Iterator[Lent]:
    """Give a ticket that a worker has taken; at the end every slot must be back."""
    pair = Pair()
    one = Lent(pair)
    yield one
    assert one.slots_used == 0
    pair.close()


def joined(buffers: Iterable[Any]) -> bytes:
    return b"".join(bytes(buffer) for buffer in buffers)


def test_a_hot_instance_is_read_where_it_lies(lent: Lent) -> None:
    lent.answer()
    buffers = lent.instance.buffers()
    assert isinstance(buffers, list), "cut at once, without a copy"
    assert joined(buffers) == lent.data
    assert lent.spool.opened == 0
    lent.instance.close()
    lent.instance.cool()
    assert not lent.instance.is_hot


def test_the_loan_goes_back_after_the_last_of_those_it_is_kept_for(lent: Lent) -> None:
    cooled: list[bool] = []
    lent.answer()
    lent.instance.location = LOCATION
    lent.instance.keep_hot(2, lambda: cooled.append(True))
    lent.instance.used()
    assert lent.slots_used == 2
    assert lent.instance.is_hot
    lent.instance.used()
    assert lent.slots_used == 0
    assert cooled == [True]


def test_the_loan_is_not_given_back_under_a_reader(lent: Lent) -> None:
    cooled: list[bool] = []
    lent.answer()
    lent.instance.location = LOCATION
    lent.instance.keep_hot(1, lambda: cooled.append(True))
    buffers = lent.instance.buffers()
    other = lent.instance.buffers()
    lent.instance.used()
    assert lent.slots_used == 2
    assert joined(buffers) == joined(other) == lent.data
    lent.instance.close()
    assert lent.slots_used == 2
    lent.instance.close()
    assert lent.slots_used == 0
    assert cooled == [True]


def test_a_cool_instance_is_read_from_the_spool(lent: Lent) -> None:
    lent.answer()
    lent.instance.location = LOCATION
    lent.instance.cool()
    assert joined(lent.instance.buffers()) == lent.data
    assert lent.spool.opened == 1
    lent.instance.close()


def test_the_loan_can_go_back_with_the_answer(lent: Lent) -> None:
    assert lent.instance.give_up()
    lent.answer(release=True)
    assert not lent.instance.is_hot
    assert not lent.instance.give_up()
    assert lent.slots_used == 0
    assert [receipt.status for receipt in lent.receipts] == [0]


def test_the_loan_does_not_go_back_with_the_answer_under_a_reader(lent: Lent) -> None:
    buffers = lent.instance.buffers()
    assert not lent.instance.give_up()
    lent.answer()
    lent.instance.cool()
    assert joined(buffers) == lent.data
    assert lent.slots_used == 2
    lent.instance.close()
    assert lent.slots_used == 0


def test_a_failed_opening_counts_no_reader(lent: Lent) -> None:
    def fail(location: Location) -> Iterable[bytes]:
        raise SpoolError("gone")

    lent.answer()
    lent.instance.location = LOCATION
    lent.instance.cool()
    lent.spool.open_payload = fail  # type: ignore[method-assign]
    with pytest.raises(SpoolError):
        lent.instance.buffers()


def test_small_datasets_of_the_spool_are_lists_and_large_ones_streams() -> None:
    small = InstanceBytes.of_spool(Spool(b"x" * 100), Location(1, 0, 100, None))
    large = InstanceBytes.of_spool(Spool(b"x" * (3 * CHUNK_BYTES)), Location(1, 0, 3 * CHUNK_BYTES, None))
    assert isinstance(small.buffers(), list)
    assert not isinstance(large.buffers(), list)
    assert not small.is_hot
    small.close()
    large.close()


def test_a_spilled_dataset_is_read_from_its_file_until_the_spool_has_it(tmp_path: Path) -> None:
    data = b"spilled" * 400_000
    (tmp_path / "one.part").write_bytes(data)
    ticket = make_ticket(1, (), file=str(tmp_path / "one.part"))._replace(dataset_bytes=len(data))
    instance = InstanceBytes.of_ticket(Spool(data), None, ticket)  # type: ignore[arg-type]
    chunks = list(instance.buffers())
    assert joined(chunks) == data
    assert max(map(len, chunks)) <= CHUNK_BYTES


def test_a_file_that_cannot_be_read_is_the_spools_error(tmp_path: Path) -> None:
    with pytest.raises(SpoolError):
        list(read_file(str(tmp_path / "absent")))
    with pytest.raises(SpoolError):
        read_head(str(tmp_path / "absent"), 10)


def test_a_head_is_no_longer_than_asked(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    assert read_head(str(tmp_path / "f"), 4) == b"0123"
    assert read_head_of(iter([b"ab", b"cd", b"ef"]), 3) == b"abcd"
    assert read_head_of(iter([b"ab"]), 3) == b"ab"


def test_a_file_that_is_gone_already_needs_no_deleting(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    remove_file(str(tmp_path / "f"))
    remove_file(str(tmp_path / "f"))
    assert list(tmp_path.iterdir()) == []
