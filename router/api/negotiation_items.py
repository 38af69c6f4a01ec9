"""The negotiation items that programs give to associate() and find on both users of an association.

One class for each sub-item of PS3.7 Annex D.3.3; setters check types, so that a mistake shows at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from router._globals import DEFAULT_MAX_LENGTH
from router.api.utils import as_uid, check_uid
from router.wire.user_information import (
    AsynchronousOperationsWindow,
    RoleSelection,
    SOPClassCommonExtended,
    SOPClassExtended,
    UserIdentityRQ,
    UserInformation,
)

if TYPE_CHECKING:
    from pydicom.uid import UID

IMPLEMENTATION_VERSION_NAME_MAX = 16
USER_IDENTITY_TYPES = (1, 2, 3, 4, 5)


def _typed(value: Any, kind: type, name: str, allow_none: bool = True) -> Any:
    if (value is None and allow_none) or (isinstance(value, kind) and not (kind is int and value is True)):
        return value
    raise TypeError(f"'{name}' must be {kind.__name__}, not '{type(value).__name__}'")


def _count(value: Any, name: str) -> int:
    count: int = _typed(value, int, name, allow_none=False)
    if count < 0:
        raise ValueError(f"'{name}' must be greater than or equal to 0")
    return count


class ServiceParameter:
    """What all items share: equality by value."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"  # values may be credentials


class _OfSOPClass(ServiceParameter):
    """An item about one SOP class."""

    def __init__(self) -> None:
        self._sop_class_uid: str | None = None

    @property
    def sop_class_uid(self) -> UID | None:
        """The SOP class the item is about."""
        return None if self._sop_class_uid is None else as_uid(self._sop_class_uid)

    @sop_class_uid.setter
    def sop_class_uid(self, value: str | bytes | None) -> None:
        self._sop_class_uid = check_uid(value, "sop_class_uid")

    @property
    def sop_class_text(self) -> str:
        """The SOP class as plain text. Raises ValueError if there is none."""
        if not self._sop_class_uid:
            raise ValueError(f"{type(self).__name__} needs a SOP class UID")
        return self._sop_class_uid


class MaximumLengthNotification(ServiceParameter):
    """Sub-item 51H: the largest P-DATA-TF variable field its sender takes, in bytes; 0: no limit."""

    def __init__(self) -> None:
        self._maximum_length = DEFAULT_MAX_LENGTH

    @property
    def maximum_length_received(self) -> int:
        """The maximum length in bytes."""
        return self._maximum_length

    @maximum_length_received.setter
    def maximum_length_received(self, value: int) -> None:
        self._maximum_length = _count(value, "maximum_length_received")


class ImplementationClassUIDNotification(ServiceParameter):
    """Sub-item 52H: which implementation its sender is."""

    def __init__(self) -> None:
        self._uid: str | None = None

    @property
    def implementation_class_uid(self) -> UID | None:
        """The implementation class UID."""
        return None if self._uid is None else as_uid(self._uid)

    @implementation_class_uid.setter
    def implementation_class_uid(self, value: str | bytes | None) -> None:
        self._uid = check_uid(value, "implementation_class_uid")


class ImplementationVersionNameNotification(ServiceParameter):
    """Sub-item 55H: which version of it, 16 characters at most."""

    def __init__(self) -> None:
        self._name: str | None = None

    @property
    def implementation_version_name(self) -> str | None:
        """The implementation version name."""
        return self._name

    @implementation_version_name.setter
    def implementation_version_name(self, value: str | None) -> None:
        name: str | None = _typed(value, str, "implementation_version_name")
        if name is not None and len(name) > IMPLEMENTATION_VERSION_NAME_MAX:
            raise ValueError("'implementation_version_name' must not exceed 16 characters")
        self._name = name


class AsynchronousOperationsWindowNegotiation(ServiceParameter):
    """Sub-item 53H: how many operations may be outstanding; 0: any number."""

    def __init__(self) -> None:
        self._invoked = 1
        self._performed = 1

    @property
    def maximum_number_operations_invoked(self) -> int:
        """Operations the requestor may have outstanding."""
        return self._invoked

    @maximum_number_operations_invoked.setter
    def maximum_number_operations_invoked(self, value: int) -> None:
        self._invoked = _count(value, "maximum_number_operations_invoked")

    @property
    def maximum_number_operations_performed(self) -> int:
        """Operations the acceptor may have outstanding."""
        return self._performed

    @maximum_number_operations_performed.setter
    def maximum_number_operations_performed(self, value: int) -> None:
        self._performed = _count(value, "maximum_number_operations_performed")


class SCP_SCU_RoleSelectionNegotiation(_OfSOPClass):
    """Sub-item 54H: the roles the requestor proposes to take for one SOP class."""

    def __init__(self) -> None:
        super().__init__()
        self._scu_role: bool | None = None
        self._scp_role: bool | None = None

    @property
    def scu_role(self) -> bool | None:
        """Whether the requestor would be SCU."""
        return self._scu_role

    @scu_role.setter
    def scu_role(self, value: bool | None) -> None:
        self._scu_role = _typed(value, bool, "scu_role")

    @property
    def scp_role(self) -> bool | None:
        """Whether the requestor would be SCP."""
        return self._scp_role

    @scp_role.setter
    def scp_role(self, value: bool | None) -> None:
        self._scp_role = _typed(value, bool, "scp_role")


class SOPClassExtendedNegotiation(_OfSOPClass):
    """Sub-item 56H: application information of one SOP class, opaque here."""

    def __init__(self) -> None:
        super().__init__()
        self._information: bytes | None = None

    @property
    def service_class_application_information(self) -> bytes | None:
        """The information, as the service's part of PS3.4 defines it."""
        return self._information

    @service_class_application_information.setter
    def service_class_application_information(self, value: bytes | None) -> None:
        self._information = _typed(value, bytes, "service_class_application_information")


class SOPClassCommonExtendedNegotiation(_OfSOPClass):
    """Sub-item 57H: which service class a SOP class belongs to, and its related general SOP classes."""

    def __init__(self) -> None:
        super().__init__()
        self._service_class_uid: str | None = None
        self._related: list[str] = []

    @property
    def service_class_uid(self) -> UID | None:
        """The service class the SOP class belongs to."""
        return None if self._service_class_uid is None else as_uid(self._service_class_uid)

    @service_class_uid.setter
    def service_class_uid(self, value: str | bytes | None) -> None:
        self._service_class_uid = check_uid(value, "service_class_uid")

    @property
    def related_general_sop_class_identification(self) -> list[UID]:
        """The SOP classes that the SOP class may be treated as."""
        return [as_uid(uid) for uid in self._related]

    @related_general_sop_class_identification.setter
    def related_general_sop_class_identification(self, values: list[str] | list[UID]) -> None:
        if not isinstance(values, list):
            raise TypeError("'related_general_sop_class_identification' must be a list of UID")
        self._related = [check_uid(value, "related SOP class", False, False) or "" for value in values]


class UserIdentityNegotiation(ServiceParameter):
    """Sub-items 58H and 59H: who the requestor's user is, and what the acceptor answers.

    user_identity_type: 1 name, 2 name and passcode, 3 Kerberos ticket, 4 SAML assertion, 5 JSON web token.
    """

    def __init__(self) -> None:
        self._type: int | None = None
        self._positive_response_requested = False
        self._primary_field: bytes | None = None
        self._secondary_field: bytes | None = b""
        self._server_response: bytes | None = None

    @property
    def user_identity_type(self) -> int | None:
        """The kind of identity; None in the acceptor's answer."""
        return self._type

    @user_identity_type.setter
    def user_identity_type(self, value: int | None) -> None:
        kind: int | None = _typed(value, int, "user_identity_type")
        if kind is not None and kind not in USER_IDENTITY_TYPES:
            raise ValueError("'user_identity_type' must be 1, 2, 3, 4 or 5")
        self._type = kind

    @property
    def positive_response_requested(self) -> bool:
        """Whether the requestor wants an answer."""
        return self._positive_response_requested

    @positive_response_requested.setter
    def positive_response_requested(self, value: bool) -> None:
        self._positive_response_requested = _typed(value, bool, "positive_response_requested", False)

    @property
    def primary_field(self) -> bytes | None:
        """Name, ticket, assertion or token."""
        return self._primary_field

    @primary_field.setter
    def primary_field(self, value: bytes | None) -> None:
        self._primary_field = _typed(value, bytes, "primary_field")

    @property
    def secondary_field(self) -> bytes | None:
        """The passcode, with type 2."""
        return self._secondary_field

    @secondary_field.setter
    def secondary_field(self, value: bytes | None) -> None:
        self._secondary_field = _typed(value, bytes, "secondary_field")

    @property
    def server_response(self) -> bytes | None:
        """The acceptor's answer."""
        return self._server_response

    @server_response.setter
    def server_response(self, value: bytes | None) -> None:
        self._server_response = _typed(value, bytes, "server_response")


NegotiationItem = (
    MaximumLengthNotification
    | ImplementationClassUIDNotification
    | ImplementationVersionNameNotification
    | AsynchronousOperationsWindowNegotiation
    | SCP_SCU_RoleSelectionNegotiation
    | SOPClassExtendedNegotiation
    | SOPClassCommonExtendedNegotiation
    | UserIdentityNegotiation
)


def items_of(information: UserInformation) -> list[ServiceParameter]:
    """Return the items that stand for what one side said, in the order of the wire."""
    items: list[ServiceParameter] = []
    if information.maximum_length is not None:
        length = MaximumLengthNotification()
        length.maximum_length_received = information.maximum_length
        items.append(length)
    if information.implementation_class_uid is not None:
        implementation = ImplementationClassUIDNotification()
        implementation._uid = information.implementation_class_uid
        items.append(implementation)
    if information.implementation_version_name is not None:
        version = ImplementationVersionNameNotification()
        version._name = information.implementation_version_name
        items.append(version)
    items += map(role_item, information.role_selections)
    if information.asynchronous_operations is not None:
        window = AsynchronousOperationsWindowNegotiation()
        window._invoked = information.asynchronous_operations.invoked
        window._performed = information.asynchronous_operations.performed
        items.append(window)
    items += _identity_items(information)
    items += map(_extended_item, information.sop_class_extended)
    items += map(_common_extended_item, information.sop_class_common_extended)
    return items


def information_of(items: Iterable[ServiceParameter]) -> UserInformation:
    """Return what the items say together, for the wire. Raises ValueError for an incomplete item."""
    said: dict[str, Any] = {}
    roles, extended, common = [], [], []
    for item in items:
        match item:
            case MaximumLengthNotification():
                said["maximum_length"] = item.maximum_length_received
            case ImplementationClassUIDNotification():
                said["implementation_class_uid"] = item._uid
            case ImplementationVersionNameNotification():
                said["implementation_version_name"] = item.implementation_version_name or None
            case AsynchronousOperationsWindowNegotiation():
                said["asynchronous_operations"] = AsynchronousOperationsWindow(item._invoked, item._performed)
            case SCP_SCU_RoleSelectionNegotiation():
                roles.append(role_selection(item))
            case SOPClassExtendedNegotiation():
                information = item.service_class_application_information or b""
                extended.append(SOPClassExtended(item.sop_class_text, information))
            case SOPClassCommonExtendedNegotiation():
                common.append(_common_extended(item))
            case UserIdentityNegotiation() if item.user_identity_type is not None:
                said["user_identity"] = _user_identity(item)
    return UserInformation(
        role_selections=tuple(roles),
        sop_class_extended=tuple(extended),
        sop_class_common_extended=tuple(common),
        **said,
    )


def role_selection(item: SCP_SCU_RoleSelectionNegotiation) -> RoleSelection:
    """Return a role selection item for the wire. Raises ValueError if no role is proposed."""
    if not item.scu_role and not item.scp_role:
        raise ValueError("a role selection must propose at least one of SCU and SCP")
    return RoleSelection(item.sop_class_text, bool(item.scu_role), bool(item.scp_role))


def role_item(selection: RoleSelection) -> SCP_SCU_RoleSelectionNegotiation:
    """Return the item of a role selection."""
    item = SCP_SCU_RoleSelectionNegotiation()
    item._sop_class_uid = selection.sop_class_uid
    item.scu_role = selection.scu_role
    item.scp_role = selection.scp_role
    return item


def _user_identity(item: UserIdentityNegotiation) -> UserIdentityRQ:
    if item.user_identity_type is None or item.primary_field is None:
        raise ValueError("a user identity needs a type and a primary field")
    if item.user_identity_type == 2 and not item.secondary_field:
        raise ValueError("a user identity of type 2 needs a secondary field, the passcode")
    return UserIdentityRQ(
        item.user_identity_type,
        item.positive_response_requested,
        item.primary_field,
        item.secondary_field or b"",
    )


def _common_extended(item: SOPClassCommonExtendedNegotiation) -> SOPClassCommonExtended:
    if not item._service_class_uid:
        raise ValueError("SOPClassCommonExtendedNegotiation needs a service class UID")
    return SOPClassCommonExtended(item.sop_class_text, item._service_class_uid, tuple(item._related))


def _identity_items(information: UserInformation) -> list[ServiceParameter]:
    items: list[ServiceParameter] = []
    rq, ac = information.user_identity, information.user_identity_response
    if rq is not None:
        identity = UserIdentityNegotiation()
        identity._type = rq.identity_type
        identity._positive_response_requested = rq.positive_response_requested
        identity._primary_field = rq.primary_field
        identity._secondary_field = rq.secondary_field
        items.append(identity)
    if ac is not None:
        answer = UserIdentityNegotiation()
        answer._server_response = ac.server_response
        items.append(answer)
    return items


def _extended_item(extended: SOPClassExtended) -> SOPClassExtendedNegotiation:
    item = SOPClassExtendedNegotiation()
    item._sop_class_uid = extended.sop_class_uid
    item._information = extended.information
    return item


def _common_extended_item(common: SOPClassCommonExtended) -> SOPClassCommonExtendedNegotiation:
    item = SOPClassCommonExtendedNegotiation()
    item._sop_class_uid = common.sop_class_uid
    item._service_class_uid = common.service_class_uid
    item._related = list(common.related_general_sop_classes)
    return item
