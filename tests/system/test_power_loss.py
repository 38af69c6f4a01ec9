"""Power losses on file systems of the test's own; needs root and a loop device."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mounts import require_mounts
from tests.system import stand
from tests.system.power_loss import lose_power_at_random

pytestmark = [pytest.mark.system, pytest.mark.root, pytest.mark.timeout(400)]


@pytest.fixture(autouse=True)
def _mounts() -> None:
    require_mounts()


def test_ten_power_losses_lose_nothing(tmp_path: Path) -> None:
    outcome = lose_power_at_random(tmp_path, 10, seed=3)
    assert outcome.runs == 10
    assert outcome.acknowledged > 100


def test_the_books_show_the_loss_when_nothing_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand, "SETTLE_S", 5.0)
    with pytest.raises(stand.BrokenPromise):
        lose_power_at_random(tmp_path, 2, seed=3, fsync=False)
