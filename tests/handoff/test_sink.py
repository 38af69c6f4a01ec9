"""Where arriving datasets go: slots, files, or nowhere; and that every slot comes back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from crc32c import crc32c

from router.handoff import sink as sink_module
from router.handoff.sink import STALL_S, Arrivals, ReceivedDataset, SlabSink, write_whole
from router.handoff.slab import Slab
from router.services.c_store import Refusal
from router.standard.statuses import OUT_OF_RESOURCES
from tests.support.handoff import SLOT, FakeClock

SLOTS = 8


class Aside:
    """Threads that do their work when the test says."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], None], Callable[[Future[None]], None]]] = []

    def __call__(self, function: Callable[[], None], done: Callable[[Future[None]], None]) -> None:
        self.waiting.append((function, done))

    def work(self) -> None:
        """Do what waits, and tell the loop."""
        function, done = self.waiting.pop(0)
        outcome: Future[None] = Future()
        try:
            function()
        except OSError as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(None)
        done(outcome)


class Setting:
    """One slab, one folder, and the sinks on them."""

    def __init__(self, folder: Path) -> None:
        self.slab = Slab.create(SLOTS * SLOT, SLOT)
        self.folder = folder
        self.aside = Aside()
        self.resumed: list[str] = []
        self.clock = FakeClock()
        self.arrivals = Arrivals(
            self.slab,
            str(folder),
            spill_bytes=3 * SLOT,
            instance_max_bytes=20 * SLOT,
            run_aside=self.aside,
            name_prefix="t",
            clock=self.clock,
        )

    def open(self, name: str = "") -> SlabSink:
        """Open a sink that notes when it may go on."""
        return self.arrivals.open(lambda: self.resumed.append(name))

    def pour(self, sink: SlabSink, data: bytes) -> bytes:
        """Write data as an association does; return what found no room."""
        while data:
            buffer = sink.next_buffer()
            if buffer is None:
                return data
            count = min(len(buffer), len(data))
            buffer[:count] = data[:count]
            sink.filled(count)
            data = data[count:]
        return data

    def pour_all(self, sink: SlabSink, data: bytes) -> None:
        """Write data, doing the writing aside whenever it is waited for."""
        while data := self.pour(sink, data):
            self.aside.work()

    def take_all_slots(self) -> list[int]:
        """Leave no slot free."""
        taken = []
        while (slot := self.slab.allocate()) is not None:
            taken.append(slot)
        return taken

    @property
    def files(self) -> list[str]:
        return sorted(os.listdir(self.folder))


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    """Give a setting; afterwards every slot must be free and every file gone."""
    one = Setting(tmp_path)
    yield one
    assert one.slab.slots_used == 0
    assert one.arrivals.waiting == 0
    assert one.files == []
    one.slab.close()


def bytes_of(setting: Setting, dataset: ReceivedDataset) -> bytes:
    if dataset.file:
        return Path(dataset.file).read_bytes()
    return b"".join(setting.slab.chain(dataset.slots, dataset.dataset_bytes))


@pytest.mark.parametrize("size", [1, SLOT - 1, SLOT, SLOT + 1, 3 * SLOT])
def test_a_dataset_lies_in_as_many_slots_as_it_needs(setting: Setting, size: int) -> None:
    data = os.urandom(size)
    sink = setting.open()
    assert setting.pour(sink, data) == b""
    dataset = sink.finish()
    assert isinstance(dataset, ReceivedDataset)
    assert (len(dataset.slots), dataset.file, dataset.dataset_bytes) == (-(-size // SLOT), "", size)
    assert bytes_of(setting, dataset) == data
    dataset.release()


def test_an_empty_dataset_holds_no_slot(setting: Setting) -> None:
    sink = setting.open()
    assert sink.next_buffer() is not None
    sink.filled(0)
    dataset = sink.finish()
    assert isinstance(dataset, ReceivedDataset)
    assert (dataset.slots, dataset.dataset_bytes) == ((), 0)


@pytest.mark.parametrize("size", [3 * SLOT + 1, 4 * SLOT, 10 * SLOT + 7])
def test_a_large_dataset_goes_on_in_a_file_through_one_slot(setting: Setting, size: int) -> None:
    data = os.urandom(size)
    sink = setting.open()
    most = 0
    while data_left := setting.pour(sink, data[-size:]):
        size = len(data_left)
        most = max(most, setting.slab.slots_used)
        setting.aside.work()
        assert setting.slab.slots_used == 1
    dataset = sink.finish()
    assert isinstance(dataset, ReceivedDataset)
    assert dataset.slots == ()
    assert setting.slab.slots_used == 0
    assert most == 3
    assert bytes_of(setting, dataset) == data
    assert dataset.crc == crc32c(data)
    assert (setting.arrivals.spilled_count, setting.arrivals.spilled_bytes) == (1, len(data))
    dataset.release()


def test_files_are_named_by_us_and_readable_by_us_only(setting: Setting) -> None:
    sinks = [setting.open() for _ in range(2)]
    for sink in sinks:
        setting.pour_all(sink, bytes(4 * SLOT))
    datasets = [sink.finish() for sink in sinks]
    assert setting.files == ["t-1.part", "t-2.part"]
    for dataset in datasets:
        assert isinstance(dataset, ReceivedDataset)
        assert os.stat(dataset.file).st_mode & 0o777 == 0o600
        dataset.release()


def test_while_a_spill_is_written_there_is_no_buffer_and_then_reading_goes_on(setting: Setting) -> None:
    sink = setting.open("a")
    assert setting.pour(sink, bytes(4 * SLOT)) == bytes(SLOT)
    assert sink.next_buffer() is None
    assert setting.resumed == []
    setting.aside.work()
    assert setting.resumed == ["a"]
    assert sink.next_buffer() is not None
    sink.discard()


def test_a_connection_lost_while_a_spill_is_written_leaves_nothing(setting: Setting) -> None:
    sink = setting.open("a")
    setting.pour(sink, bytes(4 * SLOT))
    sink.discard()
    assert setting.slab.slots_used == 3, "the writing thread still reads them"
    setting.aside.work()
    assert setting.resumed == []


def test_a_connection_lost_in_the_middle_gives_slots_and_file_back(setting: Setting) -> None:
    small, large = setting.open(), setting.open()
    setting.pour(small, bytes(2 * SLOT))
    setting.pour_all(large, bytes(4 * SLOT + 9))
    small.discard()
    large.discard()


def test_a_spill_that_cannot_be_written_refuses_the_instance(setting: Setting) -> None:
    sink = setting.open("a")
    setting.pour(sink, bytes(4 * SLOT))
    os.close(sink._fd)
    sink._fd = os.open("/dev/full", os.O_WRONLY)
    setting.aside.work()
    assert setting.resumed == ["a"]
    assert setting.pour(sink, bytes(30 * SLOT)) == b""
    assert sink.finish() == Refusal(OUT_OF_RESOURCES, "cannot spill")


def test_a_spill_whose_end_cannot_be_written_refuses_the_instance(setting: Setting) -> None:
    sink = setting.open()
    setting.pour_all(sink, bytes(3 * SLOT + 9))
    os.close(sink._fd)
    sink._fd = os.open("/dev/full", os.O_WRONLY)
    assert sink.finish() == Refusal(OUT_OF_RESOURCES, "cannot spill")


def test_a_close_that_fails_refuses_and_closes_no_other_descriptor(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed close the number is free, and may be somebody else's."""
    sink = setting.open()
    setting.pour_all(sink, bytes(3 * SLOT + 9))
    closed: list[int] = []

    def close(fd: int) -> None:
        closed.append(fd)
        real_close(fd)
        raise OSError(5, "Input/output error")

    real_close = os.close
    monkeypatch.setattr(sink_module.os, "close", close)
    outcome = sink.finish()
    monkeypatch.undo()
    assert outcome == Refusal(OUT_OF_RESOURCES, "cannot spill")
    assert len(closed) == 1


def test_a_missing_folder_refuses_the_instance(setting: Setting) -> None:
    setting.arrivals.incoming = str(setting.folder / "absent")
    sink = setting.open()
    assert setting.pour(sink, bytes(10 * SLOT)) == b""
    assert sink.finish() == Refusal(OUT_OF_RESOURCES, "cannot spill")


def test_an_instance_over_the_limit_passes_by_and_is_refused(setting: Setting) -> None:
    sink = setting.open()
    setting.pour_all(sink, bytes(40 * SLOT))
    assert setting.slab.slots_used == 0
    assert sink.finish() == Refusal(OUT_OF_RESOURCES, "instance too large")


def test_a_dataset_without_a_slot_waits_and_is_woken_once_there_is_one(setting: Setting) -> None:
    taken = setting.take_all_slots()
    sink = setting.open("a")
    assert sink.next_buffer() is None
    assert sink.next_buffer() is None
    assert setting.arrivals.waiting == 1
    setting.arrivals.wake()
    assert setting.resumed == []
    setting.slab.free(taken.pop())
    setting.arrivals.wake()
    assert setting.resumed == ["a"]
    assert setting.arrivals.waiting == 0
    assert sink.next_buffer() is not None
    sink.discard()
    setting.arrivals.free(taken)


def test_those_who_hold_slots_go_first(setting: Setting) -> None:
    sinks: dict[str, SlabSink] = {}

    def go_on(name: str) -> None:
        if sinks[name].next_buffer() is not None:
            setting.resumed.append(name)

    for name in ("starting", "growing"):
        sinks[name] = setting.arrivals.open(lambda name=name: go_on(name))
    setting.pour(sinks["growing"], bytes(SLOT))
    taken = setting.take_all_slots()
    assert sinks["starting"].next_buffer() is None
    assert sinks["growing"].next_buffer() is None
    for count in (1, 2):
        setting.slab.free(taken.pop())
        setting.arrivals.wake()
        assert setting.resumed == ["growing", "starting"][:count]
    for sink in sinks.values():
        sink.discard()
    setting.arrivals.free(taken)


def test_datasets_that_wait_for_each_other_go_on_in_files(setting: Setting) -> None:
    """Each of eight holds one slot, and none is left."""
    data = [os.urandom(3 * SLOT - 5) for _ in range(SLOTS)]
    sinks = [setting.open(str(n)) for n in range(SLOTS)]
    assert [setting.pour(sink, part[:SLOT]) for sink, part in zip(sinks, data, strict=True)] == [b""] * SLOTS
    rest = [setting.pour(sink, part[SLOT:]) for sink, part in zip(sinks, data, strict=True)]
    while any(rest):
        setting.arrivals.wake()
        setting.clock.now += STALL_S
        setting.arrivals.wake()
        while setting.aside.waiting:
            setting.aside.work()
        rest = [setting.pour(sink, part) for sink, part in zip(sinks, rest, strict=True)]
    for sink, part in zip(sinks, data, strict=True):
        dataset = sink.finish()
        assert isinstance(dataset, ReceivedDataset)
        assert bytes_of(setting, dataset) == part
        dataset.release()


def test_a_wait_that_is_served_in_time_spills_nothing(setting: Setting) -> None:
    first, second = setting.open("first"), setting.open("second")
    setting.pour(first, bytes(SLOT))
    setting.pour(second, bytes(SLOT))
    taken = setting.take_all_slots()
    assert first.next_buffer() is None
    assert second.next_buffer() is None
    setting.arrivals.wake()
    setting.clock.now += STALL_S * 0.9
    setting.slab.free(taken.pop())
    setting.arrivals.wake()
    assert first.next_buffer() is not None
    setting.clock.now += STALL_S * 0.9
    setting.arrivals.wake()
    assert setting.arrivals.spilled_count == 0
    first.discard()
    second.discard()
    setting.arrivals.free(taken)


def test_under_pressure_no_dataset_begins_but_those_begun_go_on(setting: Setting) -> None:
    begun = setting.open("begun")
    setting.pour(begun, bytes(SLOT))
    setting.arrivals.pauses = True
    later = setting.open("later")
    assert later.next_buffer() is None
    assert setting.arrivals.paused_count == 1
    assert begun.next_buffer() is not None
    begun.filled(1)
    setting.arrivals.wake()
    assert setting.resumed == []
    setting.arrivals.pauses = False
    setting.arrivals.wake()
    assert setting.resumed == ["later"]
    later.discard()
    begun.discard()


def test_when_refusing_those_who_wait_are_let_go_and_answered_a700(setting: Setting) -> None:
    growing, starting = setting.open("growing"), setting.open("starting")
    setting.pour(growing, bytes(SLOT))
    taken = setting.take_all_slots()
    assert growing.next_buffer() is None
    assert starting.next_buffer() is None
    setting.arrivals.refuses = True
    setting.arrivals.wake()
    assert setting.resumed == ["growing", "starting"]
    for sink in (growing, starting):
        assert setting.pour(sink, bytes(30 * SLOT)) == b""
        assert sink.finish() == Refusal(OUT_OF_RESOURCES, "out of resources")
    assert setting.arrivals.refused_count == 2
    setting.arrivals.free(taken)


def test_a_dataset_that_gives_up_waiting_is_not_woken(setting: Setting) -> None:
    taken = setting.take_all_slots()
    sink = setting.open("a")
    assert sink.next_buffer() is None
    sink.discard()
    setting.arrivals.free(taken)
    setting.arrivals.wake()
    assert setting.resumed == []


def test_an_empty_dataset_that_ends_while_it_waits_is_not_woken(setting: Setting) -> None:
    taken = setting.take_all_slots()
    sink = setting.open("a")
    assert sink.next_buffer() is None
    dataset = sink.finish()
    assert isinstance(dataset, ReceivedDataset)
    assert dataset.dataset_bytes == 0
    assert setting.arrivals.waiting == 0
    setting.arrivals.free(taken)
    setting.arrivals.wake()
    assert setting.resumed == []


def test_write_whole_goes_on_after_a_short_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write
    monkeypatch.setattr(sink_module.os, "write", lambda fd, data: real_write(fd, data[:3]))
    fd = os.open(tmp_path / "f", os.O_WRONLY | os.O_CREAT)
    write_whole(fd, memoryview(b"0123456789"))
    os.close(fd)
    assert (tmp_path / "f").read_bytes() == b"0123456789"
