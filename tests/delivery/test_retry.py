"""What failures mean: the table of error classes, and how long is waited."""

from __future__ import annotations

import ssl

import pytest

from router.delivery.retry import (
    CLASSES_OF_STATUS,
    JITTER,
    TREATMENTS,
    Alternate,
    Blame,
    ErrorClass,
    NoContext,
    back_off_s,
    failure_of_error,
    failure_of_status,
    is_delivered,
)
from router.errors import (
    AssociationAborted,
    AssociationRejected,
    DeadlineExceeded,
    LocalMisuse,
    PeerViolation,
    SpoolError,
)
from router.spool.faults import RecordDamaged, Unreadable


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xB006, 0xB007])
def test_success_and_warnings_are_deliveries(status: int) -> None:
    assert is_delivered(status)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0xA700, ErrorClass.BUSY),
        (0xA7FF, ErrorClass.BUSY),
        (0x0213, ErrorClass.BUSY),
        (0x0122, ErrorClass.NOT_SUPPORTED),
        (0x0124, ErrorClass.NOT_SUPPORTED),
        (0xA900, ErrorClass.REFUSED),
        (0xC000, ErrorClass.REFUSED),
        (0xCFFF, ErrorClass.REFUSED),
        (0x0110, ErrorClass.REFUSED),
        (0x0117, ErrorClass.REFUSED),
        (0x0211, ErrorClass.REFUSED),
        (0xFE00, ErrorClass.REFUSED),
        (0xFF00, ErrorClass.REFUSED),
        (0x1234, ErrorClass.REFUSED),
    ],
)
def test_every_other_status_is_a_failure_of_its_class(status: int, expected: ErrorClass) -> None:
    assert not is_delivered(status)
    failure = failure_of_status(status)
    assert (failure.error_class, failure.status) == (expected, status)
    assert f"{status:04X}" in failure.text


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AssociationRejected(1, 1, 7), ErrorClass.REJECTED_PERMANENT),
        (AssociationRejected(2, 3, 1), ErrorClass.REJECTED_TRANSIENT),
        (AssociationRejected(9, 9, 9), ErrorClass.REJECTED_TRANSIENT),
        (DeadlineExceeded("connect_s", 5), ErrorClass.CONNECT),
        (DeadlineExceeded("acse_s", 30), ErrorClass.TIMEOUT),
        (DeadlineExceeded("dimse_s", 60), ErrorClass.TIMEOUT),
        (AssociationAborted(2, 0), ErrorClass.ABORTED),
        (PeerViolation("x"), ErrorClass.ABORTED),
        (LocalMisuse("x"), ErrorClass.ABORTED),
        (RecordDamaged("x"), ErrorClass.SPOOL),
        (Unreadable("x"), ErrorClass.UNREADABLE),
        (SpoolError("x"), ErrorClass.UNREADABLE),
        (NoContext("1.2", "1.3"), ErrorClass.NO_CONTEXT),
        (ssl.SSLError(1, "x"), ErrorClass.TLS),
        (ConnectionRefusedError(111, "refused"), ErrorClass.CONNECT),
        (OSError(113, "no route"), ErrorClass.CONNECT),
        (UnicodeError("label too long"), ErrorClass.CONNECT),
    ],
)
def test_every_error_has_a_class(error: Exception, expected: ErrorClass) -> None:
    failure = failure_of_error(error)
    assert (failure.error_class, failure.status) == (expected, None)
    assert type(error).__name__ in failure.text


def test_every_class_has_a_treatment_and_only_lasting_ones_are_counted() -> None:
    assert set(TREATMENTS) == set(ErrorClass)
    counted = {kind for kind, treatment in TREATMENTS.items() if treatment.is_counted}
    assert counted == {
        ErrorClass.REJECTED_PERMANENT,
        ErrorClass.NO_CONTEXT,
        ErrorClass.NOT_SUPPORTED,
        ErrorClass.REFUSED,
        ErrorClass.SPOOL,
    }
    of_everybody = {kind for kind, treatment in TREATMENTS.items() if treatment.blame is Blame.DESTINATION}
    assert of_everybody == {
        ErrorClass.CONNECT,
        ErrorClass.TLS,
        ErrorClass.REJECTED_TRANSIENT,
        ErrorClass.REJECTED_PERMANENT,
    }


def test_what_only_a_configuration_mends_is_slow_and_what_kills_goes_to_nobody_else() -> None:
    slow = {kind for kind, treatment in TREATMENTS.items() if treatment.is_slow}
    assert slow == {ErrorClass.REJECTED_PERMANENT, ErrorClass.NO_CONTEXT, ErrorClass.NOT_SUPPORTED}
    stays = {kind for kind, treatment in TREATMENTS.items() if treatment.alternate is Alternate.NEVER}
    assert stays == {ErrorClass.POISON, ErrorClass.SPOOL, ErrorClass.UNREADABLE}


def test_every_status_has_a_class() -> None:
    assert CLASSES_OF_STATUS[-1][:2] == (0x0000, 0xFFFF)
    assert all(first <= last for first, last, _ in CLASSES_OF_STATUS)


def test_waits_double_up_to_the_longest() -> None:
    waits = [back_off_s(attempts, 1.0, 300.0, 0.5) for attempts in range(1, 12)]
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300])


def test_waits_are_spread_to_either_side() -> None:
    assert back_off_s(1, 10.0, 300.0, 0.0) == pytest.approx(10 * (1 - JITTER))
    assert back_off_s(1, 10.0, 300.0, 0.999999) == pytest.approx(10 * (1 + JITTER), rel=1e-4)


def test_waits_stay_finite_after_any_number_of_attempts() -> None:
    assert back_off_s(10**9, 0.01, 86400.0, 0.5) == 86400.0
