"""Words for A-ABORT and A-ASSOCIATE-RJ numbers."""

from __future__ import annotations

import pytest

from router.standard.reasons import (
    ABORT_REASONS,
    CONTEXT_RESULTS,
    REJECT_REASONS,
    describe_abort,
    describe_rejection,
)


@pytest.mark.parametrize(
    ("source", "reason", "text"),
    [
        (0, 0, "aborted by DICOM UL service-user"),
        (0, 5, "aborted by DICOM UL service-user"),
        (2, 0, "aborted by DICOM UL service-provider: reason-not-specified"),
        (2, 1, "aborted by DICOM UL service-provider: unrecognised-PDU"),
        (2, 2, "aborted by DICOM UL service-provider: unexpected-PDU"),
        (2, 3, "aborted by DICOM UL service-provider: reserved (3)"),
        (2, 6, "aborted by DICOM UL service-provider: invalid-PDU-parameter-value"),
        (1, 0, "aborted by reserved (1): reason-not-specified"),
        (255, 255, "aborted by reserved (255): reserved (255)"),
    ],
)
def test_aborts_are_told_with_a_reason_only_if_it_means_something(
    source: int, reason: int, text: str
) -> None:
    assert describe_abort(source, reason) == text


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((1, 1, 3), "rejected-permanent by DICOM UL service-user: calling-AE-title-not-recognised"),
        ((1, 1, 7), "rejected-permanent by DICOM UL service-user: called-AE-title-not-recognised"),
        ((1, 1, 2), "rejected-permanent by DICOM UL service-user: application-context-name-not-supported"),
        (
            (1, 2, 2),
            "rejected-permanent by DICOM UL service-provider (ACSE related function):"
            " protocol-version-not-supported",
        ),
        (
            (2, 3, 1),
            "rejected-transient by DICOM UL service-provider (presentation related function):"
            " temporary-congestion",
        ),
        (
            (2, 3, 2),
            "rejected-transient by DICOM UL service-provider (presentation related function):"
            " local-limit-exceeded",
        ),
        ((1, 1, 9), "rejected-permanent by DICOM UL service-user: reserved (9)"),
        ((0, 9, 1), "reserved (0) by reserved (9): reserved (1)"),
    ],
)
def test_rejections_are_told_by_the_table_of_their_source(numbers: tuple[int, int, int], text: str) -> None:
    assert describe_rejection(*numbers) == text


def test_tables_have_the_numbers_of_the_standard() -> None:
    assert sorted(ABORT_REASONS) == [0, 1, 2, 4, 5, 6]
    assert {source: sorted(reasons) for source, reasons in REJECT_REASONS.items()} == {
        1: [1, 2, 3, 7],
        2: [1, 2],
        3: [1, 2],
    }
    assert sorted(CONTEXT_RESULTS) == [0, 1, 2, 3, 4]
