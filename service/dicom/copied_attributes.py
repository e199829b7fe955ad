"""What a new instance of a study repeats of an image of it, byte for byte: patient, study, equipment."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from service.dicom.element_encoder import ElementEncoder, tag_of, value_bytes

_PATIENT: Final = """
    ReferencedPatientSequence PatientName PatientID IssuerOfPatientID TypeOfPatientID
    IssuerOfPatientIDQualifiersSequence SourcePatientGroupIdentificationSequence
    GroupOfPatientsIdentificationSequence PatientBirthDate PatientBirthTime
    PatientBirthDateInAlternativeCalendar PatientDeathDateInAlternativeCalendar
    PatientAlternativeCalendar PatientSex QualityControlSubject StrainDescription StrainNomenclature
    StrainStockSequence StrainAdditionalInformation StrainCodeSequence GeneticModificationsSequence
    OtherPatientNames OtherPatientIDsSequence ReferencedPatientPhotoSequence EthnicGroupCodeSequence
    PatientSpeciesDescription PatientSpeciesCodeSequence PatientBreedDescription
    PatientBreedCodeSequence BreedRegistrationSequence ResponsiblePerson ResponsiblePersonRole
    ResponsibleOrganization PatientComments PatientIdentityRemoved DeidentificationMethod
    DeidentificationMethodCodeSequence
"""
"""Patient (C.7.1.1)."""

_TRIAL_SUBJECT: Final = """
    ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName
    IssuerOfClinicalTrialProtocolID OtherClinicalTrialProtocolIDsSequence ClinicalTrialSiteID
    ClinicalTrialSiteName IssuerOfClinicalTrialSiteID ClinicalTrialSubjectID
    IssuerOfClinicalTrialSubjectID ClinicalTrialSubjectReadingID IssuerOfClinicalTrialSubjectReadingID
    ClinicalTrialProtocolEthicsCommitteeName ClinicalTrialProtocolEthicsCommitteeApprovalNumber
"""
"""Clinical Trial Subject (C.7.1.3)."""

_STUDY: Final = """
    StudyDate StudyTime AccessionNumber IssuerOfAccessionNumberSequence ReferringPhysicianName
    ReferringPhysicianIdentificationSequence ConsultingPhysicianName
    ConsultingPhysicianIdentificationSequence StudyDescription ProcedureCodeSequence PhysiciansOfRecord
    PhysiciansOfRecordIdentificationSequence NameOfPhysiciansReadingStudy
    PhysiciansReadingStudyIdentificationSequence ReferencedStudySequence StudyInstanceUID StudyID
    RequestingService RequestingServiceCodeSequence ReasonForPerformedProcedureCodeSequence
"""
"""General Study (C.7.2.1)."""

_PATIENT_STUDY: Final = """
    AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence PatientAge PatientSize
    PatientSizeCodeSequence PatientBodyMassIndex MeasuredAPDimension MeasuredLateralDimension
    PatientWeight MedicalAlerts Allergies Occupation SmokingStatus AdditionalPatientHistory
    PregnancyStatus LastMenstrualDate PatientSexNeutered ReasonForVisit ReasonForVisitCodeSequence
    AdmissionID IssuerOfAdmissionIDSequence ServiceEpisodeID ServiceEpisodeDescription
    IssuerOfServiceEpisodeIDSequence PatientState
"""
"""Patient Study (C.7.2.2)."""

_TRIAL_STUDY: Final = """
    ClinicalTrialTimePointID ClinicalTrialTimePointDescription LongitudinalTemporalOffsetFromEvent
    LongitudinalTemporalEventType ClinicalTrialTimePointTypeCodeSequence
    IssuerOfClinicalTrialTimePointID ConsentForClinicalTrialUseSequence
"""
"""Clinical Trial Study (C.7.2.3)."""

MODULES: Final = {
    "patient": tuple(_PATIENT.split()),
    "clinical-trial-subject": tuple(_TRIAL_SUBJECT.split()),
    "general-study": tuple(_STUDY.split()),
    "patient-study": tuple(_PATIENT_STUDY.split()),
    "clinical-trial-study": tuple(_TRIAL_STUDY.split()),
}
"""What the modules of the Patient and Study information entities (PS3.3 Table A.19.3-1) hold at their top.

Written out here: the tables of the whole Standard that libraries carry take a hundred megabytes to read.
"""

_ALSO: Final = ("SpecificCharacterSet", "FrameOfReferenceUID", "PositionReferenceIndicator")

_EQUIPMENT: Final = (
    "Manufacturer",
    "InstitutionName",
    "StationName",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
)


def patient_and_study(header: Dataset, encoder: ElementEncoder) -> Iterator[RawDataElement]:
    """The elements of patient, study and frame of reference that ``header`` has, and its character set."""
    for keyword in (*_ALSO, *chain.from_iterable(MODULES.values())):
        element = encoder.copied(header, tag_of(keyword))
        if element is not None:
            yield element


def acquisition_equipment(header: Dataset, encoder: ElementEncoder) -> bytes | None:
    """An item of the Contributing Equipment Sequence (PS3.3 C.12.1) for what made the image, if named."""
    if not value_bytes(header, "Manufacturer"):
        return None
    purpose = encoder.item(
        encoder.element(0x00080100, "SH", "109101"),
        encoder.element(0x00080102, "SH", "DCM"),
        encoder.element(0x00080104, "LO", "Acquisition Equipment"),
    )
    copies = [copy for keyword in _EQUIPMENT if (copy := encoder.copied(header, tag_of(keyword)))]
    return encoder.item(
        *(encoder.element(copy.tag, str(copy.VR), copy.value or b"") for copy in copies),
        encoder.sequence(0x0040A170, [purpose]),
    )
