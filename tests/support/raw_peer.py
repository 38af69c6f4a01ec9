"""A requestor that is nothing but a socket on the test's own event loop, and the octets it sends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    C_ECHO_RQ,
    C_STORE_RQ,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    DATASET_PRESENT,
    MESSAGE_ID,
    NO_DATASET,
    PRIORITY,
)
from router.standard.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN
from router.standard.uids import CT_IMAGE_STORAGE, VERIFICATION
from router.wire import codec
from router.wire.pdus import AssociateRQ, ProposedContext, decode_pdu, encode_pdu
from router.wire.user_information import AsynchronousOperationsWindow, UserInformation
from tests.support.scripted_scp import WAIT_S, acceptance

ECHO_CONTEXT, STORE_CONTEXT = 1, 3

RELEASE_RQ = b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"
RELEASE_RP = b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00"


def abort_pdu(source: int, reason: int) -> bytes:
    """Return an A-ABORT."""
    return bytes([7, 0, 0, 0, 0, 4, 0, 0, source, reason])


def associate_rq(window: int = 1, maximum_length: int = 16384, **fields: Any) -> AssociateRQ:
    """Return a request for Verification (context 1) and CT storage (context 3)."""
    contexts = (
        ProposedContext(ECHO_CONTEXT, VERIFICATION, (IMPLICIT_VR_LITTLE_ENDIAN,)),
        ProposedContext(STORE_CONTEXT, CT_IMAGE_STORAGE, (IMPLICIT_VR_LITTLE_ENDIAN,)),
    )
    information = UserInformation(
        maximum_length=maximum_length,
        implementation_class_uid="1.2.3.4",
        asynchronous_operations=AsynchronousOperationsWindow(window, 1) if window > 1 else None,
    )
    values: dict[str, Any] = {
        "called_ae_title": "ROUTER", "calling_ae_title": "MODALITY",
        "presentation_contexts": contexts, "user_information": information,
    }  # fmt: skip
    return AssociateRQ(**{**values, **fields})


def echo_rq(message_id: int = 1, **elements: Any) -> dict[int, Any]:
    """Return the command set of a C-ECHO-RQ."""
    return {
        AFFECTED_SOP_CLASS_UID: VERIFICATION,
        COMMAND_FIELD: C_ECHO_RQ,
        MESSAGE_ID: message_id,
        COMMAND_DATA_SET_TYPE: NO_DATASET,
    }


def store_rq(message_id: int = 1, uid: str = "1.2.3", sop_class: str = CT_IMAGE_STORAGE) -> dict[int, Any]:
    """Return the command set of a C-STORE-RQ."""
    return {
        AFFECTED_SOP_CLASS_UID: sop_class,
        COMMAND_FIELD: C_STORE_RQ,
        MESSAGE_ID: message_id,
        PRIORITY: 0,
        COMMAND_DATA_SET_TYPE: DATASET_PRESENT,
        AFFECTED_SOP_INSTANCE_UID: uid,
    }


def pdv(context_id: int, control: int, payload: bytes) -> bytes:
    """One presentation data value."""
    return (len(payload) + 2).to_bytes(4, "big") + bytes([context_id, control]) + payload


def pdata(*pdvs: bytes) -> bytes:
    """One P-DATA-TF."""
    body = b"".join(pdvs)
    return b"\x04\x00" + len(body).to_bytes(4, "big") + body


def command(context_id: int, fields: dict[int, Any]) -> bytes:
    """One command set in one P-DATA-TF."""
    return pdata(pdv(context_id, 3, codec.encode_command(fields)))


def dataset_of(uid: str = "1.2.3", payload: bytes = b"", sop_class: str = CT_IMAGE_STORAGE) -> bytes:
    """A dataset in Implicit VR Little Endian: SOP class, SOP instance, and a payload in (7FE0,0010)."""

    def element(group: int, number: int, value: bytes) -> bytes:
        head = group.to_bytes(2, "little") + number.to_bytes(2, "little")
        return head + len(value).to_bytes(4, "little") + value

    def text(value: str) -> bytes:
        return value.encode() + b"\0" * (len(value) % 2)

    return element(8, 0x16, text(sop_class)) + element(8, 0x18, text(uid)) + element(0x7FE0, 0x10, payload)


def store(message_id: int = 1, uid: str = "1.2.3", payload: bytes = b"", fragment: int = 16000) -> bytes:
    """A whole C-STORE-RQ, dataset included."""
    dataset = dataset_of(uid, payload)
    octets = command(STORE_CONTEXT, store_rq(message_id, uid))
    for start in range(0, len(dataset), fragment):
        is_last = start + fragment >= len(dataset)
        octets += pdata(pdv(STORE_CONTEXT, 2 if is_last else 0, dataset[start : start + fragment]))
    return octets


class RawPeer:
    """One connection. Every wait has a deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._loop = asyncio.get_running_loop()
        self._read = b""

    async def send(self, data: bytes) -> None:
        """Send octets; a connection that the other side has closed is no error."""
        try:
            await asyncio.wait_for(self._loop.sock_sendall(self.sock, data), WAIT_S)
        except ConnectionError:
            return

    async def read_pdu(self) -> bytes:
        """Read one PDU, head included; b"" at the end of the connection."""
        head = await self._exactly(6)
        return head and head + await self._exactly(int.from_bytes(head[2:], "big"))

    async def read_rest(self) -> list[bytes]:
        """Read PDUs until the connection ends."""
        pdus = []
        while pdu := await self.read_pdu():
            pdus.append(pdu)
        return pdus

    async def read_response(self) -> dict[int, Any]:
        """Read one response without a dataset."""
        pdu = await self.read_pdu()
        assert pdu[:1] == b"\x04", pdu[:32]
        return codec.decode_command(pdu[12:])

    async def associate(self, rq: AssociateRQ | None = None) -> bytes:
        """Ask for the association; return the answer's PDU."""
        await self.send(encode_pdu(rq or associate_rq()))
        return await self.read_pdu()

    async def read_until_closed(self) -> bytes:
        """Read octets until the connection ends."""
        received = bytearray(self._read)
        while True:
            try:
                data = await asyncio.wait_for(self._loop.sock_recv(self.sock, 1 << 20), WAIT_S)
            except ConnectionError:
                return bytes(received)
            if not data:
                return bytes(received)
            received += data

    async def _exactly(self, count: int) -> bytes:
        while len(self._read) < count:
            try:
                data = await asyncio.wait_for(self._loop.sock_recv(self.sock, 1 << 16), WAIT_S)
            except ConnectionError:
                data = b""
            if not data:
                return b""
            self._read += data
        taken, self._read = self._read[:count], self._read[count:]
        return taken


@asynccontextmanager
async def raw_peer(port: int, receive_bytes: int = 0) -> AsyncIterator[RawPeer]:
    """Connect. receive_bytes: of the socket's receive buffer, for peers that do not read."""
    sock = socket.socket()
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        yield RawPeer(sock)
    finally:
        sock.close()


class RawAcceptor:
    """A listening socket with a small receive buffer, for acceptors that read only when the test says."""

    def __init__(self, receive_bytes: int) -> None:
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._listening.setblocking(False)
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen()
        self.port: int = self._listening.getsockname()[1]
        self.peers: list[RawPeer] = []

    async def accept(self) -> RawPeer:
        """Take a connection and accept its association whole."""
        sock, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(self._listening), WAIT_S)
        peer = RawPeer(sock)
        self.peers.append(peer)
        rq = decode_pdu(await peer.read_pdu())
        assert isinstance(rq, AssociateRQ)
        await peer.send(encode_pdu(acceptance(rq)))
        return peer

    def close(self) -> None:
        """Close every socket."""
        self._listening.close()
        for peer in self.peers:
            peer.sock.close()


@asynccontextmanager
async def raw_acceptor(receive_bytes: int = 4096) -> AsyncIterator[RawAcceptor]:
    """Listen on a free port of the loopback."""
    acceptor = RawAcceptor(receive_bytes)
    try:
        yield acceptor
    finally:
        acceptor.close()
