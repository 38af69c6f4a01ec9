"""Bytes over a connected socket, plain or in TLS, without ever blocking.

Both transports share one shape, so that the drivers above know no difference. TLS is told apart by what it
hides: decrypted bytes may wait inside it that no poll reports.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Sequence
from typing import Protocol

from router.protocol.messages import Buffer
from router.wire.codec import ScatterWindow

BUFFERS_MAX = 1024
"""IOV_MAX of Linux: most buffers that one sendmsg() takes."""

TLS_SEND_BYTES = 262144
"""Bytes gathered for one write into TLS, which has no gathered output."""


class Transport(Protocol):
    """A connected, non-blocking byte stream."""

    @property
    def sock(self) -> socket.socket:
        """The socket, for its descriptor and options."""

    is_costly: bool
    """Whether the handshake takes computing worth a thread of its own."""

    read_mask: int
    """What poll must wait for until receive_into can give more."""

    can_scatter: bool
    """Whether the kernel can receive what it has into many places at once."""

    def receive_scattered(self, window: ScatterWindow) -> int | None:
        """Receive into the window, as receive_into does; only if can_scatter."""

    def receive_into(self, buffer: memoryview) -> int | None:
        """Receive into the buffer; 0 at the end of the stream, None if nothing is there. Raises OSError."""

    def send(self, buffers: Sequence[Buffer]) -> int:
        """Send from the buffers, in order; return the bytes taken, 0 if none can be. Raises OSError."""

    @property
    def has_hidden_bytes(self) -> bool:
        """Whether receive_into would give something although poll says no."""

    def handshake(self) -> int:
        """Go on with the handshake: 0 when it is done, else the poll mask to wait for. Raises OSError."""


class PlainTransport:
    """A TCP connection."""

    is_costly = False
    can_scatter = True
    read_mask = select.POLLIN
    has_hidden_bytes = False

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def receive_scattered(self, window: ScatterWindow) -> int | None:
        return window.receive(self.sock.fileno())

    def receive_into(self, buffer: memoryview) -> int | None:
        try:
            return self.sock.recv_into(buffer)
        except (BlockingIOError, InterruptedError):
            return None

    def send(self, buffers: Sequence[Buffer]) -> int:
        try:
            if len(buffers) == 1:
                return self.sock.send(buffers[0])
            return self.sock.sendmsg(buffers[:BUFFERS_MAX])
        except (BlockingIOError, InterruptedError):
            return 0

    def handshake(self) -> int:
        return 0


class TlsTransport:
    """TLS over a TCP connection; the handshake is driven step by step."""

    is_costly = True
    can_scatter = False

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, *, server_side: bool, hostname: str | None = None
    ) -> None:
        self.sock: ssl.SSLSocket = context.wrap_socket(
            sock,
            server_side=server_side,
            server_hostname=hostname,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=True,
        )
        self.read_mask = select.POLLIN
        self._retry: bytes | None = None

    @property
    def has_hidden_bytes(self) -> bool:
        return self.sock.pending() > 0

    def handshake(self) -> int:
        try:
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            return select.POLLIN
        except ssl.SSLWantWriteError:
            return select.POLLOUT
        return 0

    def receive_scattered(self, window: ScatterWindow) -> int | None:
        raise NotImplementedError

    def receive_into(self, buffer: memoryview) -> int | None:
        """Receive records until the buffer is full or none is left: one call per record would be slow."""
        filled = 0
        self.read_mask = select.POLLIN
        while filled < len(buffer):
            try:
                count = self.sock.recv_into(buffer[filled:])
            except ssl.SSLWantReadError:
                return filled or None
            except ssl.SSLWantWriteError:
                self.read_mask = select.POLLOUT
                return filled or None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return filled
            if count == 0:
                return filled
            filled += count
        return filled

    def send(self, buffers: Sequence[Buffer]) -> int:
        """Send a gathered piece; one that was not taken comes again unchanged, as TLS demands."""
        piece = self._retry if self._retry is not None else _gather(buffers)
        try:
            count = self.sock.send(piece)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            self._retry = piece
            return 0
        self._retry = None
        return count


def _gather(buffers: Sequence[Buffer]) -> bytes:
    size = 0
    parts: list[Buffer] = []
    for buffer in buffers:
        if parts and size + len(buffer) > TLS_SEND_BYTES:
            break
        parts.append(buffer if len(buffer) <= TLS_SEND_BYTES else memoryview(buffer)[:TLS_SEND_BYTES])
        size += len(parts[-1])
        if size >= TLS_SEND_BYTES:
            break
    return b"".join(parts)
