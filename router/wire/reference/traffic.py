"""Twin of _codec/traffic.pyx: what has passed over one connection."""

from __future__ import annotations


class Traffic:
    """See _codec/traffic.pyx."""

    __slots__ = ("heard_at", "received", "sent")

    def __init__(self) -> None:
        self.received = 0
        self.sent = 0
        self.heard_at = 0.0
