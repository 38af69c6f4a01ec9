"""What the dashboard and the alerts ask for exists, with the labels they use."""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.metrics.catalogue import FIXED_LABELS, METRICS, PREFIX, Kind, Merge
from router.processes.launch import ROLES
from router.processes.supervisor import CLOSE_S

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SAMPLE = re.compile(PREFIX + r"\w+")
SELECTOR = re.compile(r'(\w+)=~?"([^"]*)"')
OF_PROCESSES = {"process_cpu_seconds_total", "process_resident_bytes", "process_private_bytes"}


def sample_names() -> set[str]:
    """Return the names of every sample a scrape may hold."""
    names = {PREFIX + name for name in OF_PROCESSES}
    for metric in METRICS:
        suffixes = {
            Kind.COUNTER: ["_total"],
            Kind.GAUGE: [""],
            Kind.HISTOGRAM: ["_bucket", "_sum", "_count"],
        }[metric.kind]
        names |= {metric.full_name + suffix for suffix in suffixes}
    return names


def expressions() -> Iterator[str]:
    """Yield every PromQL expression of the dashboard and the alerts."""
    dashboard = json.loads((DEPLOY / "grafana" / "dicom-router.json").read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    alerts = (DEPLOY / "prometheus" / "alerts.yml").read_text()
    yield from re.findall(r"expr: (.*)", alerts)


def test_every_metric_asked_for_exists() -> None:
    asked = {name for expression in expressions() for name in SAMPLE.findall(expression)}
    assert len(asked) > 30
    assert asked - sample_names() == set()


def test_every_label_value_asked_for_exists() -> None:
    for expression in expressions():
        for label, values in SELECTOR.findall(expression):
            if label in FIXED_LABELS:
                assert set(values.split("|")) <= set(FIXED_LABELS[label]), expression


def test_every_label_grouped_by_belongs_to_its_metric() -> None:
    labels = {metric.full_name: {*metric.labels} for metric in METRICS}
    for metric in METRICS:
        if metric.merge is Merge.EACH:
            labels[metric.full_name].add("process")
    for expression in expressions():
        grouped = re.search(r"by \(([^)]*)\)", expression)
        name = SAMPLE.search(expression)
        if grouped is None or name is None or name[0].removeprefix(PREFIX) in OF_PROCESSES:
            continue
        stem = re.sub("_(total|bucket)$", "", name[0])
        allowed = {*labels.get(stem, labels.get(name[0], ())), "instance", "le"}
        assert {*grouped[1].replace(" ", "").split(",")} <= allowed, expression


def test_panels_do_not_overlap_and_have_their_own_ids() -> None:
    panels = json.loads((DEPLOY / "grafana" / "dicom-router.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.fixture
def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "systemd" / "dicom-router.service")
    return parser


def test_the_service_stops_by_a_drain_that_has_the_time_it_needs(unit: configparser.RawConfigParser) -> None:
    from router.config.schema import Config

    service = unit["Service"]
    assert (service["Type"], service["KillMode"]) == ("notify", "mixed")
    assert float(service["TimeoutStopSec"]) > Config().router.drain_s + len(ROLES) * CLOSE_S


def test_the_service_may_write_where_the_default_spool_is(unit: configparser.RawConfigParser) -> None:
    from router.config.schema import Config

    assert Config().spool.path == f"/var/lib/{unit['Service']['StateDirectory']}"
