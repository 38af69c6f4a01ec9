"""Two small peers on the router's own protocol core: an archive that remembers what arrived, and a sender.

For the demonstration; they keep digests, not images.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import partial

from router.apps.part10 import Part10File
from router.drivers.connection import Connection
from router.drivers.event_loop import EventLoopDriver
from router.drivers.patience import Deadlines
from router.protocol.association import Association, Limits
from router.protocol.indications import MessageReceived
from router.protocol.negotiation import AnyStorage, negotiate_as_acceptor
from router.protocol.upper_layer import Role
from router.services import c_echo, c_store, establish, release
from router.services.conversation import Services
from router.services.reply import RESPONDERS_OF_REFUSAL, Reply
from router.services.steps import Procedure
from router.standard.dimse_fields import AFFECTED_SOP_INSTANCE_UID, C_ECHO_RQ, C_STORE_RQ, STATUS
from router.standard.statuses import SUCCESS
from router.standard.uids import IMPLEMENTATION_CLASS_UID
from router.wire.pdus import AssociateAC, AssociateRQ, ProposedContext
from router.wire.user_information import UserInformation

PDU_BYTES = 131072
CONTEXTS_MAX = 128
CONNECT_S = 5.0
ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came in once. digest: SHA-256 of the encoded dataset."""

    sop_instance: str
    transfer_syntax: str
    digest: bytes


class LocalArchive:
    """A storage SCP on a free loopback port that accepts every storage class and notes each arrival."""

    def __init__(self, driver: EventLoopDriver, ae_title: str) -> None:
        self.ae_title = ae_title
        self.port = 0
        self.arrivals: list[Arrival] = []
        self._driver = driver
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = await self._driver.loop.create_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening; associations end by abort."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._driver.connections):
            if connection.association.role is Role.ACCEPTOR and self._is_ours(connection):
                connection.abort(0, 0, "archive stops")

    def holds(self, digests: dict[str, bytes]) -> int:
        """Count the instances of digests (by SOP Instance UID) that arrived unchanged."""
        arrived = {(arrival.sop_instance, arrival.digest) for arrival in self.arrivals}
        return sum((uid, digest) in arrived for uid, digest in digests.items())

    def _is_ours(self, connection: Connection) -> bool:
        rq = connection.association.rq
        return rq is not None and rq.called_ae_title == self.ae_title

    def _accept(self) -> Connection:
        association = Association(Role.ACCEPTOR, Limits(pdu_max_bytes=PDU_BYTES))
        services: Services = {
            **RESPONDERS_OF_REFUSAL,
            C_ECHO_RQ: partial(c_echo.respond, on_echo=lambda _: Reply(SUCCESS)),
            C_STORE_RQ: partial(c_store.respond, on_store=partial(self._store, association)),
        }
        connection = Connection(self._driver, association, services, Deadlines())
        connection.start(_serve(association))
        return connection

    def _store(self, association: Association, message: MessageReceived) -> Reply:
        assert isinstance(message.dataset, bytes)
        self.arrivals.append(
            Arrival(
                message.command[AFFECTED_SOP_INSTANCE_UID],
                association.contexts[message.context_id].transfer_syntax,
                hashlib.sha256(message.dataset).digest(),
            )
        )
        return Reply(SUCCESS)


async def send_files(
    driver: EventLoopDriver, port: int, called_ae_title: str, files: Iterable[Part10File]
) -> AsyncIterator[tuple[Part10File, int]]:
    """Send files over one association; yield each with the status it was answered.

    Raises OSError and RouterError when the association cannot be had or ends early.
    """
    chosen = list(files)
    keys = list(dict.fromkeys((file.sop_class, file.transfer_syntax) for file in chosen))[:CONTEXTS_MAX]
    context_ids = {key: 2 * index + 1 for index, key in enumerate(keys)}
    association = Association(Role.REQUESTOR, Limits(pdu_max_bytes=PDU_BYTES))
    connection = Connection(driver, association, RESPONDERS_OF_REFUSAL, Deadlines())
    rq = AssociateRQ(
        called_ae_title,
        "DEMO",
        tuple(ProposedContext(context_id, *_syntaxes(key)) for key, context_id in context_ids.items()),
        UserInformation(maximum_length=PDU_BYTES, implementation_class_uid=IMPLEMENTATION_CLASS_UID),
    )
    establishing = establish.request(association, rq, ANSWER_S)
    await driver.open(connection, establishing, "127.0.0.1", port, CONNECT_S)
    for number, file in enumerate(chosen, 1):
        context_id = context_ids[file.sop_class, file.transfer_syntax]
        instance = c_store.Instance(file.sop_class, file.sop_instance, [file.dataset])
        sending = c_store.request(association, context_id, number, instance, ANSWER_S)
        response = await connection.run(sending, number)
        yield file, response.command[STATUS]
    await connection.run(release.request(association, ANSWER_S))


def _syntaxes(key: tuple[str, str]) -> tuple[str, tuple[str, ...]]:
    return key[0], (key[1],)


def _serve(association: Association) -> Procedure[None]:
    def decide(rq: AssociateRQ) -> establish.Acceptance:
        outcome = negotiate_as_acceptor(rq, AnyStorage())
        ac = AssociateAC(
            called_ae_title=rq.called_ae_title,
            calling_ae_title=rq.calling_ae_title,
            presentation_contexts=outcome.results,
            user_information=UserInformation(
                maximum_length=PDU_BYTES, implementation_class_uid=IMPLEMENTATION_CLASS_UID
            ),
        )
        return establish.Acceptance(ac, outcome.accepted)

    if (yield from establish.respond(association, decide)):
        yield from release.respond(association)
