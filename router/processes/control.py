"""The control channel between supervisor and child: whole msgpack messages over a SOCK_SEQPACKET socketpair.

Never blocks: what the socket does not take waits in a bounded outbox. A message may carry descriptors, which
is how a configuration of any size reaches a child (in a memfd). Messages are small tables; `kind` says what
they are.

Supervisor to child: reload(generation) with a descriptor, drain(deadline_s), state(...) to admin.
Child to supervisor: ready(...), reloaded(generation), reload_failed(generation, why), not_accepting, drained.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgpack

MESSAGE_BYTES_MAX = 128 * 1024
OUTBOX_MESSAGES_MAX = 256
DESCRIPTORS_MAX = 4
MESSAGES_PER_WAKE_MAX = 64

Message = dict[str, Any]

log = logging.getLogger(__name__)


class ControlChannel:
    """One end of a control channel, driven by the running event loop.

    on_message(message, fds) gets each message; the callee owns the descriptors. on_closed() is called once,
    at the peer's end or death. Both are called from the loop, never from within `send`.
    """

    def __init__(
        self,
        end: socket.socket,
        on_message: Callable[[Message, list[int]], None],
        on_closed: Callable[[], None],
    ) -> None:
        self._socket = end
        self._on_message = on_message
        self._on_closed = on_closed
        self._outbox: deque[tuple[bytes, list[int]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._open = True
        end.setblocking(False)
        self._loop.add_reader(end.fileno(), self._readable)

    def send(self, kind: str, fds: Sequence[int] = (), **fields: Any) -> bool:
        """Send a message, now or as soon as the socket takes it; the descriptors are duplicated.

        Returns False, and sends nothing, if the channel is closed, the outbox is full or the message too
        long.
        """
        data = msgpack.packb({"kind": kind, **fields})
        if not self._open or len(self._outbox) >= OUTBOX_MESSAGES_MAX or len(data) > MESSAGE_BYTES_MAX:
            return False
        self._outbox.append((data, [os.dup(fd) for fd in fds]))
        if len(self._outbox) == 1:
            self._flush()
        return self._open

    def close(self) -> None:
        """Close this end; no callback follows."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        while self._outbox:
            _close_all(self._outbox.popleft()[1])

    def _flush(self) -> None:
        while self._outbox and self._open:
            data, fds = self._outbox[0]
            try:
                socket.send_fds(self._socket, [data], fds)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._socket.fileno(), self._flush)
                return
            except OSError:
                # The peer is gone. The reader says so from the loop, where no caller of send is on the stack.
                _close_all(fds)
                self._outbox.popleft()
                continue
            _close_all(fds)
            self._outbox.popleft()
        if self._open:
            self._loop.remove_writer(self._socket.fileno())

    def _readable(self) -> None:
        for _ in range(MESSAGES_PER_WAKE_MAX):
            if not self._open:
                return
            try:
                data, fds, flags, _ = socket.recv_fds(self._socket, MESSAGE_BYTES_MAX, DESCRIPTORS_MAX)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data, fds, flags = b"", [], 0
            if not data:
                self.close()
                self._on_closed()
                return
            self._deliver(data, fds, flags)

    def _deliver(self, data: bytes, fds: list[int], flags: int) -> None:
        for fd in fds:
            os.set_inheritable(fd, False)
        try:
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise ValueError("message or descriptors cut off")
            message = msgpack.unpackb(data)
            if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
                raise ValueError("not a table with a kind")
        except ValueError as error:
            _close_all(fds)
            log.error("control message ignored: %s", error)
            return
        self._on_message(message, fds)


def write_memfd(name: str, data: bytes) -> int:
    """Return a memfd holding data, for sending along with a message."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd


def read_memfd(fd: int, bytes_max: int) -> bytes:
    """Read and close a memfd a peer has sent. Raises ValueError if it holds more than bytes_max."""
    try:
        size = os.fstat(fd).st_size
        if size > bytes_max:
            raise ValueError(f"{size} bytes, allowed {bytes_max}")
        return os.pread(fd, size, 0)
    finally:
        os.close(fd)


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
