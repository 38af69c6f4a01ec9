"""One association's connection on the event loop, and what programs see of it: PDUs, idleness, its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast
from weakref import WeakKeyDictionary

from router.api import pydicom_loading
from router.api.observation import ObservedAssociation
from router.drivers.channel import ConnectionTimeouts
from router.drivers.connection import Connection
from router.drivers.event_loop import EventLoopDriver
from router.drivers.patience import Deadlines
from router.drivers.pdu_tap import PduTap
from router.protocol.association import Association as ProtocolAssociation
from router.protocol.messages import Buffer
from router.protocol.output import OUTPUT_BYTES
from router.protocol.upper_layer import Role
from router.services.conversation import Services

NEVER = float("inf")

RESPONSES_WAITING_MAX = 256
"""Responses that may wait for a consumer that is slow; beyond, nothing more is read from the peer."""

_drivers: WeakKeyDictionary[asyncio.AbstractEventLoop, EventLoopDriver] = WeakKeyDictionary()


def running_driver() -> EventLoopDriver:
    """Return the driver of the running loop. Raises RuntimeError outside a loop."""
    loop = asyncio.get_running_loop()
    driver = _drivers.get(loop)
    if driver is None:
        driver = _drivers[loop] = EventLoopDriver(loop)
    return driver


async def load_pydicom() -> None:
    """Load pydicom beside the loop, if it was not yet."""
    if not pydicom_loading.is_loaded():
        await asyncio.to_thread(pydicom_loading.load)


class TappedAssociation(ObservedAssociation):
    """The protocol core, whose bytes pass a tap while somebody wants to see PDUs."""

    _tap: PduTap | None = None
    _next_tap: PduTap | None = None

    def set_tap(self, tap: PduTap | None) -> None:
        """Show PDUs from the next message on, or no longer."""
        if tap is not None and self.mid_message:
            self._next_tap = tap
        else:
            self._tap, self._next_tap = tap, None

    def receive(self, data: Buffer, start: int, end: int) -> int:
        if self._next_tap is not None and not self.mid_message:
            self._tap, self._next_tap = self._next_tap, None
        if self._tap is None:
            return super().receive(data, start, end)
        return start + self._tap.feed(memoryview(data)[start:end], _Untapped(self))

    def receive_untapped(self, data: Buffer, start: int, end: int) -> int:
        """Take bytes that were shown."""
        return super().receive(data, start, end)

    def direct_window(self) -> memoryview | None:
        return None if self._tap is not None else super().direct_window()

    def next_output(self, bytes_max: int = OUTPUT_BYTES) -> list[Buffer]:
        buffers = super().next_output(bytes_max)
        if self._tap is not None and buffers:
            self._tap.sent(buffers)
        return buffers


class _Untapped(ProtocolAssociation):
    """What a tap feeds: the association behind it."""

    def __init__(self, association: TappedAssociation) -> None:
        self._tapped = association

    def receive(self, data: Buffer, start: int, end: int) -> int:
        return self._tapped.receive_untapped(data, start, end)


class LoopConnection(Connection):
    """A connection that router/api can use as it uses a blocking one, where it does not wait.

    on_open, on_idle, on_closed: called when the transport stands, when `timeouts.idle_s` is over, and once at
    the end. closed: set at the end.
    """

    def __init__(
        self,
        driver: EventLoopDriver,
        association: TappedAssociation,
        services: Services,
        timeouts: ConnectionTimeouts,
        *,
        on_open: Callable[[], None],
        on_idle: Callable[[], None],
        on_closed: Callable[[], None],
    ) -> None:
        idle_s = timeouts.idle_s
        artim_s = NEVER if timeouts.artim_s is None else timeouts.artim_s
        # Idleness is this class's: what follows it is the program's choice, and may change at any time.
        deadlines = Deadlines(artim_s, idle_s=None, progress_s=idle_s, write_s=idle_s)
        super().__init__(driver, association, services, deadlines, self._on_end)
        self.closed = asyncio.Event()
        self.quick_ack = association.role is Role.REQUESTOR
        self._tapped = association
        self._timeouts = timeouts
        self._on_open = on_open
        self._on_idle = on_idle
        self._told_closed = on_closed

    # As a blocking connection has it

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone."""
        return self.closed.is_set()

    @property
    def sock(self) -> Any:
        """The socket, for who wants to look at it."""
        return self._socket

    @property
    def addresses(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """The local and the peer's address; ("", 0) for one that is not known, as of a peer that has gone."""
        transport = self._transport
        assert transport is not None
        unknown = ("", 0)
        local, peer = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        return local or unknown, peer or unknown

    def submit(self, action: Callable[[], None]) -> None:
        """Run an action, and send what it has to say."""
        action()
        self.advance()

    def set_tap(self, tap: PduTap | None) -> None:
        """Show PDUs from the next message on, or no longer."""
        self._tapped.set_tap(tap)

    def close(self) -> None:
        """Close the connection at once, whatever is going on."""
        self.close_now()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._driver.start()
        self._on_open()
        super().connection_made(transport)

    def check_deadlines(self, now: float) -> None:
        super().check_deadlines(now)
        idle_s = self._timeouts.idle_s
        if idle_s is None or self._is_reading_paused or self.association.is_receiving:
            return
        if (
            self.association.is_established
            and now - max(self.traffic.heard_at, self._patience.busy_at) >= idle_s
        ):
            self._on_idle()

    def _on_end(self, _: Connection) -> None:
        self.closed.set()
        if not self._driver.connections:
            self._driver.stop()
        self._told_closed()

    @property
    def _is_choked(self) -> bool:
        """Whether more waits to be taken, by the peer or by the program, than may be held."""
        if super()._is_choked:
            return True
        return any(
            task.inbox is not None and len(task.inbox) >= RESPONSES_WAITING_MAX
            for task in self.conversation.tasks
        )
