"""One association on one transport connection of an event loop, as asyncio.BufferedProtocol.

Bytes are received into the one staging buffer (or straight into the dataset sink's buffer, when a large
fragment is under way) and consumed before the call returns; what cannot be consumed because of back-pressure
is kept aside and reading stops.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from router.drivers.patience import Deadlines, Patience
from router.drivers.socket_options import rearm_quick_ack, set_connection_options
from router.errors import DeadlineExceeded, PeerViolation
from router.protocol.association import Association
from router.protocol.indications import Aborted, MessageReceived
from router.protocol.messages import Buffer, release_dataset
from router.protocol.states import State
from router.protocol.upper_layer import Role
from router.services.conversation import Conversation, Services, Task
from router.services.steps import Procedure
from router.standard.dimse_fields import (
    C_STORE_RSP,
    COMMAND_FIELD,
    MESSAGE_ID_BEING_RESPONDED_TO,
    STATUS,
)
from router.standard.reasons import ABORT_SOURCE_SERVICE_PROVIDER
from router.wire.codec import Reception, SendLane, StoreLane, Traffic

if TYPE_CHECKING:
    from router.drivers.event_loop import EventLoopDriver

WRITE_BUFFER_BYTES = 1 << 20
"""Bytes handed to the transport before the association is asked for more."""

ANSWERS_WAITING_MAX = 256
"""Messages that may wait for a peer that does not take them; beyond, nothing more is read from it."""

logger = logging.getLogger(__name__)


class Connection(asyncio.BufferedProtocol):
    """One association on one transport connection.

    on_closed: called once, when the connection is gone and every procedure has been told.
    """

    def __init__(
        self,
        driver: EventLoopDriver,
        association: Association,
        services: Services,
        deadlines: Deadlines,
        on_closed: Callable[[Connection], None] | None = None,
    ) -> None:
        self.association = association
        self.conversation = Conversation(association, services)
        self.conversation.on_settled = self.advance
        self.peer_address: tuple[str, int] = ("", 0)
        self.opened_at = 0.0
        self.traffic = Traffic()
        self.quick_ack = False
        self.lane: SendLane | None = None
        self._driver = driver
        self._on_closed = on_closed
        self._reception = (
            None if Reception is None else Reception(self, self.traffic, driver.staging, driver.first)
        )
        self._transport: asyncio.Transport | None = None
        self._socket: Any = None
        self._is_direct = False
        self._bytes_given = 0  # to the transport, of what the association counts too
        self._kept: memoryview | None = None
        self._is_reading_paused = False
        self._is_writing_paused = False
        self._patience = Patience(deadlines, association)
        self._is_closing = False
        self._is_forsaken = False
        # Datasets that we send lie in memory that is somebody else's again once their procedures have ended.
        self._watches_output = association.role is Role.REQUESTOR
        if self._watches_output:
            association.output.watch()
        if self._reception is not None:
            # On the instance, before the transport binds them: what receives in place of the methods below.
            self.get_buffer = self._reception.get_buffer  # type: ignore[method-assign]
            self.buffer_updated = self._reception.buffer_updated  # type: ignore[method-assign]

    # What its user calls

    def start(
        self,
        procedure: Procedure[Any],
        on_change: Callable[[Task], None] | None = None,
        message_id: int | None = None,
    ) -> Task:
        """Start a procedure (see Conversation.start) and send what it has to say."""
        conversation = self.conversation
        conversation.now = monotonic()
        task = conversation.start(procedure, on_change, message_id)
        self.advance()
        return task

    async def run(self, procedure: Procedure[Any], message_id: int | None = None) -> Any:
        """Run a procedure to its end and return its result, or raise its error."""
        task, future = self.begin(procedure, message_id)
        try:
            return await future
        except asyncio.CancelledError:
            self.conversation.abandon(task)
            raise

    def begin(
        self, procedure: Procedure[Any], message_id: int | None = None
    ) -> tuple[Task, asyncio.Future[Any]]:
        """Start a procedure; return its task, and a future of its result or error."""
        future: asyncio.Future[Any] = self._driver.loop.create_future()

        def settle(task: Task) -> None:
            if not task.done or future.done():
                return
            if task.error is not None:
                future.set_exception(task.error)
            else:
                future.set_result(task.result)

        return self.start(procedure, settle, message_id), future

    async def stream(self, procedure: Procedure[Any], message_id: int) -> AsyncIterator[Any]:
        """Run a procedure and yield what it emits; leaving the loop early abandons the procedure."""
        wake = asyncio.Event()
        task = self.start(procedure, lambda _: wake.set(), message_id)
        try:
            while True:
                await wake.wait()
                wake.clear()
                while task.emitted:
                    yield task.emitted.popleft()
                    if not task.done:
                        task.resume()
                        self.advance()
                if task.done:
                    if task.error is not None:
                        raise task.error
                    return
        finally:
            self.conversation.abandon(task)

    def abort(self, source: int = 0, reason: int = 0, text: str = "") -> None:
        """Send A-ABORT and end every procedure; the connection closes when the peer has, or by ARTIM."""
        self.conversation.abort(source, reason, text)
        self.advance()

    def close_now(self) -> None:
        """Close the connection without a word; what is unsent is dropped."""
        if self._transport is not None:
            self._transport.abort()

    def advance(self) -> None:
        """Go on with whatever is possible: indications, held requests, output, closing."""
        association = self.association
        while True:
            if association.indications:
                self.conversation.pump()
            if self.is_held:
                self._go_on_reading()
            if self._watches_output and self.conversation.ended is not None:
                self._forsake_unsent()
            if self._is_writing_paused or not association.has_output:
                break
            self._flush()
            if not association.indications:
                break
        if self._patience.has_artim_started:
            self._patience.watch_artim(monotonic())
        if association.close_connection and not self._is_closing:
            self._close()

    def send_whole(self, pdus: bytes) -> None:
        """Send PDUs that a lane has encoded, in their turn; nothing if no message may be sent any more."""
        association, transport = self.association, self._transport
        if not association.is_established or transport is None or transport.is_closing():
            return
        if self._is_writing_paused or association.has_output or self.quick_ack or self._watches_output:
            association.send_whole(pdus)
            self.advance()
            return
        self.traffic.sent += len(pdus)
        transport.write(pdus)
        if self.is_held:
            self.advance()

    @property
    def is_held(self) -> bool:
        """Whether received octets wait for something to be over."""
        return self._kept is not None or self.association.blocked

    @property
    def send_for_lane(self) -> Callable[[bytes], None]:
        """What a lane sends with: send_whole, or its short cut."""
        return self.send_whole if self._reception is None else self._reception.send

    def open_lane(self, contexts: dict[tuple[str, str], int], window: int, owner: object) -> SendLane | None:
        """Open a short cut for C-STORE-RQs on this connection; None where there is none (TLS, no codec).

        See _codec/send_lane.pyx. The lane is told of the association's end.
        """
        transport = self._transport
        if SendLane is None or transport is None or transport.get_extra_info("sslcontext") is not None:
            return None
        self.lane = SendLane(
            self._socket.fileno(),
            contexts,
            window,
            self.association.peer_maximum_length,
            owner,
            self.has_unsent if self._reception is None else self._reception.has_unsent,
            self.traffic,
            self.send_rest,
            self.lane_violated,
            self.conversation.message_ids,
        )
        self.association.use_reply_lane(self.lane)
        self._open_reception(self.lane)
        self.conversation.on_ended = self._end_lane
        self.conversation.on_unasked = self._take_for_lane
        return self.lane

    def use_store_lane(self, lane: StoreLane) -> None:
        """Let a lane take the peer's C-STORE-RQs that need no decision."""
        self.association.use_lane(lane)
        self._open_reception(None)

    def _open_reception(self, lane: SendLane | None) -> None:
        """Receive past the general way; past the event loop too, where the octets are not encrypted."""
        transport = self._transport
        if self._reception is not None and transport is not None:
            fd = -1 if transport.get_extra_info("sslcontext") is not None else self._socket.fileno()
            self.association.use_reception(self._reception, transport, lane, fd)

    def _take_for_lane(self, message: MessageReceived) -> bool:
        """Take a response to a request of the lane's that it does not read: one with a dataset."""
        assert self.lane is not None
        command = message.command
        message_id, status = command.get(MESSAGE_ID_BEING_RESPONDED_TO), command.get(STATUS)
        if command[COMMAND_FIELD] != C_STORE_RSP or not isinstance(message_id, int):
            return False
        one_status = status if isinstance(status, int) else None
        if not self.lane.take_response(message.context_id, message_id, one_status):
            return False
        release_dataset(message)
        self.lane.settle()
        return True

    def _end_lane(self, error: BaseException) -> None:
        """Tell the lane that the association is over, whatever its users make of it."""
        assert self.lane is not None
        try:
            self.lane.end(error)
        except Exception:
            logger.exception("the end of an association was not taken note of")

    def has_unsent(self) -> bool:
        """Whether bytes wait, so that nothing may be sent past them; also if nothing may be sent at all."""
        transport = self._transport
        if transport is None or transport.is_closing() or not self.association.is_established:
            return True
        return self.association.has_output or transport.get_write_buffer_size() > 0

    def send_rest(self, count: int, rest: list[Buffer]) -> None:
        """Send what is left of a message of count bytes that the lane has begun to send."""
        self._count_given(count)
        self.association.output.count(count)
        if self._transport is not None:
            self._transport.writelines(rest)

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The TLS of the connection, its handshake done; None without."""
        found: ssl.SSLObject | None = (
            None if self._transport is None else self._transport.get_extra_info("ssl_object")
        )
        return found

    def lane_violated(self, reason: int, text: str) -> None:
        """Answer a violation that the lane has found with A-ABORT."""
        self.association.violate(PeerViolation(text, reason=reason))
        self.conversation.pump()
        self.advance()

    @property
    def outcome(self) -> str:
        """How an association ended: "released", "aborted" (by either side) or "lost"."""
        end = self.conversation.end
        if not isinstance(end, Aborted):
            return "released"
        is_lost = end.source == ABORT_SOURCE_SERVICE_PROVIDER and end.reason == 0 and not end.by_peer
        return "lost" if is_lost and self.association.violation is None else "aborted"

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._socket = self._transport.get_extra_info("socket")
        set_connection_options(self._socket)
        address = self._transport.get_extra_info("peername")
        if address:
            self.peer_address = (address[0], address[1])
        self._driver.connections[self] = None
        self.opened_at = self.traffic.heard_at = self.conversation.now = monotonic()
        self._patience.begin(self.opened_at)
        self.association.transport_opened()
        self.advance()

    def get_buffer(self, sizehint: int) -> memoryview:
        association = self.association
        window = association.direct_window() if association.mid_message else None
        self._is_direct = window is not None
        return self._driver.first if window is None else window

    def buffer_updated(self, nbytes: int) -> None:
        association = self.association
        self.traffic.received += nbytes
        self.traffic.heard_at = monotonic()
        if self._is_direct:
            association.advance(nbytes)
            self._after_feeding(b"")
        else:
            staging = self._driver.staging
            consumed = association.receive(staging, 0, nbytes)
            self._after_feeding(staging[consumed:nbytes])

    def take_event(self, event: int, data: Buffer, start: int, end: int) -> None:
        """Go on from an event that the reception has found, with the octets that it left."""
        consumed = self.association.take_event(event, data, start, end)
        self._after_feeding(data[consumed:end])

    def _after_feeding(self, rest: Buffer) -> None:
        """Keep what was not consumed; without back-pressure that is nothing."""
        if rest or self.association.blocked:
            self._keep(bytes(rest))
        self.go_on()

    def go_on(self) -> None:
        """Do what follows octets that were received."""
        association = self.association
        self.conversation.now = self.traffic.heard_at
        if self._watches_output:
            self._confirm_output()
        if self.lane is not None and self.lane.has_answers:
            self.lane.settle()
        if association.is_quiet and self._kept is None:
            return
        self.advance()
        if self._is_choked and self._kept is None:
            self._keep(b"")

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        self._is_writing_paused = False
        self.advance()

    def connection_lost(self, exc: Exception | None) -> None:
        self._driver.connections.pop(self, None)
        self._kept = None
        if self._reception is not None:
            self._reception.close()
        text = f"transport connection lost: {type(exc).__name__}" if exc else ""
        if isinstance(exc, ssl.SSLError) and exc.reason:
            text += f" {exc.reason}"  # an alert of the peer's: what it holds against our certificate
        self.association.transport_closed(text)
        self.conversation.pump()
        if self._on_closed is not None:
            self._on_closed(self)
            self._on_closed = None

    # Deadlines

    def check_deadlines(self, now: float) -> None:
        """Act on every wait that is over; the driver's ticker calls this."""
        transport = self._transport
        if transport is None:
            return
        patience, traffic = self._patience, self.traffic
        if self.conversation.is_busy:
            patience.busy_at = now
        if patience.is_output_stuck(now, traffic.sent, self._confirm_output()):
            self._drop("the peer does not take what we send")
            return
        self.conversation.expire(now)
        if self.lane is not None:
            self._check_lane(self.lane, now)
        if patience.is_artim_over(now):
            self.association.artim_expired()
        why = patience.broken_by(now, traffic.heard_at, traffic.received, self._is_reading_paused)
        if why is not None:
            source, text = why
            self.abort(source, 0, text)
        self.advance()

    def _check_lane(self, lane: SendLane, now: float) -> None:
        """End the lane's operations if the oldest has waited too long for its response."""
        if lane.has_answers:
            lane.settle()
        if lane.is_late(now):
            lane.end(DeadlineExceeded("dimse_s", lane.deadline_s))

    # Inside

    def _flush(self) -> None:
        association = self.association
        transport = self._transport
        if transport is None:
            return
        while not self._is_writing_paused and not transport.is_closing():
            try:
                buffers = association.next_output()
            except Exception as error:
                # A dataset that cannot be read to its end, or not cut: its message is half written.
                self.conversation.abort(0, 0, f"dataset could not be read: {error}")
                if self._watches_output:
                    self._forsake_unsent()
                continue
            if not buffers:
                break
            self._count_given(sum(map(len, buffers)))
            if len(buffers) == 1:
                transport.write(buffers[0])
            else:
                transport.writelines(buffers)
        if self.quick_ack and not transport.is_closing():
            rearm_quick_ack(self._socket)

    def _count_given(self, count: int) -> None:
        self.traffic.sent += count
        self._bytes_given += count

    def _confirm_output(self) -> int:
        """Tell the association what has left this process; return the bytes that have not."""
        transport = self._transport
        unsent = 0 if transport is None else transport.get_write_buffer_size()
        if self._watches_output:
            self.association.output.confirm(self._bytes_given - unsent)
        return unsent

    def _forsake_unsent(self) -> None:
        """Close at once if bytes of datasets are unsent when the association ends.

        Their memory is given back to its owner: sent later, they would be another patient's.
        """
        if self._is_forsaken:
            return
        self._is_forsaken = True
        if self._confirm_output():
            self.close_now()

    @property
    def _is_choked(self) -> bool:
        """Whether more answers wait for a peer that does not take them than it may make us hold."""
        return self._is_writing_paused and len(self.association.output) > ANSWERS_WAITING_MAX

    def _keep(self, rest: bytes) -> None:
        self._kept = memoryview(rest if self._kept is None else bytes(self._kept) + rest)
        if not self._is_reading_paused and self._transport is not None and not self._transport.is_closing():
            self._is_reading_paused = True
            self._transport.pause_reading()

    def _go_on_reading(self) -> None:
        association = self.association
        while not self._is_choked and association.resume():
            kept = self._kept
            self._kept = None
            if kept:
                consumed = association.receive(kept, 0, len(kept))
                if consumed < len(kept) or association.blocked:
                    self._kept = kept[consumed:]
                if association.indications:
                    self.conversation.pump()
                if self._kept is not None:
                    continue
            if self._is_reading_paused and self._transport is not None and not self._transport.is_closing():
                self._is_reading_paused = False
                self.traffic.heard_at = monotonic()  # the silence until now was ours
                self._transport.resume_reading()
            return

    def _close(self) -> None:
        """Close the connection; what a peer has not taken by now it does not want."""
        self._is_closing = True
        transport = self._transport
        if transport is None:
            return
        if transport.get_write_buffer_size():
            transport.abort()
        else:
            transport.close()

    def _drop(self, text: str) -> None:
        if self.association.state is not State.STA1:
            self.conversation.abort(2, 0, text)
        self.close_now()
