"""An acceptor that says yes to every context and then only what the test says, octet by octet."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from router.wire.pdus import AssociateAC, AssociateRQ, decode_pdu, encode_pdu
from tests.support.driver_pair import accept_all


class RawAcceptor:
    """One connection is taken; `read_until` waits for octets of the peer's."""

    def __init__(self, accept: Callable[[AssociateRQ], AssociateAC]) -> None:
        self._accept = accept
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._ready = threading.Event()
        self._sock: socket.socket | None = None
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        sock = self._listening.accept()[0]
        sock.settimeout(20)
        head = sock.recv(6, socket.MSG_WAITALL)
        rq = decode_pdu(head + sock.recv(int.from_bytes(head[2:]), socket.MSG_WAITALL))
        assert isinstance(rq, AssociateRQ)
        sock.sendall(encode_pdu(self._accept(rq)))
        self._sock = sock
        self._ready.set()

    def send(self, data: bytes) -> None:
        """Send octets once the association stands."""
        assert self._ready.wait(10)
        assert self._sock is not None
        self._sock.sendall(data)

    def read_until(self, data: bytes) -> bool:
        """Read until data was seen; False if the connection ended before."""
        assert self._ready.wait(10)
        assert self._sock is not None
        seen = b""
        while data not in seen:
            received = self._sock.recv(65536)
            if not received:
                return False
            seen += received
        return True

    def close(self) -> None:
        """Close the connection."""
        self._listening.close()
        if self._sock is not None:
            self._sock.close()


@contextmanager
def raw_acceptor(
    accept: Callable[[AssociateRQ], AssociateAC] = lambda rq: accept_all(rq).ac,
) -> Iterator[RawAcceptor]:
    """Run one. accept: what to answer; by default what the driver's tests propose is accepted."""
    acceptor = RawAcceptor(accept)
    try:
        yield acceptor
    finally:
        acceptor.close()
