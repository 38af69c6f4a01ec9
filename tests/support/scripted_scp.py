"""An acceptor on the test's own event loop that does what a script says, octet by octet, and a loop for it.

A script is a coroutine `script(peer)`; it runs once for each connection and the connection closes when it
returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import uvloop

from router.protocol.negotiation import AnyStorage, negotiate_as_acceptor
from router.standard.dimse_fields import (
    AFFECTED_SOP_INSTANCE_UID,
    C_ECHO_RQ,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    MESSAGE_ID,
    MESSAGE_ID_BEING_RESPONDED_TO,
    NO_DATASET,
    RESPONSE_BIT,
    STATUS,
)
from router.wire import codec
from router.wire.pdus import AssociateAC, AssociateRJ, AssociateRQ, ReleaseRP, decode_pdu, encode_pdu
from router.wire.user_information import AsynchronousOperationsWindow, UserInformation

WAIT_S = 15.0
POLL_S = 0.002

P_DATA_TF, RELEASE_RQ, RELEASE_RP, ABORT = 4, 5, 6, 7


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test on uvloop with a deadline; anything the loop itself had to report is a failure."""
    reports: list[dict[str, Any]] = []

    async def bounded() -> None:
        task = asyncio.ensure_future(test)

        def report(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            reports.append(context)
            task.cancel()  # whatever it waits for may never come now

        asyncio.get_running_loop().set_exception_handler(report)
        await asyncio.wait_for(task, 2 * WAIT_S)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(bounded())
        except asyncio.CancelledError:
            assert reports
    assert not reports, reports


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds; fail after WAIT_S."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(POLL_S)


@dataclass(slots=True)
class Message:
    """One DIMSE message that the peer received."""

    context_id: int
    command: dict[int, Any]
    dataset: bytes

    @property
    def uid(self) -> str:
        """The affected SOP Instance UID, empty if there is none."""
        return str(self.command.get(AFFECTED_SOP_INSTANCE_UID, ""))


class Peer:
    """One connection that our side opened."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.number = number
        self.rq: AssociateRQ | None = None
        self.messages: list[Message] = []
        self.last_pdu = b""
        self._reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Send octets."""
        self.writer.write(data)

    async def read_pdu(self) -> tuple[int, bytes]:
        """Read one PDU; (0, b"") at the end of the connection."""
        try:
            head = await self._reader.readexactly(6)
            body = await self._reader.readexactly(int.from_bytes(head[2:], "big"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, b""
        self.last_pdu = head + body
        return head[0], body

    async def read_request(self) -> AssociateRQ:
        """Read the A-ASSOCIATE-RQ."""
        await self.read_pdu()
        rq = decode_pdu(self.last_pdu)
        assert isinstance(rq, AssociateRQ)
        self.rq = rq
        return rq

    async def accept(self, window: int = 1, **changes: Any) -> AssociateRQ:
        """Read the A-ASSOCIATE-RQ and accept all of it; changes: fields of the A-ASSOCIATE-AC."""
        rq = await self.read_request()
        self.send(encode_pdu(replace(acceptance(rq, window), **changes)))
        return rq

    async def read_message(self) -> Message | None:
        """Read one message whole; None if anything but P-DATA-TF comes (last_pdu says what)."""
        command = dataset = b""
        context_id = 0
        while True:
            pdu_type, body = await self.read_pdu()
            if pdu_type != P_DATA_TF:
                return None
            while body:
                length = int.from_bytes(body[:4], "big")
                context_id, control, payload = body[4], body[5], body[6 : 4 + length]
                body = body[4 + length :]
                if control & 1:
                    command += payload
                    if control & 2 and not _has_dataset(command):
                        break
                else:
                    dataset += payload
                if control == 2:
                    break
            else:
                continue
            message = Message(context_id, codec.decode_command(command), dataset)
            self.messages.append(message)
            return message

    def respond(self, message: Message, status: int = 0) -> None:
        """Send the response to a request."""
        self.send(response(message, status))

    async def serve(self, status_of: Callable[[Message], int | None] = lambda _: 0) -> None:
        """Answer requests with what status_of says (None: not at all) and a release, until the end."""
        while True:
            message = await self.read_message()
            if message is None:
                break
            status = 0 if message.command[COMMAND_FIELD] == C_ECHO_RQ else status_of(message)
            if status is not None:
                self.respond(message, status)
        if self.last_pdu[:1] == bytes([RELEASE_RQ]):
            self.send(encode_pdu(ReleaseRP()))


Script = Callable[[Peer], Awaitable[None]]


def rejecting(times: int) -> Script:
    """Return a script that rejects so many associations for now (PS3.8 9.3.4) and serves those after them."""

    async def script(peer: Peer) -> None:
        if peer.number < times:
            await peer.read_request()
            peer.send(encode_pdu(AssociateRJ(2, 3, 1)))
            return
        await peer.accept()
        await peer.serve()

    return script


class ScriptedAcceptor:
    """Every connection so far is in `peers`, with what it received."""

    def __init__(self) -> None:
        self.port = 0
        self.peers: list[Peer] = []
        self.open = 0
        self.script: Script = honest

    @property
    def messages(self) -> list[Message]:
        """All messages received, over all connections."""
        return [message for peer in self.peers for message in peer.messages]

    def uids(self) -> list[str]:
        """Return the SOP Instance UIDs received, in order; a C-ECHO has none."""
        uids = [message.command.get(AFFECTED_SOP_INSTANCE_UID) for message in self.messages]
        return [str(uid) for uid in uids if uid is not None]

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run the script for one connection."""
        peer = Peer(reader, writer, len(self.peers))
        self.peers.append(peer)
        self.open += 1
        try:
            await self.script(peer)
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def scripted_acceptor(script: Script | None = None) -> AsyncIterator[ScriptedAcceptor]:
    """Listen on a free port of the loopback."""
    acceptor = ScriptedAcceptor()
    acceptor.script = script or honest
    server = await asyncio.start_server(acceptor.take, "127.0.0.1", 0)
    acceptor.port = server.sockets[0].getsockname()[1]
    try:
        yield acceptor
    finally:
        server.close()
        for peer in acceptor.peers:
            peer.writer.close()


async def honest(peer: Peer) -> None:
    """Accept everything, answer success."""
    await peer.accept()
    await peer.serve()


def acceptance(rq: AssociateRQ, window: int = 1) -> AssociateAC:
    """Return the A-ASSOCIATE-AC that accepts all storage of a request."""
    outcome = negotiate_as_acceptor(rq, AnyStorage())
    operations = AsynchronousOperationsWindow(window, 1) if window > 1 else None
    information = UserInformation(
        maximum_length=65536, implementation_class_uid="1.2.3", asynchronous_operations=operations
    )
    return AssociateAC(rq.called_ae_title, rq.calling_ae_title, outcome.results, information)


def response(message: Message, status: int = 0, **elements: Any) -> bytes:
    """Return the P-DATA-TF of the response to a request."""
    command = {
        COMMAND_FIELD: message.command[COMMAND_FIELD] | RESPONSE_BIT,
        MESSAGE_ID_BEING_RESPONDED_TO: message.command[MESSAGE_ID],
        COMMAND_DATA_SET_TYPE: NO_DATASET,
        STATUS: status,
    }
    return codec.command_pdus(message.context_id, codec.encode_command(command), 0)


def _has_dataset(command: bytes) -> bool:
    return codec.decode_command(command)[COMMAND_DATA_SET_TYPE] != NO_DATASET
