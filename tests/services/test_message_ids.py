"""Message IDs count up and wrap; 0 is not given unasked."""

from __future__ import annotations

import pytest

from router.services.message_ids import MessageIds, following


@pytest.mark.parametrize(("before", "after"), [(0, 1), (1, 2), (65534, 65535), (65535, 1)])
def test_the_one_after(before: int, after: int) -> None:
    assert following(before) == after


def test_they_go_on_from_where_they_start() -> None:
    ids = MessageIds(after=65534)
    assert [ids.take() for _ in range(3)] == [65535, 1, 2]
