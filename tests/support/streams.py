"""Blocking PDU reading and JSON-lines writing for the fast peers: a thread for each association."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path

from router.bench import wire

RECEIVE_BYTES = 1 << 20


class PeerGone(Exception):
    """The other side closed or aborted the association."""


class PduStream:
    """One association's socket, read PDU by PDU, dataset fragments as they come."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))

    def read(self, count: int) -> bytes:
        """Read exactly so many octets."""
        parts = []
        while count:
            part = self.sock.recv(min(count, RECEIVE_BYTES))
            if not part:
                raise PeerGone("closed")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def read_pdu(self) -> tuple[int, bytes]:
        """Read one whole PDU; return its type and all its octets."""
        head = self.read(6)
        return head[0], head + self.read(int.from_bytes(head[2:6], "big"))

    def fragments(self, pdu: bytes) -> list[tuple[int, int, bytes]]:
        """Cut a P-DATA-TF into (context id, message control header, payload)."""
        found = []
        position = 6
        while position < len(pdu):
            length = int.from_bytes(pdu[position : position + 4], "big")
            found.append((pdu[position + 4], pdu[position + 5], pdu[position + 6 : position + 4 + length]))
            position += 4 + length
        return found

    def close_hard(self) -> None:
        """Close so that the other side sees a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def abort(self) -> None:
        """Send A-ABORT and close."""
        self.sock.sendall(wire.ABORT_PDU)
        self.sock.close()


class RecordFile:
    """JSON lines, each written by one system call before the next step, so that a kill loses none."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = threading.Lock()
        self.count = 0

    def write(self, **record: object) -> int:
        """Append one record; return its number, from 1."""
        line = json.dumps(record).encode() + b"\n"
        with self._lock:
            self.count += 1
            os.write(self._fd, line)
            return self.count
