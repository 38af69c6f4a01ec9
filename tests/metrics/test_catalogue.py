"""Every metric stands once, is bounded, and has cells of its own."""

from __future__ import annotations

import re
from math import prod

import pytest

from router.metrics import catalogue
from router.metrics.catalogue import CELLS_TOTAL, METRICS, OFFSETS, PREFIX, Kind, Metric, cells_of, values_of

every_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
SERIES_MAX = 2048  # of one metric in one page: what a Prometheus server takes without a thought


@every_metric
def test_names_are_whole_words_with_the_prefix(metric: Metric) -> None:
    assert re.fullmatch(r"dicom_router_[a-z]+(_[a-z]+)*", metric.full_name)
    assert metric.full_name == PREFIX + metric.name
    assert not metric.name.endswith("_total") or metric.kind is Kind.GAUGE
    assert metric.help.endswith(".")


@every_metric
def test_labels_are_bounded(metric: Metric) -> None:
    assert prod(values_of(label) for label in metric.labels) <= SERIES_MAX
    assert set(metric.roles) <= set(catalogue.ROLES)
    assert metric.roles


@every_metric
def test_seconds_are_kept_as_microseconds(metric: Metric) -> None:
    assert (metric.scale == catalogue.MICROSECONDS) == metric.name.endswith("_seconds")


@every_metric
def test_histograms_alone_have_buckets_that_ascend(metric: Metric) -> None:
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert list(metric.buckets) == sorted(set(metric.buckets))


def test_every_metric_stands_once() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS) == len(OFFSETS)


def test_no_two_metrics_share_a_cell() -> None:
    end = 0
    for metric in METRICS:
        assert OFFSETS[metric.name] == end
        end += cells_of(metric) * prod(values_of(label) for label in metric.labels)
    assert end == CELLS_TOTAL
