"""The socket options every DICOM connection gets, and why."""

from __future__ import annotations

import contextlib
import socket


def set_connection_options(connection: socket.socket) -> None:
    """Set TCP_NODELAY (a peer that delays its ACKs costs 40 ms a message otherwise) and keep-alive."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def rearm_quick_ack(connection: socket.socket) -> None:
    """Ask for the next ACK at once; the kernel forgets it, so it is asked again before each wait for a
    response.

    Peers that write a P-DATA-TF in two sends without TCP_NODELAY stall 40 ms on a delayed ACK otherwise.
    """
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
