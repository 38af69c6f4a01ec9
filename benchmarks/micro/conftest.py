"""A calibration loop around every benchmark, so that figures of one moment or machine can be held against
another's.

Half of it is interpreter, half memory, as in what is measured; the smallest of several runs counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

REPEATS = 15
STEPS = 2000
COPIED = bytearray(1 << 18)


def calibrate() -> float:
    """Return the seconds of one calibration loop."""
    best = 1.0
    for _ in range(REPEATS):
        began = time.perf_counter()
        total: dict[int, int] = {}
        for number in range(STEPS):
            total[number & 63] = total.get(number & 63, 0) + number
        bytes(COPIED)
        best = min(best, time.perf_counter() - began)
    return best


@pytest.fixture(autouse=True)
def calibration(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keep the calibration of each benchmark beside its figures."""
    if "benchmark" not in request.fixturenames:
        yield
        return
    benchmark: Any = request.getfixturevalue("benchmark")
    before = calibrate()
    yield
    benchmark.extra_info["calibration_s"] = min(before, calibrate())
