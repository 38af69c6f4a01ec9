"""Every crash point with a kill, some with a short pause and with a power loss; the rest: full.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mounts import require_mounts
from tests.system.crash_points import KILL, PAUSE, POWER, crash_at_points

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


def test_a_kill_at_each_point_loses_nothing(tmp_path: Path) -> None:
    assert crash_at_points(tmp_path, KILL).acknowledged > 200


def test_a_process_that_stands_still_at_a_point_loses_nothing(tmp_path: Path) -> None:
    points = ("ticket.taken", "sync.before")
    assert crash_at_points(tmp_path, PAUSE, points, pause_s=3).acknowledged > 40


@pytest.mark.root
def test_a_power_loss_at_a_point_loses_nothing(tmp_path: Path) -> None:
    require_mounts()
    points = ("append.middle", "sync.after", "checkpoint.middle")
    assert crash_at_points(tmp_path, POWER, points).acknowledged > 60
