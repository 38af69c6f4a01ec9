"""How the tests of the services feed bytes: whole, and one at a time."""

from __future__ import annotations

import pytest


@pytest.fixture(params=[1 << 20, 1], ids=["whole", "1-byte splits"])
def split(request: pytest.FixtureRequest) -> int:
    """Return how many bytes arrive at once."""
    size: int = request.param
    return size
