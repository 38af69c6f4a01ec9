"""What answers the peer's requests: each goes to the handler of its event, by way of its service's respond().

The handler runs in the thread that leads (in the caller's, while that one runs an operation), and nobody owns
the connection meanwhile; another thread leads if it takes long.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from router import _config
from router.api import events as evt
from router.api.event import Event
from router.api.events import NoHandlerError
from router.api.matches import Matches, find_matches
from router.api.received_files import ReceivedFile
from router.api.replies import encode_or_none, reply_of
from router.api.retrievals import start_get, start_move
from router.api.service_class import ServiceClass
from router.protocol.association import Association as ProtocolAssociation
from router.protocol.indications import MessageReceived
from router.protocol.messages import release_dataset
from router.services import c_echo, c_find, c_get, c_move, c_store, n_services
from router.services.conversation import Services
from router.services.message_ids import MessageIds
from router.services.reply import PLAIN_SUCCESS, RESPONDERS_OF_REFUSAL, Reply, respond_unrecognised
from router.services.steps import Procedure
from router.standard import dimse_fields as fields
from router.standard.dimse_fields import COMMAND_FIELD
from router.standard.statuses import PROCESSING_FAILURE, SUCCESS

if TYPE_CHECKING:
    from router.api.association_state import AssociationState

LOGGER = logging.getLogger("router.service_class")

STORE_FAILED = 0xC211
AFFECTED_SOP_INSTANCE_TAG = 0x00001000

_N_EVENTS: dict[int, evt.InterventionEvent] = {
    fields.N_EVENT_REPORT_RQ: evt.EVT_N_EVENT_REPORT,
    fields.N_GET_RQ: evt.EVT_N_GET,
    fields.N_SET_RQ: evt.EVT_N_SET,
    fields.N_ACTION_RQ: evt.EVT_N_ACTION,
    fields.N_CREATE_RQ: evt.EVT_N_CREATE,
    fields.N_DELETE_RQ: evt.EVT_N_DELETE,
}


def services_of(assoc: AssociationState) -> Services:
    """Return the services of one association: Command Field to respond()."""
    responders = Responders(assoc)
    services: dict[int, Any] = {
        fields.C_ECHO_RQ: responders.c_echo,
        fields.C_STORE_RQ: responders.c_store,
        fields.C_FIND_RQ: responders.c_find,
        fields.C_GET_RQ: responders.c_get,
        fields.C_MOVE_RQ: responders.c_move,
        **RESPONDERS_OF_REFUSAL,
    }
    services.update(dict.fromkeys(_N_EVENTS, responders.n_service))
    return services


class Responders:
    """Answer the requests that come on one association."""

    def __init__(self, assoc: AssociationState) -> None:
        self._assoc = assoc

    def c_echo(self, association: ProtocolAssociation, message: MessageReceived) -> Procedure[None]:
        """Answer C-ECHO: always success, unless the handler says otherwise."""
        if self._service_class(message) is None:
            return self._unserved(association, message)
        return c_echo.respond(association, message, lambda m: self._assoc._invoke(self._echo, m))

    def c_store(self, association: ProtocolAssociation, message: MessageReceived) -> Procedure[None]:
        """Answer C-STORE with the handler's status."""
        if self._service_class(message) is None:
            return self._unserved(association, message)
        self._assoc._open_lane(message.context_id, self._store)
        return c_store.respond(association, message, lambda m: self._assoc._invoke(self._store, m))

    def c_find(self, association: ProtocolAssociation, message: MessageReceived) -> Procedure[None]:
        """Answer C-FIND with what the handler yields."""
        service_class = self._service_class(message)
        if service_class is None:
            return self._unserved(association, message)
        self._log_identifier(message)
        table = service_class.statuses_of(fields.C_FIND_RQ)

        def on_find(request: MessageReceived) -> Matches:
            return find_matches(self._assoc, request, service_class, table)

        return c_find.respond(association, message, on_find)

    def c_get(self, association: ProtocolAssociation, message: MessageReceived) -> Procedure[None]:
        """Answer C-GET by storing what the handler yields, over this association."""
        service_class = self._service_class(message)
        if service_class is None:
            return self._unserved(association, message)
        self._log_identifier(message)
        table = service_class.statuses_of(fields.C_GET_RQ)
        assoc = self._assoc

        def on_get(request: MessageReceived) -> Any:
            return assoc._invoke(start_get, assoc, request, table)

        ids = MessageIds(after=message.command.get(fields.MESSAGE_ID) or 0)

        def take_message_id() -> int:
            assert assoc._connection is not None
            return assoc._connection.conversation.free_message_id(ids.take())

        return c_get.respond(association, message, on_get, assoc.dimse_timeout, take_message_id)

    def c_move(self, association: ProtocolAssociation, message: MessageReceived) -> Procedure[None]:
        """Answer C-MOVE by storing what the handler yields at the destination it names first."""
        service_class = self._service_class(message)
        if service_class is None:
            return self._unserved(association, message)
        self._log_identifier(message)
        table = service_class.statuses_of(fields.C_MOVE_RQ)
        assoc = self._assoc

        def on_move(request: MessageReceived) -> Any:
            return assoc._invoke(start_move, assoc, request, table)

        def store(item: Any) -> Any:
            return assoc._invoke(item.store)

        return c_move.respond(association, message, on_move, store)

    def n_service(self, association: ProtocolAssociation, message: MessageReceived) -> Procedure[None]:
        """Answer one of the six N-services with what the handler returns."""
        if self._service_class(message) is None:
            return self._unserved(association, message)
        return n_services.respond(association, message, lambda m: self._assoc._invoke(self._operate, m))

    # The handlers

    def _echo(self, message: MessageReceived) -> Reply:
        try:
            value = self._assoc._handlers.ask(Event.of_message(self._assoc, evt.EVT_C_ECHO, message))
        except Exception:
            LOGGER.exception("Exception in the handler bound to 'evt.EVT_C_ECHO'")
            return Reply(SUCCESS)
        reply = reply_of(value, fields.C_ECHO_RQ, ServiceClass.statuses_of(fields.C_ECHO_RQ))
        is_status = isinstance(value, int) or hasattr(value, "Status")
        return reply if is_status else Reply(SUCCESS)

    def _store(self, message: MessageReceived) -> Reply:
        assoc = self._assoc
        try:
            value = assoc._handlers.ask(Event.of_message(assoc, evt.EVT_C_STORE, message))
            if type(message.dataset) is ReceivedFile:
                message.dataset.keep()
        except NoHandlerError as error:
            LOGGER.error(str(error))
            return Reply(STORE_FAILED)
        except Exception:
            LOGGER.exception("Exception in the handler bound to 'evt.EVT_C_STORE'")
            return Reply(STORE_FAILED)
        finally:
            release_dataset(message)
        if type(value) is int and value == SUCCESS:
            return PLAIN_SUCCESS
        service_class = self._service_class(message) or ServiceClass
        return reply_of(value, fields.C_STORE_RQ, service_class.statuses_of(fields.C_STORE_RQ))

    def _operate(self, message: MessageReceived) -> Reply:
        field = message.command[COMMAND_FIELD]
        event = _N_EVENTS[field]
        try:
            value = self._assoc._handlers.ask(Event.of_message(self._assoc, event, message))
            status, dataset = (value, None) if field == fields.N_DELETE_RQ else value
        except NoHandlerError as error:
            LOGGER.error(str(error))
            return Reply(PROCESSING_FAILURE)
        except Exception:
            LOGGER.exception(f"Exception in the handler bound to 'evt.{event}'")
            return Reply(PROCESSING_FAILURE)
        service_class = self._service_class(message) or ServiceClass
        reply = reply_of(status, field, service_class.statuses_of(field))
        return self._with_dataset(message, reply, dataset)

    def _with_dataset(self, message: MessageReceived, reply: Reply, dataset: Any) -> Reply:
        """Complete the reply to an N-service by the handler's dataset."""
        elements = dict(reply.elements)
        if self._names_instance(message):
            named = None if dataset is None else dataset.get("AffectedSOPInstanceUID")
            if not named:
                if reply.status == SUCCESS:
                    LOGGER.error("the handler of 'evt.EVT_N_CREATE' named no 'Affected SOP Instance UID'")
                    return Reply(PROCESSING_FAILURE)
            else:
                elements[AFFECTED_SOP_INSTANCE_TAG] = str(named)
                del dataset.AffectedSOPInstanceUID
        transfer_syntax = self._assoc._contexts[message.context_id].transfer_uids[0]
        try:
            encoded = encode_or_none(dataset, transfer_syntax)
        except Exception as error:
            LOGGER.error(f"the dataset that a handler returned cannot be encoded: {type(error).__name__}")
            return Reply(PROCESSING_FAILURE)
        return Reply(reply.status, reply.comment, elements, None if encoded is None else (encoded,))

    @staticmethod
    def _names_instance(message: MessageReceived) -> bool:
        """Whether the request leaves it to us to name the SOP instance."""
        command = message.command
        return command[COMMAND_FIELD] == fields.N_CREATE_RQ and not command.get(AFFECTED_SOP_INSTANCE_TAG)

    # What is not served

    def _service_class(self, message: MessageReceived) -> type[ServiceClass] | None:
        """Return the service class of the message's context, None if it does not know such a request."""
        service_class = self._assoc._service_class_of(message.context_id)
        return service_class if message.command[COMMAND_FIELD] in service_class.requests else None

    def _unserved(self, association: ProtocolAssociation, message: MessageReceived) -> Procedure[None]:
        service_class = self._assoc._service_class_of(message.context_id)
        name = fields.MESSAGE_NAMES[message.command[COMMAND_FIELD]]
        if service_class.requests:
            LOGGER.error(f"{service_class.__name__} has no {name}: it is answered 0x0211")
            return respond_unrecognised(association, message)
        abstract_syntax = self._assoc._contexts[message.context_id].abstract_uid
        LOGGER.error(f"NotImplementedError: no service class for '{abstract_syntax}'; aborting")
        return self._abort()

    def _abort(self) -> Procedure[None]:
        self._assoc._abort(2, 0)
        return
        yield

    def _log_identifier(self, message: MessageReceived) -> None:
        if not _config.LOG_REQUEST_IDENTIFIERS or not LOGGER.isEnabledFor(logging.DEBUG):
            return
        from router.api.dimse_primitives import dataset_bytes
        from router.api.dsutils import decode_as, pretty_dataset

        syntax = self._assoc._contexts[message.context_id].transfer_uids[0]
        try:
            lines = pretty_dataset(decode_as(dataset_bytes(message.dataset), syntax))
        except Exception as error:
            # pydicom raises whatever its element readers do; the handler will see it too.
            lines = [f"(cannot be decoded: {type(error).__name__})"]
        for line in ("Request Identifier:", *lines):
            LOGGER.debug(line)
