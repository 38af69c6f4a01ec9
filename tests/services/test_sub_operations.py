"""Counting sub-operations: each status into its count, and the final status of every mixture."""

from __future__ import annotations

import pytest

from router.services.sub_operations import Tally
from router.standard.dimse_fields import (
    NUMBER_OF_COMPLETED_SUBOPERATIONS,
    NUMBER_OF_FAILED_SUBOPERATIONS,
    NUMBER_OF_REMAINING_SUBOPERATIONS,
    NUMBER_OF_WARNING_SUBOPERATIONS,
)


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        (0x0000, (1, 0, 0)),
        (0xB000, (0, 1, 0)),
        (0x0107, (0, 1, 0)),
        (0xA700, (0, 0, 1)),
        (0xC123, (0, 0, 1)),
        (0xFE00, (0, 0, 1)),
        (0xFF00, (0, 0, 1)),
        (0x1234, (0, 0, 1)),
        (None, (0, 0, 1)),
    ],
)
def test_each_status_is_counted_once(status: int | None, counts: tuple[int, int, int]) -> None:
    tally = Tally(3)
    tally.count(status, "1.2.3")
    assert (tally.completed, tally.warning, tally.failed) == counts
    assert tally.remaining == 2
    assert tally.failed_instances == (["1.2.3"] if counts[2] else [])


def test_a_failure_without_a_known_instance_is_counted_and_not_named() -> None:
    tally = Tally(1)
    tally.count(0xA700, "")
    assert (tally.failed, tally.failed_instances) == (1, [])


@pytest.mark.parametrize(
    ("completed", "warning", "failed", "status"),
    [
        (0, 0, 0, 0x0000),
        (2, 0, 0, 0x0000),
        (2, 1, 0, 0xB000),
        (0, 1, 0, 0xB000),
        (2, 0, 1, 0xB000),
        (0, 1, 1, 0xB000),
        (0, 0, 1, 0xA702),
    ],
)
def test_the_final_status_follows_from_the_counts(
    completed: int, warning: int, failed: int, status: int
) -> None:
    assert Tally(0, completed, failed, warning).final_status() == status


def test_giving_up_counts_the_rest_as_failed() -> None:
    tally = Tally(5, completed=2, failed=1)
    tally.give_up()
    assert (tally.remaining, tally.failed) == (0, 6)


def test_remaining_ones_are_told_only_where_the_standard_has_them() -> None:
    tally = Tally(5, completed=2, failed=1, warning=3)
    counts = {
        NUMBER_OF_COMPLETED_SUBOPERATIONS: 2,
        NUMBER_OF_FAILED_SUBOPERATIONS: 1,
        NUMBER_OF_WARNING_SUBOPERATIONS: 3,
    }
    assert tally.elements(with_remaining=False) == counts
    assert tally.elements(with_remaining=True) == counts | {NUMBER_OF_REMAINING_SUBOPERATIONS: 5}
