"""The contours of an ROI as a mask on the CT that they were drawn on, or the reason why there is none.

What the contours say is taken as it is: no contour is moved to another slice, none is made up between two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.volume import FloatArray, Grid
from service.dicom.planar_contours import PlanarContour, SliceKey
from service.dicom.polygon_filling import fill, rasterise
from service.dicom.slice_spacing import JITTER_MM
from service.dicom.structure_set_reader import (
    AREAS,
    Roi,
    RoiSlices,
    roi_slices,
)
from service.training_data.name_files import KnownStructure
from service.training_data.remarks import Weight

MISSING_SHARE: Final = 0.1
"""Up to this part of the slices between the first and the last contour may have been forgotten."""

OVERLAP_SHARE: Final = 0.01
"""Up to this part of an ROI may lie in two contours of one slice that are not one within the other."""

_ROUNDING_MM: Final = 0.01

Mask = NDArray[np.bool_]


class Saying(NamedTuple):
    """A remark that does not know yet what it is about."""

    code: str
    sentence: str
    weight: Weight


@dataclass(slots=True)
class RoiDrawing:
    """What became of one ROI.

    Attributes:
        mask: ``(slices, rows, columns)``; None if it is not known where the structure is.
        sayings: what a person must know.
    """

    mask: Mask | None = None
    sayings: list[Saying] = field(default_factory=list)

    def refuse(self, code: str, sentence: str) -> RoiDrawing:
        """The ROI is not taken."""
        self.mask = None
        self.sayings.append(Saying(code, sentence, Weight.LEFT_OUT))
        return self

    def say(self, code: str, sentence: str, weight: Weight = Weight.WARNING) -> None:
        """The ROI is taken, but."""
        self.sayings.append(Saying(code, sentence, weight))


@dataclass(frozen=True, slots=True)
class CtFrame:
    """Where a CT lies: its grid, what its slices are called, and in which frame of reference."""

    grid: Grid
    slices: Sequence[SliceKey]
    frame_of_reference_uid: str


def draw_roi(roi: Roi, ct: CtFrame, known: KnownStructure, *, empty_is_absent: bool = False) -> RoiDrawing:
    """One ROI as a mask.

    Args:
        roi: as the structure set has it.
        ct: the CT that it was drawn on.
        known: how high the structure is at least, and whether it may be in several parts.
        empty_is_absent: an ROI without contours says that the patient lacks the structure.
    """
    drawing = RoiDrawing()
    if not roi.contours:
        return undrawn(drawing, ct.grid, empty_is_absent)
    areas = [one for one in roi.contours if one.geometric_type in AREAS and len(one.points_lps_mm) > 2]
    other = len(roi.contours) - len(areas)
    if not areas:
        return drawing.refuse(
            "roi.no-area",
            f"It holds {other} points or open lines and no closed contour: nothing is enclosed.",
        )
    if other:
        drawing.say(
            "roi.contours-ignored",
            f"{other} of its contours are points, lines or of fewer than 3 points: they enclose nothing.",
            Weight.NOTE,
        )
    if roi.frame_of_reference_uid not in ("", ct.frame_of_reference_uid):
        return drawing.refuse(
            "roi.other-frame-of-reference", "It was drawn in another frame of reference than the CT's."
        )
    if _tilted(areas, ct.grid):
        return drawing.refuse(
            "roi.not-in-plane",
            "Its contours do not lie in the planes of the CT's slices. Draw it on transverse slices.",
        )
    placed = roi_slices(roi, ct.grid, ct.slices)
    if not _on_their_slices(drawing, placed, ct.grid):
        return drawing
    drawing.mask = _rasterised(drawing, placed, ct.grid)
    return drawing if drawing.mask is None else finished(drawing, ct.grid, known)


def undrawn(drawing: RoiDrawing, grid: Grid, empty_is_absent: bool) -> RoiDrawing:
    """A structure that has a name and no voxel."""
    if empty_is_absent:
        drawing.mask = np.zeros(grid.shape_zyx, dtype=np.bool_)
        drawing.say("roi.absent", "It is empty: taken to say that the patient lacks it.", Weight.NOTE)
        return drawing
    return drawing.refuse("roi.empty", "It is empty. It stays unknown whether the patient lacks it.")


def finished(drawing: RoiDrawing, grid: Grid, known: KnownStructure) -> RoiDrawing:
    """Refuse a mask that nobody finished: slices left blank, or too low to be the whole structure."""
    if drawing.mask is None:
        return drawing
    slices = len(drawing.mask)
    drawn = np.flatnonzero(drawing.mask.any(axis=(1, 2)))
    first, last = int(drawn[0]), int(drawn[-1])
    span = last - first + 1
    missing = span - len(drawn)
    if missing:
        sentence = (
            f"It is drawn on {len(drawn)} of the {span} slices from its first to its last "
            f"(the CT has {slices})"
        )
        every_other = not (np.diff(drawn) == 1).any()
        if every_other or (missing > MISSING_SHARE * span and not known.several_parts):
            return drawing.refuse("roi.gap", f"{sentence}: it was not finished.")
        drawing.say("roi.gap-kept", f"{sentence}: taken as drawn.")
    height = float(grid.slice_widths_mm[first : last + 1].sum())
    inside = first > 0 and last < slices - 1
    if inside and height < known.minimum_height_mm:
        return drawing.refuse(
            "roi.too-low",
            f"It is drawn on {len(drawn)} of the CT's {slices} slices, {height:.1f} mm high; a whole one is "
            f"{known.minimum_height_mm:g} mm at least: it was not finished.",
        )
    return drawing


def _tilted(areas: Sequence[PlanarContour], grid: Grid) -> bool:
    limit = float(grid.slice_widths_mm.min()) / 2
    return any(float(np.ptp(one.points_lps_mm @ grid.normal)) > limit for one in areas)


def _on_their_slices(drawing: RoiDrawing, placed: RoiSlices, grid: Grid) -> bool:
    """Whether every contour lies on the slice that it refers to, and one plane on each slice."""
    gaps = np.diff(grid.slice_offsets_mm)
    below, above = (np.concatenate(parts) / 2 for parts in ((gaps[:1], gaps), (gaps, gaps[-1:])))
    far = [
        k
        for k, many in placed.heights_mm.items()
        for low, high in many
        if -low > below[k] + _ROUNDING_MM or high > above[k] + _ROUNDING_MM
    ]
    if far:
        drawing.refuse(
            "roi.off-slice",
            f"{len(far)} of its contours lie up to {placed.farthest_off_plane_mm:.2f} mm off the slices that "
            "they refer to, nearer to others: slice and position contradict each other.",
        )
        return False
    spread = {
        k: max(high for _, high in many) - min(low for low, _ in many)
        for k, many in placed.heights_mm.items()
    }
    if any(distance > JITTER_MM for distance in spread.values()):
        drawing.refuse(
            "roi.several-planes",
            f"Contours of different heights, up to {max(spread.values()):.2f} mm apart, fall on one slice: "
            "it was drawn on another CT's slices.",
        )
        return False
    if not placed.polygons:
        drawing.refuse("roi.outside", "All its contours lie above or below the CT.")
        return False
    if placed.left_out:
        drawing.say(
            "roi.beyond",
            f"{placed.left_out} of its contours lie above or below the CT, which shows the rest.",
        )
    if placed.farthest_off_plane_mm > JITTER_MM:
        drawing.say(
            "roi.off-slice-slightly",
            f"Its contours lie up to {placed.farthest_off_plane_mm:.2f} mm off their slices: taken on them.",
        )
    if placed.placed_by_position:
        drawing.say(
            "roi.by-position",
            f"{placed.placed_by_position} of its contours name no slice of this CT: placed by position.",
            Weight.NOTE,
        )
    return True


def _rasterised(drawing: RoiDrawing, placed: RoiSlices, grid: Grid) -> Mask | None:
    mask = np.zeros(grid.shape_zyx, dtype=np.bool_)
    doubtful = 0
    for k, polygons in placed.polygons.items():
        fill(mask[k], polygons)
        doubtful += _in_two(polygons, grid)
    inside = int(mask.sum())
    if doubtful > OVERLAP_SHARE * (inside + doubtful):
        drawing.refuse(
            "roi.contours-overlap",
            f"{doubtful} voxels lie in two contours of one slice that overlap: inside or hole is not said.",
        )
        return None
    if not inside:
        drawing.refuse("roi.no-voxel", "Its contours enclose no voxel's centre.")
        return None
    if doubtful:
        drawing.say(
            "roi.contours-overlap-slightly",
            f"{doubtful} voxels lie in two contours of one slice that overlap: taken as outside.",
        )
    return mask


def _in_two(polygons: Sequence[FloatArray], grid: Grid) -> int:
    """Voxels in two contours of one slice of which neither is a hole in the other, or both are the same."""
    boxes = [(polygon.min(axis=0), polygon.max(axis=0)) for polygon in polygons]
    doubtful = 0
    for (one, (low, high)), (other, (low_2, high_2)) in combinations(zip(polygons, boxes, strict=True), 2):
        if (low > high_2).any() or (low_2 > high).any():
            continue
        a, b = (rasterise([polygon], grid.rows, grid.columns) for polygon in (one, other))
        shared, smaller = int((a & b).sum()), int(min(a.sum(), b.sum()))
        if shared and (shared < smaller or a.sum() == b.sum()):
            doubtful += shared
    return doubtful
