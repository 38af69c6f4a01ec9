"""SOP classes under the names that programs import, each a UID that knows its service class.

`from router.sop_class import CTImageStorage` makes the object when it is first asked for; register_uid adds
names of a program's own.
"""

from __future__ import annotations

from keyword import iskeyword
from typing import Any

from pydicom.uid import UID

from router.api.service_class import (
    SERVICE_CLASSES,
    NonPatientObjectStorageServiceClass,
    QueryRetrieveServiceClass,
    ServiceClass,
    StorageServiceClass,
    UnifiedProcedureStepServiceClass,
)
from router.api.sop_class_lists import OFFERED, library_name
from router.standard import dimse_fields
from router.standard.uids import STORAGE_SERVICE_CLASS, WELL_KNOWN_INSTANCES

UPS_SERVICE_CLASS = "1.2.840.10008.5.1.4.34.6"

_INSTANCE_NAMES = """
    DisplaySystemInstance PrinterInstance PrinterConfigurationRetrievalInstance
    ProceduralEventLoggingInstance StorageCommitmentPushModelInstance StorageManagementInstance
    SubstanceAdministrationLoggingInstance UPSGlobalSubscriptionInstance
    UPSFilteredGlobalSubscriptionInstance
"""

_UIDS: dict[str, str] = {library_name(info): uid for uid, info in OFFERED.items()}
_INSTANCES: dict[str, str] = {
    name: uid for uid, name in WELL_KNOWN_INSTANCES.items() if name in _INSTANCE_NAMES.split()
}
_REGISTERED: dict[str, type[ServiceClass]] = {}
_QUERY_MESSAGES: dict[str, frozenset[int]] = {
    "C-FIND": frozenset({dimse_fields.C_FIND_RQ}),
    "C-GET": frozenset({dimse_fields.C_GET_RQ}),
    "C-MOVE": frozenset({dimse_fields.C_MOVE_RQ}),
}
_MESSAGES_OF: dict[str, frozenset[int]] = {}


class SOPClass(UID):
    """The UID of a SOP class. service_class: the service class it belongs to."""

    @property
    def service_class(self) -> type[ServiceClass]:
        """The service class; ServiceClass itself when nothing is known."""
        return uid_to_service_class(self)


def uid_to_service_class(uid: str) -> type[ServiceClass]:
    """Return the service class of a SOP class, or of the two service class UIDs that negotiation names."""
    found = _REGISTERED.get(uid)
    if found is not None:
        return found
    if uid == STORAGE_SERVICE_CLASS:
        return StorageServiceClass
    if uid == UPS_SERVICE_CLASS:
        return UnifiedProcedureStepServiceClass
    info = OFFERED.get(uid)
    return ServiceClass if info is None else SERVICE_CLASSES.get(info.service, ServiceClass)


def uid_to_sop_class(uid: str) -> SOPClass:
    """Return the SOP class with this UID, known or not."""
    return SOPClass(uid, validation_mode=0)


def messages_of(uid: str) -> frozenset[int] | None:
    """Return the Command Fields that one registered query SOP class is for; None: those of its service."""
    return _MESSAGES_OF.get(uid)


def register_uid(uid: str, keyword: str, service_class: type[ServiceClass], dimse_msg_type: str = "") -> None:
    """Make a private or retired SOP class known: `from router.sop_class import <keyword>` works afterwards.

    dimse_msg_type: "C-FIND", "C-GET" or "C-MOVE", for a query/retrieve service class only.
    Raises ValueError for a keyword or message type that cannot be, TypeError for what is no service class.
    """
    if not keyword.isidentifier() or iskeyword(keyword):
        raise ValueError(f"the keyword {keyword!r} is not a valid Python identifier")
    if not isinstance(service_class, type) or not issubclass(service_class, ServiceClass):
        raise TypeError("'service_class' must be a subclass of ServiceClass")
    if issubclass(service_class, QueryRetrieveServiceClass):
        if service_class is QueryRetrieveServiceClass and dimse_msg_type not in _QUERY_MESSAGES:
            raise ValueError("'dimse_msg_type' must be 'C-FIND', 'C-GET' or 'C-MOVE'")
        if dimse_msg_type:
            _MESSAGES_OF[uid] = _QUERY_MESSAGES[dimse_msg_type]
    _REGISTERED[uid] = service_class
    _UIDS[keyword] = uid
    globals()[keyword] = uid_to_sop_class(uid)


def __getattr__(name: str) -> Any:
    if name in _UIDS:
        made: UID = uid_to_sop_class(_UIDS[name])
    elif name in _INSTANCES:
        made = UID(_INSTANCES[name])
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = made
    return made


def __dir__() -> list[str]:
    return sorted({*globals(), *_UIDS, *_INSTANCES})


__all__ = [
    "NonPatientObjectStorageServiceClass",
    "SOPClass",
    "messages_of",
    "register_uid",
    "uid_to_service_class",
    "uid_to_sop_class",
]
