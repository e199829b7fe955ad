"""Structure sets as a planning system would send them back: ours, edited in known ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian, generate_uid

Points = np.ndarray
"""``(n, 3)`` LPS mm."""


class EditedSet:
    """A set that is edited in place; ``encoded()`` gives the Part 10 file.

    It has a SOP Instance UID of its own, as PS3.3 wants of what was changed, and says that it was approved.
    """

    def __init__(self, encoded: bytes, *, approval: str = "APPROVED", reviewer: str = "Berg^Anna") -> None:
        self.ds = pydicom.dcmread(BytesIO(encoded))
        for sequence in ("StructureSetROISequence", "ROIContourSequence", "RTROIObservationsSequence"):
            _ = [list(item) for item in self.ds[sequence].value]  # as data sets, not as bytes
        self.ds.SOPInstanceUID = generate_uid()
        self.ds.SeriesInstanceUID = generate_uid()
        self.ds.Manufacturer = "A planning system"
        self.ds.ApprovalStatus = approval
        if approval == "APPROVED":
            self.ds.ReviewDate, self.ds.ReviewTime, self.ds.ReviewerName = "20260201", "101500", reviewer

    @property
    def sop_instance_uid(self) -> str:
        return str(self.ds.SOPInstanceUID)

    def number(self, name: str) -> int:
        return next(int(i.ROINumber) for i in self.ds.StructureSetROISequence if i.ROIName == name)

    def rename(self, name: str, new: str, *, label: bool = True) -> EditedSet:
        number = self.number(name)
        for item in self.ds.StructureSetROISequence:
            if item.ROINumber == number:
                item.ROIName = new
        if label:
            self._observation(number).ROIObservationLabel = new
        return self

    def renumber(self, start: int = 101) -> EditedSet:
        """Other ROI numbers, the same order."""
        new = {int(item.ROINumber): start + n for n, item in enumerate(self.ds.StructureSetROISequence)}
        for item in self.ds.StructureSetROISequence:
            item.ROINumber = new[int(item.ROINumber)]
        for item in (*self.ds.ROIContourSequence, *self.ds.RTROIObservationsSequence):
            item.ReferencedROINumber = new[int(item.ReferencedROINumber)]
        return self

    def without_codes(self) -> EditedSet:
        for item in self.ds.RTROIObservationsSequence:
            item.pop("RTROIIdentificationCodeSequence", None)
        return self

    def delete(self, name: str) -> EditedSet:
        number = self.number(name)
        ds = self.ds
        ds.StructureSetROISequence = [i for i in ds.StructureSetROISequence if i.ROINumber != number]
        ds.ROIContourSequence = [i for i in ds.ROIContourSequence if i.ReferencedROINumber != number]
        kept = [i for i in ds.RTROIObservationsSequence if i.ReferencedROINumber != number]
        ds.RTROIObservationsSequence = kept
        return self

    def add(self, name: str, contours: Iterable[Dataset]) -> EditedSet:
        """Another ROI with these contours."""
        number = max(int(item.ROINumber) for item in self.ds.StructureSetROISequence) + 1
        roi, drawn, about = Dataset(), Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = number, name, "MANUAL"
        roi.ReferencedFrameOfReferenceUID = self.ds.StructureSetROISequence[0].ReferencedFrameOfReferenceUID
        drawn.ReferencedROINumber, drawn.ContourSequence = number, list(contours)
        about.ObservationNumber = about.ReferencedROINumber = number
        about.RTROIInterpretedType, about.ROIInterpreter = "ORGAN", ""
        self.ds.StructureSetROISequence.append(roi)
        self.ds.ROIContourSequence.append(drawn)
        self.ds.RTROIObservationsSequence.append(about)
        return self

    def contours(self, name: str) -> list[Dataset]:
        """The items of an ROI's Contour Sequence."""
        number = self.number(name)
        [item] = [i for i in self.ds.ROIContourSequence if i.ReferencedROINumber == number]
        return list(item.get("ContourSequence", []))

    def set_contours(self, name: str, contours: Iterable[Dataset]) -> EditedSet:
        number = self.number(name)
        [item] = [i for i in self.ds.ROIContourSequence if i.ReferencedROINumber == number]
        item.ContourSequence = list(contours)
        if not item.ContourSequence:
            del item.ContourSequence
        return self

    def move_points(self, name: str, moved: Callable[[Points], Points]) -> EditedSet:
        """Every contour of an ROI, its points as ``moved`` makes them of its ``(n, 3)`` LPS mm."""
        for item in self.contours(name):
            points = moved(np.array(item.ContourData, dtype=float).reshape(-1, 3))
            item.ContourData = [f"{value:.3f}" for value in points.ravel()]
            item.NumberOfContourPoints = len(points)
        return self

    def trim(self, name: str, *, inferior: int = 0, superior: int = 0) -> EditedSet:
        """Take away the lowest and the highest slices of an ROI."""
        heights = sorted({float(item.ContourData[2]) for item in self.contours(name)})
        kept = heights[inferior : len(heights) - superior]
        return self.set_contours(name, [i for i in self.contours(name) if float(i.ContourData[2]) in kept])

    def encoded(self) -> bytes:
        self.ds.file_meta.MediaStorageSOPInstanceUID = self.ds.SOPInstanceUID
        self.ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        content = BytesIO()
        self.ds.save_as(content, implicit_vr=True, little_endian=True, enforce_file_format=True)
        return content.getvalue()

    def _observation(self, number: int) -> Dataset:
        return next(i for i in self.ds.RTROIObservationsSequence if i.ReferencedROINumber == number)
