"""What all verbs of an association share: the context to use, one exchange, and the status it ends with."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

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

    from router.protocol.association import Association as ProtocolAssociation

LOGGER = logging.getLogger("router.association")

MESSAGE_ID_MAX = 0xFFFF
UPS_SERVICE = "unified-procedure-step"

_OPTIONAL_TAGS: dict[int, tuple[int, ...]] = {
    field: tuple(sorted(TAGS[keyword] for keyword in primitive.STATUS_OPTIONAL_KEYWORDS))
    for field, primitive in PRIMITIVES.items()
}

ResultT = TypeVar("ResultT")

Start = Callable[["ProtocolAssociation", int], Procedure[MessageReceived]]
"""Make the procedure of one exchange from the protocol's association and the Message ID."""


def _nothing() -> None:
    pass


@dataclass(slots=True)
class Exchange(Generic[ResultT]):
    """One request that is ready to be sent, whoever runs it.

    finish: what its response, None for none, means to the program. close: to be called when it is over.
    """

    message_id: int
    start: Start
    finish: Callable[[MessageReceived | None], ResultT]
    close: Callable[[], None] = _nothing


class Exchanges:
    """Find contexts, and take note of how exchanges fail; mixed into AssociationState."""

    is_established: bool
    _contexts: dict[int, PresentationContext]

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

    def _dimse_timed_out(self) -> None:
        """Take note that a response did not come in time."""
        raise NotImplementedError


class FailuresNoted:
    """Log why the block has no response, instead of raising that; abort after a DIMSE timeout."""

    __slots__ = ("_exchanges",)

    def __init__(self, exchanges: Exchanges) -> None:
        self._exchanges = exchanges

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, *_: object) -> bool:
        match error:
            case None:
                return False
            case DeadlineExceeded():
                self._exchanges._dimse_timed_out()
            case PeerViolation():
                LOGGER.error(f"Invalid response received: {error}")
            case AssociationAborted() | LocalMisuse():
                LOGGER.error(f"Connection closed or aborted before a response was received: {error}")
            case _:
                return False
        return True


def id_of(context: PresentationContext) -> int:
    """Return the ID of an accepted context."""
    assert context.context_id is not None
    return context.context_id


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
