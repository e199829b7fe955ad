"""Writes synthetic CT series: phantoms for commissioning and every kind of input for tests.

The files are valid CT Image Storage instances; the same arguments give the same bytes, UIDs included. What a
real series might have wrong with it is put in by ``tweak``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    JPEG2000,
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pydicom.uid import UID as Uid
from pydicom.valuerep import format_number_as_ds

from models.volume import Grid
from service.dicom.jpeg_lossless import compress_jpeg_lossless

Tweak = Callable[[int, Dataset], Dataset | None]

_ENCODERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    RLELossless: ("pydicom", {}),
    JPEGLSLossless: ("pyjpegls", {}),
    JPEGLSNearLossless: ("pyjpegls", {"jls_error": 2}),
    JPEG2000Lossless: ("pylibjpeg", {}),
    JPEG2000: ("pylibjpeg", {"j2k_cr": [10]}),
}
"""Plugin and options by transfer syntax; options are what makes it lossy."""


@dataclass(frozen=True, slots=True, repr=False)
class SyntheticPatient:
    """Whose CT it pretends to be.

    Attributes:
        name: PatientName (0010,0010), component groups separated by ``=``.
        patient_id: PatientID (0010,0020).
        birth_date: PatientBirthDate, YYYYMMDD.
        sex: M, F or O.
        character_set: SpecificCharacterSet (0008,0005); several values for ISO 2022 code extensions.
    """

    name: str = "Phantom^Synthetic"
    patient_id: str = "SYN001"
    birth_date: str = "19500101"
    sex: str = "O"
    character_set: str | tuple[str, ...] = "ISO_IR 192"


def write_ct(  # noqa: PLR0913 - each argument is one thing a test varies
    folder: Path,
    hu: NDArray[np.integer],
    grid: Grid,
    *,
    patient: SyntheticPatient | None = None,
    patient_position: str = "HFS",
    seed: int = 0,
    series_number: int = 2,
    study_description: str = "Pelvis",
    series_description: str = "Planning CT",
    transfer_syntax: str = ExplicitVRLittleEndian,
    intercept: int = -1024,
    tweak: Tweak | None = None,
) -> list[Path]:
    """Write one file a slice, ``CT0000.dcm`` being the first along the grid's normal.

    Args:
        folder: made if absent.
        hu: ``(slices, rows, columns)`` CT numbers; clipped to what int16 holds after the intercept.
        grid: where the voxels are.
        patient: whose CT it pretends to be.
        patient_position: PatientPosition; the image orientation is the grid's and is not checked against it.
        seed: series of one seed share patient, study and frame of reference.
        series_number: tells series of one seed apart.
        study_description, series_description: for routing.
        transfer_syntax: of the files.
        intercept: RescaleIntercept; the slope is 1.
        tweak: called with the slice index and its dataset before encoding; returns the dataset to write, or
            None to leave the slice out.

    Returns:
        The files written, in slice order.
    """
    if hu.shape != grid.shape_zyx:
        message = f"CT numbers of shape {hu.shape} do not lie on a grid of shape {grid.shape_zyx}"
        raise ValueError(message)
    folder.mkdir(parents=True, exist_ok=True)
    who = patient or SyntheticPatient()
    files = []
    for k in range(len(hu)):
        ds = _header(who, seed, series_number, k)
        ds.StudyDescription, ds.SeriesDescription = study_description, series_description
        ds.PatientPosition = patient_position
        _place(ds, grid, k)
        _pixels(ds, hu[k], intercept)
        written = ds if tweak is None else tweak(k, ds)
        if written is not None:
            files.append(folder / f"CT{k:04d}.dcm")
            write_instance(files[-1], written, transfer_syntax)
    return files


def write_instance(file: Path, ds: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> None:
    """Write a dataset with native little endian pixels as a Part 10 file in any syntax this can encode.

    The dataset is encoded in place: give each call its own.
    """
    syntax = Uid(transfer_syntax)
    meta = ds.file_meta = file_meta(ds, ExplicitVRLittleEndian)
    if syntax == JPEGLosslessSV1:
        compress_jpeg_lossless(ds)
    elif syntax.is_compressed and not syntax.is_deflated:
        plugin, options = _ENCODERS[syntax]
        ds.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False, **options)
        if options:
            ds.LossyImageCompression = "01"
    elif syntax == ExplicitVRBigEndian:
        ds.PixelData = np.frombuffer(ds.PixelData, dtype="<u2").astype(">u2").tobytes()
    meta.TransferSyntaxUID = syntax
    dcmwrite(
        file,
        ds,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        enforce_file_format=True,
    )


def file_meta(ds: Dataset, transfer_syntax: str) -> FileMetaDataset:
    """File Meta Information of an instance, one without a UID of its own too."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPInstanceUID = Uid(ds.get("SOPInstanceUID") or uid_of("no instance"))
    meta.TransferSyntaxUID = Uid(transfer_syntax)
    return meta


def uid_of(*parts: object) -> str:
    """A UID under 2.25 that depends on nothing but its parts."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def patient_and_study(who: SyntheticPatient, seed: int, series_number: int) -> Dataset:
    """Patient, General Study, General Series, Frame of Reference and Equipment modules of a series."""
    ds = Dataset()
    charset = who.character_set
    ds.SpecificCharacterSet = list(charset) if isinstance(charset, tuple) else charset
    ds.StudyInstanceUID = uid_of(seed, "study")
    ds.SeriesInstanceUID = uid_of(seed, series_number, "series")
    ds.FrameOfReferenceUID = uid_of(seed, "frame of reference")
    ds.PositionReferenceIndicator = ""
    for group in ("Study", "Series", "Acquisition", "Content"):
        setattr(ds, f"{group}Date", "20250102")
        setattr(ds, f"{group}Time", "101500")
    ds.PatientName, ds.PatientID = who.name, who.patient_id
    ds.PatientBirthDate, ds.PatientSex = who.birth_date, who.sex
    ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = "A1", "1", ""
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "CT", "Synthetic", "Phantom"
    ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = series_number, 1, 1
    return ds


def _header(who: SyntheticPatient, seed: int, series_number: int, k: int) -> Dataset:
    ds = patient_and_study(who, seed, series_number)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = uid_of(seed, series_number, k)
    ds.InstanceNumber = k + 1
    ds.KVP = "120"
    return ds


def _place(ds: Dataset, grid: Grid, k: int) -> None:
    """Image Plane module (PS3.3 C.7.6.2): the slice's own position and orientation."""
    origin = grid.slice_origins_lps_mm[k]
    cosines = np.concatenate(
        [grid.column_step_lps_mm / grid.column_spacing_mm, grid.row_step_lps_mm / grid.row_spacing_mm]
    )
    ds.ImagePositionPatient = [decimal_string(value) for value in origin]
    ds.ImageOrientationPatient = [decimal_string(value) for value in cosines]
    ds.PixelSpacing = [decimal_string(grid.row_spacing_mm), decimal_string(grid.column_spacing_mm)]
    ds.SliceThickness = decimal_string(round(float(grid.slice_widths_mm[k]), 6))
    ds.SliceLocation = decimal_string(round(float(origin @ grid.normal), 6))


def _pixels(ds: Dataset, hu: NDArray[np.integer], intercept: int) -> None:
    """Image Pixel and CT Image modules: 16 bits signed."""
    stored = np.clip(hu.astype(np.int32) - intercept, -32768, 32767).astype("<i2")
    ds.Rows, ds.Columns = stored.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(intercept), "1", "HU"
    ds.WindowCenter, ds.WindowWidth = "40", "400"
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OW"


def decimal_string(value: float) -> str:
    """A DS value: as many digits as 16 characters hold (PS3.5 6.2)."""
    return str(format_number_as_ds(float(value) + 0.0))
