"""A short soak: what a load takes is given back after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.soak import soak

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


def test_what_a_load_took_is_given_back_after_it(tmp_path: Path) -> None:
    assert soak(tmp_path, rounds=5, seconds=2).acknowledged > 500
