"""The RT Structure Set (PS3.3 A.19): valid once it exists, and the same bytes when made of the same.

What the CT says of patient and study is copied byte for byte with its character set. Everything else is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Final

import highdicom
from pydicom import Dataset, dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RTStructureSetStorage

from models.volume import Segmentation, Severity
from service.contouring.contour_encoding import encoded_images, encoded_roi_contours
from service.contouring.contours import Contour, ContourSet
from service.contouring.ct_series import CtSeries
from service.contouring.instance_modules import (
    Authorship,
    add_equipment,
    add_raw_sequence,
    add_times,
    copy_patient_and_study,
)
from service.contouring.iod_tables import read_module_by_module
from service.contouring.profiles import Profile
from service.contouring.roi_items import observation_item, roi_item
from service.contouring.set_texts import Replaced, SetTexts
from service.contouring.structure_names import Roi, written_names
from service.dicom.character_sets import character_set_of, plain
from service.dicom.element_encoder import ElementEncoder, value_bytes
from service.errors import StructureSetInvalid

SERIES_NUMBER: Final = 9001
read_module_by_module()  # before highdicom makes the first object
"""Far from the numbers that scanners and planning systems count up to."""

PATIENT_UNNAMED: Final = "structure-set.patient-unnamed"
"""Code of the refusal where a receiver needs a Patient Name and ID that the CT does not have."""

_DETACHED_STUDY: Final = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management: retired, and still what readers look for in the RT Referenced Study Sequence."""


class RtStructureSet(highdicom.SOPClass):
    """An RT Structure Set of one CT.

    Args:
        series: the CT.
        contours: what to draw; a structure without contours gets no ROI and is named as not found.
        segmentation: what the contours were cut from: model and findings.
        rois: which structures, in order, and how they are written.
        authorship: who, when, under which UIDs.
        profile: what the receiver needs.

    Raises:
        StructureSetInvalid: nothing to draw, two external contours, no patient for a receiver that needs one.
    """

    def __init__(
        self,
        series: CtSeries,
        contours: ContourSet,
        segmentation: Segmentation,
        rois: Sequence[Roi],
        authorship: Authorship,
        profile: Profile,
    ) -> None:
        explicit = profile.transfer_syntax == "explicit"
        super().__init__(
            study_instance_uid=series.study_instance_uid,
            series_instance_uid=authorship.series_instance_uid,
            series_number=SERIES_NUMBER,
            sop_instance_uid=authorship.sop_instance_uid,
            sop_class_uid=RTStructureSetStorage,
            instance_number=1,
            modality="RTSTRUCT",
            transfer_syntax_uid=ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian,
        )
        self._encoder = ElementEncoder(explicit)
        self._repertoire = character_set_of(series.header)
        self._copy(series.header, profile)
        texts = SetTexts(
            provenance=segmentation.provenance,
            findings=(
                *segmentation.findings,
                *(each for each in series.findings if each.severity is not Severity.NOTE),
            ),
            notes=authorship.notes,
            not_drawn={roi.structure: roi.name for roi in rois if roi.structure not in contours.structures},
            replaces=authorship.replaces,
            slices=len(series.references),
            made_by=segmentation.made_by,
        )
        add_equipment(self, series.header, authorship, texts.models(), self._encoder)
        self._add_texts(authorship, texts, profile)
        add_times(self, series.header, authorship.made_at, "InstanceCreation", "Series", "StructureSet")
        self._add_references(series)
        if authorship.replaces is not None and profile.predecessor:
            self.PredecessorStructureSetSequence = [_predecessor(authorship.replaces)]
        names = written_names(rois, self._repertoire, profile.names)
        self._add_rois(_drawn(contours, rois), names, texts, series, profile)
        self.ApprovalStatus = "UNAPPROVED"

    def encode(self) -> bytes:
        """The Part 10 file."""
        buffer = BytesIO()
        dcmwrite(buffer, self, enforce_file_format=True)
        return buffer.getvalue()

    def _copy(self, header: Dataset, profile: Profile) -> None:
        if profile.needs_patient_name and not (
            value_bytes(header, "PatientName").strip(b"^= ") and value_bytes(header, "PatientID")
        ):
            raise StructureSetInvalid(
                PATIENT_UNNAMED,
                f"The CT has no patient name or no patient ID, which the profile {profile.name} needs. "
                "Complete the CT where it comes from and send it again.",
            )
        copy_patient_and_study(self, header, self._encoder)
        self.OperatorsName = ""

    def _add_texts(self, authorship: Authorship, texts: SetTexts, profile: Profile) -> None:
        def fits(text: str, characters: int) -> str:
            return self._repertoire.text(text if profile.alphabet == "charset" else plain(text), characters)

        self.StructureSetLabel = fits(texts.label(authorship.label), profile.label_characters)
        self.StructureSetName = fits(texts.name(authorship.label), 64)
        self.StructureSetDescription = fits(texts.set_description(), 1024)
        wanted = authorship.series_description or authorship.label
        self.SeriesDescription = fits(texts.series_description(wanted), 64)

    def _add_references(self, series: CtSeries) -> None:
        """The frame of reference, and every image of the CT whether a contour lies on it or not."""
        encode = self._encoder
        images = encoded_images(encode, series.references)
        of_series = encode.item(encode.element(0x0020000E, "UI", series.series_instance_uid), images)
        of_study = encode.item(
            encode.element(0x00081150, "UI", _DETACHED_STUDY),
            encode.element(0x00081155, "UI", series.study_instance_uid),
            encode.sequence(0x30060014, [of_series]),
        )
        of_frame = encode.item(
            encode.element(0x00200052, "UI", series.frame_of_reference_uid),
            encode.sequence(0x30060012, [of_study]),
        )
        add_raw_sequence(self, 0x30060010, of_frame, self._encoder)

    def _add_rois(
        self,
        drawn: Sequence[tuple[Roi, Sequence[Contour]]],
        names: Mapping[str, str],
        texts: SetTexts,
        series: CtSeries,
        profile: Profile,
    ) -> None:
        items, observations = [], []
        for number, (roi, _) in enumerate(drawn, 1):
            name = names[roi.structure]
            description = self._repertoire.text(texts.roi_description(roi, name), 1024)
            made_by = texts.made_by.get(roi.structure, texts.provenance)
            items.append(roi_item(number, name, description, made_by))
            items[-1].ReferencedFrameOfReferenceUID = series.frame_of_reference_uid
            observations.append(observation_item(number, roi, name))
        self.StructureSetROISequence = items
        add_raw_sequence(
            self, 0x30060039, encoded_roi_contours(self._encoder, series, drawn, profile.holes), self._encoder
        )
        self.RTROIObservationsSequence = observations


def _drawn(contours: ContourSet, rois: Sequence[Roi]) -> list[tuple[Roi, Sequence[Contour]]]:
    found = contours.structures
    drawn: list[tuple[Roi, Sequence[Contour]]] = [
        (roi, found[roi.structure]) for roi in rois if roi.structure in found
    ]
    if not drawn:
        raise StructureSetInvalid(
            "structure-set.empty", "None of the structures asked for was found; there is nothing to send."
        )
    if sum(roi.known.interpreted_type == "EXTERNAL" for roi, _ in drawn) > 1:
        raise StructureSetInvalid(
            "structure-set.two-externals",
            "Two structures are of type EXTERNAL; planning systems take one. Leave one out of the protocol.",
        )
    return drawn


def _predecessor(replaced: Replaced) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = RTStructureSetStorage
    item.ReferencedSOPInstanceUID = replaced.sop_instance_uid
    return item
