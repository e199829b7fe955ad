"""The structures as NIfTI files: one label map, or one mask a structure, and a JSON file about them.

The JSON file is written last: where it lies, all the others lie too, whole. No file's name holds a value of a
patient's; the JSON file names series and frame of reference of the CT, so that both can be laid together.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import numpy as np
import SimpleITK as sitk

from service.backlog.spool import write_once
from service.contouring.segmentation_object import found_rois, labels_of
from service.contouring.set_texts import NOT_CLINICAL
from service.errors import SpoolUnavailable, StructureSetInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.volume import Grid, Segmentation
    from service.contouring.ct_series import CtSeries
    from service.contouring.instance_modules import Authorship
    from service.contouring.structure_names import Roi

UNEVEN: Final = "nifti.uneven-slices"
"""Code of the refusal of a CT whose slices NIfTI cannot place."""

EMPTY: Final = "nifti.empty"
LABELS: Final = "labels.nii.gz"
_REVIEW: Final = "Automatic, not approved: for review by a clinician before use."
_FARTHEST_OFF_MM: Final = 0.01
_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9_-]")


def write_nifti(
    manifest: Path,
    series: CtSeries,
    segmentation: Segmentation,
    rois: Sequence[Roi],
    authorship: Authorship,
    *,
    by_structure: bool,
) -> None:
    """Write the files beside ``manifest``, and it; nothing if it is there.

    Voxels are the CT's; where structures overlap, the label map keeps the smaller one.

    Raises:
        StructureSetInvalid: nothing was found, or the CT's slices are not evenly spaced.
        SpoolUnavailable: the disk is full, read-only or failing.
    """
    if manifest.exists():
        return
    found = found_rois(segmentation, rois)
    if not found:
        sentence = "None of the structures asked for was found; there is nothing to write."
        raise StructureSetInvalid(EMPTY, sentence)
    _refuse_uneven(series.grid)
    fields = [segmentation.structures[roi.structure] for roi in found]
    files = _file_names(found) if by_structure else [LABELS] * len(found)
    try:
        manifest.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if by_structure:
            for file, field in zip(files, fields, strict=True):
                mask = field.mask(series.grid.shape_zyx).astype(np.uint8)
                _write(manifest.parent / file, as_image(mask, series.grid))
        else:
            _write(manifest.parent / LABELS, as_image(labels_of(fields, series), series.grid))
    except OSError:
        sentence = "Files cannot be written: the disk is full, read-only or failing."
        raise SpoolUnavailable("spool.unavailable", sentence) from None
    said = _said(series, segmentation, authorship)
    said["structures"] = [
        _structure(roi, file, 1 if by_structure else value, segmentation, series)
        for value, (roi, file) in enumerate(zip(found, files, strict=True), 1)
    ]
    write_once(manifest, json.dumps(said, ensure_ascii=False, indent=1).encode())


def as_image(voxels: NDArray[Any], grid: Grid) -> sitk.Image:
    """Voxels ``(slices, rows, columns)`` of an evenly spaced grid where the patient is, LPS in mm."""
    image = sitk.GetImageFromArray(voxels)
    slice_mm = float(grid.slice_offsets_mm[-1] / max(len(grid.slice_offsets_mm) - 1, 1))
    spacing_mm = (grid.column_spacing_mm, grid.row_spacing_mm, slice_mm or 1.0)
    image.SetSpacing(spacing_mm)  # type: ignore[no-untyped-call]
    origin_mm = [float(value) for value in grid.slice_origins_lps_mm[0]]
    image.SetOrigin(origin_mm)  # type: ignore[no-untyped-call]
    axes = (
        grid.column_step_lps_mm / grid.column_spacing_mm,
        grid.row_step_lps_mm / grid.row_spacing_mm,
        grid.normal,
    )
    cosines = [float(value) for value in np.stack(axes, axis=1).ravel()]
    image.SetDirection(cosines)  # type: ignore[no-untyped-call]
    return image


def _refuse_uneven(grid: Grid) -> None:
    """A NIfTI file has one affine: slices in a row, all as far apart (NIfTI-1, method 3)."""
    slices = len(grid.slice_origins_lps_mm)
    step = (grid.slice_origins_lps_mm[-1] - grid.slice_origins_lps_mm[0]) / max(slices - 1, 1)
    even = grid.slice_origins_lps_mm[0] + np.arange(slices)[:, None] * step
    off_mm = float(np.abs(grid.slice_origins_lps_mm - even).max())
    off_mm = max(off_mm, float(np.linalg.norm(np.cross(step, grid.normal))) * slices)
    if off_mm > _FARTHEST_OFF_MM:
        raise StructureSetInvalid(
            UNEVEN,
            f"The slices lie up to {off_mm:.2f} mm off an even spacing, which NIfTI cannot say. "
            "Have a DICOM Segmentation sent for such CT.",
        )


def _file_names(found: Sequence[Roi]) -> list[str]:
    taken: set[str] = set()
    names = []
    for number, roi in enumerate(found, 1):
        stem = _NOT_PLAIN.sub("_", roi.name)
        if stem.casefold() in taken:
            stem = f"{stem}_{number}"
        taken.add(stem.casefold())
        names.append(f"{stem}.nii.gz")
    return names


def _write(file: Path, image: sitk.Image) -> None:
    """So that the file is there whole or not at all."""
    part = file.with_name(f".{uuid4().hex}.nii.gz")
    try:
        sitk.WriteImage(image, str(part), useCompression=True, compressionLevel=1)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(file)
    except RuntimeError as error:  # what SimpleITK raises when it cannot write
        part.unlink(missing_ok=True)
        raise OSError from error


def _said(series: CtSeries, segmentation: Segmentation, authorship: Authorship) -> dict[str, Any]:
    makers = [segmentation.provenance, *segmentation.made_by.values()]
    validated = all(each.validated for each in makers)
    return {
        "instance_uid": authorship.sop_instance_uid,
        "label": authorship.label,
        "for_review": _REVIEW if validated else f"{NOT_CLINICAL}. {_REVIEW}",
        "made_at": authorship.made_at.isoformat(timespec="seconds"),
        "software": f"Delineate {authorship.software_version}",
        "models": list(dict.fromkeys(f"{each.model}@{each.version}" for each in makers)),
        "ct_series_instance_uid": series.series_instance_uid,
        "ct_frame_of_reference_uid": series.frame_of_reference_uid,
        "overlap": "A voxel of several structures has the number of the smallest.",
        "notes": list(authorship.notes),
    }


def _structure(
    roi: Roi, file: str, value: int, segmentation: Segmentation, series: CtSeries
) -> dict[str, Any]:
    code = roi.known.code
    field = segmentation.structures[roi.structure]
    side = roi.known.laterality
    return {
        "name": roi.name,
        "structure": roi.structure,
        "file": file,
        "value": value,
        "color": "#{:02x}{:02x}{:02x}".format(*roi.color),
        "code": None
        if code is None
        else {"value": code.value, "scheme": code.scheme, "meaning": code.meaning},
        "side": None if side is None else side.value.meaning,
        "volume_cm3": round(field.volume_cm3(series.grid), 2),
        "remarks": [each.sentence for each in segmentation.findings if each.structure == roi.structure],
    }
