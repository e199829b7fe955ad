"""What a stack of slices is, from positions and orientations alone: order, holes, what must be refused.

Frame: DICOM patient coordinates, LPS, mm (PS3.3 C.7.6.2.1.1). Pure numpy: reads no file and knows no patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from service.dicom.slice_spacing import JITTER_MM, Gap, Refusal, Spacing, judge_spacing, tolerance_mm

FloatArray = NDArray[np.float64]

TILT_DEGREES: Final = 0.1
"""The line through the slices' origins may lean this far from their normal."""

FARTHEST_MM: Final = 10_000.0
"""A coordinate beyond this is not a position in a scanner."""

_ROUNDING_MM: Final = 0.02
_SAME_COSINE: Final = 1e-4
_UNIT_COSINE: Final = 1e-3
_ALIKE_COSINE: Final = 1e-2


@dataclass(frozen=True, slots=True)
class StackGeometry:
    """What the positions of a stack say.

    Attributes:
        order: ``(n,)`` indices into the input, ascending along ``normal``; empty if nothing could be ordered.
        offsets_mm: ``(n,)`` distance along ``normal`` from the first slice, in that order.
        normal: ``(3,)`` unit vector, row direction x column direction.
        spacing_mm: median distance of neighbouring slices that differ in position; nan for fewer than two.
        gaps: holes, ascending. A stack with holes is also refused (``series.hole``).
        duplicates: groups of input indices that share one position. No refusal by itself: whether their
            pixels agree decides, and that is not known here.
        ends: gaps at the very ends that are twice the spacing: one slice may be missing there; no refusal.
        non_uniform: the spacing changes along the stack and each spacing lasts, or an end stands off.
        refusal: stable code and a sentence for people, or None.
    """

    order: NDArray[np.intp]
    offsets_mm: FloatArray
    normal: FloatArray
    spacing_mm: float = float("nan")
    gaps: tuple[Gap, ...] = ()
    ends: tuple[Gap, ...] = ()
    duplicates: tuple[tuple[int, ...], ...] = ()
    non_uniform: bool = False
    refusal: Refusal | None = None

    @property
    def missing(self) -> int:
        """How many slices are missing in all holes together, at least."""
        return sum(gap.missing for gap in self.gaps)


def analyse(positions_lps_mm: ArrayLike, orientations: ArrayLike) -> StackGeometry:
    """Order a stack and say what is wrong with it.

    Args:
        positions_lps_mm: ``(n, 3)`` ImagePositionPatient of each slice, any order; nan where it is absent.
        orientations: ``(n, 6)`` ImageOrientationPatient of each slice; nan where it is absent.

    Returns:
        Always a geometry: what cannot be contoured carries ``refusal``.
    """
    positions = np.asarray(positions_lps_mm, dtype=np.float64).reshape(-1, 3)
    cosines = np.asarray(orientations, dtype=np.float64).reshape(-1, 6)
    if len(positions) != len(cosines):
        message = f"{len(positions)} positions do not go with {len(cosines)} orientations"
        raise ValueError(message)
    refusal = _unreadable(positions, cosines)
    if refusal is not None:
        return _refused(refusal)
    normal = _unit(np.cross(cosines[:, :3].mean(axis=0), cosines[:, 3:].mean(axis=0)))
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    offsets = along[order] - along[order[0]]
    duplicates, firsts, spacing_mm = _duplicates(order, offsets)
    lateral = _lateral(positions[order], offsets, firsts, normal)
    spacing = Spacing()
    if lateral is None:
        transverse = abs(normal[2]) > np.sqrt(0.5)
        places = positions[order[firsts], 2] if transverse else offsets[firsts]
        axis = "z" if transverse else "distance along the stack"
        spacing = judge_spacing(offsets[firsts], places, firsts, axis)
    return StackGeometry(
        order=order,
        offsets_mm=offsets,
        normal=normal,
        spacing_mm=spacing_mm,
        gaps=spacing.holes,
        ends=spacing.ends,
        duplicates=duplicates,
        non_uniform=spacing.non_uniform,
        refusal=lateral or spacing.refusal,
    )


def most_common_orientation(orientations: ArrayLike) -> NDArray[np.bool_]:
    """``(n,)`` True for slices with the orientation that most share (to 0.01 in each cosine); nan never."""
    cosines = np.asarray(orientations, dtype=np.float64).reshape(-1, 6)
    if not len(cosines):
        return np.zeros(0, dtype=bool)
    alike = np.abs(cosines[:, None] - cosines[None]).max(axis=2) < _ALIKE_COSINE
    return np.asarray(alike[np.argmax(alike.sum(axis=1))])


def _refused(refusal: Refusal) -> StackGeometry:
    nothing = np.zeros(0)
    return StackGeometry(np.zeros(0, dtype=np.intp), nothing, np.full(3, np.nan), refusal=refusal)


def _unit(vector: FloatArray) -> FloatArray:
    return vector / np.linalg.norm(vector)


def _unreadable(positions: FloatArray, cosines: FloatArray) -> Refusal | None:
    n = len(positions)
    if n == 0:
        return "series.no-slices", "The series has no CT slice. Send the planning CT again."
    readable = np.isfinite(positions).all(axis=1) & (np.abs(positions) < FARTHEST_MM).all(axis=1)
    if not readable.all():
        return (
            "series.position-invalid",
            f"{n - readable.sum()} of {n} slices do not say where they lie in the patient "
            "(ImagePositionPatient is absent, unreadable or absurd). Export the CT again from the scanner.",
        )
    row, column = cosines[:, :3], cosines[:, 3:]
    with np.errstate(invalid="ignore"):
        units = np.abs(np.linalg.norm(cosines.reshape(n, 2, 3), axis=2) - 1).max(axis=1) < _UNIT_COSINE
        square = np.abs((row * column).sum(axis=1)) < _UNIT_COSINE
    if not (units & square).all():
        return (
            "series.orientation-invalid",
            f"{n - (units & square).sum()} of {n} slices do not say how they lie in the patient "
            "(ImageOrientationPatient is absent or not two perpendicular unit vectors). Export the CT again.",
        )
    most = most_common_orientation(cosines)
    differing = np.abs(cosines - cosines[most][0]).max(axis=1) > _SAME_COSINE
    if differing.any():
        return (
            "series.orientation-mixed",
            f"{int(differing.sum())} of {n} slices have another orientation than the rest. "
            "Send only the planning CT's parallel slices.",
        )
    return None


def _duplicates(
    order: NDArray[np.intp], offsets: FloatArray
) -> tuple[tuple[tuple[int, ...], ...], NDArray[np.intp], float]:
    """Groups on one position, index into ``order`` of the first slice on each position, median spacing."""
    steps = np.diff(offsets)
    apart = steps[steps > _ROUNDING_MM]
    spacing = float(np.median(apart)) if len(apart) else float("nan")
    same = steps <= (tolerance_mm(spacing) if len(apart) else JITTER_MM)
    firsts = np.flatnonzero(np.concatenate([[True], ~same]))
    groups = np.split(order, firsts[1:])
    return tuple(tuple(int(i) for i in g) for g in groups if len(g) > 1), firsts, spacing


def _lateral(
    positions: FloatArray, offsets: FloatArray, firsts: NDArray[np.intp], normal: FloatArray
) -> Refusal | None:
    """Refuse slices that do not lie behind one another along their normal: tilt, or a shifted slice."""
    sideways = positions - positions[0] - offsets[:, None] * normal
    slope = np.zeros(3)
    if len(firsts) > 1:  # the median over pairs half a stack apart: one shifted slice does not lean it
        half = len(firsts) // 2
        low, high = firsts[:-half], firsts[half:]
        slope = np.median((sideways[high] - sideways[low]) / (offsets[high] - offsets[low])[:, None], axis=0)
    away = sideways - offsets[:, None] * slope
    shifted = np.linalg.norm(away - np.median(away, axis=0), axis=1) > JITTER_MM
    if shifted.any():
        return (
            "series.slice-shifted",
            f"{int(shifted.sum())} of {len(shifted)} slices are shifted sideways, more than {JITTER_MM} mm. "
            "Send one reconstruction with one field of view.",
        )
    tangent = float(np.linalg.norm(slope))
    degrees = float(np.degrees(np.arctan(tangent)))
    if degrees > TILT_DEGREES and tangent * offsets[-1] > _ROUNDING_MM:
        return (
            "series.gantry-tilt",
            f"The slices are stacked {degrees:.2f} degrees off their normal (gantry tilt), more than "
            f"{TILT_DEGREES} degrees. Scan without tilt, or send a reformatted series.",
        )
    return None
