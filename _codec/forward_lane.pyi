"""Types of forward_lane.pyx."""

from collections.abc import Callable, Iterable
from typing import Any

from _codec.ring import Ring
from _codec.send_lane import SendLane, SendOperation, SendUser
from _codec.tally import Histogram, Tally

class Outlet:
    lanes: list[SendLane]
    in_flight: int
    delivered: int
    has_waiting: bool
    @property
    def owner(self) -> Any: ...
    @property
    def name(self) -> str: ...
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

class TicketPort:
    def __init__(
        self,
        intake: object,
        tickets: Ring,
        receipts: Ring,
        bell: int,
        slab: Any,
        held: dict[int, tuple[int, ...]],
        unanswered: set[int],
        outbox: Any,
    ) -> None: ...

class Forward(SendUser):
    @property
    def record(self) -> bytes: ...
    @property
    def intake(self) -> Any: ...
    @property
    def began(self) -> float: ...
    @property
    def under_way(self) -> dict[str, SendOperation]: ...
    @property
    def delivered(self) -> dict[str, int]: ...
    @property
    def decision(self) -> Any: ...
    def owner_of(self, name: str) -> Any: ...

class Forwarder:
    is_open: bool
    scan_policy: str
    discarded_cell: int
    @property
    def forwards(self) -> dict[int, Forward]: ...
    def __init__(
        self,
        encoding_of: Callable[[str], tuple[bool, bool] | None],
        on_trouble: Callable[[Forward, str, SendOperation | None, int, BaseException | None], None],
    ) -> None: ...
    def use_rules(self, wanted: Iterable[int]) -> None: ...
    def count_into(self, tally: Tally, store_seconds: Histogram, discarded_cell: int) -> None: ...
    def take(self, port: TicketPort) -> bytes | None: ...
    def learn(self, decision: Any, outlets: list[Any] | None) -> None: ...
    def forget(self) -> None: ...
    def late(self, began_before: float) -> list[Forward]: ...
    def give_up(self, forward: Forward) -> None: ...
    def hand_over(self, operation: SendOperation, user: SendUser) -> None: ...
