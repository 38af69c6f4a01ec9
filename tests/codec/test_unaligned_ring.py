"""Only atomic words need alignment: the compiled ring refuses a buffer that its twin could use."""

from __future__ import annotations

import pytest

from _codec.ring import Ring


def test_an_unaligned_buffer_is_refused():
    memory = bytearray(1024)
    with pytest.raises(ValueError, match="not aligned") as caught:
        Ring(memoryview(memory)[1:], True)
    assert caught.value.args[1] == 1
