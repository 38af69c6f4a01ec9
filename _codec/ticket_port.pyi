"""Types of ticket_port.pyx."""

from typing import Any

from _codec.ring import Ring

class TicketPort:
    @property
    def intake(self) -> Any: ...
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
