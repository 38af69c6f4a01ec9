"""Types of store_lane.pyx."""

from collections.abc import Callable
from typing import Any

from _codec.framing import Lane
from _codec.ring import Ring
from _codec.tally import Histogram, Tally

class StoreInlet:
    is_closed: bool
    at_last_fragment: Callable[[], object] | None
    instances: int
    def __init__(
        self,
        slab: Any,
        unanswered: dict[int, Any],
        *,
        first_ticket_id: int,
        spill_bytes: int,
        receipt_s: float,
        loans_max: int,
        decode: Callable[[bytes], Any],
        choose: Callable[[str], int],
        sent: object,
        answered: object,
        accepting: object,
    ) -> None: ...
    def add_worker(self, link: Any, tickets: Ring, receipts: Ring, bell: int) -> None: ...
    def count_into(
        self,
        tally: Tally,
        instances_cell: int,
        bytes_cell: int,
        receive_seconds: Histogram,
        answer_seconds: Histogram,
    ) -> None: ...
    def take(self, worker: int) -> bytes | None: ...
    def flush(self) -> None: ...

class StoreLane(Lane):
    others_open: int
    operations_max: int
    @property
    def open_count(self) -> int: ...
    @property
    def instances(self) -> int: ...
    def __init__(
        self,
        inlet: StoreInlet,
        association_id: int,
        operations_max: int,
        adopt: Callable[[list[int], int, float], Any],
        send: Callable[[bytes], None],
        otherwise: Callable[[int, bytes, Any, int, float], None],
    ) -> None: ...
    def set_context(self, context_id: int, abstract_syntax: bytes, head: bytes, tail: bytes) -> None: ...
    def is_open(self, message_id: int) -> bool: ...
    def leave(self) -> tuple[bytes, Any]: ...
    def close(self) -> None: ...
