"""A worklist item as a file, as DCMTK's worklist server wants it: complete, or it is not shown."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset

from tests.support.datasets import EXPLICIT

WORKLIST_FIND = "1.2.840.10008.5.1.4.31"


def write_worklist_item(path: Path) -> Path:
    """Write an item: patient Doe^Jane, a CT of the head scheduled at CT1."""
    step = Dataset()
    step.Modality, step.ScheduledStationAETitle = "CT", "CT1"
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = "20240101", "1200"
    step.ScheduledPerformingPhysicianName, step.ScheduledProcedureStepID = "A^B", "1"
    step.ScheduledProcedureStepDescription = "Head"
    item = Dataset()
    item.PatientName, item.PatientID, item.PatientBirthDate, item.PatientSex = "Doe^Jane", "P1", "", "F"
    item.AccessionNumber, item.StudyInstanceUID, item.ReferringPhysicianName = "A1", "1.2.3", ""
    item.RequestedProcedureID, item.RequestedProcedureDescription = "R1", "CT"
    item.ScheduledProcedureStepSequence = [step]
    item.file_meta = FileMetaDataset()
    item.file_meta.TransferSyntaxUID = EXPLICIT
    item.file_meta.MediaStorageSOPClassUID, item.file_meta.MediaStorageSOPInstanceUID = WORKLIST_FIND, "1.2"
    item.save_as(path, enforce_file_format=True)
    return path
