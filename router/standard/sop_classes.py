"""SOP classes: their names and the service each belongs to (PS3.4, PS3.6 Table A-1).

The table itself is generated data, sop_class_table.py; its keys are the names of the services.
"""

from __future__ import annotations

from typing import NamedTuple

from router.standard.sop_class_table import TABLE

_UID_ROOT = "1.2.840.10008."

STORAGE_SERVICES = frozenset({"storage", "non-patient-object-storage"})
"""Services whose SOP classes are stored by C-STORE."""

OTHER_KEYWORDS: dict[str, str] = {
    "ColorPaletteInformationModelFind": "ColorPaletteQueryRetrieveInformationModelFind",
    "ColorPaletteInformationModelGet": "ColorPaletteQueryRetrieveInformationModelGet",
    "ColorPaletteInformationModelMove": "ColorPaletteQueryRetrieveInformationModelMove",
    "ModalityWorklistInformationFind": "ModalityWorklistInformationModelFind",
    "OphthlamicOpticalCoherenceTomographyBscanVolumeAnalysisStorage": (
        "OphthalmicOpticalCoherenceTomographyBscanVolumeAnalysisStorage"
    ),
    "PseudoColorSoftcopyPresentationStageStorage": "PseudoColorSoftcopyPresentationStateStorage",
    "RTBrachyApplicationSetupDeliveryInstructionsStorage": (
        "RTBrachyApplicationSetupDeliveryInstructionStorage"
    ),
    "RoboticArmRadiationRecordStorage": "RoboticRadiationRecordStorage",
    "VariableModalityLUTSoftcopyPresentationStageStorage": (
        "VariableModalityLUTSoftcopyPresentationStateStorage"
    ),
}
"""Spellings that programs in the field import, wrong ones included -> keyword of the table."""


class SOPClassInfo(NamedTuple):
    """One SOP class or meta SOP class of the Standard."""

    uid: str
    name: str
    service: str
    keyword: str
    is_retired: bool


def _read_table() -> dict[str, SOPClassInfo]:
    classes: dict[str, SOPClassInfo] = {}
    for service, rows in TABLE.items():
        for row in rows.splitlines():
            if not row:
                continue
            suffix, keyword, name = (*row.split(" ", 2), "", "")[:3]
            uid = _UID_ROOT + suffix
            is_retired = keyword.startswith("-")
            keyword = keyword.removeprefix("-")
            classes[uid] = SOPClassInfo(uid, name or f"(Retired) {uid}", service, keyword, is_retired)
    return classes


SOP_CLASSES: dict[str, SOPClassInfo] = _read_table()
"""UID -> what is known of it. Private SOP classes, and ones newer than the table, are not in it."""

_STORAGE = frozenset(uid for uid, info in SOP_CLASSES.items() if info.service in STORAGE_SERVICES)


def is_storage(uid: str) -> bool:
    """Say whether uid is a known SOP class stored by C-STORE; retired and non-patient ones are included."""
    return uid in _STORAGE


def service_of(uid: str) -> str | None:
    """Return the name of the service a SOP class belongs to; None for a UID that is not in the table."""
    info = SOP_CLASSES.get(uid)
    return None if info is None else info.service


def name_of(uid: str) -> str:
    """Return the name of a SOP class, or the UID itself when it is not in the table."""
    info = SOP_CLASSES.get(uid)
    return uid if info is None else info.name
