"""The associations open towards one destination: borrowed, filled up to their window, released when idle.

What was needed once is proposed again: the presentation contexts a destination was sent are remembered, so
that a mixed study does not re-associate for each SOP class. An association takes 128 contexts (PS3.8 section
9.3.2.2); what is needed beyond goes over further associations.
An association in which anything failed is aborted and never lent again.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine, Iterable
from time import monotonic
from typing import Any

from router.config.peers import Destination as DestinationSettings
from router.delivery.retry import ErrorClass, NoContext
from router.drivers.connection import Connection
from router.drivers.event_loop import EventLoopDriver
from router.drivers.patience import Deadlines
from router.drivers.tls_context import destination_context
from router.errors import AssociationAborted, AssociationRejected, RouterError
from router.protocol.association import Association, Limits
from router.protocol.messages import CommandSet, DatasetSink, NullSink
from router.protocol.negotiation import AcceptedContext, agree_asynchronous_operations
from router.protocol.upper_layer import Role
from router.services import c_echo, establish, release
from router.services.reply import RESPONDERS_OF_REFUSAL
from router.standard.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN
from router.standard.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, VERIFICATION
from router.wire.codec import SendLane
from router.wire.pdus import AssociateRQ, ProposedContext
from router.wire.user_information import AsynchronousOperationsWindow, UserInformation

logger = logging.getLogger(__name__)

CONTEXTS_MAX = 128
"""Presentation-context-ids are the odd numbers from 1 to 255."""

REMEMBERED_MAX = 1024
"""Contexts remembered per destination; the oldest are forgotten first."""

MESSAGE_ID_MAX = 65535

Key = tuple[str, str]
"""Abstract syntax and transfer syntax: what an instance needs a presentation context for."""

ECHO_KEY: Key = (VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN)


class Use:
    """How much an association is used; where there is a lane, that keeps the same account."""

    __slots__ = ("_message_id", "idle_since", "is_usable", "outstanding")

    def __init__(self) -> None:
        self.outstanding = 0
        self.idle_since = monotonic()
        self.is_usable = True
        self._message_id = 0

    def next_message_id(self) -> int:
        """Return a Message ID that no operation in progress has; the window is far smaller than their
        number."""
        self._message_id = self._message_id % MESSAGE_ID_MAX + 1
        return self._message_id


class PooledAssociation:
    """One association to a destination, and how much of its window is taken.

    use: its state of use, which is the lane's where there is one. fell_by: the class of the failure of its
    oldest operation, which ended it; what else was in flight fell with it.
    """

    __slots__ = ("_on_retired", "connection", "contexts", "fell_by", "lane", "use", "window")

    def __init__(
        self,
        connection: Connection,
        contexts: dict[Key, int],
        window: int,
        on_retired: Callable[[PooledAssociation], None] = lambda association: None,
    ) -> None:
        self.connection = connection
        self.contexts = contexts
        self.window = window
        self.fell_by: ErrorClass | None = None
        self.lane: SendLane | None = None
        self.use: Use | SendLane = Use()
        self._on_retired = on_retired

    def open_lane(self, dimse_s: float) -> None:
        """Open the connection's short cut, if it has one. Before the association is lent."""
        self.lane = self.connection.open_lane(self.contexts, self.window, self)
        if self.lane is not None:
            self.lane.deadline_s = dimse_s
            self.use = self.lane

    @property
    def outstanding(self) -> int:
        """Operations under way."""
        return self.use.outstanding

    @outstanding.setter
    def outstanding(self, count: int) -> None:
        self.use.outstanding = count

    @property
    def is_usable(self) -> bool:
        """False once it is not lent any more, be it retired, released or broken."""
        return self.use.is_usable

    @is_usable.setter
    def is_usable(self, usable: bool) -> None:
        self.use.is_usable = usable

    @property
    def idle_since(self) -> float:
        """When the last operation ended (time.monotonic)."""
        return self.use.idle_since

    @idle_since.setter
    def idle_since(self, since: float) -> None:
        self.use.idle_since = since

    def next_message_id(self) -> int:
        """Return a Message ID that no operation in progress has."""
        return self.use.next_message_id()

    def ask_for_quick_acks(self) -> None:
        """Meet a peer that waits for our ACK: see socket_options.rearm_quick_ack."""
        self.connection.quick_ack = True
        if self.lane is not None:
            self.lane.quick_ack = True

    def retired(self) -> None:
        """Take note that the last operation of an association that is not lent any more is over."""
        self._on_retired(self)


class AssociationPool:
    """Opens, lends and releases the associations of one destination.

    on_room: called when an association is open or free again. on_failure: called with what an attempt to
    open raised and the context it was wanted for. on_outcome: called with "accepted" or "rejected", and at
    the end of an accepted one with "released", "aborted" or "lost". expected_window: what was granted last.
    opening: associations asked for, not answered yet. lanes: those of the associations.
    """

    def __init__(
        self,
        driver: EventLoopDriver,
        settings: DestinationSettings,
        on_room: Callable[[], None],
        on_failure: Callable[[BaseException, Key], None],
        on_outcome: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        self.settings = settings
        self.associations: list[PooledAssociation] = []
        self.lanes: list[SendLane] = []
        self.opening = 0
        self.expected_window = 1
        self._driver = driver
        self._on_room = on_room
        self._on_failure = on_failure
        self._on_outcome = on_outcome
        self._remembered: dict[Key, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._is_probing = False
        self._tls: ssl.SSLContext | None = None

    def update(self, settings: DestinationSettings) -> None:
        """Take over settings for the associations to come; certificates are read again for the next one."""
        self.settings = settings
        self._tls = None

    def find(self, key: Key) -> PooledAssociation | None:
        """Return an association that has this context and room in its window; the least busy one."""
        best: PooledAssociation | None = None
        for association in self.associations:
            if association.outstanding >= association.window or key not in association.contexts:
                continue
            if association.is_usable and association.connection.association.is_established:
                if association.outstanding == 0:
                    return association
                if best is None or association.outstanding < best.outstanding:
                    best = association
        return best

    def lacks_context(self, key: Key) -> bool:
        """Whether no usable association was opened with this context."""
        return not any(key in a.contexts for a in self.associations if a.is_usable)

    def can_open(self) -> bool:
        """Whether one more association is allowed."""
        return not self._is_closed and len(self.associations) + self.opening < self.settings.associations_max

    @property
    def is_any_usable(self) -> bool:
        """Whether an association is open that may be lent."""
        return any(a.is_usable and a.connection.association.is_established for a in self.associations)

    def make_room(self) -> None:
        """Retire the least busy association, so that one with other contexts can take its place."""
        usable = [association for association in self.associations if association.is_usable]
        if usable and not self.opening and len(usable) == len(self.associations):
            least = min(usable, key=lambda association: association.outstanding)
            least.is_usable = False
            if least.outstanding == 0:
                self._release(least)

    def open(self, key: Key, wanted: Iterable[Key]) -> None:
        """Begin to open an association that has the context `key`, and of the other wanted ones as many as
        fit."""
        self.remember(wanted)
        self.remember((key,))
        self.opening += 1
        self._spawn(self._open(key))

    def probe(self, wanted: Iterable[Key], on_probed: Callable[[BaseException | None], None]) -> None:
        """Find out whether the peer is well: by C-ECHO, or where it does not accept that, by associating.

        The association stays, with the wanted contexts as far as they are accepted. on_probed: called with
        what went wrong, or None. While a probe is under way, nothing new is begun.
        """
        if not self._is_probing:
            self._is_probing = True
            self.remember(wanted)
            self._spawn(self._probe(on_probed))

    def give_back(self, association: PooledAssociation) -> None:
        """Take note that one operation on the association is over."""
        association.outstanding -= 1
        if association.outstanding == 0:
            association.idle_since = monotonic()
            if not association.is_usable and association in self.associations:
                self._release(association)

    def _release_retired(self, association: PooledAssociation) -> None:
        if association in self.associations:
            self._release(association)

    def discard(self, association: PooledAssociation, text: str) -> None:
        """Abort an association on which something failed; it is not lent again."""
        association.is_usable = False
        association.fell_by = association.fell_by or ErrorClass.ABORTED
        self._drop(association)
        association.connection.abort(0, 0, text)

    def tend(self, now: float) -> None:
        """Release what was idle too long; with keep_alive the last one is tested with C-ECHO instead."""
        for association in tuple(self.associations):
            if association.outstanding or not association.is_usable:
                continue
            if now - association.idle_since < self.settings.idle_s:
                continue
            if self.settings.keep_alive and len(self.associations) == 1 and ECHO_KEY in association.contexts:
                association.idle_since = now
                association.outstanding += 1
                self._spawn(self._keep_alive(association))
            else:
                self._release(association)

    async def close(self, deadline_s: float) -> None:
        """Release every association in order; what does not answer within deadline_s is aborted."""
        self._is_closed = True
        for association in tuple(self.associations):
            if association.outstanding == 0:
                self._release(association)
            else:
                self.discard(association, "shutting down")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=deadline_s)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _open(self, key: Key) -> None:
        try:
            association = await self._establish(key)
        except Exception as error:
            self._on_failure(error, key)
            return
        if association is not None:
            if not self._is_alive(association):
                # Counted as a failure: a peer that always does this would be asked again without end.
                self._on_failure(self._end_of(association), key)
            elif key not in association.contexts:
                self._on_failure(NoContext(*key), key)
            self._on_room()

    async def _establish(self, key: Key) -> PooledAssociation | None:
        """Open an association and lend it from now on; None once the pool is closed.

        The caller has counted it in `opening`.
        """
        settings = self.settings
        proposed = self._propose(key)
        rq = self._request(proposed)
        connection = self._make_connection()
        try:
            procedure = establish.request(connection.association, rq, settings.acse_s)
            ac = await self._driver.open(
                connection, procedure, settings.host, settings.port, settings.connect_s, **self._tls_options()
            )
        except AssociationRejected:
            self._on_outcome("rejected")
            raise
        finally:
            self.opening -= 1
        if self._is_closed:
            connection.abort()
            return None
        agreed = agree_asynchronous_operations(
            rq.user_information.asynchronous_operations, ac.user_information.asynchronous_operations
        )
        window = min(agreed.invoked or settings.operations_max, settings.operations_max)
        contexts = {
            (context.abstract_syntax, context.transfer_syntax): context.context_id
            for context in connection.association.contexts.values()
            if context.as_scu
        }
        logger.info(
            "association=open destination=%s contexts=%d accepted=%d window=%d",
            settings.ae_title, len(proposed), len(contexts), window,
        )  # fmt: skip
        association = PooledAssociation(connection, contexts, max(1, window), self._release_retired)
        self._take_in(association)
        return association

    def _take_in(self, association: PooledAssociation) -> None:
        """Lend an association from now on, unless it has ended already."""
        connection = association.connection
        self._on_outcome("accepted")
        if connection.conversation.ended is None:
            self.expected_window = association.window
            self.associations.append(association)
            association.open_lane(self.settings.dimse_s)
            if association.lane is not None:
                self.lanes.append(association.lane)
            connection.start(release.respond(connection.association), lambda _: self._retire(association))

    @staticmethod
    def _is_alive(association: PooledAssociation) -> bool:
        return association.is_usable and association.connection.association.is_established

    @staticmethod
    def _end_of(association: PooledAssociation) -> BaseException:
        ended = association.connection.conversation.ended
        return ended or AssociationAborted(0, 0, "ended before it was used")

    async def _probe(self, on_probed: Callable[[BaseException | None], None]) -> None:
        trouble: BaseException | None = None
        try:
            idle = (a for a in self.associations if self._is_alive(a) and a.outstanding == 0)
            association = next(idle, None)
            if association is None:
                self.opening += 1
                association = await self._establish(ECHO_KEY)
            if association is None:
                return
            if not self._is_alive(association):
                trouble = self._end_of(association)
            elif ECHO_KEY in association.contexts:
                association.outstanding += 1
                trouble = await self._echo(association)
        except Exception as error:
            trouble = error
        finally:
            self._is_probing = False
        on_probed(trouble)

    def _tls_options(self) -> dict[str, Any]:
        """Return what `connect` has to know of TLS; nothing for a plain destination. Raises OSError.

        There is no way from TLS to plain: what fails here, or in the handshake, is a failed attempt.
        """
        tls = self.settings.tls
        if tls is None:
            return {}
        if self._tls is None:
            self._tls = destination_context(tls)
        return {"tls": self._tls, "server_hostname": tls.name or self.settings.host}

    def _make_connection(self) -> Connection:
        settings = self.settings
        association = Association(Role.REQUESTOR, Limits(settings.pdu_max_kb * 1024), _open_no_sink)
        deadlines = Deadlines(settings.acse_s, None, settings.dimse_s, settings.dimse_s)
        return Connection(
            self._driver, association, RESPONDERS_OF_REFUSAL, deadlines, self._on_connection_closed
        )

    def _request(self, proposed: list[Key]) -> AssociateRQ:
        settings = self.settings
        window = settings.operations_max
        return AssociateRQ(
            called_ae_title=settings.ae_title,
            calling_ae_title=settings.calling_ae_title,
            presentation_contexts=tuple(
                ProposedContext(2 * index + 1, abstract_syntax, (transfer_syntax,))
                for index, (abstract_syntax, transfer_syntax) in enumerate(proposed)
            ),
            user_information=UserInformation(
                maximum_length=settings.pdu_max_kb * 1024,
                implementation_class_uid=IMPLEMENTATION_CLASS_UID,
                implementation_version_name=IMPLEMENTATION_VERSION_NAME,
                asynchronous_operations=AsynchronousOperationsWindow(window, 1) if window > 1 else None,
            ),
        )

    def _propose(self, key: Key) -> list[Key]:
        """Choose the contexts of a new association: the one it is for, then those used last."""
        proposed = [key]
        if self.settings.keep_alive and key != ECHO_KEY:
            proposed.append(ECHO_KEY)
        for other in reversed(self._remembered):
            if len(proposed) == CONTEXTS_MAX:
                break
            if other not in proposed:
                proposed.append(other)
        return proposed

    def remember(self, keys: Iterable[Key]) -> None:
        """Propose these contexts from now on; those remembered last come first."""
        for key in keys:
            self._remembered.pop(key, None)
            self._remembered[key] = None
        while len(self._remembered) > REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]

    def _drop(self, association: PooledAssociation) -> None:
        if association in self.associations:
            self.associations.remove(association)
        if association.lane in self.lanes:
            self.lanes.remove(association.lane)

    def _release(self, association: PooledAssociation) -> None:
        association.is_usable = False
        self._drop(association)
        self._spawn(self._release_in_order(association.connection))

    @staticmethod
    def _retire(association: PooledAssociation) -> None:
        """Take note that the peer released the association, or that it ended; it counts until it is
        closed."""
        association.is_usable = False

    async def _release_in_order(self, connection: Connection) -> None:
        try:
            await connection.run(release.request(connection.association, self.settings.acse_s))
        except BaseException as error:
            connection.abort()
            if not isinstance(error, RouterError):
                raise
        self._on_room()

    async def _keep_alive(self, association: PooledAssociation) -> None:
        await self._echo(association)
        self._on_room()

    async def _echo(self, association: PooledAssociation) -> RouterError | None:
        """Test an association with C-ECHO; one that fails is discarded. Return why."""
        message_id = association.next_message_id()
        connection = association.connection
        context_id = association.contexts[ECHO_KEY]
        try:
            await connection.run(
                c_echo.request(connection.association, context_id, message_id, self.settings.dimse_s),
                message_id,
            )
        except RouterError as error:
            self.discard(association, f"C-ECHO failed: {error}")
            return error
        self.give_back(association)
        return None

    def _on_connection_closed(self, connection: Connection) -> None:
        if connection.association.ac is not None:
            self._on_outcome(connection.outcome)
        gone = [association for association in self.associations if association.connection is connection]
        for association in gone:
            association.is_usable = False
            self._drop(association)
            self._on_room()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._driver.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _open_no_sink(association: Association, context: AcceptedContext, command: CommandSet) -> DatasetSink:
    """Let every dataset of a destination's pass by: it has none to send, however large it is."""
    return NullSink()
