"""Types of reception.pyx."""

from collections.abc import Sized
from typing import Any

from _codec.framing import PduReader
from _codec.send_lane import SendLane
from _codec.traffic import Traffic

class Reception:
    def __init__(self, connection: Any, traffic: Traffic, staging: memoryview, first: memoryview) -> None: ...
    def open(
        self,
        transport: Any,
        upper_layer: Any,
        reader: PduReader,
        lane: SendLane | None,
        fd: int,
        outbox: Sized,
        ends: Sized | None,
    ) -> None: ...
    def close(self) -> None: ...
    def get_buffer(self, sizehint: int) -> memoryview: ...
    def buffer_updated(self, nbytes: int) -> None: ...
    def has_unsent(self) -> bool: ...
    def send(self, pdus: bytes) -> None: ...
