"""The two users of an association, its requestor and its acceptor: who they are and what they said."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from router._globals import DEFAULT_MAX_LENGTH, MODE_ACCEPTOR, MODE_REQUESTOR
from router.api.address import AddressInformation
from router.api.negotiation_items import (
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    NegotiationItem,
    SCP_SCU_RoleSelectionNegotiation,
    ServiceParameter,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from router.api.presentation import PresentationContext
from router.api.utils import as_uid, check_uid, set_ae

if TYPE_CHECKING:
    from pydicom.uid import UID

    from router.api.association_state import AssociationState
    from router.api.pdu_primitives import A_ASSOCIATE

ItemT = TypeVar("ItemT", bound=ServiceParameter)

_EXTENDED = (
    AsynchronousOperationsWindowNegotiation,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)


class ServiceUser:
    """One side of an association.

    primitive: the A-ASSOCIATE primitive it sent, once there is one; from then on what it said is what was
    sent, and its setters raise RuntimeError. accepted_common_extended: of an acceptor, the common extended
    negotiation it took.
    """

    def __init__(self, assoc: AssociationState, mode: str) -> None:
        if mode not in (MODE_REQUESTOR, MODE_ACCEPTOR):
            raise ValueError("'mode' must be 'requestor' or 'acceptor'")
        self.assoc = assoc
        self.primitive: A_ASSOCIATE | None = None
        self.address_info: AddressInformation | None = None
        self.accepted_common_extended: dict[str, SOPClassCommonExtendedNegotiation] = {}
        self._mode = mode
        self._ae_title = ""
        self._maximum_length = DEFAULT_MAX_LENGTH
        self._implementation_class_uid: str | None = None
        self._implementation_version_name: str | None = None
        self._contexts: list[PresentationContext] = []
        self._extended: list[ServiceParameter] = []

    # Who it is

    @property
    def mode(self) -> str:
        """ "requestor" or "acceptor"."""
        return self._mode

    @property
    def is_requestor(self) -> bool:
        """Whether it asked for the association."""
        return self._mode == MODE_REQUESTOR

    @property
    def is_acceptor(self) -> bool:
        """Whether it was asked for the association."""
        return self._mode == MODE_ACCEPTOR

    @property
    def address(self) -> str | None:
        """Its IP address."""
        return None if self.address_info is None else self.address_info.address

    @property
    def port(self) -> int | None:
        """Its port."""
        return None if self.address_info is None else self.address_info.port

    @property
    def ae_title(self) -> str:
        """Its AE title."""
        return self._ae_title

    @ae_title.setter
    def ae_title(self, value: str) -> None:
        self._require_writeable()
        self._ae_title = set_ae(value, "ae_title", False, False) or ""

    @property
    def info(self) -> dict[str, Any]:
        """The most asked-for facts as a dictionary."""
        return {
            "ae_title": self.ae_title,
            "address": self.address,
            "port": self.port,
            "mode": self.mode,
            "pdv_size": self.maximum_length,
        }

    @property
    def writeable(self) -> bool:
        """Whether it may still be changed: until its negotiation begins."""
        return self.primitive is None

    # What it said about itself

    @property
    def maximum_length(self) -> int | None:
        """The largest P-DATA-TF variable field it takes, in bytes; 0: no limit."""
        if self.primitive is not None:
            return self.primitive.maximum_length_received
        return self._maximum_length

    @maximum_length.setter
    def maximum_length(self, value: int) -> None:
        self._require_writeable()
        item = MaximumLengthNotification()
        item.maximum_length_received = value
        self._maximum_length = item.maximum_length_received

    @property
    def implementation_class_uid(self) -> UID | None:
        """Its implementation class UID."""
        item = self._said(ImplementationClassUIDNotification)
        if self.primitive is not None:
            return None if item is None else item.implementation_class_uid
        uid = self._implementation_class_uid
        return None if uid is None else as_uid(uid)

    @implementation_class_uid.setter
    def implementation_class_uid(self, value: str) -> None:
        self._require_writeable()
        self._implementation_class_uid = check_uid(value, "implementation_class_uid", False, False)

    @property
    def implementation_version_name(self) -> str | None:
        """Its implementation version name."""
        item = self._said(ImplementationVersionNameNotification)
        if self.primitive is not None:
            return None if item is None else item.implementation_version_name
        return self._implementation_version_name

    @implementation_version_name.setter
    def implementation_version_name(self, value: str | None) -> None:
        self._require_writeable()
        item = ImplementationVersionNameNotification()
        item.implementation_version_name = value
        self._implementation_version_name = value

    # Presentation contexts

    @property
    def requested_contexts(self) -> list[PresentationContext]:
        """The contexts a requestor proposes."""
        self._require(self.is_requestor, "requested_contexts")
        return self.get_contexts("requested")

    @requested_contexts.setter
    def requested_contexts(self, contexts: list[PresentationContext]) -> None:
        self._require(self.is_requestor, "requested_contexts")
        self._require_writeable()
        self._contexts = [context.copy() for context in contexts]
        for number, context in enumerate(self._contexts):
            context.context_id = 2 * number + 1

    @property
    def supported_contexts(self) -> list[PresentationContext]:
        """The contexts an acceptor supports."""
        self._require(self.is_acceptor, "supported_contexts")
        return self.get_contexts("supported")

    @supported_contexts.setter
    def supported_contexts(self, contexts: list[PresentationContext]) -> None:
        self._require(self.is_acceptor, "supported_contexts")
        self._require_writeable()
        self._contexts = list(contexts)

    def get_contexts(self, cx_type: str) -> list[PresentationContext]:
        """Return contexts: "requested" or "supported" as configured, "pcdl" (definition list, as sent) or
        "pcdrl" (definition result list, as sent). Raises ValueError for another word."""
        if cx_type == "pcdl" and self.is_requestor:
            primitive = self.primitive
            return [] if primitive is None else list(primitive.presentation_context_definition_list)
        if cx_type == "pcdrl" and self.is_acceptor:
            primitive = self.primitive
            return [] if primitive is None else list(primitive.presentation_context_definition_results_list)
        if cx_type == ("requested" if self.is_requestor else "supported"):
            return list(self._contexts)
        raise ValueError(f"an association {self.mode} has no contexts of type '{cx_type}'")

    # Negotiation items

    @property
    def user_information(self) -> list[ServiceParameter]:
        """Every item it says or said, in the order of the wire."""
        if self.primitive is not None:
            return list(self.primitive.user_information)
        length = MaximumLengthNotification()
        length.maximum_length_received = self._maximum_length
        items: list[ServiceParameter] = [length]
        if self._implementation_class_uid is not None:
            implementation = ImplementationClassUIDNotification()
            implementation._uid = self._implementation_class_uid
            items.append(implementation)
        if self._implementation_version_name is not None:
            version = ImplementationVersionNameNotification()
            version._name = self._implementation_version_name
            items.append(version)
        return items + self._extended

    @property
    def extended_negotiation(self) -> list[ServiceParameter]:
        """The items beyond maximum length and implementation."""
        return [item for item in self.user_information if isinstance(item, _EXTENDED)]

    def add_negotiation_item(self, item: NegotiationItem) -> None:
        """Say something more; what may be said once only replaces what was said before.

        Raises RuntimeError after negotiation began, TypeError for what is no item.
        """
        self._require_writeable()
        if isinstance(item, MaximumLengthNotification):
            self._maximum_length = item.maximum_length_received
        elif isinstance(item, ImplementationClassUIDNotification):
            self._implementation_class_uid = item._uid
        elif isinstance(item, ImplementationVersionNameNotification):
            self._implementation_version_name = item.implementation_version_name
        elif isinstance(item, AsynchronousOperationsWindowNegotiation | UserIdentityNegotiation):
            self._extended = [other for other in self._extended if type(other) is not type(item)]
            self._extended.append(item)
        elif isinstance(item, _EXTENDED):
            self._extended.append(item)
        else:
            raise TypeError(f"'{type(item).__name__}' is not a negotiation item")

    def remove_negotiation_item(self, item: NegotiationItem) -> None:
        """Do not say that; an item that was not added is no error."""
        self._require_writeable()
        if isinstance(item, MaximumLengthNotification | ImplementationClassUIDNotification):
            raise ValueError(f"a {type(item).__name__} cannot be removed: the Standard demands it")
        if isinstance(item, ImplementationVersionNameNotification):
            self._implementation_version_name = None
        elif item in self._extended:
            self._extended.remove(item)

    def reset_negotiation_items(self) -> None:
        """Say no more than maximum length and implementation."""
        self._require_writeable()
        self._extended = []

    @property
    def role_selection(self) -> dict[str, SCP_SCU_RoleSelectionNegotiation]:
        """Its role selection items by SOP class."""
        return {item.sop_class_text: item for item in self._all(SCP_SCU_RoleSelectionNegotiation)}

    @property
    def asynchronous_operations(self) -> tuple[int, int]:
        """Operations (invoked, performed) it names; (1, 1) if it names none."""
        item = self._said(AsynchronousOperationsWindowNegotiation)
        if item is None:
            return 1, 1
        return item.maximum_number_operations_invoked, item.maximum_number_operations_performed

    @property
    def sop_class_extended(self) -> dict[str, bytes]:
        """Its SOP class extended negotiation: application information by SOP class."""
        return {
            item.sop_class_text: item.service_class_application_information or b""
            for item in self._all(SOPClassExtendedNegotiation)
        }

    @property
    def sop_class_common_extended(self) -> dict[str, SOPClassCommonExtendedNegotiation]:
        """A requestor's SOP class common extended negotiation items by SOP class."""
        return {item.sop_class_text: item for item in self._all(SOPClassCommonExtendedNegotiation)}

    @property
    def user_identity(self) -> UserIdentityNegotiation | None:
        """Its user identity item."""
        return self._said(UserIdentityNegotiation)

    # Inside

    def _all(self, kind: type[ItemT]) -> Iterable[ItemT]:
        return [item for item in self.user_information if isinstance(item, kind)]

    def _said(self, kind: type[ItemT]) -> ItemT | None:
        return next(iter(self._all(kind)), None)

    def _require_writeable(self) -> None:
        if not self.writeable:
            raise RuntimeError("an association's users cannot be changed once its negotiation has begun")

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise AttributeError(f"an association {self.mode} has no '{what}'")
