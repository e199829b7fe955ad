"""The objects that one contouring makes, and which way of delivery carries which."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

from pydicom.uid import (
    UID,
    EncapsulatedPDFStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)


class ObjectKind(StrEnum):
    """What a destination may get of a contoured CT."""

    RTSTRUCT = "rtstruct"
    SEGMENTATION = "segmentation"
    LABELMAP = "segmentation-labelmap"
    PREVIEW = "preview"
    PREVIEW_PDF = "preview-pdf"
    NIFTI = "nifti"
    NIFTI_STRUCTURES = "nifti-structures"

    @property
    def sop_class_uid(self) -> UID | None:
        """SOP class of the instance; None of what is no DICOM."""
        return _SOP_CLASSES.get(self)


ObjectName = Literal[
    "rtstruct",
    "segmentation",
    "segmentation-labelmap",
    "preview",
    "preview-pdf",
    "nifti",
    "nifti-structures",
]
"""The same as the configuration writes it."""

_LABEL_MAP_SEGMENTATION_STORAGE: Final = UID("1.2.840.10008.5.1.4.1.1.66.7")  # newer than pydicom's names

_SOP_CLASSES: Final = {
    ObjectKind.RTSTRUCT: RTStructureSetStorage,
    ObjectKind.SEGMENTATION: SegmentationStorage,
    ObjectKind.LABELMAP: _LABEL_MAP_SEGMENTATION_STORAGE,
    ObjectKind.PREVIEW: MultiFrameTrueColorSecondaryCaptureImageStorage,
    ObjectKind.PREVIEW_PDF: EncapsulatedPDFStorage,
}

NO_DICOM: Final = frozenset(ObjectKind) - frozenset(_SOP_CLASSES)
"""Kinds that only a folder takes."""

PICTURES: Final = frozenset({ObjectKind.PREVIEW, ObjectKind.PREVIEW_PDF})
"""Kinds that are drawn, which takes the extra ``pictures``."""
