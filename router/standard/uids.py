"""Unique identifiers that code names one by one, our own identity, and the rule of what a UID may look like.

PS3.6 Annex A (values), PS3.5 chapter 9 (encoding rules).
"""

from __future__ import annotations

import re

UID_MAX = 64
"""Longest UID in characters (PS3.5 section 9.1)."""

IMPLEMENTATION_CLASS_UID = "2.25.252909451773836284081842336507138027980"
"""Names this implementation in every association (PS3.7 Annex D.3.3.2); made from a UUID (PS3.5 B.2)."""

IMPLEMENTATION_VERSION_NAME = "DICOM_ROUTER_010"
"""At most 16 characters of the ISO 646 basic set (PS3.7 Annex D.3.3.2.3)."""

DICOM_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
"""The only application context name of the Standard (PS3.7 Annex A.2.1)."""

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_SERVICE_CLASS = "1.2.840.10008.4.2"
STORAGE_COMMITMENT_PUSH_MODEL = "1.2.840.10008.1.20.1"
MEDIA_STORAGE_DIRECTORY_STORAGE = "1.2.840.10008.1.3.10"
MODALITY_WORKLIST_FIND = "1.2.840.10008.5.1.4.31"
MODALITY_PERFORMED_PROCEDURE_STEP = "1.2.840.10008.3.1.2.3.3"
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.7"

WELL_KNOWN_INSTANCES: dict[str, str] = {
    "1.2.840.10008.1.20.1.1": "StorageCommitmentPushModelInstance",
    "1.2.840.10008.1.20.2.1": "StorageCommitmentPullModelInstance",
    "1.2.840.10008.1.40.1": "ProceduralEventLoggingInstance",
    "1.2.840.10008.1.42.1": "SubstanceAdministrationLoggingInstance",
    "1.2.840.10008.1.5.1": "HotIronPalette",
    "1.2.840.10008.1.5.2": "PETPalette",
    "1.2.840.10008.1.5.3": "HotMetalBluePalette",
    "1.2.840.10008.1.5.4": "PET20StepPalette",
    "1.2.840.10008.1.5.5": "SpringPalette",
    "1.2.840.10008.1.5.6": "SummerPalette",
    "1.2.840.10008.1.5.7": "FallPalette",
    "1.2.840.10008.1.5.8": "WinterPalette",
    "1.2.840.10008.5.1.1.17": "PrinterInstance",
    "1.2.840.10008.5.1.1.17.376": "PrinterConfigurationRetrievalInstance",
    "1.2.840.10008.5.1.1.25": "PrintQueueInstance",
    "1.2.840.10008.5.1.1.40.1": "DisplaySystemInstance",
    "1.2.840.10008.5.1.4.1.1.201.1.1": "StorageManagementInstance",
    "1.2.840.10008.5.1.4.34.5": "UPSGlobalSubscriptionInstance",
    "1.2.840.10008.5.1.4.34.5.1": "UPSFilteredGlobalSubscriptionInstance",
}
"""Well-known SOP Instances, which exist without being created: UID -> keyword (PS3.6 Table A-1)."""

_DIGITS_AND_DOTS = re.compile(r"[0-9]+(?:\.[0-9]+)*\Z", re.ASCII)


def is_valid_uid(text: str) -> bool:
    """Say whether text has the form of a UID: 1-64 characters, components of digits joined by single dots.

    A leading zero in a component (forbidden by PS3.5 section 9.1) is tolerated: real devices send it.
    """
    return len(text) <= UID_MAX and _DIGITS_AND_DOTS.match(text) is not None
