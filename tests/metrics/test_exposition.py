"""What Prometheus reads is the sum of all pages, in its own format."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from router.metrics.catalogue import METRICS
from router.metrics.exposition import PagesCollector, is_writer_alive
from router.metrics.page import MetricsPage
from tests.support.forked import Forked

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
MakePage = Callable[[str, int], MetricsPage]


@pytest.fixture
def pages() -> Iterator[list[MetricsPage]]:
    made: list[MetricsPage] = []
    yield made
    for page in made:
        page.close()


@pytest.fixture
def make(pages: list[MetricsPage]) -> MakePage:
    def make_page(role: str, index: int) -> MetricsPage:
        page = MetricsPage.create()
        page.begin(role, index)
        pages.append(page)
        return page

    return make_page


def scrape(pages: list[MetricsPage], is_alive: Callable[[MetricsPage], bool] = is_writer_alive) -> Samples:
    """Return what a Prometheus server would read: (sample name without the prefix, labels) -> value."""
    registry = CollectorRegistry()
    registry.register(PagesCollector(pages, is_alive))
    samples: Samples = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            key = sample.name.removeprefix("dicom_router_"), frozenset(sample.labels.items())
            assert key not in samples
            samples[key] = sample.value
    return samples


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_counters_are_summed_over_processes_that_number_destinations_differently(
    pages: list[MetricsPage], make: MakePage
) -> None:
    for index, order in enumerate((["PACS", "VNA"], ["VNA", "PACS"])):
        page = make("worker", index)
        for destination in order:
            slot = page.slot("instances_sent", destination=destination, status_class="success")
            page.add(slot, 10 if destination == "PACS" else 1)
    samples = scrape(pages)
    assert value(samples, "instances_sent_total", destination="PACS", status_class="success") == 20
    assert value(samples, "instances_sent_total", destination="VNA", status_class="success") == 2
    assert value(samples, "instances_sent_total", destination="VNA", status_class="failure") == 0


def test_gauges_are_summed_or_maximised_or_shown_each(pages: list[MetricsPage], make: MakePage) -> None:
    for index, number in enumerate((3, 8)):
        worker = make("worker", index)
        worker.set(worker.slot("queue_depth", destination="PACS", state="held"), number)
        age = worker.slot("queue_oldest_age_seconds", destination="PACS", state="held")
        worker.set(age, number * 1_500_000)
        acceptor = make("acceptor", index)
        acceptor.set(acceptor.slot("slab_slots_used"), number)
    samples = scrape(pages)
    assert value(samples, "queue_depth", destination="PACS", state="held") == 11
    assert value(samples, "queue_oldest_age_seconds", destination="PACS", state="held") == 12.0
    assert value(samples, "slab_slots_used", process="acceptor-0") == 3
    assert value(samples, "slab_slots_used", process="acceptor-1") == 8


def test_histograms_are_cumulative_and_merged(pages: list[MetricsPage], make: MakePage) -> None:
    for index in range(2):
        page = make("worker", index)
        slot = page.slot("store_seconds")
        for seconds in (0.0005, 0.002, 0.002, 100.0):
            page.observe(slot, seconds)
    samples = scrape(pages)
    assert value(samples, "store_seconds_bucket", le="0.001") == 2
    assert value(samples, "store_seconds_bucket", le="0.0025") == 6
    assert value(samples, "store_seconds_bucket", le="60.0") == 6
    assert value(samples, "store_seconds_bucket", le="+Inf") == 8
    assert value(samples, "store_seconds_count") == 8
    assert value(samples, "store_seconds_sum") == pytest.approx(200.009)


def test_a_histogram_that_counts_things_has_no_microseconds(pages: list[MetricsPage], make: MakePage) -> None:
    page = make("worker", 0)
    page.observe(page.slot("group_size"), 200)
    samples = scrape(pages)
    assert value(samples, "group_size_bucket", le="128.0") == 0
    assert value(samples, "group_size_bucket", le="256.0") == 1
    assert value(samples, "group_size_sum") == 200


def test_the_dead_keep_their_counters_and_lose_their_gauges(pages: list[MetricsPage], make: MakePage) -> None:
    page = make("acceptor", 0)
    page.add(page.slot("echoes", listener="main"))
    page.set(page.slot("slab_slots_used"), 5)
    samples = scrape(pages, is_alive=lambda _: False)
    assert value(samples, "echoes_total", listener="main") == 1
    assert not [name for name, _ in samples if name.startswith(("slab_slots_used", "process_"))]


def test_a_process_that_ended_is_not_taken_for_alive() -> None:
    page = MetricsPage.create()
    assert not is_writer_alive(page)
    assert Forked(lambda: page.begin("worker", 0)).join() == 0
    assert page.role == "worker"
    assert not is_writer_alive(page)
    page.begin("worker", 0)
    assert is_writer_alive(page)
    page.close()


def test_living_processes_show_their_cpu_and_memory(pages: list[MetricsPage], make: MakePage) -> None:
    make("admin", 0)
    samples = scrape(pages)
    assert value(samples, "process_cpu_seconds_total", process="admin-0") > 0
    resident = value(samples, "process_resident_bytes", process="admin-0")
    private = value(samples, "process_private_bytes", process="admin-0")
    assert 0 < private < resident < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_page_nobody_began_and_metrics_of_other_roles_are_left_out(make: MakePage) -> None:
    unused, admin = MetricsPage.create(), make("admin", 0)
    names = {name for name, _ in scrape([unused, admin])}
    assert "codec_info" in names
    assert not names & {"ready", "echoes_total", "queue_depth"}
    unused.close()


def test_other_shows_only_when_something_was_counted_there(pages: list[MetricsPage], make: MakePage) -> None:
    page = make("worker", 0)
    page.slot("sent_bytes", destination="PACS", status_class="success")
    assert not [labels for _, labels in scrape(pages) if ("destination", "other") in labels]
    page.add(page.slot("sent_bytes", destination="other", status_class="failure"), 7)
    samples = scrape(pages)
    assert value(samples, "sent_bytes_total", destination="other", status_class="failure") == 7


def test_every_metric_is_exposed_with_its_type(pages: list[MetricsPage], make: MakePage) -> None:
    for role in ("acceptor", "worker", "supervisor", "admin"):
        make(role, 0)
    registry = CollectorRegistry()
    registry.register(PagesCollector(pages))
    types = {
        family.name.removeprefix("dicom_router_"): family.type
        for family in text_string_to_metric_families(generate_latest(registry).decode())
    }
    for metric in METRICS:
        assert types[metric.name] == metric.kind.value
    assert set(types) - {metric.name for metric in METRICS} == {
        "process_cpu_seconds",
        "process_resident_bytes",
        "process_private_bytes",
    }


def test_a_name_with_quotes_and_newlines_is_escaped(pages: list[MetricsPage], make: MakePage) -> None:
    page = make("worker", 0)
    page.add(page.slot("delivery_errors", destination='a"b\\c\nd', error="connect"))
    assert value(scrape(pages), "delivery_errors_total", destination='a"b\\c\nd', error="connect") == 1
