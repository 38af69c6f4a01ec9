"""Hundreds of open associations, a flood from nobody known: the full tier has thousands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.floods import many_associations, unknown_flood

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_many_open_associations_leave_room_for_those_that_send(tmp_path: Path) -> None:
    assert many_associations(tmp_path, 400, 10, 2).acknowledged > 0


def test_a_flood_from_an_unknown_caller_is_rejected_while_known_ones_are_served(tmp_path: Path) -> None:
    outcome = unknown_flood(tmp_path, 200, 4)
    assert outcome.acknowledged > 20
    assert outcome.runs > 100
