"""Disks that are full, failing or slow, descriptors and memory that run out, clocks that jump."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.mounts import require_mounts
from tests.system import scarce_resources
from tests.system.scarce_resources import CLOCK_JUMPS

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


@pytest.mark.root
def test_a_full_disk_refuses_and_takes_again_when_there_is_room(tmp_path: Path) -> None:
    require_mounts()
    assert scarce_resources.disk_full(tmp_path).acknowledged > 20


@pytest.mark.root
def test_a_thin_disk_that_fails_at_the_sync_loses_nothing_it_promised(tmp_path: Path) -> None:
    require_mounts()
    assert scarce_resources.thin_disk_full(tmp_path).delivered > 20


@pytest.mark.root
def test_a_disk_that_turns_read_only_loses_nothing_it_promised(tmp_path: Path) -> None:
    require_mounts()
    assert scarce_resources.read_only(tmp_path).acknowledged > 50


def test_a_slow_disk_slows_answers_and_keeps_them_true(
    tmp_path: Path, require_peer: Callable[..., None]
) -> None:
    require_peer("strace")
    assert scarce_resources.slow_disk(tmp_path).acknowledged > 20


def test_processes_without_descriptors_go_on_when_they_have_some_again(tmp_path: Path) -> None:
    assert scarce_resources.few_descriptors(tmp_path).acknowledged > 50


def test_processes_without_memory_lose_nothing(tmp_path: Path) -> None:
    assert scarce_resources.little_memory(tmp_path).acknowledged > 20


def test_a_jumping_clock_holds_nothing_up(tmp_path: Path, require_peer: Callable[..., None]) -> None:
    require_peer("faketime")
    assert scarce_resources.clock_jumps(tmp_path, CLOCK_JUMPS[:3]).acknowledged > 100
