"""Contours with no more points than a receiver takes: simplified no further than that needs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Final

import numpy as np

from models.volume import FloatArray
from service.contouring.contours import Contour, ContourSet
from service.contouring.polygons import simplified
from service.contouring.profiles import Profile
from service.errors import StructureSetInvalid

TOO_MANY_POINTS: Final = "structure-set.too-many-points"
"""Code of the refusal where no simplification that a clinician would accept gives so few points."""

_FIRST_TOLERANCE_MM: Final = 0.01
_LAST_TOLERANCE_MM: Final = 1.0
_POINTS_OF_A_CHANNEL: Final = 4


def within_budget(contours: ContourSet, profile: Profile) -> tuple[ContourSet, float]:
    """The contours within the points of the profile, and how far they were allowed to move for it, mm.

    Raises:
        StructureSetInvalid: they do not fit even if they move by a millimetre.
    """
    tolerance_mm = 0.0
    structures = dict(contours.structures)
    if profile.points_per_contour is not None:
        for name, of_one in structures.items():
            structures[name], moved_mm = _each_within(of_one, contours, profile.points_per_contour)
            tolerance_mm = max(tolerance_mm, moved_mm)
    if profile.points_per_set is not None:
        step = _FIRST_TOLERANCE_MM
        whole = structures
        while sum(_points(of_one) for of_one in structures.values()) > profile.points_per_set:
            if step > _LAST_TOLERANCE_MM:
                raise _too_many("set", profile.points_per_set)
            structures = {name: _simplified(of_one, contours, step) for name, of_one in whole.items()}
            tolerance_mm = max(tolerance_mm, step)
            step *= 2
    return replace(contours, structures=structures), tolerance_mm


def moved_too_far(moved_mm: float) -> StructureSetInvalid:
    """The refusal where contours that fit the budget no longer say what the segmentation says."""
    return StructureSetInvalid(
        TOO_MANY_POINTS,
        f"To keep to the points of the profile contours would have to move by up to {moved_mm:.2f} mm, "
        "and then enclose other voxels than the segmentation. Raise points_per_set or points_per_contour of "
        "the profile, or send fewer structures.",
    )


def _each_within(
    of_one: tuple[Contour, ...], contours: ContourSet, most: int
) -> tuple[tuple[Contour, ...], float]:
    """A structure's contours with at most so many points each, a contour's holes counted with it."""
    groups: dict[int, list[int]] = defaultdict(list)
    for index, contour in enumerate(of_one):
        groups[index if contour.hole_of is None else contour.hole_of].append(index)
    found = list(of_one)
    moved_mm = 0.0
    for indices in groups.values():
        step = _FIRST_TOLERANCE_MM
        while _points([found[i] for i in indices]) > most:
            if step > _LAST_TOLERANCE_MM:
                raise _too_many("contour", most)
            fewer = _simplified([of_one[i] for i in indices], contours, step)
            for i, contour in zip(indices, fewer, strict=True):
                found[i] = contour
            moved_mm = max(moved_mm, step)
            step *= 2
    return tuple(found), moved_mm


def _points(of_one: tuple[Contour, ...] | list[Contour]) -> int:
    """As they will be written: each hole with the channel that leads to it."""
    holes = sum(contour.hole_of is not None for contour in of_one)
    return sum(len(contour.pixels) for contour in of_one) + _POINTS_OF_A_CHANNEL * holes


def _simplified(
    of_one: tuple[Contour, ...] | list[Contour], contours: ContourSet, tolerance_mm: float
) -> tuple[Contour, ...]:
    grid = contours.grid
    spacing_mm = np.array([grid.column_spacing_mm, grid.row_spacing_mm])
    found = []
    for contour in of_one:
        pixels: FloatArray = simplified(contour.pixels, spacing_mm, tolerance_mm)
        if len(pixels) >= 3:
            points = grid.positions_lps_mm(contour.slice_index, pixels[:, 1], pixels[:, 0])
            found.append(replace(contour, pixels=pixels, points_lps_mm=points))
        else:
            found.append(contour)
    return tuple(found)


def _too_many(what: str, most: int) -> StructureSetInvalid:
    return StructureSetInvalid(
        TOO_MANY_POINTS,
        f"A {what} has more than {most} points however it is simplified (up to {_LAST_TOLERANCE_MM:g} mm). "
        f"Raise points_per_{what} of the profile, or send fewer structures.",
    )
