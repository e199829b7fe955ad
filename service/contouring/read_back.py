"""Reads an encoded structure set back and compares it with what it was made of, before it may leave.

The reader knows nothing of the writer: a slice too high, rows for columns, a mirrored axis, half a pixel, a
name on the wrong contour are found here, whatever made them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import cc3d
import numpy as np
from numpy.typing import NDArray

from models.volume import FloatArray, Segmentation, StructureField
from service.contouring.ct_series import CtSeries
from service.contouring.structure_names import NAME_CHARACTERS, NameRules, Roi, written_names
from service.dicom.character_sets import character_set_of
from service.dicom.element_encoder import value_bytes
from service.dicom.structure_set_reader import RoiSlices, StructureSet, read_structure_set, roi_slices
from service.errors import StructureSetInvalid

LEAST_DSC: Final = 0.999
FORGIVEN_VOXELS: Final = 3
"""So many voxels may differ whatever the DSC: in a structure of a few hundred voxels one is already too many
for 0.999. Shifts of structures that small are caught by the position of their points, not by voxels."""

FARTHEST_OFF_PLANE_MM: Final = 0.01

ON_SURFACE: Final = 0.05
"""Largest field at a contour's point, as a part of the largest at the four pixel centres about it. On the
surface it is zero; half a pixel away from it about one half, a twentieth of a pixel away about this."""

POINTS_ON_SURFACE: Final = 0.99
"""Least part of an ROI's points that must lie on the surface."""

DIFFERS: Final = "read-back.differs"
"""Code of the refusal where the contours enclose other voxels than the segmentation."""

_USUAL_NAMES: Final = (NameRules(), NameRules(alphabet="ascii"))

_IDENTITY: Final = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "StudyInstanceUID",
    "AccessionNumber",
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well one ROI says what the segmentation says.

    Attributes:
        dsc: Dice similarity coefficient of the voxels that the contours enclose and those of the field.
        differing_voxels: enclosed by the one and not by the other.
        slices: with a contour.
    """

    dsc: float
    differing_voxels: int
    slices: int


def check(
    encoded: bytes,
    segmentation: Segmentation,
    series: CtSeries,
    rois: Sequence[Roi],
    names: NameRules | None = None,
) -> dict[str, Agreement]:
    """Compare an encoded structure set with the fields, the CT and the ROIs it was made of.

    Names are those that ``names`` makes of the ROIs', or in its absence one of the two usual ways. Holes of
    structures that do not keep them count as filled, whichever way diagonal neighbours are joined.

    Returns:
        Agreement by structure.

    Raises:
        StructureSetInvalid: anything differs; the code says what.
    """
    found = read_structure_set(encoded)
    _check_header(found, series)
    wanted = [
        roi
        for roi in rois
        if roi.structure in segmentation.structures
        and (segmentation.structures[roi.structure].field > 0).any()
    ]
    rules = _USUAL_NAMES if names is None else (names,)
    written = _check_rois(found, series, rois, [roi.structure for roi in wanted], rules)
    keys = [(reference.sop_instance_uid, reference.frame_number) for reference in series.references]
    by_name = {roi.name: roi for roi in found.rois}
    agreements = {}
    for roi in wanted:
        drawn = roi_slices(by_name[written[roi.structure]], series.grid, keys)
        field = segmentation.structures[roi.structure]
        agreements[roi.structure] = _compare(roi, drawn, field, series)
        _check_points(roi, drawn, field)
    return agreements


def _check_header(found: StructureSet, series: CtSeries) -> None:
    for keyword in _IDENTITY:
        if value_bytes(found.header, keyword) != value_bytes(series.header, keyword):
            raise _fault("identity", f"Its {keyword} is not that of the CT.")
    if found.approval_status != "UNAPPROVED":
        raise _fault("approval", "It does not say UNAPPROVED.")
    frames = {*found.frame_of_reference_uids, *(roi.frame_of_reference_uid for roi in found.rois)}
    if frames != {series.frame_of_reference_uid}:
        raise _fault("frame-of-reference", "Its frame of reference is not that of the CT.")
    images = Counter((reference.sop_instance_uid, reference.frame_number) for reference in series.references)
    if Counter(found.images) != images or set(found.series_instance_uids) != {series.series_instance_uid}:
        raise _fault("images", "It does not refer to just the images of the CT.")


def _check_rois(
    found: StructureSet,
    series: CtSeries,
    rois: Sequence[Roi],
    wanted: Sequence[str],
    rules: Sequence[NameRules],
) -> dict[str, str]:
    """ROI name by structure, by the first of the rules that the names follow."""
    names = [roi.name for roi in found.rois]
    if len({name.casefold() if rules[0].ignore_case else name for name in names}) < len(names):
        raise _fault("names", "Two ROIs have the same name but for upper and lower case.")
    if any(not name or len(name) > NAME_CHARACTERS or name != name.strip() for name in names):
        raise _fault("names", f"An ROI name is empty, longer than {NAME_CHARACTERS} characters, or padded.")
    if sum(roi.interpreted_type == "EXTERNAL" for roi in found.rois) > 1:
        raise _fault("externals", "More than one ROI is of type EXTERNAL.")
    for rule in rules:
        meant = written_names(rois, character_set_of(series.header), rule)
        if sorted(names) == sorted(meant[structure] for structure in wanted):
            return meant
    raise _fault("structures", "Its ROIs are not the structures that were found.")


def _compare(roi: Roi, drawn: RoiSlices, field: StructureField, series: CtSeries) -> Agreement:
    """The voxels that the contours enclose against those where the field is positive, slice by slice."""
    if drawn.left_out or drawn.placed_by_position or drawn.farthest_off_plane_mm > FARTHEST_OFF_PLANE_MM:
        raise _fault("off-slice", f"A contour of {roi.name} does not lie on the image it refers to.")
    shape = series.grid.shape_zyx[1:]
    first = field.corner_zyx[0]
    inside = [first + int(k) for k in np.flatnonzero(np.any(field.field > 0, axis=(1, 2)))]
    if inside != sorted(drawn.polygons):
        raise _fault("slices", f"{roi.name} has contours on other slices than the segmentation.")
    differing = total = 0
    for k, mask in drawn.masks(series.grid):
        expected = np.zeros(shape, dtype=np.bool_)
        expected[field.slices_zyx[1:]] = field.field[k - first] > 0
        wrong = mask != expected
        if wrong.any() and not roi.keeps_holes:
            wrong = (mask & ~_filled(expected, 4)) | (~mask & _filled(expected, 8))
        differing += int(wrong.sum())
        total += int(mask.sum() + expected.sum())
    dsc = 1 - differing / total if total else 0.0
    if dsc < LEAST_DSC and differing > FORGIVEN_VOXELS:
        raise _fault("differs", f"{roi.name} encloses other voxels than the segmentation (DSC {dsc:.4f}).")
    return Agreement(dsc, differing, len(inside))


def _filled(mask: NDArray[np.bool_], connectivity: Literal[4, 8]) -> NDArray[np.bool_]:
    """The mask and what of its background does not reach the border, the background joined 4- or 8-wise."""
    background = np.pad(~mask, 1, constant_values=True)
    part = cc3d.connected_components(background, connectivity=connectivity)
    return np.asarray(part[1:-1, 1:-1] != part[0, 0])


def _check_points(roi: Roi, drawn: RoiSlices, field: StructureField) -> None:
    """Every point of a contour lies where the field is zero: finer than voxels can tell."""
    on = total = 0
    for k, polygons in drawn.polygons.items():
        points = np.concatenate(polygons)
        if roi.keeps_holes:
            points = _once_only(points)
        near = _relative_field(field.field[k - field.corner_zyx[0]], points - field.corner_zyx[:0:-1])
        on += int((near <= ON_SURFACE).sum())
        total += len(points)
    if on < POINTS_ON_SURFACE * total:
        raise _fault("shifted", f"The contours of {roi.name} do not lie on the surface of the segmentation.")


def _once_only(points: FloatArray) -> FloatArray:
    """Without points that come twice: the ends of a keyhole's channel, one of which lies off the surface."""
    _, index, count = np.unique(np.round(points, 6), axis=0, return_inverse=True, return_counts=True)
    return np.asarray(points[count[index.ravel()] == 1])


def _relative_field(field: NDArray[np.float32], points: FloatArray) -> FloatArray:
    """Size of the interpolated field at points (column, row), over the largest about each; ``(n,)``.

    Beyond the box the field is the outermost value made negative, as the writer takes it to be.
    """
    corner = np.floor(points + 1e-6).astype(np.intp)
    part = points - corner
    value = np.zeros(len(points))
    largest = np.full(len(points), np.finfo(np.float64).tiny)
    rows, columns = field.shape
    for down in (0, 1):
        for right in (0, 1):
            row, column = corner[:, 1] + down, corner[:, 0] + right
            r, c = np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)
            at = np.clip(field[r, c].astype(np.float64), -1e6, 1e6)
            at = np.where((r != row) | (c != column), -np.abs(at), at)
            weight = np.abs(1 - right - part[:, 0]) * np.abs(1 - down - part[:, 1])
            value += weight * at
            largest = np.maximum(largest, np.abs(at))
    return np.asarray(np.abs(value) / largest)


def _fault(what: str, sentence: str) -> StructureSetInvalid:
    return StructureSetInvalid(
        f"read-back.{what}",
        f"The structure set was not sent: it reads back otherwise than it was made. {sentence} Report this.",
    )
