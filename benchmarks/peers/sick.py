"""Destinations that are ill: one program, one manner each. `python -m benchmarks.peers.sick MANNER PORT`.

slow: answers each instance after 50 ms, one at a time. flapping: well for 1 s, then gone for 1 s. rejecting:
A-ASSOCIATE-RJ (2/3/2). busy, refusing: every instance gets A700H or C000H. aborting: A-ABORT at the first
octets of every instance. silent: accepts and never answers. zero-window: accepts and never reads on.
"dead" needs no program: nobody listens.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
import time

from router.bench import wire

MANNERS = ("slow", "flapping", "rejecting", "busy", "refusing", "aborting", "silent", "zero-window")
STATUSES = {"busy": 0xA700, "refusing": 0xC000}
SLOW_S = 0.05
FLAP_S = 1.0
WINDOW = 16
MAXIMUM_LENGTH = 1 << 17
SMALL_BUFFER_BYTES = 4096


class Ill:
    """A listening socket and a thread for each association."""

    def __init__(self, manner: str, port: int) -> None:
        self.manner = manner
        self.port = port
        self.open: set[socket.socket] = set()
        self.is_well = True

    def run(self) -> None:
        """Accept for ever; a flapping one goes away and comes back."""
        listener = self.listen()
        while True:
            if self.manner == "flapping":
                if time.monotonic() % (2 * FLAP_S) >= FLAP_S:
                    listener.close()
                    self.is_well = False
                    for sock in tuple(self.open):
                        with contextlib.suppress(OSError):
                            sock.shutdown(socket.SHUT_RDWR)
                    time.sleep(FLAP_S)
                    self.is_well = True
                    listener = self.listen()
                listener.settimeout(0.02)
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                continue
            sock.settimeout(None)
            self.open.add(sock)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def listen(self) -> socket.socket:
        """Open the port."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.manner == "zero-window":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        return listener

    def serve(self, sock: socket.socket) -> None:
        """Serve one association in this manner."""
        try:
            with sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.associate(sock)
        except (OSError, EOFError, struct.error):
            pass
        finally:
            self.open.discard(sock)

    def associate(self, sock: socket.socket) -> None:
        """Answer the association request and what follows."""
        stream = sock.makefile("rb", buffering=1 << 17)
        pdu = read_pdu(stream)
        if self.manner == "rejecting":
            sock.sendall(wire.associate_rj(2, 3, 2))
            return
        sock.sendall(wire.associate_ac(wire.parse_associate(pdu), MAXIMUM_LENGTH, WINDOW))
        if self.manner == "zero-window":
            time.sleep(3600)
        command: dict[int, bytes] = {}
        while True:
            pdu = read_pdu(stream)
            if pdu[0] == wire.RELEASE_RQ:
                sock.sendall(wire.RELEASE_RP_PDU)
            if pdu[0] != wire.P_DATA_TF:
                return
            for context_id, header, payload in fragments(pdu):
                if header & wire.COMMAND_FRAGMENT:
                    command = wire.decode_command(payload)
                if wire.uint(command[wire.COMMAND_FIELD]) == wire.C_ECHO_RQ:
                    self.answer(sock, context_id, command, 0)
                elif self.manner == "aborting":
                    sock.sendall(wire.ABORT_PDU)
                    return
                elif header == wire.LAST_FRAGMENT and self.manner != "silent":
                    time.sleep(SLOW_S if self.manner == "slow" else 0)
                    self.answer(sock, context_id, command, STATUSES.get(self.manner, 0))

    @staticmethod
    def answer(sock: socket.socket, context_id: int, command: dict[int, bytes], status: int) -> None:
        """Send a response."""
        sock.sendall(wire.command_pdu(context_id, wire.response(command, status)))


def read_pdu(stream: object) -> bytes:
    """Read one PDU. Raises EOFError."""
    head: bytes = stream.read(6)  # type: ignore[attr-defined]
    if len(head) < 6:
        raise EOFError
    return head + stream.read(int.from_bytes(head[2:6], "big"))  # type: ignore[attr-defined,no-any-return]


def fragments(pdu: bytes) -> list[tuple[int, int, bytes]]:
    """Cut a P-DATA-TF into (context id, message control header, payload)."""
    found, position = [], 6
    while position < len(pdu):
        length = int.from_bytes(pdu[position : position + 4], "big")
        found.append((pdu[position + 4], pdu[position + 5], pdu[position + 6 : position + 4 + length]))
        position += 4 + length
    return found


def main() -> None:
    """Serve until terminated."""
    manner, port = sys.argv[1], int(sys.argv[2])
    if manner not in MANNERS:
        raise SystemExit(f"unknown manner {manner!r}; known: {', '.join(MANNERS)}")
    Ill(manner, port).run()


if __name__ == "__main__":
    main()
