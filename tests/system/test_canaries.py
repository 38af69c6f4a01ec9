"""No patient's name or ID and no passcode leaves the spool by log, metric or page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.canaries import plant_canaries

pytestmark = pytest.mark.system


def test_planted_names_ids_and_passcodes_appear_nowhere_outside_the_spool(tmp_path: Path) -> None:
    outcome = plant_canaries(tmp_path)
    assert outcome.acknowledged >= 3
