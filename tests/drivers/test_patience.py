"""How long one connection may keep us waiting."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from router.drivers.pace import PROGRESS_MIN_BYTES
from router.drivers.patience import Deadlines, Patience

DEADLINES = Deadlines(artim_s=30, idle_s=600, progress_s=60, write_s=60)


@dataclass
class Standing:
    """What is asked of an association."""

    is_established: bool = True
    is_receiving: bool = False
    artim_starts: int = 0


@pytest.fixture
def association() -> Standing:
    return Standing()


@pytest.fixture
def patience(association: Standing) -> Patience:
    return Patience(DEADLINES, association)  # type: ignore[arg-type]


def test_the_artim_timer_runs_out_once_and_anew_with_every_start(
    patience: Patience, association: Standing
) -> None:
    assert not patience.is_artim_over(1e9)
    association.artim_starts += 1
    assert patience.has_artim_started
    patience.watch_artim(100)
    assert not patience.has_artim_started
    assert not patience.is_artim_over(129)
    assert patience.is_artim_over(130)
    assert not patience.is_artim_over(131)


def test_output_is_stuck_if_too_little_of_it_leaves(patience: Patience) -> None:
    patience.begin(0)
    assert not patience.is_output_stuck(59, 1 << 20, 1 << 20)
    assert patience.is_output_stuck(60, 1 << 20, (1 << 20) - PROGRESS_MIN_BYTES + 1)
    assert not patience.is_output_stuck(60, 1 << 20, (1 << 20) - PROGRESS_MIN_BYTES)
    assert not patience.is_output_stuck(119, 1 << 20, (1 << 20) - PROGRESS_MIN_BYTES)
    assert not patience.is_output_stuck(500, 1 << 20, 0)


def test_silence_in_the_middle_of_a_message_is_a_fault(patience: Patience, association: Standing) -> None:
    association.is_receiving = True
    assert patience.broken_by(59, 0, 10, False) is None
    found = patience.broken_by(60, 0, 10, False)
    assert found == (2, "no byte for 60 s in the middle of a message")


def test_a_dribble_in_the_middle_of_a_message_is_a_fault(patience: Patience, association: Standing) -> None:
    association.is_receiving = True
    assert patience.broken_by(0, 0, 0, False) is None
    assert patience.broken_by(60, 60, PROGRESS_MIN_BYTES, False) is None
    found = patience.broken_by(120, 120, 2 * PROGRESS_MIN_BYTES - 1, False)
    assert found == (2, "hardly a byte for 60 s in the middle of a message")


def test_what_was_slow_because_nothing_was_read_is_no_dribble(
    patience: Patience, association: Standing
) -> None:
    association.is_receiving = True
    assert patience.broken_by(0, 0, 0, False) is None
    assert patience.broken_by(60, 0, 0, True) is None
    assert patience.broken_by(61, 61, 0, False) is None


def test_an_idle_association_is_one_without_requests_too(patience: Patience) -> None:
    patience.busy_at = 100
    assert patience.broken_by(699, 0, 0, False) is None
    assert patience.broken_by(700, 0, 0, False) == (0, "idle for 600 s")


def test_nothing_is_due_before_the_association_stands(patience: Patience, association: Standing) -> None:
    association.is_established = False
    assert patience.broken_by(1e9, 0, 0, False) is None
