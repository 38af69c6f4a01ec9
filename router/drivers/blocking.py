"""Run one association on a real socket in whichever thread owns it: a caller's, or the one that leads.

Who owns a connection holds its lock, and it alone steps the conversation. A caller's thread owns it while it
runs a procedure, and reads the socket itself; between procedures the leader of the reactor serves it when
something arrives, in its own thread. Functions that a procedure calls (`Call` of `invoke`) run while nobody
owns the connection, so that an abort or a C-CANCEL that arrives meanwhile is noticed: by whoever leads then.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from router.drivers.channel import Channel, ConnectionTimeouts
from router.drivers.pdu_tap import PduTap
from router.drivers.reactor import NEVER, READABLE, WRITABLE, Reactor, Timer
from router.drivers.socket_options import rearm_quick_ack
from router.drivers.tls import Transport
from router.protocol.association import Association
from router.services.conversation import Services, Task
from router.services.steps import Deferred, Procedure

SLOW_S = 0.0005
"""After a function of the user's that took longer, another thread leads while the next ones run."""

CAUTION_CALLS = 8
"""So many quick ones in a row of one connection, and that is over."""

LOOK_S = 0.01
"""How long the input may be left alone while functions of the user's follow each other."""

CLOSED_POLL_S = 0.05
"""How often a caller looks whether a handler in another thread is done, once the connection is gone."""

POLL_FAILED = select.POLLHUP | select.POLLERR | select.POLLNVAL


class _ThreadState(threading.local):
    """What each thread that drives connections has once: its poller and bell."""

    def __init__(self) -> None:
        self.poller = select.poll()
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.poller.register(self.bell, select.POLLIN)
        self._closer = _FdCloser(self.bell)

    def wait_for_bell(self, timeout_s: float) -> None:
        """Wait until the bell is rung, or for the timeout."""
        if self.poller.poll(timeout_s * 1000):
            os.eventfd_read(self.bell)


class _FdCloser:
    """Close a descriptor when its thread's state goes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __del__(self) -> None:
        os.close(self._fd)


_thread = _ThreadState()


class BlockingConnection(Channel):
    """One association on one connected, non-blocking socket, for use from any thread.

    Nothing is read before begin(), or before the first procedure starts. on_idle and on_closed run in the
    owner's thread, which holds the lock.
    suspended: iterators whose consumer is busy; meanwhile nothing is read.
    """

    def __init__(
        self,
        association: Association,
        services: Services,
        transport: Transport,
        reactor: Reactor,
        timeouts: ConnectionTimeouts,
    ) -> None:
        super().__init__(association, services, transport, timeouts)
        self.turn = threading.RLock()
        self.timer = Timer(self)
        self.suspended = 0
        self._fd = transport.sock.fileno()
        self._reactor = reactor
        self._lock = threading.RLock()
        self._calls: deque[tuple[Deferred, Callable[..., Any], tuple[Any, ...]]] = deque()
        self._bell: int | None = None
        self._looked_at = 0.0
        self._due_at = NEVER
        self._caution = reactor.caution
        self._knocked = False
        self._stood_back = False
        self._watched = 0
        self._depth = 0
        self._driving = 0
        self._handshake_mask: int | None = None
        self._on_begin: Callable[[BlockingConnection], None] | None = None
        self._may_be_served = False
        self._begun = False
        reactor.add(self._fd, self)

    # What its user calls, from any thread

    def begin(self, on_begin: Callable[[BlockingConnection], None]) -> None:
        """Start as acceptor: it is served soon, from the handshake on if there is one.

        on_begin: called once, by the first owner, when the connection stands and its association was told.
        """
        self._on_begin = on_begin
        self._may_be_served = True
        if self.timeouts.artim_s is not None:
            self._artim_deadline = monotonic() + self.timeouts.artim_s
            self._reactor.schedule(self.timer, self._artim_deadline)
        self._reactor.dispatch(self)

    def run(self, procedure: Procedure[Any], message_id: int | None = None) -> Any:
        """Run a procedure to its end in this thread; return its result, or raise its error.

        Procedures of several threads run one after the other.
        """
        with self.turn:
            self.acquire()
            try:
                task = self.start_owned(procedure, message_id)
                self.drive_owned((task,))
            finally:
                self.release()
        if task.error is not None:
            raise task.error
        return task.result

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Own the connection over several calls, so that nothing happens to it between them."""
        with self.turn:
            self.acquire()
            try:
                yield
            finally:
                self.release()

    def start(self, procedure: Procedure[Any], message_id: int | None = None) -> Task:
        """Start a procedure that nobody waits for, such as the one that answers the peer's release."""
        self.acquire()
        try:
            task = self.start_owned(procedure, message_id)
            self.advance_owned()
        finally:
            self.release()
        return task

    def invoke(self, function: Callable[..., Any], *args: Any) -> Deferred:
        """Have a function of the user's called while nobody owns the connection; for `Call`."""
        self._in_pace.rest()  # a message has come whole
        deferred = Deferred()
        self._calls.append((deferred, function, args))
        return deferred

    def submit(self, action: Callable[[], None]) -> None:
        """Run an action as owner: at once if nobody else is, or by whoever is, soon. Never blocks."""
        self._mailbox.append(action)
        self._serve_mailbox()
        if self._mailbox:
            self._ring()

    def abort(self, source: int = 0, reason: int = 0, text: str = "") -> None:
        """Send A-ABORT and end every procedure; the connection closes when the peer has, or by ARTIM."""
        self.submit(lambda: self.conversation.abort(source, reason, text))

    def close(self) -> None:
        """Close the connection at once, whatever is going on."""
        self.submit(lambda: self._lost("closed by us"))

    def set_tap(self, tap: PduTap | None) -> None:
        """Show PDUs from the next message on, or no longer."""

        def set_it() -> None:
            if tap is None or not self.association.mid_message:
                self._tap = tap
            else:
                self._next_tap = tap

        self.submit(set_it)

    def wait_closed(self, timeout_s: float) -> bool:
        """Wait until the connection is closed, as after an abort; False if it is not in time."""
        deadline = monotonic() + timeout_s
        self.acquire()
        try:
            while not self.is_closed:
                self.advance_owned()
                left = deadline - monotonic()
                if self.is_closed or left <= 0:
                    break
                self._wait(left)
        finally:
            self.release()
        return self.is_closed

    def _before_close(self) -> None:
        self._reactor.remove(self._fd, self)

    # What the reactor calls

    def serve(self) -> None:
        """Own the connection for a while and do what there is to do; it stays watched meanwhile."""
        if not self._may_be_served:
            return  # it has failed already, which is found when it is
        if not self._lock.acquire(blocking=False):
            # Its owner will see to what has arrived, which would be reported again and again until then.
            self._reactor.stand_back(self._fd, self)
            self._stood_back = True
            self._knocked = True
            if not self._lock.acquire(blocking=False):
                return
        self._enter()
        try:
            if not self.suspended and not self.is_closed and (self._begun or self._handshake()):
                self._receive()
                now = monotonic()
                if now >= self._due_at:
                    self.advance_owned()  # what has come just in time counts
                    self._expire(now)
                self._serve_on()
        finally:
            self.release()

    # Ownership

    def acquire(self) -> None:
        """Become the owner, who waits for the socket itself."""
        self._lock.acquire()
        self._enter()
        if self._watched:
            self._watched = 0
            if not self.is_closed:
                self._reactor.watch(self._fd, 0)

    def release(self, for_a_moment: bool = False) -> None:
        """Give the connection back to the reactor, unless this thread owns it further out.

        for_a_moment: most likely; it stays watched as it was.
        """
        self._depth -= 1
        if self._depth:
            self._lock.release()
            return
        if not self.is_closed and not (for_a_moment and self._watched):
            self._arm()
        is_left_over = bool(self._calls) and not self._driving and not self.suspended
        self._lock.release()
        if self._knocked or is_left_over:
            # Another thread came between our arming and our release, or there are calls nobody runs.
            self._knocked = False
            self._reactor.dispatch(self)
        if self._mailbox:
            self._serve_mailbox()

    def _enter(self) -> None:
        self._depth += 1
        self._knocked = False

    def _serve_mailbox(self) -> None:
        if self._mailbox and self._lock.acquire(blocking=False):
            self._enter()
            try:
                self.advance_owned()
            finally:
                self.release()

    def _arm(self) -> None:
        if self.suspended or not self._may_be_served:
            return
        mask = 0
        if self._handshake_mask is not None:
            mask = self._handshake_mask
        else:
            if self._may_read:
                mask = READABLE
            if self._unsent or self.association.has_output:
                mask |= WRITABLE
        if mask != self._watched or self._stood_back:
            self._stood_back = False
            self._watched = mask
            self._reactor.watch(self._fd, mask)
        self._due_at = at = self._next_timer()
        if at < self.timer.at:
            self._reactor.schedule(self.timer, at)

    def _ring(self) -> None:
        bell = self._bell
        if bell is not None:
            os.eventfd_write(bell, 1)

    # Driving

    def start_owned(self, procedure: Procedure[Any], message_id: int | None) -> Task:
        self.conversation.now = monotonic()
        task = self.conversation.start(procedure, None, message_id)
        if not self._begun:
            self._begun = self._may_be_served = True
            self.association.transport_opened()  # a requestor's, which has asked for it just now
        return task

    def drive_owned(self, tasks: tuple[Task, ...]) -> None:
        """Go on until one of the tasks is done or has emitted something."""
        self._driving += 1
        self._in_pace.rest()  # nothing may have been read for a while
        try:
            while True:
                self.advance_owned()
                for task in tasks:
                    if task.done or task.emitted:
                        return
                if self._calls:
                    self._run_call()
                elif self.is_closed:
                    _thread.wait_for_bell(CLOSED_POLL_S)  # a handler still runs in another thread
                else:
                    rearm_quick_ack(self._transport.sock)
                    self._wait(None)
        except BaseException:
            for task in tasks:
                self.conversation.abandon(task)
            raise
        finally:
            self._driving -= 1

    def _serve_on(self) -> None:
        while True:
            self.advance_owned()
            if self._driving:
                return  # a caller runs a procedure, and now one of its functions: it goes on itself
            if self._calls:
                self._run_call()
            elif self.is_closed or self.suspended or not self._transport.has_hidden_bytes:
                return  # what else has arrived is reported
            elif not self._receive_more():
                return

    def _receive_more(self) -> bool:
        before = self.bytes_received
        self._receive()
        return self.bytes_received != before

    def _handshake(self) -> bool:
        """Go on with the handshake; True when it is done and the association has begun."""
        if self._transport.is_costly:
            self._reactor.hand_over()
        try:
            mask = self._transport.handshake()
        except OSError as error:
            self._begun = True
            self._lost(f"TLS handshake failed: {type(error).__name__}")
            return False
        if mask:
            self._handshake_mask = WRITABLE if mask & select.POLLOUT else READABLE
            if self._artim_deadline is not None and monotonic() >= self._artim_deadline:
                self._begun = True
                self._lost("TLS handshake not finished in time")
            return False
        self._handshake_mask = None
        self._begun = True
        self._artim_deadline = None
        self.association.transport_opened()
        if self._on_begin is not None:
            self._on_begin(self)
        return True

    def _wait(self, timeout_s: float | None) -> bool:
        """Wait for the socket, the bell, a deadline or the timeout; receive. False: the timeout came."""
        now = monotonic()
        until = now + timeout_s if timeout_s is not None else NEVER
        timer_at = self._next_timer()
        at = min(until, timer_at)
        if self._transport.has_hidden_bytes:
            at = now
        poller, bell = _thread.poller, _thread.bell
        mask = 0
        if self._may_read:
            mask = self._transport.read_mask
        if self._unsent or self.association.has_output:
            mask |= select.POLLOUT
        self._bell = bell
        if self._mailbox:
            at = now
        poller.register(self._fd, mask)
        try:
            ready = poller.poll(None if at == NEVER else max(0.0, (at - now) * 1000))
        finally:
            self._bell = None
            poller.unregister(self._fd)
        events = 0
        for fd, event in ready:
            if fd == bell:
                os.eventfd_read(bell)
            else:
                events = event
        self._take_events(events, mask)
        now = monotonic()
        if now >= timer_at:
            self._expire(now)
        return bool(ready) or now < until

    def _take_events(self, events: int, mask: int) -> None:
        if events & (select.POLLIN | POLL_FAILED) or events & mask & self._transport.read_mask:
            if self._may_read:
                self._receive()
            elif events & POLL_FAILED:
                self._lost("transport connection lost")
        elif self._transport.has_hidden_bytes:
            self._receive()

    def _run_call(self) -> None:
        """Call a function of the user's, without owning the connection meanwhile."""
        deferred, function, args = self._calls.popleft()
        began = monotonic()
        if self._caution:
            self._reactor.hand_over()
        self.release(for_a_moment=True)
        value: Any = None
        try:
            value = function(*args)
        except Exception as error:
            value = error
        except BaseException as error:
            value = RuntimeError(f"interrupted by {type(error).__name__}")
            raise
        finally:
            if self._driving:
                self.acquire()
            else:
                self._lock.acquire()
                self._enter()
            self.conversation.now = self.last_sent_at = now = monotonic()
            if now - began > SLOW_S:
                self._caution = self._reactor.caution = CAUTION_CALLS
            elif self._caution:
                self._caution -= 1
                if not self._caution:
                    self._reactor.caution = 0
            if now - self._looked_at >= LOOK_S:
                # Many short functions in a row leave nobody a moment to look: a C-CANCEL-RQ may be there.
                self._looked_at = now
                self._receive()
            deferred.settle(value)
