"""Writes a synthetic Enhanced CT Image: the multi-frame form of what ``ct_writer`` writes (PS3.3 A.38).

It has the functional groups that say where a frame lies and what its pixels mean, none of the acquisition.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian

from models.volume import Grid
from service.dicom.ct_writer import SyntheticPatient, decimal_string, file_meta, patient_and_study, uid_of

INTERCEPT = -1024


def write_enhanced_ct(  # noqa: PLR0913 - each argument is one thing a test varies
    file: Path,
    hu: NDArray[np.integer],
    grid: Grid,
    *,
    patient: SyntheticPatient | None = None,
    seed: int = 0,
    tweak: Callable[[Dataset], Dataset] | None = None,
    order: list[int] | None = None,
) -> Path:
    """Write one multi-frame instance.

    Args:
        file: written; its folder is made if absent.
        hu: ``(slices, rows, columns)`` CT numbers.
        grid: where the voxels are.
        patient: whose CT it pretends to be.
        seed: as for ``write_ct``.
        tweak: called with the dataset before it is written.
        order: slice shown by each frame; ascending along the normal if absent.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    frames = order if order is not None else list(range(len(hu)))
    ds = patient_and_study(patient or SyntheticPatient(), seed, series_number=4)
    ds.SOPClassUID = EnhancedCTImageStorage
    ds.SOPInstanceUID = uid_of(seed, 4, "enhanced")
    _image(ds, grid, len(frames))
    ds.SharedFunctionalGroupsSequence = [_shared(grid)]
    ds.PerFrameFunctionalGroupsSequence = [_frame(grid, k, n) for n, k in enumerate(frames)]
    stored = np.clip(hu[frames].astype(np.int32) - INTERCEPT, -32768, 32767).astype("<i2")
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OW"
    if tweak is not None:
        ds = tweak(ds)
    ds.file_meta = file_meta(ds, ExplicitVRLittleEndian)
    dcmwrite(file, ds, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return file


def _item(**values: object) -> Sequence:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return Sequence([item])


def _image(ds: Dataset, grid: Grid, frames: int) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.PixelPresentation, ds.VolumetricProperties = "MONOCHROME", "VOLUME"
    ds.VolumeBasedCalculationTechnique, ds.AcquisitionDateTime = "NONE", "20250102101500"
    ds.ContentQualification, ds.PresentationLUTShape = "RESEARCH", "IDENTITY"
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    ds.PatientPosition, ds.DeviceSerialNumber, ds.SoftwareVersions = "HFS", "1", "1"
    ds.NumberOfFrames, ds.Rows, ds.Columns = frames, grid.rows, grid.columns
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.AcquisitionContextSequence = Sequence([])
    ds.DimensionOrganizationSequence = _item(DimensionOrganizationUID=uid_of("dimensions"))
    ds.DimensionIndexSequence = _item(
        DimensionOrganizationUID=uid_of("dimensions"),
        DimensionIndexPointer=0x00200032,
        FunctionalGroupPointer=0x00209113,
    )


def _shared(grid: Grid) -> Dataset:
    cosines = np.concatenate(
        [grid.column_step_lps_mm / grid.column_spacing_mm, grid.row_step_lps_mm / grid.row_spacing_mm]
    )
    shared = Dataset()
    shared.PixelMeasuresSequence = _item(
        PixelSpacing=[decimal_string(grid.row_spacing_mm), decimal_string(grid.column_spacing_mm)],
        SliceThickness=decimal_string(float(grid.slice_widths_mm[0])),
    )
    shared.PlaneOrientationSequence = _item(ImageOrientationPatient=[decimal_string(v) for v in cosines])
    shared.PixelValueTransformationSequence = _item(
        RescaleIntercept=str(INTERCEPT), RescaleSlope="1", RescaleType="HU"
    )
    shared.CTImageFrameTypeSequence = _item(
        FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
    )
    return shared


def _frame(grid: Grid, k: int, n: int) -> Dataset:
    frame = Dataset()
    frame.FrameContentSequence = _item(
        StackID="1", InStackPositionNumber=k + 1, DimensionIndexValues=[k + 1], FrameAcquisitionNumber=n + 1
    )
    frame.PlanePositionSequence = _item(
        ImagePositionPatient=[decimal_string(v) for v in grid.slice_origins_lps_mm[k]]
    )
    return frame
