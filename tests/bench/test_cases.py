"""What the benchmarks write down: rows held against their bars, and the README's table made from them."""

from __future__ import annotations

import pytest

from benchmarks.all import BEGIN, END, markdown, with_results
from benchmarks.cases.case import Row, median_and_noise, ratio
from benchmarks.micro.compare import Figure, figure, is_slower
from router.bench.rounds import machine


@pytest.mark.parametrize(
    ("value", "bar", "holds"),
    [(0.8, (">=", 0.75), True), (0.7, (">=", 0.75), False), (1.0, ("<=", 1.0), True), (1.0, None, None)],
)
def test_a_row_knows_whether_its_bar_is_reached(
    value: float, bar: tuple[str, float] | None, holds: bool | None
) -> None:
    assert Row("what", value, "", bar).holds is holds


def test_ratios_are_medians_of_the_rounds_pairs() -> None:
    results = {"a": {"rates": [1.0, 4.0, 9.0]}, "b": {"rates": [1.0, 2.0, 3.0]}}
    assert ratio(results, "a", "b") == (2.0, 0.5)
    assert ratio(results, "a", "b", factor=3) == (6.0, 0.5)
    assert median_and_noise([]) == (0.0, 0.0)


def test_the_results_part_of_a_page_is_replaced_and_the_rest_kept() -> None:
    row = {"what": "w", "value_text": "2 x", "bar_text": ">= 1 x", "holds": True, "noise": 0.1, "detail": "d"}
    known = {"start": {"machine": machine(), "rounds": 5, "duration_s": 3.0, "rows": [row]}}
    text = with_results(f"before\n{BEGIN}\nold\n{END}\nafter\n", known)
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "| w | 2 x | >= 1 x | yes | 10% | d |" in text
    assert "old" not in text
    assert markdown(known) in text
    with pytest.raises(ValueError, match="no <!--"):
        with_results("nothing", known)


def test_slower_means_beyond_twice_the_noise() -> None:
    old = figure([(1.0, 10.0), (1.1, 11.0), (1.0, 10.0)])
    assert (old.calls, round(old.noise, 6), old.microseconds) == (1.0, 0.1, 10.0)
    assert not is_slower(Figure(1.19, 0.0, 1.0), old)
    assert is_slower(Figure(1.21, 0.0, 1.0), old)
    assert not is_slower(Figure(1.5, 0.3, 1.0), old)
