"""Structures that are boxes of voxels, and what a clinician does to them: every measure follows on paper.

The model's answer is known in voxels, and each edit is known to turn it into other voxels: a box moved by a
column, less a slice at either end, without its corners, or longer by some slices. What is sent back is made
by editing the contours of the set that came, as a planning system would.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from textwrap import dedent

import numpy as np
import pydicom
import yaml
from pydicom import Dataset
from pydicom.uid import generate_uid

from models.metrics import surface_distances, surface_elements
from models.volume import Grid
from service.dicom.ct_writer import SyntheticPatient, write_ct
from service.dicom.patient_grids import patient_grid

SHAPE = (30, 40, 44)
SPACING_ZYX_MM = (3.0, 5.0, 5.0)
BOXES = {  # first and last voxel + 1 of slices, rows and columns
    "Bladder": ((5, 21), (8, 16), (12, 22)),
    "Rectum": ((3, 23), (24, 30), (14, 20)),
}
EXTENDED_SLICES = 6
"""By so many slices the bladder is longer towards the head once the guideline has changed."""
TOLERANCE_MM = 6.0

_PROGRAM = """
    import numpy as np
    BOXES = {boxes!r}

    def segment(volume):
        out = {{}}
        for name, (z, y, x) in BOXES.items():
            out[name] = np.zeros(volume.grid.shape_zyx)
            out[name][slice(*z), slice(*y), slice(*x)] = 1
        return out
"""

Mask = np.ndarray


def grid() -> Grid:
    """Where every CT lies; slices from the feet to the head."""
    return patient_grid("HFS", shape_zyx=SHAPE, spacing_zyx_mm=SPACING_ZYX_MM)


def ct(folder: Path, seed: int, patient: str) -> list[Path]:
    """A CT of one value, another one for each seed: two alike would count as one CT under two names."""
    hu = np.full(SHAPE, 20 + seed, np.int16)
    who = SyntheticPatient(name=f"Phantom^{seed}", patient_id=patient)
    return write_ct(folder, hu, grid(), seed=seed, patient=who, study_description="Pelvis")


def write_box_bundle(folder: Path, boxes: Mapping[str, object]) -> None:
    """A model ``<folder's name>@1.0`` that answers with these boxes."""
    folder.mkdir(parents=True)
    code = folder / "model.py"
    code.write_text(dedent(_PROGRAM.format(boxes=dict(boxes))))
    card = {
        "name": folder.name, "version": "1.0", "kind": "program", "summary": "boxes",
        "intended_use": "tests", "licence": "Apache-2.0", "validated": True, "validation": "exact by construction",
        "structures": {name: {"extent": "the box", "volume_cm3": [0.01, 500]} for name in boxes},
        "program": {"file": code.name, "sha256": hashlib.sha256(code.read_bytes()).hexdigest()},
    }  # fmt: skip
    (folder / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False))


def longer(box: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """The box with the slices that the changed guideline wants."""
    (first, last), rows, columns = box
    return (first, last + EXTENDED_SLICES), rows, columns


def mask_of(box: Sequence[tuple[int, int]]) -> Mask:
    """Its voxels."""
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(*each) for each in box)] = True
    return mask


# --- what is done to contours, and to voxels -----------------------------------------------------


def untouched(mask: Mask) -> Mask:
    """Left as it is."""
    return mask.copy()


def shifted(mask: Mask) -> Mask:
    """Moved by one column to the patient's left."""
    return np.roll(mask, 1, axis=2)


def trimmed(mask: Mask) -> Mask:
    """Without its uppermost and its lowest slice."""
    cut, (first, last) = mask.copy(), _ends(mask)
    cut[[first, last]] = False
    return cut


def smoothed(mask: Mask) -> Mask:
    """Without the pixel at each corner of each slice."""
    cut = mask.copy()
    rows, columns = (np.flatnonzero(mask.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    cut[:, [rows[0], rows[0], rows[-1], rows[-1]], [columns[0], columns[-1]] * 2] = False
    return cut


def extended(mask: Mask) -> Mask:
    """Longer towards the head."""
    grown, (_, last) = mask.copy(), _ends(mask)
    grown[last + 1 : last + 1 + EXTENDED_SLICES] = mask[last]
    return grown


def _ends(mask: Mask) -> tuple[int, int]:
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    return int(slices[0]), int(slices[-1])


EDITS: dict[str, Callable[[Mask], Mask]] = {
    each.__name__: each for each in (untouched, shifted, trimmed, smoothed, extended)
}


def edited(made: Dataset, images: Sequence[Path], edits: Mapping[str, str], number: int) -> Dataset:
    """The set as a clinician approves it: a new instance whose ROIs were edited as ``edits`` says.

    Args:
        made: as it came from the node.
        images: the CT that it was drawn on.
        edits: by ROI name, one of ``EDITS``.
        number: tells sets apart.
    """
    ds = deepcopy(made)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(
        entropy_srcs=["set", str(number)]
    )
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(number)])
    ds.ApprovalStatus = "APPROVED"
    ds.ReviewDate, ds.ReviewTime, ds.ReviewerName = "20260101", "120000", "Clinician"
    names = {item.ROINumber: str(item.ROIName) for item in ds.StructureSetROISequence}
    by_z = {float(header.ImagePositionPatient[2]): header for header in map(_header, images)}
    for item in ds.ROIContourSequence:
        edit = edits.get(names[item.ReferencedROINumber], "untouched")
        item.ContourSequence = _CONTOUR_EDITS[edit](list(item.ContourSequence), by_z)
    return ds


def _header(file: Path) -> Dataset:
    return pydicom.dcmread(file, stop_before_pixels=True)


def _points(contour: Dataset) -> np.ndarray:
    return np.array(contour.ContourData, float).reshape(-1, 3)


def _set_points(contour: Dataset, points: np.ndarray) -> Dataset:
    contour.ContourData = [f"{value:.4f}" for value in points.ravel()]
    contour.NumberOfContourPoints = len(points)
    return contour


def _height(contour: Dataset) -> float:
    return float(_points(contour)[0, 2])


def _shift(contours: list[Dataset], _: object) -> list[Dataset]:
    return [_set_points(each, np.add(_points(each), (SPACING_ZYX_MM[2], 0, 0))) for each in contours]


def _trim(contours: list[Dataset], _: object) -> list[Dataset]:
    heights = [_height(each) for each in contours]
    return [each for each in contours if min(heights) < _height(each) < max(heights)]


def _smooth(contours: list[Dataset], _: object) -> list[Dataset]:
    """An octagon: corners cut by 1.2 pixels on each side take the corner's pixel and no other."""
    for each in contours:
        points = _points(each)
        (left, back, z), (right, front, _z) = points.min(axis=0), points.max(axis=0)
        c = 1.2 * SPACING_ZYX_MM[2]
        corners = [
            (left + c, back), (right - c, back), (right, back + c), (right, front - c),
            (right - c, front), (left + c, front), (left, front - c), (left, back + c),
        ]  # fmt: skip
        _set_points(each, np.array([(x, y, z) for x, y in corners]))
    return contours


def _extend(contours: list[Dataset], by_z: Mapping[float, Dataset]) -> list[Dataset]:
    top = max(contours, key=_height)
    added = []
    for step in range(1, EXTENDED_SLICES + 1):
        contour = deepcopy(top)
        z = _height(top) + step * SPACING_ZYX_MM[0]
        _set_points(contour, np.add(_points(top), (0, 0, z - _height(top))))
        on = by_z[min(by_z, key=lambda at, wanted=z: abs(at - wanted))]
        contour.ContourImageSequence[0].ReferencedSOPInstanceUID = on.SOPInstanceUID
        added.append(contour)
    return [*contours, *added]


_CONTOUR_EDITS = {
    "untouched": lambda contours, _: contours,
    "shifted": _shift,
    "trimmed": _trim,
    "smoothed": _smooth,
    "extended": _extend,
}


# --- what follows --------------------------------------------------------------------------------


def expected(ours: Mask, theirs: Mask) -> dict[str, float]:
    """Every measure, from the voxels of the model and those after the edit.

    A slice whose voxels are the same has the same outline: no edit draws one anew that changes none.
    """
    both, either = int((ours & theirs).sum()), int((ours | theirs).sum())
    voxel_cm3 = float(np.prod(SPACING_ZYX_MM)) / 1000
    a, b = (set(np.flatnonzero(mask.any(axis=(1, 2)))) for mask in (ours, theirs))
    common = sorted(a & b)
    same = [k for k in common if (ours[k] == theirs[k]).all()]
    slice_dsc = [2 * (ours[k] & theirs[k]).sum() / (ours[k].sum() + theirs[k].sum()) for k in common]
    distances = surface_distances(theirs, ours, grid())
    centres = [np.argwhere(mask).mean(axis=0) * SPACING_ZYX_MM for mask in (ours, theirs)]
    return {
        "dsc": 2 * both / float(ours.sum() + theirs.sum()),
        "jaccard": both / either,
        "volume_cm3": float(ours.sum()) * voxel_cm3,
        "reviewed_volume_cm3": float(theirs.sum()) * voxel_cm3,
        "centroid_shift_mm": float(np.linalg.norm(centres[0] - centres[1])),
        "slices_added_superior": float(sum(k > max(a) for k in b)),
        "slices_removed_superior": float(sum(k > max(b) for k in a)),
        "slices_added_inferior": float(sum(k < min(a) for k in b)),
        "slices_removed_inferior": float(sum(k < min(b) for k in a)),
        "slices_in_common": float(len(common)),
        "contours_untouched": len(same) / len(a),
        "worst_slice_dsc": float(min(slice_dsc)),
        "added_path_mm": float((_outline(theirs) & ~_outline(ours)).sum()) * SPACING_ZYX_MM[2],
        "hd95_mm": distances.hd95_mm,
        "assd_mm": distances.assd_mm,
        "msd_mm": distances.msd_mm,
        "surface_dsc": surface_elements(theirs, ours, grid()).surface_dice(TOLERANCE_MM),
    }


def _outline(mask: Mask) -> Mask:
    """Pixels of a slice one of whose four neighbours on it is outside."""
    wide = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    inner = wide[:, :-2, 1:-1] & wide[:, 2:, 1:-1] & wide[:, 1:-1, :-2] & wide[:, 1:-1, 2:]
    return mask & ~inner
