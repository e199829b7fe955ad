"""Every CT of an export that something is drawn on, and what tells its patient from others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal

from service.training_data.case_drawing import DrawnCt
from service.training_data.dicom_case import DicomCase
from service.training_data.export_files import Export
from service.training_data.nifti_case import NiftiCase
from service.training_data.nifti_files import find_nifti
from service.training_data.patients import PatientKey
from service.training_data.remarks import Remark, Weight
from service.training_data.set_pairing import PairedCt, pair

PatientBy = Literal["id", "folder"]


def drawn_cts(export: Export, patient_by: PatientBy) -> tuple[list[DrawnCt], list[Remark]]:
    """All of them in the order of their files, DICOM first, and remarks on the rest."""
    pairs, remarks = pair(export)
    found: list[DicomCase] = []
    for one in pairs:
        folder = export.folder_of(one.ct.all_files)
        patient = _patient(one, folder, patient_by)
        if patient is not None:
            found.append(DicomCase(one, patient, folder))
            continue
        sentence = (
            "The CT has no Patient ID, so nobody knows which part it may go to. Use --patient folder if each "
            "first folder is one patient."
        )
        remarks.append(Remark("patient.no-id", sentence, Weight.LEFT_OUT, folder))
    images, more = find_nifti(export.root, export.images)
    remarks += [*_several_persons(found), *more]
    if images:
        sentence = (
            "NIfTI names no patient: the first folder (in nnU-Net's layout the case) was taken for one, "
            "unless patients.csv says otherwise."
        )
        remarks.append(Remark("nifti.patients", sentence, Weight.NOTE))
    return [*found, *map(NiftiCase, images)], remarks


def _patient(one: PairedCt, folder: str, patient_by: PatientBy) -> PatientKey | None:
    if patient_by == "folder":
        return "folder", folder.split("/", maxsplit=1)[0]
    whose = one.ct.whose
    return (whose.issuer, whose.patient_id) if whose.patient_id else None


def _several_persons(found: Sequence[DicomCase]) -> Iterator[Remark]:
    """Persons who share a Patient ID stay in one part, and somebody should look."""
    persons: dict[PatientKey, set[tuple[str, str]]] = defaultdict(set)
    for one in found:
        whose = one.pair.ct.whose
        persons[one.patient].add((whose.name.casefold(), whose.birth_date))
    sentence = (
        "Names or birth dates differ under one patient; all its CTs are in one part. Check whose they are."
    )
    for one in found:
        if len(persons[one.patient]) > 1:
            yield Remark("patient.several-persons", sentence, Weight.WARNING, one.folder)
