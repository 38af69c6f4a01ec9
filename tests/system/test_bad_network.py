"""Faulty networks on both sides, by seeds: nothing acknowledged is lost, honest peers are served."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.bad_network import bad_network, bent_bits

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


def test_faults_of_the_network_lose_nothing_and_hold_no_honest_peer_up(tmp_path: Path) -> None:
    outcome = bad_network(tmp_path, seed=7, seconds=12)
    assert outcome.acknowledged > 100
    assert outcome.runs > 20


def test_bent_bits_of_one_sender_touch_no_other(tmp_path: Path) -> None:
    assert bent_bits(tmp_path, seed=5, seconds=6).acknowledged > 50
