"""How values are read for comparison."""

from __future__ import annotations

import pytest

from router.config.conditions import compile_regex, digits_of, number_of


@pytest.mark.parametrize(
    ("text", "number"),
    [("5", 5.0), (" -1.5e2 ", -150.0), ("", None), ("x", None), ("nan", None), ("inf", None), ("1_0", None)],
)
def test_numbers_are_those_of_is_and_ds(text: str, number: float | None) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("20240501", "20240501"),
        ("2024-05-01", "20240501"),
        ("2024.05.01", "20240501"),
        ("10:15:00.5", "101500.5"),
        ("2024-05-01T10:15:00", "20240501101500"),
        ("20240501101500.000-0500", "20240501101500.000-0500"),
    ],
)
def test_moments_lose_their_separators(text: str, digits: str) -> None:
    assert digits_of(text) == digits


def test_an_expression_that_backtracks_elsewhere_ends_at_once() -> None:
    assert compile_regex("(a+)+$").search("a" * 1024 + "b") is None
