"""Exposition: all pages merged into families that prometheus_client writes out.

Counters and histograms are summed over the pages; gauges are summed, maximised or shown per process, as the
catalogue says. A dead process's counters stay, its gauges are left out. CPU and memory of each living
process are read from /proc at the scrape.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, product

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from router.metrics.catalogue import (
    METRICS,
    NAMED_LABELS,
    OFFSETS,
    OTHER,
    PREFIX,
    Kind,
    Merge,
    Metric,
    cells_of,
    values_of,
)
from router.metrics.page import MetricsPage, stat_fields

PROCESS = "process"

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

Labels = tuple[str, ...]
IsAlive = Callable[[MetricsPage], bool]


def is_writer_alive(page: MetricsPage) -> bool:
    """Return whether the process that began the page still runs; a later process of that pid does not
    count."""
    pid, ticks = page.writer
    fields = stat_fields(pid) if pid else None
    return fields is not None and int(fields[19]) == ticks


class PagesCollector(Collector):
    """Collects `pages`, those of every role index, for a prometheus_client registry. Pages nobody began
    are skipped."""

    def __init__(self, pages: Sequence[MetricsPage], is_alive: IsAlive = is_writer_alive) -> None:
        self._pages = pages
        self._is_alive = is_alive

    def collect(self) -> Iterator[Family]:
        """Yield one family per metric of the catalogue that some page's role writes, then the processes'
        own."""
        begun = [page for page in self._pages if page.role]
        alive = [page for page in begun if self._is_alive(page)]
        for metric in METRICS:
            writers = alive if metric.kind is Kind.GAUGE else begun
            writers = [page for page in writers if page.role in metric.roles]
            if writers:
                yield _family(metric, writers)
        yield from _process_families(alive)


def _family(metric: Metric, pages: Sequence[MetricsPage]) -> Family:
    if metric.kind is Kind.HISTOGRAM:
        return _histogram_family(metric, pages)
    if metric.kind is Kind.COUNTER:
        counter = CounterMetricFamily(metric.full_name, metric.help, labels=metric.labels)
        for labels, cells in _merged(metric, pages, sum).items():
            counter.add_metric(labels, cells[0] / metric.scale if metric.scale > 1 else cells[0])
        return counter
    if metric.merge is Merge.EACH:
        gauge = GaugeMetricFamily(metric.full_name, metric.help, labels=(*metric.labels, PROCESS))
        for page in pages:
            for labels, cells in _samples(metric, page):
                gauge.add_metric((*labels, _process_name(page)), cells[0] / metric.scale)
        return gauge
    gauge = GaugeMetricFamily(metric.full_name, metric.help, labels=metric.labels)
    for labels, cells in _merged(metric, pages, max if metric.merge is Merge.MAX else sum).items():
        gauge.add_metric(labels, cells[0] / metric.scale if metric.scale > 1 else cells[0])
    return gauge


def _histogram_family(metric: Metric, pages: Sequence[MetricsPage]) -> Family:
    family = HistogramMetricFamily(metric.full_name, metric.help, labels=metric.labels)
    bounds = [repr(bound) for bound in metric.buckets] + ["+Inf"]
    for labels, cells in _merged(metric, pages, sum).items():
        counts = list(zip(bounds, accumulate(cells[:-1]), strict=True))
        family.add_metric(labels, buckets=counts, sum_value=cells[-1] / metric.scale)
    return family


def _merged(
    metric: Metric, pages: Sequence[MetricsPage], merge: Callable[[Iterable[int]], int]
) -> dict[Labels, list[int]]:
    """Return the cells of each label combination, merged by name: two pages may number the names
    differently."""
    merged: dict[Labels, list[int]] = {}
    for page in pages:
        for labels, cells in _samples(metric, page):
            known = merged.get(labels)
            merged[labels] = [merge(pair) for pair in zip(known, cells, strict=True)] if known else cells
    return merged


def _samples(metric: Metric, page: MetricsPage) -> Iterator[tuple[Labels, list[int]]]:
    """Yield (label values, cells) of one page; "other" only once something was counted there."""
    width = cells_of(metric)
    values = [list(enumerate(page.names(label))) for label in metric.labels]
    for combination in product(*values):
        position = 0
        for label, (index, _) in zip(metric.labels, combination, strict=True):
            position = position * values_of(label) + index
        slot = OFFSETS[metric.name] + position * width
        cells = list(page.cells[slot : slot + width])
        is_other = any(
            name == OTHER and label in NAMED_LABELS
            for label, (_, name) in zip(metric.labels, combination, strict=True)
        )
        if is_other and not any(cells):
            continue
        yield tuple(name for _, name in combination), cells


def _process_families(pages: Sequence[MetricsPage]) -> Iterator[Family]:
    """Yield what /proc says of the living processes."""
    cpu = CounterMetricFamily(
        PREFIX + "process_cpu_seconds", "CPU time used since its start.", labels=[PROCESS]
    )
    resident = GaugeMetricFamily(
        PREFIX + "process_resident_bytes", "Resident memory, shared memory included.", labels=[PROCESS]
    )
    private = GaugeMetricFamily(
        PREFIX + "process_private_bytes", "Resident memory without what is shared.", labels=[PROCESS]
    )
    for page in pages:
        pid, _ = page.writer
        fields, memory = stat_fields(pid), _statm(pid)
        if fields is None or memory is None:
            continue
        labels = [_process_name(page)]
        cpu.add_metric(labels, (int(fields[11]) + int(fields[12])) / _TICKS_PER_S)
        resident.add_metric(labels, memory[0] * _PAGE_BYTES)
        private.add_metric(labels, (memory[0] - memory[1]) * _PAGE_BYTES)
    yield from (cpu, resident, private)


def _process_name(page: MetricsPage) -> str:
    return f"{page.role}-{page.index}"


def _statm(pid: int) -> tuple[int, int] | None:
    """Return the resident and the shared pages of a process; None if it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            _, resident, shared, *_ = file.read().split()
    except (OSError, ValueError):
        return None
    return int(resident), int(shared)
