"""Some hundred seeds of mutations.py, which says what must hold and runs thousands as a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from .mutations import examine_many

SEEDS = 480
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_damage_costs_its_record_alone_and_is_told(tmp_path: Path, part: int) -> None:
    size = SEEDS // PARTS
    findings = examine_many(range(part * size, (part + 1) * size), tmp_path)
    assert findings.broken == []
    assert findings.records_lost > size  # they do hurt
