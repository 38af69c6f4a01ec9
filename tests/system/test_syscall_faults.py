"""System calls that fail one by one in the running router; every N of every kind: full.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.syscall_faults import SAMPLE, fail_syscalls

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


def test_a_failed_system_call_is_no_false_success_and_no_wedge(
    tmp_path: Path, require_peer: Callable[..., None]
) -> None:
    require_peer("strace")
    outcome = fail_syscalls(tmp_path, SAMPLE)
    assert outcome.runs >= len(SAMPLE) // 2, outcome
