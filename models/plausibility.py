"""What a person must be told of a segmentation, and when a CT is refused; never patient data.

Codes of findings: ``region.partial``, ``structure.not-found``, ``structure.volume-unusual``,
``structure.cut-by-field-of-view``, ``structure.several-parts``, ``structure.wrong-side``,
``structure.side-unknown``. Refusals: ``region.no-<name>``. All limits stand in the model's card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.cards.card import Card, Evidence, RegionCard, StructureCard
from models.volume import CtVolume, Finding, Grid, OutsideTrainedRegion, Severity, StructureField

WRONG_SIDE_MM: Final = 20.0  # a centre this far beyond the midline is on the other side
SECOND_PART_CM3: Final = 2.0  # a second part of a tenth of the first and at least this is worth a sentence


@dataclass(frozen=True, slots=True)
class Seen:
    """The largest part of one output of the network: its volume, mean CT number and mean probability."""

    volume_cm3: float
    mean_hu: float
    confidence: float = 1.0


def check_region(region: RegionCard, seen: Mapping[str, Seen]) -> tuple[Finding, ...]:
    """Findings if only part of the region is on the CT.

    Raises:
        OutsideTrainedRegion: ``region.no-<name>``: not all required, or no supporting evidence.
    """
    enough = all(_is_met(one, seen) for one in region.required)
    if enough and region.supporting:
        enough = any(_is_met(one, seen) for one in region.supporting)
    if not enough:
        sentence = (
            f"No {region.name} was found on this CT, so this model contours nothing. {_amounts(region, seen)}"
        )
        raise OutsideTrainedRegion(f"region.no-{region.name}", sentence)
    missing = [" and ".join(one.structures) for one in region.whole if not _is_met(one, seen)]
    if not missing:
        return ()
    sentence = (
        f"Only part of the {region.name} is on this CT: too little was found of {', '.join(missing)}. "
        "Check every structure."
    )
    return (Finding("region.partial", sentence),)


def _is_met(evidence: Evidence, seen: Mapping[str, Seen]) -> bool:
    parts = [seen[name] for name in evidence.structures if name in seen]
    volume = sum(part.volume_cm3 for part in parts)
    if volume < evidence.minimum_cm3 or volume == 0:
        return False
    mean_hu = sum(part.volume_cm3 * part.mean_hu for part in parts) / volume
    confidence = sum(part.volume_cm3 * part.confidence for part in parts) / volume
    dense_as_it_should_be = evidence.minimum_mean_hu <= mean_hu <= evidence.maximum_mean_hu
    return dense_as_it_should_be and confidence >= evidence.minimum_confidence


def _amounts(region: RegionCard, seen: Mapping[str, Seen]) -> str:
    """What there was in place of what is needed."""
    lines = []
    for one in (*region.required, *region.supporting):
        parts = [seen[name] for name in one.structures if name in seen]
        volume = sum(part.volume_cm3 for part in parts)
        verdict = "convincing" if _is_met(one, seen) else "not convincing"
        lines.append(f"{' and '.join(one.structures)} {volume:.0f} cm3, {verdict}")
    return f"What looks most like it: {'; '.join(lines)}."


@dataclass(frozen=True, slots=True)
class FieldOfView:
    """Where the reconstruction ends within the slices.

    Attributes:
        circle: ``(rows, columns)`` True near or beyond the edge of a circular reconstruction; None if it is
            square.
    """

    circle: NDArray[np.bool_] | None

    @classmethod
    def of(cls, volume: CtVolume) -> FieldOfView:
        """Recognise a circle that touches the image's borders by the one value that lies beyond it."""
        grid = volume.grid
        y = (np.arange(grid.rows) - (grid.rows - 1) / 2) * grid.row_spacing_mm
        x = (np.arange(grid.columns) - (grid.columns - 1) / 2) * grid.column_spacing_mm
        pixel = max(grid.row_spacing_mm, grid.column_spacing_mm)
        radius = min(grid.rows * grid.row_spacing_mm, grid.columns * grid.column_spacing_mm) / 2
        away = np.hypot(y[:, None], x[None, :])
        beyond = away > radius + 1.5 * pixel
        rim = (away < radius - 2 * pixel) & (away > 0.9 * radius)
        for k in (0, len(volume.hu) // 2, len(volume.hu) - 1):
            image = volume.hu[k]
            if (image[beyond] != image[0, 0]).any() or (image[rim] == image[0, 0]).all():
                return cls(None)
        return cls(away > radius - 2 * pixel)

    def is_left_by(self, field: StructureField, grid: Grid) -> bool:
        """True if the structure reaches the border of the image or of the circle."""
        inside = (field.field > 0).any(axis=0)
        _, rows, columns = field.slices_zyx
        border = np.zeros((grid.rows, grid.columns), dtype=bool)
        border[[0, -1], :] = border[:, [0, -1]] = True
        if self.circle is not None:
            border |= self.circle
        return bool((inside & border[rows, columns]).any())


def check_structure(
    name: str,
    card: StructureCard,
    field: StructureField | None,
    grid: Grid,
    field_of_view: FieldOfView,
    parts_cm3: Sequence[float],
) -> tuple[Finding, ...]:
    """Findings on one structure by itself; ``parts_cm3``: its separate parts before any was dropped."""
    if field is None:
        severity = Severity.NOTE if card.may_be_absent else Severity.WARNING
        return (Finding("structure.not-found", f"{name} was not found on this CT.", name, severity),)
    findings: list[Finding] = []
    slices = field.slices_zyx[0]
    ends = [
        slices.start == 0 and bool((field.field[0] > 0).any()),
        slices.stop == grid.shape_zyx[0] and bool((field.field[-1] > 0).any()),
    ]
    cut = any(ends) and not card.reaches_out
    if cut:
        sentence = f"{name} reaches the first or last slice and may be cut off there."
        findings.append(Finding("structure.cut-by-field-of-view", sentence, name))
    if field_of_view.is_left_by(field, grid):
        sentence = f"{name} reaches the edge of the reconstructed field of view and is cut off there."
        findings.append(Finding("structure.cut-by-field-of-view", sentence, name))
        cut = True
    findings += _check_volume(name, card, field.volume_cm3(grid), incomplete=cut or any(ends))
    if not card.several_parts and len(parts_cm3) > 1:
        first, second = parts_cm3[:2]
        if second >= max(SECOND_PART_CM3, first / 10):
            kept = "Only the largest is kept" if card.postprocess.largest_component else "All are kept"
            sentence = (
                f"{name} was found in {len(parts_cm3)} separate parts, the two largest of {first:.0f} and "
                f"{second:.0f} cm3. {kept}."
            )
            findings.append(Finding("structure.several-parts", sentence, name))
    return tuple(findings)


def _check_volume(name: str, card: StructureCard, volume_cm3: float, *, incomplete: bool) -> list[Finding]:
    low, high = card.volume_cm3
    if volume_cm3 > high or (volume_cm3 < low and not incomplete):
        sentence = f"{name} has {volume_cm3:.1f} cm3; usual are {low:.0f} to {high:.0f} cm3."
        return [Finding("structure.volume-unusual", sentence, name)]
    return []


def check_sides(card: Card, fields: Mapping[str, StructureField], grid: Grid) -> tuple[Finding, ...]:
    """Structures whose side contradicts their position; the caller must not deliver them.

    Positions are those of the patient frame (x to the left), so they do not depend on how the patient lay.
    """
    centers = {name: center_lps_mm(field, grid)[0] for name, field in fields.items()}
    middle = [centers[name] for name in card.midline if name in centers]
    findings: list[Finding] = []
    for left, right in card.pairs:
        wrong: set[str] = set()
        if left in centers and right in centers and centers[left] <= centers[right]:
            wrong = {left, right}
        for name, sign in ((left, 1), (right, -1)):
            if name in centers and middle and (centers[name] - middle[0]) * sign < -WRONG_SIDE_MM:
                wrong.add(name)
        for name in sorted(wrong):
            sentence = f"{name} was found on the other side of the body and is left out. Draw it by hand."
            findings.append(Finding("structure.wrong-side", sentence, name))
    return tuple(findings)


def side_unknown(name: str) -> Finding:
    """Something was found and its side was not; the caller must not deliver it."""
    sentence = f"{name} is left out: what was found could not be told left from right. Draw it by hand."
    return Finding("structure.side-unknown", sentence, name)


def center_lps_mm(field: StructureField, grid: Grid) -> NDArray[np.float64]:
    """``(3,)`` centre of mass of a structure's voxels in the patient frame."""
    inside = field.field > 0
    slices, rows, columns = field.slices_zyx
    by_slice = inside.sum(axis=(1, 2)) * grid.voxel_volumes_mm3()[slices]
    weights = by_slice / by_slice.sum()
    each = inside.sum(axis=(1, 2)).clip(1)
    row = (inside.sum(axis=2) @ np.arange(rows.start, rows.stop)) / each
    column = (inside.sum(axis=1) @ np.arange(columns.start, columns.stop)) / each
    points = (
        grid.slice_origins_lps_mm[slices]
        + row[:, None] * grid.row_step_lps_mm
        + column[:, None] * grid.column_step_lps_mm
    )
    center: NDArray[np.float64] = weights @ points
    return center
