"""The structures as a DICOM Segmentation (PS3.3 A.51) or a Label Map Segmentation (A.86).

Voxels are those of the CT, slice by slice, and count as inside where the structure's field is positive. What
highdicom makes is completed as a structure set is: patient and study byte for byte from the CT, UIDs fixed
before anything is sent. A segmentation has no approval status: its label and description ask for review.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Final

import highdicom
import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from models.volume import Severity
from service.contouring.instance_modules import Authorship, add_equipment, add_times, copy_patient_and_study
from service.contouring.iod_tables import read_module_by_module
from service.contouring.roi_items import MODEL_NAME, algorithm_of, concept_of
from service.contouring.set_texts import SetTexts
from service.dicom.character_sets import character_set_of
from service.dicom.element_encoder import ElementEncoder, value_bytes
from service.dicom.uids import derived_uid
from service.errors import StructureSetInvalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.volume import Segmentation, StructureField
    from service.contouring.ct_series import CtSeries
    from service.contouring.structure_names import Roi

SERIES_NUMBER: Final = 9002
EMPTY: Final = "segmentation.empty"
"""Code of the refusal where none of the structures asked for was found."""

_FOR_REVIEW: Final = ("FOR_REVIEW", "Automatic, not approved: for review by a clinician before use.")
_NOT_CLINICAL: Final = ("NOT_CLINICAL", "NOT FOR CLINICAL USE. Automatic, not approved: for review.")
_TYPES: Final = {False: "BINARY", True: "LABELMAP"}

read_module_by_module()  # before highdicom makes the first object


class SegmentationObject(highdicom.seg.Segmentation):
    """A segmentation of one CT.

    Args:
        series: the CT.
        segmentation: fields, model and findings.
        rois: which structures, in order; one that was not found gets no segment and is named as such.
        authorship: who, when, under which UIDs.
        label_map: one number a voxel, see :func:`label_map`; else a bit map for each structure.

    Raises:
        StructureSetInvalid: nothing was found.
    """

    def __init__(
        self,
        series: CtSeries,
        segmentation: Segmentation,
        rois: Sequence[Roi],
        authorship: Authorship,
        *,
        label_map: bool = False,
    ) -> None:
        found = found_rois(segmentation, rois)
        if not found:
            sentence = "None of the structures asked for was found; there is nothing to send."
            raise StructureSetInvalid(EMPTY, sentence)
        texts = _texts(series, segmentation, rois, found, authorship)
        fields = [segmentation.structures[roi.structure] for roi in found]
        if not label_map:
            _BitMaps(fields).answer_for(self)
        label, description = _FOR_REVIEW if texts.validated else _NOT_CLINICAL
        super().__init__(
            source_images=_images_of(series),
            pixel_array=labels_of(fields, series) if label_map else _slice_numbers(series),
            segmentation_type=_TYPES[label_map],
            segment_descriptions=[
                _segment(number, roi, segmentation, texts, authorship) for number, roi in enumerate(found, 1)
            ],
            series_instance_uid=authorship.series_instance_uid,
            series_number=SERIES_NUMBER + label_map,
            sop_instance_uid=authorship.sop_instance_uid,
            instance_number=1,
            manufacturer=MODEL_NAME,
            manufacturer_model_name=MODEL_NAME,
            software_versions=authorship.software_version,
            device_serial_number="1",
            content_label=label,
            content_description=description,
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        self.ContentCreatorName = ""
        correct_ambiguous_vr(self, True)  # what is said to be encoded already is written with the VR it has
        encoder = ElementEncoder(explicit=True)
        copy_patient_and_study(self, series.header, encoder)
        add_equipment(self, series.header, authorship, texts.models(), encoder)
        add_times(self, series.header, authorship.made_at, "InstanceCreation", "Series", "Content")
        wanted = authorship.series_description or authorship.label
        described = texts.series_description(wanted)
        self.SeriesDescription = character_set_of(series.header).text(described, 64)
        _refer_to_frames(self, series)

    def encode(self) -> bytes:
        """The Part 10 file."""
        buffer = BytesIO()
        dcmwrite(buffer, self, enforce_file_format=True)
        return buffer.getvalue()


class _BitMaps:
    """Cuts the bit map of one structure on one slice when highdicom comes to it.

    highdicom wants an array of all structures on all slices at once: gigabytes for a long CT. It gets the
    numbers of slices instead, and the two methods that look into the array, private in 0.28, are answered
    from the fields; hence the pinned version and a test that reads the pixels back.
    """

    def __init__(self, fields: Sequence[StructureField]) -> None:
        self._fields = fields

    def answer_for(self, made: highdicom.seg.Segmentation) -> None:
        """Stand in for the two methods of one object that is about to be made."""
        object.__setattr__(made, "_check_and_cast_pixel_array", self._checked)
        object.__setattr__(made, "_get_segment_pixel_array", self._bit_map)

    def _checked(
        self, numbers: NDArray[np.uint16], *_: object, **__: object
    ) -> tuple[NDArray[np.uint16], highdicom.seg.SegmentsOverlapValues]:
        values = highdicom.seg.SegmentsOverlapValues
        return numbers, values.YES if _overlap(self._fields, numbers.shape) else values.NO

    def _bit_map(self, numbers: NDArray[np.uint16], segment_number: int, **_: object) -> NDArray[np.uint8]:
        field = self._fields[segment_number - 1]
        return mask_on_slice(field, int(numbers[0, 0]) - 1, numbers.shape).astype(np.uint8)


def found_rois(segmentation: Segmentation, rois: Sequence[Roi]) -> list[Roi]:
    """The ROIs whose structure was found, in order."""
    fields = segmentation.structures
    return [roi for roi in rois if roi.structure in fields and bool((fields[roi.structure].field > 0).any())]


def mask_on_slice(field: StructureField, k: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The structure on slice ``k``, ``(rows, columns)``."""
    mask = np.zeros(shape, dtype=bool)
    of_box = k - field.corner_zyx[0]
    if 0 <= of_box < len(field.field):
        mask[field.slices_zyx[1:]] = field.field[of_box] > 0
    return mask


def labels_of(fields: Sequence[StructureField], series: CtSeries) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """One number a voxel, ``(slices, rows, columns)``: 1 for the first field, 0 where there is none.

    Where structures overlap the smaller one is kept: an organ in the body's outline, a canal in its spine.
    """
    labels = np.zeros(series.grid.shape_zyx, dtype=np.uint8 if len(fields) < 256 else np.uint16)
    sizes = [int((field.field > 0).sum()) for field in fields]
    for index in sorted(range(len(fields)), key=lambda each: -sizes[each]):
        labels[fields[index].slices_zyx][fields[index].field > 0] = index + 1
    return labels


def _overlap(fields: Sequence[StructureField], shape: tuple[int, ...]) -> bool:
    for k in range(shape[0]):
        taken = np.zeros(shape[1:], dtype=bool)
        for field in fields:
            mask = mask_on_slice(field, k, shape[1:])
            if bool((taken & mask).any()):
                return True
            taken |= mask
    return False


def _slice_numbers(series: CtSeries) -> NDArray[np.uint16]:
    """From 1, for no plane may look empty; ``(slices, rows, columns)`` that take no memory."""
    slices, rows, columns = series.grid.shape_zyx
    numbers = np.arange(1, slices + 1, dtype=np.uint16)
    return np.broadcast_to(numbers[:, None, None], (slices, rows, columns))


def _images_of(series: CtSeries) -> list[Dataset]:
    """The slices as highdicom reads them, as much of each as geometry and references need."""
    grid = series.grid
    thickness = value_bytes(series.header, "SliceThickness").decode("ascii", "replace")
    width_mm = float(thickness) if _is_number(thickness) else float(np.median(grid.slice_widths_mm))
    cosines = [
        *(grid.column_step_lps_mm / grid.column_spacing_mm),
        *(grid.row_step_lps_mm / grid.row_spacing_mm),
    ]
    images = []
    for reference in series.references:
        image = Dataset()
        image.SOPClassUID = CTImageStorage
        image.SOPInstanceUID = reference.sop_instance_uid
        image.Modality = "CT"
        image.StudyInstanceUID = series.study_instance_uid
        image.SeriesInstanceUID = series.series_instance_uid
        image.FrameOfReferenceUID = series.frame_of_reference_uid
        image.Rows, image.Columns = grid.rows, grid.columns
        image.ImagePositionPatient = [_decimal(value) for value in reference.position_lps_mm]
        image.ImageOrientationPatient = [_decimal(value) for value in cosines]
        image.PixelSpacing = [_decimal(grid.row_spacing_mm), _decimal(grid.column_spacing_mm)]
        image.SliceThickness = _decimal(width_mm)
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber",
                        "StudyID", "StudyDate", "StudyTime"):  # fmt: skip
            setattr(image, keyword, "")  # the CT's own are copied afterwards, as they came
        images.append(image)
    return images


def _decimal(value: float) -> str:
    """A DS of at most 16 characters (PS3.5 6.2)."""
    return format_number_as_ds(float(value))


def _is_number(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False


def _texts(
    series: CtSeries,
    segmentation: Segmentation,
    rois: Sequence[Roi],
    found: Sequence[Roi],
    authorship: Authorship,
) -> SetTexts:
    drawn = {roi.structure for roi in found}
    warnings = (each for each in series.findings if each.severity is Severity.WARNING)
    return SetTexts(
        provenance=segmentation.provenance,
        findings=(*segmentation.findings, *warnings),
        notes=authorship.notes,
        not_drawn={roi.structure: roi.name for roi in rois if roi.structure not in drawn},
        replaces=authorship.replaces,
        slices=len(series.references),
        made_by=segmentation.made_by,
    )


def _segment(
    number: int, roi: Roi, segmentation: Segmentation, texts: SetTexts, authorship: Authorship
) -> highdicom.seg.SegmentDescription:
    known = roi.known
    segment = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=roi.name,
        segmented_property_category=concept_of(known.category),
        segmented_property_type=concept_of(known.code or known.category),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm_of(segmentation.maker(roi.structure)),
        tracking_uid=derived_uid("2.25", authorship.sop_instance_uid, roi.structure),
        tracking_id=roi.name,
        display_color=highdicom.color.CIELabColor.from_rgb(*roi.color),
    )
    if known.code is not None and known.laterality is not None:
        side = [concept_of(known.laterality.value)]
        segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = side
    segment.SegmentDescription = texts.roi_description(roi, roi.name)
    return segment


def _refer_to_frames(made: Dataset, series: CtSeries) -> None:
    """Of a multi-frame CT, refer to the frame of each slice, and to its instance once."""
    if series.references[0].frame_number is None:
        return
    place = {_key(each.position_lps_mm): each for each in series.references}
    for frame in made.PerFrameFunctionalGroupsSequence:
        of = place[_key(frame.PlanePositionSequence[0].ImagePositionPatient)]
        for derivation in frame.DerivationImageSequence:
            for image in derivation.SourceImageSequence:
                image.ReferencedSOPClassUID = of.sop_class_uid
                image.ReferencedSOPInstanceUID = of.sop_instance_uid
                image.ReferencedFrameNumber = of.frame_number
    classes = {each.sop_instance_uid: each.sop_class_uid for each in series.references}
    for listed in made.ReferencedSeriesSequence:
        images = {image.ReferencedSOPInstanceUID: image for image in listed.ReferencedInstanceSequence}
        for uid, image in images.items():
            image.ReferencedSOPClassUID = classes[uid]
        listed.ReferencedInstanceSequence = list(images.values())


def _key(position_lps_mm: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in position_lps_mm)
