"""Types of outlet.pyx."""

from collections import deque
from typing import Any

from _codec.send_lane import SendLane
from _codec.tally import Histogram, Tally

class Outlet:
    backlog: Any
    entries: Any
    lanes: list[SendLane]
    in_flight: int
    delivered: int
    has_waiting: bool
    is_ill: bool
    @property
    def is_overrun(self) -> bool: ...
    @property
    def owner(self) -> Any: ...
    @property
    def name(self) -> str: ...
    @property
    def waiting(self) -> deque[Any]: ...
    @property
    def uids(self) -> dict[str, Any]: ...
    def __init__(self, owner: object, name: str, uids: dict[str, Any]) -> None: ...
    def count_into(
        self,
        tally: Tally,
        sent_cell: int,
        bytes_cell: int,
        deliver_seconds: Histogram,
        end_to_end: Histogram,
    ) -> None: ...
    def leaves_one_more(self, run: int) -> bool: ...
    def ease(self) -> int: ...
    def catch_up(self) -> int: ...

class Plan:
    @property
    def decision(self) -> Any: ...
