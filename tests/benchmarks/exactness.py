"""How far the contours of a structure set lie from the surfaces that are known, and what others make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import other_readers
import shapely
from benchmarks.pelvis_case import SECTIONS, PelvisCase
from benchmarks.rounds import Unmeasured

from models.volume import FloatArray
from service.contouring.ct_series import CtSeries
from service.dicom.structure_set_reader import read_structure_set, roi_slices

_STEP_MM = 0.25
"""Between the points at which a contour, and the known surface, are looked at."""

_CURVE_STEP_MM = 0.05


@dataclass(frozen=True, slots=True)
class Deviation:
    """Distances between contours and known surfaces over all slices that have both, both ways.

    Attributes:
        mean_mm: over the whole length of both.
        max_mm: largest of all.
        points: of all contours in the file.
        slices_missed: cross-sections of the structures without a contour.
    """

    mean_mm: float
    max_mm: float
    points: int
    slices_missed: int


def deviations(file: Path, case: PelvisCase, series: CtSeries) -> dict[str, Deviation]:
    """By structure, and ``all`` together."""
    grid = series.grid
    keys = [(one.sop_instance_uid, one.frame_number) for one in series.references]
    rois = {roi.name.casefold(): roi for roi in read_structure_set(file).rois}
    gathered: dict[str, tuple[FloatArray, int, int]] = {}
    for name in SECTIONS:
        roi = rois[name.casefold()]
        drawn = roi_slices(roi, grid, keys).polygons
        distances, missed = [np.empty(0)], 0
        for k, section in case.sections(name):
            if k not in drawn:
                missed += 1
                continue
            curves = shapely.multilinestrings(
                [shapely.linearrings(part.curve(_CURVE_STEP_MM)) for part in section]
            )
            rings = [grid.positions_lps_mm(k, ring[:, 1], ring[:, 0])[:, :2] for ring in drawn[k]]
            distances += _both_ways(_outline(rings), curves)
        points = sum(len(one.points_lps_mm) for one in roi.contours)
        gathered[name] = (np.concatenate(distances), points, missed)
    everything = list(gathered.values())
    gathered["all"] = (
        np.concatenate([one[0] for one in everything]),
        sum(one[1] for one in everything),
        sum(one[2] for one in everything),
    )
    return {
        name: Deviation(float(found.mean()), float(found.max()), points, missed)
        for name, (found, points, missed) in gathered.items()
    }


def dsc_in_other_readers(
    file: Path, ct: Path, masks: Mapping[str, np.ndarray], series: CtSeries, scratch: Path
) -> dict[str, float]:
    """By reader, the smallest DSC of any structure with its mask; a structure that it drops counts as 0.

    Raises:
        Unmeasured: a reader is not installed.
    """
    if other_readers.PLASTIMATCH is None:
        raise Unmeasured("plastimatch is not installed (Debian package plastimatch)")
    readers: dict[str, Callable[..., other_readers.Masks]] = other_readers.READERS
    worst = {}
    for reader, read in readers.items():
        found = {n.casefold(): m for n, m in read(file, ct, scratch / reader, series.grid).items()}
        nothing = np.zeros(series.grid.shape_zyx, dtype=bool)
        scores = [other_readers.dsc(found.get(n.casefold(), nothing), mask) for n, mask in masks.items()]
        worst[reader] = min(scores)
    return worst


def _outline(rings: list[FloatArray]) -> shapely.Geometry:
    """What the rings enclose by the even-odd rule, as lines: a keyhole's channel, of no width, is not in it."""
    area = shapely.Polygon()
    for ring in rings:
        if len(ring) > 2:
            area = area.symmetric_difference(shapely.make_valid(shapely.Polygon(ring)))
    polygons = [part for part in shapely.get_parts(area) if part.geom_type == "Polygon"]
    return shapely.boundary(shapely.multipolygons(polygons))


def _both_ways(drawn: shapely.Geometry, known: shapely.Geometry) -> list[FloatArray]:
    if drawn.is_empty:
        return []
    return [_distances(drawn, known), _distances(known, drawn)]


def _distances(of: shapely.Geometry, to: shapely.Geometry) -> FloatArray:
    shapely.prepare(to)
    points = shapely.get_coordinates(shapely.segmentize(of, _STEP_MM))
    return np.asarray(shapely.distance(shapely.points(points), to))
