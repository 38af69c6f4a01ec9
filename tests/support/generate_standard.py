"""Generate router/standard/sop_class_table.py from pydicom's UID dictionary (PS3.6 Table A-1).

Run from the repository's root: `python tests/support/generate_standard.py`.
tests/standard/test_sop_classes.py compares the committed table with what this makes of the installed pydicom.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

TABLE_PATH = Path(__file__).parents[2] / "router" / "standard" / "sop_class_table.py"
UID_ROOT = "1.2.840.10008."


class Row(NamedTuple):
    uid: str
    is_retired: bool
    keyword: str
    name: str


NEWER_THAN_PYDICOM = (
    Row("1.2.840.10008.5.1.4.1.1.9.100.1", False, "WaveformPresentationStateStorage", ""),
    Row("1.2.840.10008.5.1.4.1.1.9.100.2", False, "WaveformAcquisitionPresentationStateStorage", ""),
    Row(
        "1.2.840.10008.5.1.4.1.1.66.7", False, "LabelMapSegmentationStorage", "Label Map Segmentation Storage"
    ),
    Row(
        "1.2.840.10008.5.1.4.1.1.66.8",
        False,
        "HeightMapSegmentationStorage",
        "Height Map Segmentation Storage",
    ),
)
"""SOP classes of the Standard that a dictionary of pydicom 3.0 does not know yet."""

# The first pattern that matches a keyword decides; what stands in no pattern stops the generator.
SERVICES = (
    ("verification", r"Verification"),
    ("media-storage", r"MediaStorageDirectoryStorage"),
    ("storage-commitment", r"StorageCommitment\w+"),
    ("storage-management", r"InventoryCreation"),
    (
        "non-patient-object-storage",
        r"(HangingProtocol|ColorPalette|GenericImplantTemplate|ImplantAssemblyTemplate|(CT|XA)DefinedProcedureProtocol"
        r"|ProtocolApproval|Inventory)Storage|ImplantTemplateGroupStorage",
    ),
    ("color-palette-query-retrieve", r"ColorPalette\w+(Find|Move|Get)"),
    ("defined-procedure-protocol-query-retrieve", r"DefinedProcedureProtocol\w+(Find|Move|Get)"),
    ("hanging-protocol-query-retrieve", r"HangingProtocol\w+(Find|Move|Get)"),
    ("implant-template-query-retrieve", r"(GenericImplant|Implant)\w+(Find|Move|Get)"),
    ("inventory-query-retrieve", r"Inventory(Find|Move|Get)"),
    ("protocol-approval-query-retrieve", r"ProtocolApproval\w+(Find|Move|Get)"),
    (
        "query-retrieve",
        r"(PatientRoot|StudyRoot|PatientStudyOnly|Composite)\w+(Find|Move|Get)|RepositoryQuery",
    ),
    ("worklist", r"ModalityWorklist\w+"),
    ("general-purpose-worklist", r"GeneralPurpose\w+"),
    ("unified-procedure-step", r"UnifiedProcedureStep\w+"),
    ("relevant-patient-information-query", r"\w+RelevantPatientInformationQuery"),
    ("substance-administration-query", r"ProductCharacteristicsQuery|SubstanceApprovalQuery"),
    ("application-event-logging", r"ProceduralEventLogging|SubstanceAdministrationLogging"),
    ("display-system-management", r"DisplaySystem"),
    ("instance-availability-notification", r"InstanceAvailabilityNotification"),
    ("media-creation-management", r"MediaCreationManagement"),
    ("procedure-step", r"ModalityPerformedProcedureStep\w*"),
    ("rt-machine-verification", r"RT(Conventional|Ion)MachineVerification\w*"),
    ("real-time-communication", r"\w+RealTimeCommunication"),
    ("detached-management", r"Detached\w+|StudyComponentManagement|BasicStudyContentNotification"),
    ("storage", r"\w+Storage(Retired|Trial|ForPresentation|ForProcessing|SCUSCR)?|"),
    (
        "print-management",
        r"(Basic|Referenced)(Film|Grayscale|Color|Image|Annotation|Print)\w+|VOILUTBox|Print(er|Job|Queue)\w*"
        r"|PresentationLUT|ImageOverlayBox|PullPrintRequest|PullStoredPrintManagementMeta",
    ),
)


def service_of(keyword: str) -> str:
    """Return the service of a SOP class by its keyword; a nameless class is a retired storage class."""
    for service, pattern in SERVICES:
        if re.fullmatch(pattern, keyword):
            return service
    raise ValueError(f"no service for SOP class {keyword}")


def rows() -> list[Row]:
    """Return every SOP class and meta SOP class, in the order of their UIDs' numbers."""
    from pydicom._uid_dict import UID_dictionary

    found = {
        uid: Row(uid, retired == "Retired", keyword, _name(name, keyword))
        for uid, (name, uid_type, _, retired, keyword) in UID_dictionary.items()
        if uid_type in {"SOP Class", "Meta SOP Class"}
    }
    for row in NEWER_THAN_PYDICOM:
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", row.keyword)
        found.setdefault(row.uid, row._replace(name=row.name or spaced))
    return sorted(found.values(), key=lambda row: [int(part) for part in row.uid.split(".")])


def _marked_keyword(row: Row) -> str:
    return "-" + row.keyword if row.is_retired else row.keyword


def _name(name: str, keyword: str) -> str:
    """Return a name that is unique: three retired classes share theirs with their successors."""
    return re.sub(" SOP Class", "", name) + (" (Retired)" if keyword.endswith("Retired") else "")


def generate() -> str:
    """Return the text of the table's module."""
    by_service: dict[str, list[Row]] = {service: [] for service, _ in sorted(SERVICES)}
    for row in rows():
        by_service[service_of(row.keyword)].append(row)
    lines = [
        '"""SOP classes by service: generated by tests/support/generate_standard.py, read by sop_classes.py.',
        "",
        'Rows: the UID after "1.2.840.10008.", keyword, name; a retired class has "-" before its keyword.',
        '"""',
        "",
        "# ruff: noqa: E501",
        "",
        "from __future__ import annotations",
        "",
        "TABLE: dict[str, str] = {",
    ]
    for service, members in by_service.items():
        lines.append(f'    "{service}": """')
        lines += [
            f"{row.uid.removeprefix(UID_ROOT)} {_marked_keyword(row)} {row.name}".rstrip() for row in members
        ]
        lines.append('""",')
    return "\n".join([*lines, "}"]) + "\n"


if __name__ == "__main__":
    TABLE_PATH.write_text(generate(), encoding="ascii")
