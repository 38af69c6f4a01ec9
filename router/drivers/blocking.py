"""Run one association on a real socket in whichever thread owns it: a caller's, or a handler thread's.

Who owns a connection holds its lock, and it alone steps the conversation. A caller's thread owns it while it
runs a procedure, and reads the socket itself; between procedures the reactor watches it and lends it to a
handler thread when something arrives. Functions that a procedure calls (`Call` of `invoke`) run while nobody
owns the connection, so that an abort or a C-CANCEL that arrives meanwhile is noticed.
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

LINGER_S = 0.02
"""How long a handler thread keeps the only active connection, in case more comes at once."""

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

    on_begin: called once, by the first owner, when an acceptor's connection stands and its association was
    told. It runs in the owner's thread, which holds the lock, as do on_idle and on_closed.
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
        self.on_begin: Callable[[BlockingConnection], None] | None = None
        self.suspended = 0
        self._fd = transport.sock.fileno()
        self._reactor = reactor
        self._lock = threading.RLock()
        self._waiting: deque[int] = deque()
        self._calls: deque[tuple[Deferred, Callable[..., Any], tuple[Any, ...]]] = deque()
        self._calls_running = 0
        self._bell: int | None = None
        self._looked_at = 0.0
        self._knocked = False
        self._armed = False
        self._depth = 0
        self._driving = 0
        self._handshake_mask: int | None = None
        self._begun = False
        reactor.add(self._fd, self)

    # What its user calls, from any thread

    def begin(self) -> None:
        """Start as acceptor: a handler thread goes through the handshake, if there is one, and serves."""
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

    def on_ready(self) -> None:
        self._armed = False

    def serve(self) -> None:
        """Own the connection for a while: do what there is to do, and give it back to the reactor."""
        self._knocked = True
        if not self._lock.acquire(blocking=False):
            return
        self._enter()
        try:
            if not self.suspended and not self.is_closed and (self._begun or self._handshake()):
                self._expire(monotonic())
                self._receive()
                self._serve_on()
        finally:
            self.release()

    # Ownership

    def acquire(self) -> None:
        """Become the owner; a handler thread that lingers with the connection gives way."""
        if not self._lock.acquire(blocking=False):
            self._waiting.append(0)
            self._ring()
            self._lock.acquire()
            self._waiting.pop()
        self._enter()

    def release(self, for_a_moment: bool = False) -> None:
        """Give the connection back to the reactor, unless this thread owns it further out.

        for_a_moment: most likely; the reactor sees to it only if that lasts.
        """
        self._depth -= 1
        if self._depth:
            self._lock.release()
            return
        if not self.is_closed:
            if for_a_moment and not self._unsent and not self.association.has_output:
                self._reactor.step_aside(self)
            else:
                self._arm()
        is_left_over = bool(self._calls) and not self._driving and not self.suspended
        self._lock.release()
        if self._knocked or is_left_over:
            # A handler thread came between our arming and our release, or there are calls nobody runs.
            self._knocked = False
            self._reactor.dispatch(self)
        if self._mailbox:
            self._serve_mailbox()

    def _enter(self) -> None:
        self._depth += 1
        self._knocked = False
        if self._armed:
            self._armed = False
            if not self.is_closed:
                self._reactor.unwatch(self._fd)

    def _serve_mailbox(self) -> None:
        if self._mailbox and self._lock.acquire(blocking=False):
            self._enter()
            try:
                self.advance_owned()
            finally:
                self.release()

    def _arm(self) -> None:
        if self.suspended:
            return
        mask = 0
        if self._handshake_mask is not None:
            mask = self._handshake_mask
        else:
            if self._may_read:
                mask = READABLE
            if self._unsent or self.association.has_output:
                mask |= WRITABLE
        self._armed = True
        self._reactor.watch(self._fd, mask)
        at = self._next_timer()
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
            self._begun = True
            self.association.transport_opened()  # a requestor's, which has asked for it just now
        return task

    def drive_owned(self, tasks: tuple[Task, ...]) -> None:
        """Go on until one of the tasks is done or has emitted something."""
        self._driving += 1
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
        dispatched = self._reactor.dispatched
        while True:
            self.advance_owned()
            if self._driving:
                return  # a caller runs a procedure, and now one of its functions: it goes on itself
            if self._calls:
                self._run_call()
                continue
            if self.is_closed or self._waiting or self._calls_running or self.suspended:
                return
            if self.association.mid_message:
                # What arrived while the last bytes were taken saves the way through the reactor.
                has_more = self._receive_more()
            else:
                # Where others are active too, the thread is for whoever is ready first.
                has_more = dispatched == self._reactor.dispatched and self._linger()
            if not has_more:
                self.advance_owned()
                if not self._calls:
                    return

    def _receive_more(self) -> bool:
        before = self.bytes_received
        self._receive()
        return self.bytes_received != before

    def _linger(self) -> bool:
        """Wait a moment for more on this connection; False if nothing came, or this thread may not."""
        threads = self._reactor.threads
        if not threads.begin_lingering():
            return False
        try:
            return self._wait(LINGER_S)
        finally:
            threads.end_lingering()

    def _handshake(self) -> bool:
        """Go on with the handshake; True when it is done and the association has begun."""
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
        if self.on_begin is not None:
            self.on_begin(self)
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
        self._calls_running += 1
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
            self._reactor.come_back(self)
            self.acquire()
            self._calls_running -= 1
            self.conversation.now = self.last_sent_at = now = monotonic()
            if now - self._looked_at >= LOOK_S:
                # Many short functions in a row leave nobody a moment to look: a C-CANCEL-RQ may be there.
                self._looked_at = now
                self._receive()
            deferred.settle(value)
