"""A DICOM router, and the DICOM networking library under it.

Floors (imports go downwards only): apps > processes > api, delivery > drivers, handoff, spool, routing >
config, metrics > services > protocol > wire > standard, errors. See ARCHITECTURE.md.
The library's names (router/api) are made when they are first asked for: importing this package loads nothing.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from router import _config as _config
    from router import _globals as _globals
    from router import _handlers as _handlers
    from router._globals import ALL_TRANSFER_SYNTAXES as ALL_TRANSFER_SYNTAXES
    from router._globals import DEFAULT_TRANSFER_SYNTAXES as DEFAULT_TRANSFER_SYNTAXES
    from router.api import events as evt
    from router.api.ae import ApplicationEntity as AE
    from router.api.association import Association as Association
    from router.api.debug import debug_logger as debug_logger
    from router.api.presentation import (
        AllStoragePresentationContexts as AllStoragePresentationContexts,
    )
    from router.api.presentation import (
        ApplicationEventLoggingPresentationContexts as ApplicationEventLoggingPresentationContexts,
    )
    from router.api.presentation import (
        BasicWorklistManagementPresentationContexts as BasicWorklistManagementPresentationContexts,
    )
    from router.api.presentation import (
        ColorPalettePresentationContexts as ColorPalettePresentationContexts,
    )
    from router.api.presentation import (
        DefinedProcedureProtocolPresentationContexts as DefinedProcedureProtocolPresentationContexts,
    )
    from router.api.presentation import (
        DisplaySystemPresentationContexts as DisplaySystemPresentationContexts,
    )
    from router.api.presentation import (
        HangingProtocolPresentationContexts as HangingProtocolPresentationContexts,
    )
    from router.api.presentation import (
        ImplantTemplatePresentationContexts as ImplantTemplatePresentationContexts,
    )
    from router.api.presentation import (
        InstanceAvailabilityPresentationContexts as InstanceAvailabilityPresentationContexts,
    )
    from router.api.presentation import (
        MediaCreationManagementPresentationContexts as MediaCreationManagementPresentationContexts,
    )
    from router.api.presentation import (
        MediaStoragePresentationContexts as MediaStoragePresentationContexts,
    )
    from router.api.presentation import (
        ModalityPerformedPresentationContexts as ModalityPerformedPresentationContexts,
    )
    from router.api.presentation import (
        NonPatientObjectPresentationContexts as NonPatientObjectPresentationContexts,
    )
    from router.api.presentation import (
        PrintManagementPresentationContexts as PrintManagementPresentationContexts,
    )
    from router.api.presentation import (
        ProcedureStepPresentationContexts as ProcedureStepPresentationContexts,
    )
    from router.api.presentation import (
        ProtocolApprovalPresentationContexts as ProtocolApprovalPresentationContexts,
    )
    from router.api.presentation import (
        QueryRetrievePresentationContexts as QueryRetrievePresentationContexts,
    )
    from router.api.presentation import (
        RelevantPatientInformationPresentationContexts as RelevantPatientInformationPresentationContexts,
    )
    from router.api.presentation import (
        RTMachineVerificationPresentationContexts as RTMachineVerificationPresentationContexts,
    )
    from router.api.presentation import (
        StorageCommitmentPresentationContexts as StorageCommitmentPresentationContexts,
    )
    from router.api.presentation import (
        StoragePresentationContexts as StoragePresentationContexts,
    )
    from router.api.presentation import (
        SubstanceAdministrationPresentationContexts as SubstanceAdministrationPresentationContexts,
    )
    from router.api.presentation import (
        UnifiedProcedurePresentationContexts as UnifiedProcedurePresentationContexts,
    )
    from router.api.presentation import (
        VerificationPresentationContexts as VerificationPresentationContexts,
    )
    from router.api.presentation import build_context as build_context
    from router.api.presentation import build_role as build_role
    from router.api.sop_class import register_uid as register_uid
    from router.standard.uids import IMPLEMENTATION_CLASS_UID as PYNETDICOM_IMPLEMENTATION_UID
    from router.standard.uids import IMPLEMENTATION_VERSION_NAME as PYNETDICOM_IMPLEMENTATION_VERSION

__version__ = "0.1.0"

PYNETDICOM_UID_PREFIX = "2.25."
"""What UIDs that this library makes begin with: those made from a UUID (PS3.5 section B.2)."""

_HOMES: dict[str, tuple[str, str]] = {
    "AE": ("router.api.ae", "ApplicationEntity"),
    "ALL_TRANSFER_SYNTAXES": ("router._globals", "ALL_TRANSFER_SYNTAXES"),
    "Association": ("router.api.association", "Association"),
    "DEFAULT_TRANSFER_SYNTAXES": ("router._globals", "DEFAULT_TRANSFER_SYNTAXES"),
    "PYNETDICOM_IMPLEMENTATION_UID": ("router.standard.uids", "IMPLEMENTATION_CLASS_UID"),
    "PYNETDICOM_IMPLEMENTATION_VERSION": ("router.standard.uids", "IMPLEMENTATION_VERSION_NAME"),
    "build_context": ("router.api.presentation", "build_context"),
    "build_role": ("router.api.presentation", "build_role"),
    "debug_logger": ("router.api.debug", "debug_logger"),
    "evt": ("router.api.events", ""),
    "register_uid": ("router.api.sop_class", "register_uid"),
}
"""Public name -> (module, name in it); no name: the module itself."""

_CONTEXT_LISTS = (
    "AllStorage",
    "ApplicationEventLogging",
    "BasicWorklistManagement",
    "ColorPalette",
    "DefinedProcedureProtocol",
    "DisplaySystem",
    "HangingProtocol",
    "ImplantTemplate",
    "InstanceAvailability",
    "MediaCreationManagement",
    "MediaStorage",
    "ModalityPerformed",
    "NonPatientObject",
    "PrintManagement",
    "ProcedureStep",
    "ProtocolApproval",
    "QueryRetrieve",
    "RTMachineVerification",
    "RelevantPatientInformation",
    "Storage",
    "StorageCommitment",
    "SubstanceAdministration",
    "UnifiedProcedure",
    "Verification",
)
_HOMES.update(
    (name, ("router.api.presentation", name))
    for name in (f"{kind}PresentationContexts" for kind in _CONTEXT_LISTS)
)
_SUBMODULES = frozenset(
    {"_config", "_globals", "_handlers", "_validators", "acse", "ae", "association", "dimse_messages"}
    | {"dimse_primitives", "dsutils", "events", "pdu", "pdu_primitives", "presentation", "service_class"}
    | {"service_class_n", "sop_class", "status", "transport", "utils"}
)
"""Importing the package is enough to name them, as in `router.status.code_to_category`."""

__all__ = [
    "AE",
    "ALL_TRANSFER_SYNTAXES",
    "DEFAULT_TRANSFER_SYNTAXES",
    "PYNETDICOM_IMPLEMENTATION_UID",
    "PYNETDICOM_IMPLEMENTATION_VERSION",
    "PYNETDICOM_UID_PREFIX",
    "AllStoragePresentationContexts",
    "ApplicationEventLoggingPresentationContexts",
    "BasicWorklistManagementPresentationContexts",
    "ColorPalettePresentationContexts",
    "DefinedProcedureProtocolPresentationContexts",
    "DisplaySystemPresentationContexts",
    "HangingProtocolPresentationContexts",
    "ImplantTemplatePresentationContexts",
    "InstanceAvailabilityPresentationContexts",
    "MediaCreationManagementPresentationContexts",
    "MediaStoragePresentationContexts",
    "ModalityPerformedPresentationContexts",
    "NonPatientObjectPresentationContexts",
    "PrintManagementPresentationContexts",
    "ProcedureStepPresentationContexts",
    "ProtocolApprovalPresentationContexts",
    "QueryRetrievePresentationContexts",
    "RTMachineVerificationPresentationContexts",
    "RelevantPatientInformationPresentationContexts",
    "StorageCommitmentPresentationContexts",
    "StoragePresentationContexts",
    "SubstanceAdministrationPresentationContexts",
    "UnifiedProcedurePresentationContexts",
    "VerificationPresentationContexts",
    "__version__",
    "build_context",
    "build_role",
    "debug_logger",
    "evt",
    "register_uid",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module_name, attribute = _HOMES[name]
    found = importlib.import_module(module_name)
    if attribute:
        found = getattr(found, attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
