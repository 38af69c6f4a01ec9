"""What all verbs of an association share: the context to use, one exchange, and the status it ends with."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from router.api.dimse_primitives import PRIMITIVES, TAGS
from router.api.presentation import PresentationContext, name_of_uid
from router.api.status import status_dataset
from router.errors import AssociationAborted, DeadlineExceeded, LocalMisuse, PeerViolation
from router.protocol.indications import MessageReceived
from router.services.steps import Procedure
from router.standard.sop_classes import service_of
from router.standard.transfer_syntaxes import encoding_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from router.api.association import Association
    from router.drivers.blocking import BlockingConnection
    from router.protocol.association import Association as ProtocolAssociation

LOGGER = logging.getLogger("router.association")

MESSAGE_ID_MAX = 0xFFFF
UPS_SERVICE = "unified-procedure-step"

_OPTIONAL_TAGS: dict[int, tuple[int, ...]] = {
    field: tuple(sorted(TAGS[keyword] for keyword in primitive.STATUS_OPTIONAL_KEYWORDS))
    for field, primitive in PRIMITIVES.items()
}

Start = Callable[["ProtocolAssociation", int], Procedure[MessageReceived]]
"""Make the procedure of one exchange from the protocol's association and the Message ID."""


class Exchanges:
    """Run exchanges; mixed into Association."""

    is_established: bool
    _contexts: dict[int, PresentationContext]
    _connection: BlockingConnection | None
    _protocol: ProtocolAssociation | None

    def _require_established(self, service: str) -> None:
        if not self.is_established:
            raise RuntimeError(f"The association must be established before sending a {service} request")

    def _find_context(
        self,
        abstract_syntax: str,
        transfer_syntax: str = "",
        role: str = "scu",
        context_id: int | None = None,
        allow_conversion: bool = True,
    ) -> PresentationContext:
        """Return the accepted context to use, that with the very transfer syntax if there is one.

        allow_conversion: another one will do if a dataset can be encoded anew for it.
        Raises ValueError if there is none.
        """
        convertible = None
        for candidate in self._candidates(abstract_syntax, context_id):
            if not (candidate.as_scu if role == "scu" else candidate.as_scp):
                continue
            accepted = candidate.transfer_uids[0]
            if not transfer_syntax or accepted == transfer_syntax:
                return candidate
            if convertible is None and allow_conversion and may_convert(transfer_syntax, accepted):
                convertible = candidate
        if convertible is not None:
            return convertible
        message = (
            f"No presentation context for '{name_of_uid(abstract_syntax)}' has been accepted by the peer"
        )
        if transfer_syntax:
            message += f" with '{name_of_uid(transfer_syntax)}' transfer syntax"
        message += f" for the {role.upper()} role"
        LOGGER.error(message)
        raise ValueError(message)

    def _candidates(self, abstract_syntax: str, context_id: int | None) -> list[PresentationContext]:
        found = [
            context
            for number, context in self._contexts.items()
            if context.abstract_uid == abstract_syntax and context_id in (None, number)
        ]
        if not found and service_of(abstract_syntax) == UPS_SERVICE:
            # A request on a UPS goes in any context of the service (PS3.4 section CC.3.1).
            found = [c for c in self._contexts.values() if service_of(c.abstract_uid) == UPS_SERVICE]
        return found

    def _exchange(self, message_id: int, start: Start) -> MessageReceived | None:
        """Run one exchange in this thread; None if there is no response, whatever became of it.

        After a DIMSE timeout the association is aborted. Raises ValueError for a Message ID out of range.
        """
        check_message_id(message_id)
        connection, protocol = self._connection, self._protocol
        assert connection is not None
        assert protocol is not None
        try:
            with connection.turn:
                number = connection.conversation.free_message_id(message_id)
                response: MessageReceived = connection.run(start(protocol, number), number)
        except DeadlineExceeded:
            self._dimse_timed_out()
        except PeerViolation as violation:
            LOGGER.error(f"Invalid response received: {violation}")
        except (AssociationAborted, LocalMisuse) as error:
            LOGGER.error(f"Connection closed or aborted before a response was received: {error}")
        else:
            return response
        return None

    def _operations_granted(self) -> int:
        """Return how many operations this side may have outstanding; 0: any number."""
        raise NotImplementedError

    def _dimse_timed_out(self: Any) -> None:
        LOGGER.error("DIMSE timeout reached while waiting for message response")
        association: Association = self
        association.abort()


def check_message_id(message_id: int) -> None:
    """Raise TypeError or ValueError for what cannot be a Message ID."""
    if isinstance(message_id, bool) or not isinstance(message_id, int):
        raise TypeError("'msg_id' must be int")
    if not 0 <= message_id <= MESSAGE_ID_MAX:
        raise ValueError(f"'msg_id' must be between 0 and {MESSAGE_ID_MAX}")


def may_convert(transfer_syntax: str, accepted: str) -> bool:
    """Whether a dataset can be encoded anew without touching its pixels: among the native little endian."""
    return is_native_little_endian(transfer_syntax) and is_native_little_endian(accepted)


def is_native_little_endian(transfer_syntax: str) -> bool:
    """Whether this is one of Implicit, Explicit and Deflated Explicit VR Little Endian."""
    return (
        transfer_syntax
        in (
            "1.2.840.10008.1.2",
            "1.2.840.10008.1.2.1",
            "1.2.840.10008.1.2.1.99",
        )
        and not encoding_of(transfer_syntax).big_endian
    )


def status_of(response: MessageReceived | None, command_field: int) -> Dataset:
    """Return the status dataset of a response; an empty one if there was none."""
    if response is None:
        from pydicom.dataset import Dataset

        return Dataset()
    return status_dataset(response.command, _OPTIONAL_TAGS[command_field])
