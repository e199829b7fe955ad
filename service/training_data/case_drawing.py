"""What is drawn on one CT: each structure once, or not at all if the export contradicts itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from models.data_sets.packed_masks import PackedMasks
from models.volume import CtVolume, FloatArray, Grid
from service.errors import SeriesRefused
from service.training_data.remarks import Remark, Weight
from service.training_data.roi_drawing import Mask, RoiDrawing
from service.training_data.roi_names import RoiNames, Why

Prefer = Literal["none", "approved", "newest"]

_WHY_NOT: Mapping[Why, tuple[str, str, Weight]] = {
    "unknown": (
        "roi.name-unknown",
        "No structure of the list has this name. Add it to a file of names if it is wanted.",
        Weight.LEFT_OUT,
    ),
    "no-side": (
        "roi.no-side",
        "The name says neither left nor right, and sides are not guessed.",
        Weight.LEFT_OUT,
    ),
    "ambiguous": (
        "roi.name-ambiguous",
        "The name may stand for different structures. Add it to a file of names.",
        Weight.LEFT_OUT,
    ),
    "ignored": ("roi.ignored", "The file of names says to ignore it.", Weight.NOTE),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """How an import decides what it is free to decide.

    Attributes:
        prefer: which of several structure sets counts where they disagree.
        empty_is_absent: an empty ROI says that the patient lacks the structure.
        structures: only these; all that are matched if None.
    """

    prefer: Prefer = "none"
    empty_is_absent: bool = False
    structures: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One ROI that stands for a structure.

    Attributes:
        source: which set it is in; equal for ROIs of one set.
        roi: its name in the export.
        approved: the set is approved.
        made_at: date and time of the set, as text that sorts.
        draw: makes the mask.
    """

    source: str
    roi: str
    approved: bool
    made_at: str
    draw: Callable[[], RoiDrawing]


@dataclass(slots=True)
class CaseDrawing:
    """A CT with what is drawn on it, as far as it can be trusted.

    Attributes:
        folder: in which its files lie.
        grid: where its voxels are; None if the CT is refused.
        masks: by structure.
        volume: None if the CT is refused, nothing is left of what was drawn, or it was not to be read.
        middles_lps_mm: centre of each mask that has a voxel.
        remarks: what a person must know.
    """

    folder: str
    grid: Grid | None
    masks: PackedMasks
    volume: CtVolume | None = None
    middles_lps_mm: dict[str, FloatArray] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)

    @classmethod
    def on(cls, grid: Grid, folder: str) -> CaseDrawing:
        """Nothing is drawn yet."""
        return cls(folder, grid, PackedMasks(grid.shape_zyx))

    @classmethod
    def refused(cls, error: SeriesRefused, folder: str, file: str = "") -> CaseDrawing:
        """The CT is not taken."""
        drawing = cls(folder, None, PackedMasks((0, 0, 0)))
        drawing.remark(error.code, error.sentence, Weight.LEFT_OUT, file)
        return drawing

    def remark(self, code: str, sentence: str, weight: Weight, roi: str = "", structure: str = "") -> None:
        """Say something of this CT."""
        self.remarks.append(Remark(code, sentence, weight, self.folder, roi, structure=structure))

    def volumes_cm3(self) -> dict[str, float]:
        """Of each structure; 0 where it is known to be absent."""
        if self.grid is None:
            return {}
        voxel_mm3 = self.grid.voxel_volumes_mm3()
        return {name: float(mask.sum(axis=(1, 2)) @ voxel_mm3) / 1000 for name, mask in self.masks.items()}


class DrawnCt(Protocol):
    """A CT of the export that something is drawn on, read when it is asked for.

    Attributes:
        key: the same for the same files; names no patient.
        patient: what tells its patient from others.
        folder: in which its files lie, below the export.
        origin: Series Instance UID, or name of the image.
        roi_names: of everything that is drawn on it.
    """

    @property
    def key(self) -> str: ...  # noqa: D102 - described above
    @property
    def patient(self) -> tuple[str, str]: ...  # noqa: D102
    @property
    def folder(self) -> str: ...  # noqa: D102
    @property
    def origin(self) -> str: ...  # noqa: D102
    @property
    def roi_names(self) -> tuple[str, ...]: ...  # noqa: D102

    def draw(self, names: RoiNames, rules: Rules, *, with_pixels: bool) -> CaseDrawing:
        """Read it; the volume is None if the CT is refused or ``with_pixels`` is False."""


def structure_of(drawing: CaseDrawing, roi: str, names: RoiNames, rules: Rules) -> str | None:
    """The structure that an ROI stands for; says why if there is none."""
    match = names.match(roi)
    if match.structure is None:
        drawing.remark(*_WHY_NOT[match.why], roi=roi)
        return None
    if rules.structures is not None and match.structure not in rules.structures:
        drawing.remark(
            "roi.not-asked-for", "This structure was not asked for.", Weight.NOTE, roi, match.structure
        )
        return None
    return match.structure


def settle(
    drawing: CaseDrawing, grid: Grid, candidates: Mapping[str, Sequence[Candidate]], prefer: Prefer
) -> None:
    """Put the mask of each structure into the drawing if all that stands for it agrees."""
    for structure in sorted(candidates):
        _settle(drawing, grid, structure, candidates[structure], prefer)
    _refuse_exchanged_sides(drawing)


def _settle(
    drawing: CaseDrawing, grid: Grid, structure: str, candidates: Sequence[Candidate], prefer: Prefer
) -> None:
    usable: list[tuple[Candidate, Mask]] = []
    for candidate in candidates:
        made = candidate.draw()
        for saying in made.sayings:
            drawing.remark(*saying, roi=candidate.roi, structure=structure)
        if made.mask is not None:
            usable.append((candidate, made.mask))
    chosen = _chosen(drawing, structure, usable, prefer)
    if chosen is not None:
        drawing.masks.put(structure, chosen)
        if chosen.any():
            drawing.middles_lps_mm[structure] = _middle_lps_mm(chosen, grid)


def _chosen(
    drawing: CaseDrawing, structure: str, usable: Sequence[tuple[Candidate, Mask]], prefer: Prefer
) -> Mask | None:
    if not usable:
        return None
    mask = usable[0][1]
    if all((mask == other).all() for _, other in usable[1:]):
        for candidate, _ in usable[1:]:
            drawing.remark(
                "roi.same-twice", "It was drawn twice and is the same.", Weight.NOTE, candidate.roi, structure
            )
        return mask
    preferred = [one for one in usable if _is_preferred(one[0], [each for each, _ in usable], prefer)]
    if len(preferred) == 1:
        candidate, mask = preferred[0]
        sentence = f"Several structure sets differ here; the {prefer} one was taken."
        drawing.remark("roi.preferred", sentence, Weight.WARNING, candidate.roi, structure)
        return mask
    one_set = len({candidate.source for candidate, _ in usable}) == 1
    where = "one structure set" if one_set else "several structure sets"
    for candidate, _ in usable:
        drawing.remark(
            "roi.twice" if one_set else "roi.sets-disagree",
            f"{len(usable)} ROIs of {where} stand for {structure} and differ: none of them is taken.",
            Weight.LEFT_OUT,
            candidate.roi,
            structure,
        )
    return None


def _is_preferred(candidate: Candidate, others: Sequence[Candidate], prefer: Prefer) -> bool:
    if prefer == "approved":
        return candidate.approved
    return (
        prefer == "newest"
        and bool(candidate.made_at)
        and candidate.made_at == max(one.made_at for one in others)
    )


def _refuse_exchanged_sides(drawing: CaseDrawing) -> None:
    """Drop pairs whose left one lies on the patient's right of the right one (LPS: x grows leftwards)."""
    middles = drawing.middles_lps_mm
    for left in [name for name in middles if name.endswith("_L")]:
        right = f"{left[:-2]}_R"
        if right in middles and middles[left][0] <= middles[right][0]:
            for name in (left, right):
                drawing.masks.rows.pop(name)
                drawing.remark(
                    "roi.sides-exchanged",
                    f"{left} lies on the patient's right of {right}: left and right were exchanged.",
                    Weight.LEFT_OUT,
                    structure=name,
                )


def _middle_lps_mm(mask: Mask, grid: Grid) -> FloatArray:
    """``(3,)`` mean position of a mask's voxels."""
    n = mask.sum()
    per_slice, per_row, per_column = (mask.sum(axis=axes) for axes in ((1, 2), (0, 2), (0, 1)))
    origin = per_slice @ grid.slice_origins_lps_mm / n
    row, column = per_row @ np.arange(grid.rows) / n, per_column @ np.arange(grid.columns) / n
    return np.asarray(origin + row * grid.row_step_lps_mm + column * grid.column_step_lps_mm)
