"""Types of segment_window.pyx."""

from typing import final

from typing_extensions import Buffer

@final
class SegmentWindow:
    def __init__(self, descriptor: int, size: int) -> None: ...
    def close(self) -> None: ...
    def write(self, offset: int, buffers: list[Buffer], crc: int = 0) -> int: ...
