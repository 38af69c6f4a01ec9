"""Numbers are counted in place, go on over restarts, and cannot leave their page."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.metrics.catalogue import (
    DESTINATIONS_MAX,
    FIXED_LABELS,
    METRICS,
    NAMED_LABELS,
    STORE_SECONDS,
    cells_of,
)
from router.metrics.page import NAME_BYTES_MAX, PAGE_BYTES, MetricsPage, stat_fields


@pytest.fixture
def page() -> Iterator[MetricsPage]:
    page = MetricsPage.create()
    page.begin("worker", 0)
    yield page
    page.close()


def successor_of(page: MetricsPage) -> MetricsPage:
    return MetricsPage.attach(os.dup(page.fd))


def test_a_page_says_whose_it_is(page: MetricsPage) -> None:
    fresh = MetricsPage.create()
    assert (fresh.role, fresh.index, fresh.writer) == ("", 0, (0, 0))
    fresh.begin("acceptor", 3)
    assert (fresh.role, fresh.index, fresh.writer[0]) == ("acceptor", 3, os.getpid())
    assert fresh.writer[1] > 0
    fresh.close()
    with pytest.raises(ValueError, match="role 'wroker'"):
        page.begin("wroker", 0)


def test_counters_go_on_over_a_restart_and_gauges_begin_at_zero(page: MetricsPage) -> None:
    sent = {"destination": "PACS", "status_class": "success"}
    page.add(page.slot("instances_sent", **sent), 5)
    page.set(page.slot("queue_depth", destination="PACS", state="pending"), 7)
    page.set(page.slot("spool_free_bytes"), 9)
    page.observe(page.slot("store_seconds"), 0.002)
    heir = successor_of(page)
    heir.begin("worker", 0)
    heir.cells[heir.slot("instances_sent", **sent)] += 1
    assert page.cells[page.slot("instances_sent", **sent)] == 6
    assert heir.cells[heir.slot("queue_depth", destination="PACS", state="pending")] == 0
    assert heir.cells[heir.slot("spool_free_bytes")] == 0
    assert sum(heir.cells[heir.slot("store_seconds") :][: cells_of(STORE_SECONDS) - 1]) == 1
    heir.close()


def test_destinations_added_later_keep_the_cells_of_those_before(page: MetricsPage) -> None:
    first = page.slot("sent_bytes", destination="PACS", status_class="success")
    second = page.slot("sent_bytes", destination="ARCHIVE", status_class="success")
    assert first != second
    heir = successor_of(page)
    assert heir.slot("sent_bytes", destination="ARCHIVE", status_class="success") == second
    assert heir.slot("sent_bytes", destination="PACS", status_class="success") == first
    assert heir.names("destination") == ["other", "PACS", "ARCHIVE"]
    heir.close()


def test_more_destinations_than_there_is_room_for_share_other(page: MetricsPage) -> None:
    slots = {page.slot("deliver_seconds", destination=f"D{number}") for number in range(2 * DESTINATIONS_MAX)}
    assert len(slots) == DESTINATIONS_MAX
    names = page.names("destination")
    assert len(names) == DESTINATIONS_MAX
    assert names[-1] == f"D{DESTINATIONS_MAX - 2}"
    other = page.slot("deliver_seconds", destination="other")
    assert page.slot("deliver_seconds", destination="one more") == other


@given(st.text(max_size=100))
def test_any_name_finds_its_cell_again(name: str) -> None:
    page = MetricsPage.create()
    slot = page.slot("deliver_seconds", destination=name)
    assert page.slot("deliver_seconds", destination=name) == slot
    assert all(len(known.encode()) <= NAME_BYTES_MAX for known in page.names("destination"))
    page.close()


@pytest.mark.parametrize(
    ("metric", "labels", "text"),
    [
        ("instances_snet", {}, "not in the catalogue"),
        ("instances_sent", {}, "has the labels"),
        ("instances_sent", {"destination": "P"}, "has the labels"),
        ("instances_sent", {"destination": "P", "status_class": "success", "uid": "1"}, "has the labels"),
        ("instances_sent", {"destination": "P", "status_class": "0000H"}, "status_class is '0000H'"),
    ],
)
def test_wrong_names_are_refused(page: MetricsPage, metric: str, labels: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        page.slot(metric, **labels)


def test_every_slot_of_every_metric_has_its_own_cells(page: MetricsPage) -> None:
    taken: set[int] = set()
    for metric in METRICS:
        combinations: list[dict[str, str]] = [{}]
        for label in metric.labels:
            values = FIXED_LABELS.get(label) or [f"{label}{n}" for n in range(NAMED_LABELS[label])]
            combinations = [{**chosen, label: value} for chosen in combinations for value in values]
        slots = {page.slot(metric, **chosen) for chosen in combinations}
        cells = {slot + at for slot in slots for at in range(cells_of(metric))}
        assert len(cells) == len(slots) * cells_of(metric)
        assert not cells & taken
        taken |= cells
    assert max(taken) < len(page.cells)


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        (0.0, 0),
        (-1.0, 0),
        (0.001, 0),
        (0.0010001, 0),
        (0.00101, 1),
        (0.0025, 1),
        (60.0, 14),
        (60.1, 15),
        (1e9, 15),
    ],
)
def test_a_value_counts_in_the_first_bucket_that_holds_it(
    page: MetricsPage, seconds: float, bucket: int
) -> None:
    slot = page.slot(STORE_SECONDS)
    page.observe(slot, seconds)
    counted = [at for at in range(len(STORE_SECONDS.buckets) + 1) if page.cells[slot + at]]
    assert counted == [bucket]
    assert page.cells[slot + len(STORE_SECONDS.buckets) + 1] == max(0, int(seconds * 1e6))


def test_a_gauge_does_not_go_below_zero(page: MetricsPage) -> None:
    slot = page.slot("spool_bytes")
    page.set(slot, -5)
    assert page.cells[slot] == 0


def test_other_memory_and_other_layouts_are_no_page(page: MetricsPage) -> None:
    fd = os.memfd_create("other")
    with pytest.raises(ValueError, match="not a metrics page"):
        MetricsPage.attach(fd)
    os.ftruncate(fd, PAGE_BYTES)
    with pytest.raises(ValueError, match="of this version"):
        MetricsPage.attach(fd)
    os.pwrite(fd, os.pread(page.fd, 8, 0) + b"12345678", 0)
    with pytest.raises(ValueError, match="of this version"):
        MetricsPage.attach(fd)
    os.close(fd)


def test_a_page_cannot_change_its_size(page: MetricsPage) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(page.fd, 0)


def test_a_process_with_brackets_in_its_name_is_still_read() -> None:
    rename = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'a) R (b', 0, 0, 0)"
    code = rename + "; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        fields = stat_fields(process.pid)
        assert fields is not None
        assert int(fields[1]) == os.getpid()
        process.communicate(b"")
    assert stat_fields(process.pid) is None


def test_processes_that_count_do_not_load_prometheus_client() -> None:
    code = "import router.metrics.page, sys; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
