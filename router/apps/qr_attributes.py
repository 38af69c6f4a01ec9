"""The attributes that qrscp keeps of an instance: their level in the query models, and how they are matched.

PS3.4 section C.6. In the study root model the patient's attributes belong to the study.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from router.routing.wanted import Wanted


class Level(Enum):
    """Of the query/retrieve information models, top down; by what (0008,0052) calls them."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


class Matching(Enum):
    """How a key selects (PS3.4 section C.2.2.2); an empty key matches everything."""

    UID = "one UID, or several"
    RANGE = "one value, or from-to"
    TEXT = "one value, or a pattern of * and ?"
    NAME = "as TEXT, capital letters or not"
    NUMBER = "one number"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute. tag: its number; vr: its VR."""

    keyword: str
    tag: int
    vr: str
    level: Level
    matching: Matching


ATTRIBUTES = (
    Attribute("PatientID", 0x00100020, "LO", Level.PATIENT, Matching.TEXT),
    Attribute("PatientName", 0x00100010, "PN", Level.PATIENT, Matching.NAME),
    Attribute("PatientBirthDate", 0x00100030, "DA", Level.PATIENT, Matching.RANGE),
    Attribute("PatientSex", 0x00100040, "CS", Level.PATIENT, Matching.TEXT),
    Attribute("StudyInstanceUID", 0x0020000D, "UI", Level.STUDY, Matching.UID),
    Attribute("StudyDate", 0x00080020, "DA", Level.STUDY, Matching.RANGE),
    Attribute("StudyTime", 0x00080030, "TM", Level.STUDY, Matching.RANGE),
    Attribute("AccessionNumber", 0x00080050, "SH", Level.STUDY, Matching.TEXT),
    Attribute("StudyID", 0x00200010, "SH", Level.STUDY, Matching.TEXT),
    Attribute("StudyDescription", 0x00081030, "LO", Level.STUDY, Matching.TEXT),
    Attribute("ReferringPhysicianName", 0x00080090, "PN", Level.STUDY, Matching.NAME),
    Attribute("SeriesInstanceUID", 0x0020000E, "UI", Level.SERIES, Matching.UID),
    Attribute("Modality", 0x00080060, "CS", Level.SERIES, Matching.TEXT),
    Attribute("SeriesNumber", 0x00200011, "IS", Level.SERIES, Matching.NUMBER),
    Attribute("SeriesDescription", 0x0008103E, "LO", Level.SERIES, Matching.TEXT),
    Attribute("SOPInstanceUID", 0x00080018, "UI", Level.IMAGE, Matching.UID),
    Attribute("SOPClassUID", 0x00080016, "UI", Level.IMAGE, Matching.UID),
    Attribute("InstanceNumber", 0x00200013, "IS", Level.IMAGE, Matching.NUMBER),
)
BY_KEYWORD = {attribute.keyword: attribute for attribute in ATTRIBUTES}

UNIQUE_KEYS = {
    Level.PATIENT: "PatientID",
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.IMAGE: "SOPInstanceUID",
}
"""What tells the entities of a level apart."""

COUNTS = {
    "NumberOfPatientRelatedStudies": (Level.PATIENT, "StudyInstanceUID"),
    "NumberOfPatientRelatedSeries": (Level.PATIENT, "SeriesInstanceUID"),
    "NumberOfPatientRelatedInstances": (Level.PATIENT, "SOPInstanceUID"),
    "NumberOfStudyRelatedSeries": (Level.STUDY, "SeriesInstanceUID"),
    "NumberOfStudyRelatedInstances": (Level.STUDY, "SOPInstanceUID"),
    "NumberOfSeriesRelatedInstances": (Level.SERIES, "SOPInstanceUID"),
}
"""Attribute -> the level it belongs to, and what of it is counted."""

MODALITIES_IN_STUDY = "ModalitiesInStudy"

WANTED = Wanted.of({attribute.tag: attribute.vr for attribute in ATTRIBUTES})
"""What is read of each instance."""
