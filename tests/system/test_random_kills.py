"""Forty kills of random processes at random moments, in few lives of the router."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.random_kills import kill_at_random

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


def test_forty_random_kills_lose_nothing(tmp_path: Path) -> None:
    outcome = kill_at_random(tmp_path, 40, seed=20)
    assert outcome.runs == 40
    assert outcome.acknowledged > 200
