"""Message IDs: numbers that tell the operations of one association apart (PS3.7 section 9.1.1.1.1)."""

from __future__ import annotations

MESSAGE_ID_MAX = 0xFFFF
"""Message ID is of VR US. 0 is possible and left to those who ask for it."""


def following(message_id: int) -> int:
    """Return the next Message ID: 65535 is followed by 1."""
    return message_id % MESSAGE_ID_MAX + 1


class MessageIds:
    """Count Message IDs up, from the one after `after`."""

    __slots__ = ("_last",)

    def __init__(self, after: int = 0) -> None:
        self._last = after

    def take(self) -> int:
        """Return the next one."""
        self._last = following(self._last)
        return self._last
