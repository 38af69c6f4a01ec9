"""Types of doorbell.pyx."""

from collections.abc import Callable, Sized
from typing import Any

from _codec.entry_lane import EntryLane
from _codec.forward_lane import Forwarder
from _codec.ring import Ring
from _codec.store_lane import StoreInlet
from _codec.ticket_port import TicketPort

GoOn = Callable[[bytes | None], None]

class Doorbell:
    def rung(self) -> None: ...

class ReceiptBell(Doorbell):
    def __init__(
        self, bell: int, ring: Ring, room: memoryview, go_on: GoOn, inlet: StoreInlet, link: Any,
        waiting: tuple[Sized, ...],
    ) -> None: ...  # fmt: skip

class TicketBell(Doorbell):
    def __init__(
        self, bell: int, ring: Ring, room: memoryview, go_on: GoOn, port: TicketPort, tickets_max: int,
        sync: Callable[[], None],
    ) -> None: ...  # fmt: skip
    def use(self, forwarder: Forwarder | None, entries: EntryLane | None) -> None: ...
