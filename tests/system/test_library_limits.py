"""Many associations of the library's SCP at once: what they hold, and that they rest while idle."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.library_limits import hold_open, longest_wait

pytestmark = pytest.mark.system

ASSOCIATIONS = 2_000
MEMORY_MAX_MB = 400
THREADS_MAX = 40
WAKE_UPS_MAX = 20
"""In two seconds, of a process that does nothing: an interpreter may tidy up, a poll would be thousands."""

STORES = 20_000


def test_two_thousand_open_associations_hold_little_and_do_nothing(tmp_path: Path) -> None:
    found = hold_open(ASSOCIATIONS, tmp_path)
    assert found["associations"] == ASSOCIATIONS
    assert found["resident_mb"] < MEMORY_MAX_MB
    assert found["threads"] < THREADS_MAX
    assert found["wake_ups"] < WAKE_UPS_MAX


def test_twenty_thousand_stores_are_all_answered(tmp_path: Path) -> None:
    # A response that is lost would be a wait of 30 s, and the end of the association.
    stored, _, longest_s = longest_wait(STORES, tmp_path)
    assert stored == STORES
    assert longest_s < 30
