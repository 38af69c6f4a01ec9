"""Types of send_lane.pyx."""

from collections.abc import Callable, Container
from typing import Any

from _codec.framing import Lane
from _codec.traffic import Traffic

class SendUser: ...

class CallbackUser(SendUser):
    def __init__(
        self,
        on_answered: Callable[[int, float], None],
        on_failed: Callable[[BaseException, float], None],
    ) -> None: ...

class SendOperation:
    @property
    def message_id(self) -> int: ...
    @property
    def lane(self) -> SendLane: ...
    @property
    def began(self) -> float: ...

class SendLane(Lane):
    is_usable: bool
    quick_ack: bool
    window: int
    outstanding: int
    idle_since: float
    deadline_s: float
    @property
    def contexts(self) -> dict[tuple[str, str], int]: ...
    @property
    def owner(self) -> Any: ...
    @property
    def has_answers(self) -> bool: ...
    def __init__(
        self,
        fd: int,
        contexts: dict[tuple[str, str], int],
        window: int,
        maximum_length: int,
        owner: object,
        has_unsent: Callable[[], bool],
        traffic: Traffic,
        send_rest: Callable[[int, list[Any]], None],
        violated: Callable[[int, str], None],
        others: Container[int] = (),
    ) -> None: ...
    def next_message_id(self) -> int: ...
    def send_item(
        self,
        context_id: int,
        sop_class: str,
        sop_instance: str,
        buffers: list[Any],
        on_answered: Callable[[int, float], None],
        on_failed: Callable[[BaseException, float], None],
        is_awaited: bool = False,
    ) -> bool: ...
    def send_gathered(self) -> int: ...
    def settle(self) -> None: ...
    def take_response(self, context_id: int, message_id: object, status: int | None) -> bool: ...
    def end(self, error: BaseException) -> None: ...
    def oldest_began(self) -> float | None: ...
    def is_late(self, at: float) -> bool: ...
