"""The preview as DICOM: Multi-frame True Color Secondary Capture (PS3.3 A.8.5), Encapsulated PDF (A.45.1)."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Final

import highdicom
from pydicom import Dataset, dcmwrite
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)

from service.contouring.instance_modules import Authorship, add_equipment, add_times, copy_patient_and_study
from service.contouring.iod_tables import read_module_by_module
from service.dicom.character_sets import character_set_of
from service.dicom.element_encoder import ElementEncoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from service.contouring.ct_series import CtSeries

_PAGE_NUMBER_VECTOR: Final = Tag(0x0018, 0x2001)
_TITLE: Final = "Contours for review"
_ENCODER: Final = ElementEncoder(explicit=True)

read_module_by_module()  # before highdicom makes the first object


class _Preview(highdicom.SOPClass):
    """What both have in common: patient and study of the CT, a series of their own."""

    def __init__(
        self, series: CtSeries, authorship: Authorship, structure_set: Dataset, kind: tuple[UID, str, int]
    ) -> None:
        """``kind``: SOP class, modality, series number."""
        sop_class_uid, modality, number = kind
        super().__init__(
            study_instance_uid=series.study_instance_uid,
            series_instance_uid=authorship.series_instance_uid,
            series_number=number,
            sop_instance_uid=authorship.sop_instance_uid,
            sop_class_uid=sop_class_uid,
            instance_number=1,
            modality=modality,
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        copy_patient_and_study(self, series.header, _ENCODER)
        for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator"):  # pages lie in no space
            if keyword in self:
                delattr(self, keyword)
        description = f"Preview {structure_set.get('SeriesDescription', '')}"
        versions = structure_set.get("SoftwareVersions") or ""
        models = [] if isinstance(versions, str) else [str(each) for each in versions[1:]]  # ours comes first
        add_equipment(self, series.header, authorship, models, _ENCODER)
        add_times(self, series.header, authorship.made_at, "InstanceCreation", "Series", "Content")
        self.SeriesDescription = character_set_of(series.header).text(description, 64)
        self.ConversionType = "WSD"
        self.BurnedInAnnotation = "NO"

    def encode(self) -> bytes:
        """The Part 10 file."""
        buffer = BytesIO()
        dcmwrite(buffer, self, enforce_file_format=True)
        return buffer.getvalue()


class PreviewImage(_Preview):
    """Pages of pictures, one frame a page.

    Args:
        series: the CT.
        authorship: who, when, under which UIDs.
        structure_set: the header of what the pages show.
        pages: ``(pages, rows, columns, 3)`` red, green, blue.
    """

    def __init__(
        self, series: CtSeries, authorship: Authorship, structure_set: Dataset, pages: NDArray[np.uint8]
    ) -> None:
        kind = (MultiFrameTrueColorSecondaryCaptureImageStorage, "OT", 9004)
        super().__init__(series, authorship, structure_set, kind)
        number, rows, columns, _ = pages.shape
        self.ImageType = ["DERIVED", "SECONDARY"]
        self.PatientOrientation = ""
        self.NumberOfFrames = number
        if number > 1:
            self.FrameIncrementPointer = _PAGE_NUMBER_VECTOR
            self.PageNumberVector = list(range(1, number + 1))
        self.Laterality = ""
        self.Rows, self.Columns = rows, columns
        self.SamplesPerPixel, self.PhotometricInterpretation, self.PlanarConfiguration = 3, "RGB", 0
        self.BitsAllocated, self.BitsStored, self.HighBit, self.PixelRepresentation = 8, 8, 7, 0
        self.LossyImageCompression = "00"
        content = pages.tobytes()
        self.add_new("PixelData", "OB", content + b"\0" * (len(content) % 2))


class PreviewPdf(_Preview):
    """The pages as a document.

    Args:
        series: the CT.
        authorship: who, when, under which UIDs.
        structure_set: the header of what the pages show.
        document: the PDF.
    """

    def __init__(
        self, series: CtSeries, authorship: Authorship, structure_set: Dataset, document: bytes
    ) -> None:
        super().__init__(series, authorship, structure_set, (EncapsulatedPDFStorage, "DOC", 9005))
        self.AcquisitionDateTime = ""
        self.DocumentTitle = _TITLE
        self.add_new("ConceptNameCodeSequence", "SQ", [])
        self.MIMETypeOfEncapsulatedDocument = "application/pdf"
        self.EncapsulatedDocumentLength = len(document)
        self.add_new("EncapsulatedDocument", "OB", document + b"\0" * (len(document) % 2))
