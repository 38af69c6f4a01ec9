"""What counts as a repeat under `duplicates = "skip"`: the same bytes, still there, on their way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from router.processes.duplicates import Duplicates
from router.routing.facts import Decision
from router.spool.layout import worker_directory
from router.spool.record import Entry
from router.spool.spool import Spool, SpoolSettings, open_spool
from router.spool.states import DeliveryState, Mark
from router.spool.writer_settings import SEGMENT_BYTES_MIN, WriterSettings
from tests.spool.spool_fixtures import DEADLINE_S, dataset_of, record_of
from tests.support.handoff import make_ticket

UID = "1.2.3.7"
SYNTAX = "1.2.840.10008.1.2.1"
LENGTH = 3000


class Setting:
    """A spool and what is known of repeats in it."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.duplicates = Duplicates(spool.ledger, spool.payloads)

    def store(
        self,
        number: int = 1,
        destinations: tuple[str, ...] = ("PACS",),
        *,
        taken: bool = True,
        action: str = "forward",
    ) -> Entry:
        record = record_of(7, destinations, transfer_syntax=SYNTAX, action=action)
        seq, location = self.spool.writer.append(record, [dataset_of(number, LENGTH)])
        entry = Entry(seq, record, location)
        self.duplicates.appended(UID, seq)
        if taken:
            assert self.spool.writer.flush(DEADLINE_S)
            self.spool.ledger.add([entry])
        return entry

    def holds(
        self,
        number: int = 1,
        destinations: tuple[str, ...] = ("PACS",),
        action: str = "forward",
        **changes: object,
    ) -> bool:
        data = memoryview(dataset_of(number, LENGTH))
        ticket = make_ticket(1, (0,), UID)._replace(dataset_bytes=LENGTH, **changes)
        decision = Decision(destinations, action, ())  # type: ignore[arg-type]
        return self.duplicates.holds(ticket, decision, [data[:1000], data[1000:]])

    def mark(self, entry: Entry, state: DeliveryState, destination: str = "PACS") -> None:
        self.spool.ledger.mark([Mark(entry.seq, destination, state, 1)])


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    settings = SpoolSettings(WriterSettings(segment_bytes=SEGMENT_BYTES_MIN))
    spool = open_spool(worker_directory(tmp_path, 0), lambda: None, settings)
    yield Setting(spool)
    spool.close()


@pytest.mark.parametrize("state", [None, DeliveryState.RETRYING, DeliveryState.DELIVERED])
@pytest.mark.parametrize("is_written", [False, True])
def test_the_same_bytes_on_their_way_are_a_repeat(
    setting: Setting, state: DeliveryState | None, is_written: bool
) -> None:
    entry = setting.store()
    if state is not None:
        setting.mark(entry, state)
    if is_written:
        setting.spool.ledger.flush()
    assert setting.holds()
    assert not setting.holds(2)
    assert not setting.holds(transfer_syntax="1.2.840.10008.1.2")
    assert not setting.holds(sop_class="1.2.840.10008.5.1.4.1.1.4")


def test_after_a_start_a_repeat_is_still_known(setting: Setting) -> None:
    setting.store()
    setting.spool.ledger.flush()
    setting.duplicates = Duplicates(setting.spool.ledger, setting.spool.payloads)
    assert setting.holds()


def test_what_is_not_durable_yet_is_no_repeat(setting: Setting) -> None:
    setting.store(taken=False)
    assert not setting.holds()


def test_an_older_version_is_no_repeat_even_while_the_newer_is_not_durable(setting: Setting) -> None:
    setting.store(1)
    setting.store(2, taken=False)
    assert not setting.holds(1)


def test_an_older_version_is_no_repeat_of_the_newest(setting: Setting) -> None:
    setting.store(1)
    setting.store(2)
    assert not setting.holds(1)
    assert setting.holds(2)


def test_a_destination_more_is_no_repeat_and_one_less_is(setting: Setting) -> None:
    setting.store(destinations=("PACS", "AI"))
    assert setting.holds(destinations=("AI",))
    assert not setting.holds(destinations=("PACS", "AI", "NEW"))


@pytest.mark.parametrize("state", [DeliveryState.DEAD, DeliveryState.DISCARDED, DeliveryState.HELD])
def test_what_does_not_get_there_is_no_repeat(setting: Setting, state: DeliveryState) -> None:
    setting.mark(setting.store(), state)
    assert not setting.holds()


def test_what_is_held_repeats_what_is_held(setting: Setting) -> None:
    setting.store(destinations=(), action="hold")
    assert setting.holds(destinations=(), action="hold")
    assert not setting.holds()


def test_bytes_that_are_gone_cannot_be_compared(setting: Setting) -> None:
    entry = setting.store()
    setting.mark(entry, DeliveryState.DELIVERED)
    setting.spool.directory.segment_path(1).unlink()
    assert not setting.holds()


def test_a_checksum_alone_is_no_proof(setting: Setting) -> None:
    entry = setting.store()
    path = setting.spool.directory.segment_path(1)
    with open(path, "r+b") as file:  # other bytes under the same checksum, as far as the ledger knows
        file.seek(entry.location.offset + 5)
        file.write(b"\xff\xfe")
    assert not setting.holds()
