"""Which SOP classes of the Standard's table the library offers, service by service."""

from __future__ import annotations

from router.standard.sop_classes import OTHER_KEYWORDS, SOP_CLASSES, SOPClassInfo

_NOT_OFFERED_SERVICES = frozenset({"real-time-communication"})
_NOT_OFFERED = frozenset({"VOILUTBox"})
_SECURITY_AND_INDUSTRY = ("1.2.840.10008.5.1.4.1.1.501.", "1.2.840.10008.5.1.4.1.1.601.")
"""DICOS and DICONDE: storage classes that no medical peer has."""

_STORAGE_SHORT_WITHOUT = """
    EncapsulatedSTLStorage EncapsulatedOBJStorage EncapsulatedMTLStorage
    SegmentedVolumeRenderingVolumetricPresentationStateStorage
    MultipleVolumeRenderingVolumetricPresentationStateStorage
    VariableModalityLUTSoftcopyPresentationStateStorage
    GrayscalePlanarMPRVolumetricPresentationStateStorage
    CompositingPlanarMPRVolumetricPresentationStateStorage AdvancedBlendingPresentationStateStorage
    VolumeRenderingVolumetricPresentationStateStorage BreastProjectionXRayImageStorageForPresentation
    BreastProjectionXRayImageStorageForProcessing CTPerformedProcedureProtocolStorage
    XAPerformedProcedureProtocolStorage ParametricMapStorage RTPhysicianIntentStorage
    RTSegmentAnnotationStorage RTRadiationSetStorage CArmPhotonElectronRadiationStorage
    TomotherapeuticRadiationStorage RoboticArmRadiationStorage RTRadiationRecordSetStorage
    RTRadiationSalvageRecordStorage TomotherapeuticRadiationRecordStorage
    CArmPhotonElectronRadiationRecordStorage RoboticRadiationRecordStorage
    RTRadiationSetDeliveryInstructionStorage RTTreatmentPreparationStorage EnhancedRTImageStorage
    EnhancedContinuousRTImageStorage RTPatientPositionAcquisitionInstructionStorage
    PhotoacousticImageStorage TractographyResultsStorage LabelMapSegmentationStorage
    HeightMapSegmentationStorage WideFieldOphthalmicPhotographyStereographicProjectionImageStorage
    WideFieldOphthalmicPhotography3DCoordinatesImageStorage
    OphthalmicOpticalCoherenceTomographyEnFaceImageStorage
    OphthalmicOpticalCoherenceTomographyBscanVolumeAnalysisStorage DermoscopicPhotographyImageStorage
    ConfocalMicroscopyImageStorage ConfocalMicroscopyTiledPyramidalImageStorage
    CornealTopographyMapStorage ExtensibleSRStorage RadiopharmaceuticalRadiationDoseSRStorage
    AcquisitionContextSRStorage SimplifiedAdultEchoSRStorage PatientRadiationDoseSRStorage
    PlannedImagingAgentAdministrationSRStorage PerformedImagingAgentAdministrationSRStorage
    EnhancedXRayRadiationDoseSRStorage WaveformAnnotationSRStorage General32bitECGWaveformStorage
    WaveformPresentationStateStorage WaveformAcquisitionPresentationStateStorage
    MultichannelRespiratoryWaveformStorage RoutineScalpElectroencephalogramWaveformStorage
    ElectromyogramWaveformStorage ElectrooculogramWaveformStorage
    SleepElectroencephalogramWaveformStorage BodyPositionWaveformStorage ContentAssessmentResultsStorage
    MicroscopyBulkSimpleAnnotationsStorage RTBrachyApplicationSetupDeliveryInstructionStorage
"""
_STORAGE_SHORT_RETIRED = """
    StoredPrintStorage HardcopyGrayscaleImageStorage HardcopyColorImageStorage StandaloneModalityLUTStorage
    StandaloneVOILUTStorage XRayAngiographicBiPlaneImageStorage StandalonePETCurveStorage
    UltrasoundMultiFrameImageStorageRetired NuclearMedicineImageStorageRetired
    UltrasoundImageStorageRetired VLImageStorageTrial VLMultiFrameImageStorageTrial
    StandaloneOverlayStorage StandaloneCurveStorage
"""
"""DCMTK's short list of storage classes: 120, so that they fit into one association with others."""


def is_offered(info: SOPClassInfo) -> bool:
    """Whether the library has a name for this SOP class."""
    if info.service in _NOT_OFFERED_SERVICES or info.keyword in _NOT_OFFERED:
        return False
    if info.uid.startswith(_SECURITY_AND_INDUSTRY):
        return False
    return not info.is_retired or info.keyword.startswith("PatientStudyOnly")


OFFERED: dict[str, SOPClassInfo] = {uid: info for uid, info in SOP_CLASSES.items() if is_offered(info)}
"""UID -> SOP class; 252 of them."""

_LIBRARY_NAMES = {keyword: name for name, keyword in OTHER_KEYWORDS.items()}


def library_name(info: SOPClassInfo) -> str:
    """Return the name under which programs import a SOP class; it mostly is the keyword."""
    return _LIBRARY_NAMES.get(info.keyword, info.keyword)


def uids_of(service: str) -> list[str]:
    """Return the offered SOP classes of one service, sorted by UID."""
    return sorted(uid for uid, info in OFFERED.items() if info.service == service)


def storage_short_list() -> list[str]:
    """Return the UIDs of the short list of storage classes, sorted."""
    without, retired = _STORAGE_SHORT_WITHOUT.split(), _STORAGE_SHORT_RETIRED.split()
    return sorted(
        uid
        for uid, info in SOP_CLASSES.items()
        if info.keyword in retired
        or (info.service == "storage" and uid in OFFERED and info.keyword not in without)
    )
