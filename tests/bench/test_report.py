"""The report: one page that needs nothing else, and says what was measured."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from router.bench.latency import new_counts, percentile_s, percentiles_s
from router.bench.measure import Measurement
from router.bench.plots import in_time, short
from router.bench.reference import HISTOGRAM_CELLS, Lane, histogram_cell
from router.bench.report import write_report
from router.bench.rounds import machine, noise_of, summarise, turn
from router.bench.series import POINTS_MAX, Series, rates


def measurement(rate: float, missing: int = 0) -> Measurement:
    return Measurement(
        instances=100,
        rate=rate,
        bytes_per_s=rate * 2000,
        cpu_us=50.0,
        latency_p50_us=100.0,
        latency_p99_us=400.0,
        memory_mb=9.0,
        missing=missing,
        latency_cells=[(histogram_cell(100_000), 90), (histogram_cell(400_000), 10)],
        series=[(0.1 * n, int(rate * 0.1 * n)) for n in range(6)],
    )


class Checker(HTMLParser):
    """Collects what a page would load, and that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del tag, attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_report_is_one_page_that_loads_nothing(tmp_path: Path) -> None:
    results = {
        "haproxy": summarise([measurement(900), measurement(1000), measurement(1100)]),
        "router <&>": summarise([measurement(500, missing=3), measurement(600)]),
    }
    path = tmp_path / "report.html"
    works = {"small": "small (2,122 bytes), 4 associations"}
    write_report(path, {"machine": machine(), "works": works, "results": {"small": results}}, "haproxy")
    text = path.read_text("utf-8")
    checker = Checker()
    checker.feed(text)
    assert (checker.loads, checker.open) == ([], [])
    assert "router &lt;&amp;&gt;" in text
    assert not re.search(r"url\(|@import|https?:", text)
    assert text.count("<svg") == 4


def test_a_summary_takes_medians_without_the_first_round_and_faults_with_it() -> None:
    summary = summarise([measurement(1, missing=2), measurement(10), measurement(20), measurement(60)])
    assert (summary["rate"], summary["missing"]) == (20, 2)
    assert summary["noise"] == 0.5
    assert noise_of([5.0]) == 0.0


def test_every_relay_takes_every_turn_and_every_run_has_its_own_number() -> None:
    rounds = [turn(["a", "b", "c"], number) for number in range(3)]
    assert [one[0][0] for one in rounds] == ["a", "b", "c"]
    runs = [run for one in rounds for _, run in one]
    assert len(set(runs)) == len(runs)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 129, 99_999, 10**9, 2**43])
def test_a_latency_is_known_to_two_per_cent(value: int) -> None:
    counts = new_counts()
    lane = Lane(1, counts)
    lane.end(lane.begin(1, 0), value)
    found = percentile_s([(cell, n) for cell, n in enumerate(counts[:HISTOGRAM_CELLS]) if n], 0.5)
    assert found * 1e9 == pytest.approx(value, rel=0.02, abs=1)


def test_percentiles_of_nothing_are_nothing() -> None:
    assert percentiles_s([]) == {}


def test_a_series_stays_short_and_keeps_its_ends() -> None:
    series = Series()
    for number in range(10 * POINTS_MAX):
        series.add(number * series.step_ns, number)
    assert len(series.points) < POINTS_MAX
    assert series.points[0] == (0.0, 0)
    assert rates([(0.0, 0), (0.5, 10), (0.5, 10), (1.0, 40)]) == [(0.25, 20.0), (0.75, 60.0)]


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (0.0000456, "45.6 \N{MICRO SIGN}s")]
)
def test_durations_are_said_in_their_unit(seconds: float, text: str) -> None:
    assert in_time(seconds) == text
    assert short(1234.5) == "1,234"
