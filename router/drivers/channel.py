"""Bytes and time for one conversation on one socket: receive, send, close, and every deadline.

One thread at a time calls this; who that is, is blocking.py's. Nothing here waits.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TypeGuard

from router.drivers.pace import PROGRESS_MIN_BYTES, Pace
from router.drivers.pdu_tap import PduTap
from router.drivers.tls import Transport
from router.protocol.association import Association
from router.protocol.messages import Buffer
from router.protocol.states import State
from router.services.conversation import Conversation, Services

logger = logging.getLogger(__name__)

NEVER = float("inf")

STAGING_BYTES = 262144
"""Received at most at once into a thread's staging buffer."""

FIRST_BYTES = 4096
"""Received at first of a message that is probably long: its command set, and what tells how to receive the
rest so that it needs no copy."""

DIRECT_MIN_BYTES = 32768
"""A window of a sink's buffer smaller than this is not worth a system call of its own."""

READS_MAX = 16
WRITES_MAX = 4
"""Reads and writes (of 1 MiB) in a row before the other direction and the deadlines get their turn."""


ANSWERS_WAITING_MAX = 256
"""Messages that may wait for a peer that does not take them; beyond, nothing more is read from it."""


@dataclass(slots=True)
class ConnectionTimeouts:
    """How long a peer may keep us waiting, in seconds; None: for ever. May be changed at any time.

    artim_s: from connection to request (TLS included), and from the last PDU to the close (PS3.8 9.1.5).
    idle_s: no byte in either direction and no operation in progress; or hardly a byte (pace.py) in the middle
    of a message, or of ours taken.
    """

    artim_s: float | None = 30.0
    idle_s: float | None = 60.0


class _Staging(threading.local):
    """The buffer each thread that drives connections receives into."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(STAGING_BYTES))
        self.first = self.buffer[:FIRST_BYTES]


_staging = _Staging()


class Channel:
    """One association on one connected, non-blocking socket, without its waits.

    on_idle: called when idle_s is over; the default aborts. on_closed: called once, when the connection is
    gone and every procedure has been told.
    """

    def __init__(
        self,
        association: Association,
        services: Services,
        transport: Transport,
        timeouts: ConnectionTimeouts,
    ) -> None:
        self.association = association
        self.conversation = Conversation(association, services)
        self.timeouts = timeouts
        self.is_closed = False
        self.bytes_received = 0
        self.bytes_sent = 0
        self.last_byte_at = self.last_sent_at = monotonic()
        self.on_idle: Callable[[], None] | None = None
        self.on_closed: Callable[[], None] | None = None
        self._transport = transport
        self._mailbox: deque[Callable[[], None]] = deque()
        self._tap: PduTap | None = None
        self._next_tap: PduTap | None = None
        self._unsent: list[Buffer] = []
        self._kept: bytes | None = None
        self._in_pace = Pace()
        self._out_pace = Pace()
        self._waited_bytes = 0
        self._artim_seen = 0
        self._artim_deadline: float | None = None

    @property
    def sock(self) -> socket.socket:
        """The socket, for who wants to look at it."""
        return self._transport.sock

    def advance_owned(self) -> None:
        """Go on with whatever is possible without waiting: actions, indications, held input, output."""
        association = self.association
        conversation = self.conversation
        while not self.is_closed:
            if self._mailbox:
                self._mailbox.popleft()()
                continue
            if association.indications:
                self._in_pace.rest()
                conversation.pump()
            if (self._kept is not None or association.blocked) and self._go_on_reading():
                continue
            if (self._unsent or association.has_output) and self._flush():
                continue
            if association.indications or self._mailbox:
                continue
            break
        if self.is_closed:
            while self._mailbox:
                self._mailbox.popleft()()
            return
        if association.artim_starts != self._artim_seen:
            self._artim_seen = association.artim_starts
            artim_s = self.timeouts.artim_s
            self._artim_deadline = None if artim_s is None else monotonic() + artim_s
        if association.close_connection and not self._unsent and not association.has_output:
            self._close()

    def _before_close(self) -> None:
        """Called just before the socket is closed."""

    # Bytes

    @property
    def _may_read(self) -> bool:
        """Whether more may be read: what was read is handled, and the peer takes our answers."""
        association = self.association
        if self._kept is not None or association.blocked:
            return False
        return not self._unsent or len(association.output) <= ANSWERS_WAITING_MAX

    def _receive(self) -> None:
        """Read what is there, but stop at a whole message so that it is handled first."""
        association = self.association
        if self.is_closed or not self._may_read:
            return
        if self._next_tap is not None and not association.mid_message:
            self._tap, self._next_tap = self._next_tap, None
        for _ in range(READS_MAX):
            if not self._receive_once() or association.blocked or association.indications:
                return

    def _receive_once(self) -> bool:
        """Receive what is there in one go, where it needs the fewest copies; False if that was all."""
        association, transport = self.association, self._transport
        scatter = association.scatter_window() if self._tap is None and transport.can_scatter else None
        if scatter is not None:
            try:
                count = transport.receive_scattered(scatter)
            except OSError as error:
                return self._receiving_failed(error)
            if not self._count_received(count):
                return False
            rest = association.advance_scatter(count)
            if rest or association.blocked:
                self._kept = rest
            return count == scatter.size
        window = association.direct_window() if self._tap is None else None
        is_direct = window is not None and len(window) >= DIRECT_MIN_BYTES
        if is_direct and window is not None:
            buffer = window
        elif association.expects_much and not association.mid_message:
            buffer = _staging.first
        else:
            buffer = _staging.buffer
        try:
            count = transport.receive_into(buffer)
        except OSError as error:
            return self._receiving_failed(error)
        if not self._count_received(count):
            return False
        if is_direct:
            association.advance(count)
            if association.blocked:
                self._kept = b""
        else:
            self._feed(buffer[:count])
        return count == len(buffer)

    def _count_received(self, count: int | None) -> TypeGuard[int]:
        """Take note of received bytes; False if there are none, or the stream is at its end."""
        if count:
            self.bytes_received += count
            self.conversation.now = self.last_byte_at = monotonic()
            return True
        if count == 0:
            self._lost("")
        return False

    def _receiving_failed(self, error: OSError) -> bool:
        self._lost(f"transport connection lost: {type(error).__name__}")
        return False

    def _feed(self, data: memoryview | bytes) -> None:
        """Feed bytes to the association; what it does not take is kept, and reading stops."""
        association = self.association
        if self._tap is not None:
            consumed = self._tap.feed(data, association)
        else:
            consumed = association.receive(data, 0, len(data))
        if consumed < len(data) or association.blocked:
            self._kept = bytes(data[consumed:])

    def _go_on_reading(self) -> bool:
        if not self.association.resume():
            return False
        kept, self._kept = self._kept, None
        if kept:
            self._feed(kept)
        return True

    def _flush(self) -> bool:
        """Send what there is; True if there is more and the socket would take it."""
        association = self.association
        for _ in range(WRITES_MAX):
            if not self._unsent:
                try:
                    self._unsent = association.next_output()
                except Exception as error:
                    # The dataset comes from a file or a generator of the user's, and that has failed.
                    logger.error("a dataset could not be read while it was sent: %s", error)
                    self.conversation.abort(0, 0, f"dataset could not be read: {type(error).__name__}")
                    return True
                if not self._unsent:
                    return False
                if self._tap is not None:
                    self._tap.sent(self._unsent)
            try:
                sent = self._transport.send(self._unsent)
            except OSError as error:
                self._sending_failed(error)
                return False
            if not sent:
                return False
            self.bytes_sent += sent
            self.last_sent_at = monotonic()
            _drop(self._unsent, sent)
        return False

    def _sending_failed(self, error: OSError) -> None:
        """The peer takes no more; what it said before, an A-ABORT perhaps, is read first."""
        self._unsent = []
        while not self.is_closed and self.association.state is not State.STA1:
            before = self.bytes_received
            self._receive()
            self.conversation.pump()
            if self.bytes_received == before:
                break
        if not self.is_closed:
            self._lost(f"transport connection lost: {type(error).__name__}")

    def _lost(self, text: str) -> None:
        self._unsent = []
        self._kept = None
        if self.is_closed:
            return
        self.association.transport_closed(text)
        self.conversation.pump()
        self._close()

    def _close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._before_close()
        self._transport.sock.close()
        if self.on_closed is not None:
            self.on_closed()
        self.conversation.pump()

    # Deadlines

    def _next_timer(self) -> float:
        """Return when _expire() has something to do, at the earliest."""
        at = self.conversation.next_deadline() or NEVER
        if self._artim_deadline is not None:
            at = min(at, self._artim_deadline)
        idle_s = self.timeouts.idle_s
        return at if idle_s is None else min(at, self._silent_since() + idle_s)

    def _silent_since(self) -> float:
        """Return since when the peer does hardly anything although something is due from it, or NEVER."""
        association = self.association
        if association.state is State.STA1:
            return NEVER
        if association.is_receiving and self._may_read:
            return self._in_pace.began_at(monotonic(), self.bytes_received)
        self._in_pace.rest()
        if self._unsent or association.has_output:
            return self._out_pace.began_at(monotonic(), self.bytes_sent)
        self._out_pace.rest()
        if association.is_established and not self.conversation.is_busy:
            return max(self.last_byte_at, self.last_sent_at)
        return NEVER

    def _expire(self, now: float) -> None:
        """Act on every wait that is over."""
        if self.is_closed:
            return
        at = self.conversation.next_deadline()
        if at is not None and at <= now:
            self._postpone_while_bytes_flow(now)
            self.conversation.expire(now)
        if self._artim_deadline is not None and now >= self._artim_deadline:
            self._artim_deadline = None
            if self.association.artim_running:
                self.association.artim_expired()
        idle_s = self.timeouts.idle_s
        if idle_s is not None and now - self._silent_since() >= idle_s:
            self._silence_is_over(now, idle_s)

    def _silence_is_over(self, now: float, idle_s: float) -> None:
        association = self.association
        if association.is_receiving and self._may_read:
            if self._in_pace.is_too_slow(now, self.bytes_received, idle_s):
                self.conversation.abort(
                    2, 0, f"hardly a byte for {idle_s:g} s in the middle of a PDU or message"
                )
        elif self._unsent or association.has_output:
            if self._out_pace.is_too_slow(now, self.bytes_sent, idle_s):
                self.conversation.abort(2, 0, f"the peer takes hardly a byte for {idle_s:g} s")
                self._lost("the peer does not take what we send")
        elif self.on_idle is not None:
            self.on_idle()
        else:
            self.conversation.abort(0, 0, f"idle for {idle_s:g} s")

    def _postpone_while_bytes_flow(self, now: float) -> None:
        """A wait for a response is not over while our request still leaves, or a message still arrives.

        A dribble of single bytes postpones nothing.
        """
        is_moving = bool(self._unsent or self.association.has_output or self.association.is_receiving)
        moved = self.bytes_sent + self.bytes_received - self._waited_bytes
        self._waited_bytes += moved
        if not is_moving:
            progress = self.last_sent_at
        elif moved >= PROGRESS_MIN_BYTES:
            progress = now
        else:
            return
        for task in self.conversation.tasks:
            if task.deadline is not None and task.timeout_s is not None:
                task.deadline = max(task.deadline, progress + task.timeout_s)


def _drop(buffers: list[Buffer], count: int) -> None:
    """Remove the first count bytes from a list of buffers."""
    index = 0
    for buffer in buffers:
        if len(buffer) > count:
            break
        count -= len(buffer)
        index += 1
    del buffers[:index]
    if count:
        buffers[0] = memoryview(buffers[0])[count:]
