"""A CT series: its slices in order, the grid they lie on, and what a structure set copies from it.

Everything that a series may have wrong with it is found here, before a model sees a pixel: refused with a
stable code, or accepted with a finding that stands in the structure set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread

from models.volume import CtVolume, Finding, Grid
from service.contouring.ct_pixels import HuArray, fill_slice
from service.contouring.header_elements import IDENTITY
from service.contouring.series_checks import Limits
from service.contouring.series_findings import findings_of
from service.contouring.slice_header import SliceHeader
from service.contouring.slice_stack import SliceStack, read_stack
from service.dicom.library_errors import LIBRARY_ERRORS
from service.errors import SeriesRefused

__all__ = ["CtSeries", "Limits", "SliceReference"]

COPIED: Final = (
    "SpecificCharacterSet",
    "TimezoneOffsetFromUTC",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDescription",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "TypeOfPatientID",
    "OtherPatientIDsSequence",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientSex",
    "OtherPatientNames",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "EthnicGroup",
    "PatientComments",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "StudyInstanceUID",
    "StudyID",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
)
"""Patient, Patient Study, General Study and Frame of Reference attributes that a structure set repeats."""


@dataclass(frozen=True, slots=True, repr=False)
class SliceReference:
    """What a contour on one slice refers to.

    Attributes:
        sop_class_uid, sop_instance_uid: of the image.
        frame_number: 1-based for a frame of a multi-frame image (ReferencedFrameNumber), else None.
        position_lps_mm: the slice's own ImagePositionPatient.
    """

    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int | None
    position_lps_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True, repr=False)
class CtSeries:
    """Slices that may be contoured, ascending along their normal.

    Attributes:
        references: one a slice, in the grid's order.
        grid: where the voxels are; every slice's origin is its own.
        findings: what people must be told; their sentences stand in the structure set.
        header: the first slice's attributes without pixels and without private ones; names the patient.
        non_uniform: the slice spacing changes along the stack.
        study_instance_uid, series_instance_uid, frame_of_reference_uid: of all slices.
    """

    references: tuple[SliceReference, ...]
    grid: Grid
    findings: tuple[Finding, ...]
    header: Dataset
    non_uniform: bool
    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str
    _slices: tuple[SliceHeader, ...] = field(default=())

    def __repr__(self) -> str:
        return f"CtSeries({len(self.references)} slices)"

    @classmethod
    def read(cls, files: Sequence[Path], *, limits: Limits | None = None) -> CtSeries:
        """Read the headers of a series and refuse what must not be contoured.

        Args:
            files: the instances of one series, in any order, localizers too.
            limits: what a planning CT may look like.

        Raises:
            SeriesRefused: with a stable code and a sentence for people.
        """
        return _assemble(read_stack(files, limits or Limits()))

    @property
    def notes(self) -> tuple[str, ...]:
        """The findings' sentences."""
        return tuple(finding.sentence for finding in self.findings)

    @property
    def patient_attributes(self) -> Dataset:
        """The attributes a structure set copies from its CT, encoded as they came, character set included."""
        copied = Dataset()
        for keyword in COPIED:
            if keyword in self.header:
                copied[keyword] = self.header.get_item(keyword)
        implicit, little = self.header.original_encoding
        copied.set_original_encoding(implicit, little, self.header.original_character_set)
        return copied

    @property
    def hu_dtype(self) -> np.dtype[np.int16] | np.dtype[np.float32]:
        """int16 where every slice's CT numbers are whole numbers, else float32."""
        whole = all(header.pixels.whole_numbers for header in self._slices)
        return np.dtype(np.int16) if whole else np.dtype(np.float32)

    def fill(self, out: HuArray) -> None:
        """Decode every slice into ``out``, clipped to what int16 holds, padding set to -1024.

        Args:
            out: ``(slices, rows, columns)``, C-contiguous, float32 or ``hu_dtype``; may be shared memory.

        Raises:
            SeriesRefused: the pixels of a slice cannot be decoded.
        """
        if out.shape != self.grid.shape_zyx or out.dtype not in (self.hu_dtype, np.float32):
            message = f"an array of {out.dtype} {out.shape} cannot hold {self.hu_dtype} {self.grid.shape_zyx}"
            raise ValueError(message)
        for k, header in enumerate(self._slices):
            fill_slice(out[k], header.pixels, header.place)

    def part(self, first: int, count: int) -> HuArray:
        """The CT numbers of some slices, ``(count, rows, columns)`` of ``hu_dtype``.

        Raises:
            SeriesRefused: the pixels of a slice cannot be decoded.
        """
        headers = self._slices[first : first + count]
        out: HuArray = np.empty((len(headers), *self.grid.shape_zyx[1:]), dtype=self.hu_dtype)
        for k, header in enumerate(headers):
            fill_slice(out[k], header.pixels, header.place)
        return out

    def volume(self) -> CtVolume:
        """The CT numbers in a new array of ``hu_dtype``."""
        out: HuArray = np.empty(self.grid.shape_zyx, dtype=self.hu_dtype)
        self.fill(out)
        return CtVolume(out, self.grid)


def _assemble(stack: SliceStack) -> CtSeries:
    slices = stack.slices
    first = slices[0]
    cosines = np.median([header.orientation for header in slices], axis=0)
    row_mm, column_mm = first.pixel_spacing_mm
    grid = Grid(
        slice_origins_lps_mm=np.array([header.position_lps_mm for header in slices]),
        column_step_lps_mm=cosines[:3] * column_mm,
        row_step_lps_mm=cosines[3:] * row_mm,
        rows=first.pixels.rows,
        columns=first.pixels.columns,
    )
    identity = dict(zip(IDENTITY, first.identity, strict=True))
    return CtSeries(
        references=tuple(
            SliceReference(h.sop_class_uid, h.sop_instance_uid, h.frame_number, _triple(h.position_lps_mm))
            for h in slices
        ),
        grid=grid,
        findings=findings_of(stack),
        header=_public_header(first.place.file),
        non_uniform=stack.geometry.non_uniform,
        study_instance_uid=identity["StudyInstanceUID"].decode("ascii"),
        series_instance_uid=first.series_instance_uid,
        frame_of_reference_uid=identity["FrameOfReferenceUID"].decode("ascii"),
        _slices=slices,
    )


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = values
    return x, y, z


def _public_header(file: Path) -> Dataset:
    """The attributes of one file but pixels, private ones and what describes single frames."""
    try:
        header = dcmread(file, stop_before_pixels=True)
    except LIBRARY_ERRORS:
        raise SeriesRefused(
            "series.not-dicom", "A file of the series is not a readable DICOM file. Send the series again."
        ) from None
    for tag in list(header.keys()):
        if tag.is_private or tag.group == 0x5200:
            del header[tag]
    return header
