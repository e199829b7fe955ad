"""One NIfTI image with the masks or the label map that were drawn on it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.volume import CtVolume, Grid
from service.contouring.series_checks import Limits
from service.errors import SeriesRefused
from service.training_data.case_drawing import (
    Candidate,
    CaseDrawing,
    Rules,
    settle,
    structure_of,
)
from service.training_data.name_files import KnownStructure
from service.training_data.nifti_files import NiftiFiles, stem
from service.training_data.nifti_image import read_nifti
from service.training_data.remarks import Weight
from service.training_data.roi_drawing import RoiDrawing, finished, undrawn
from service.training_data.roi_names import RoiNames

_AIR_HU: Final = -500.0
_SAME_MM: Final = 1e-2
_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True, repr=False)
class NiftiCase:
    """A NIfTI image and what is drawn on it; see ``DrawnCt``."""

    files: NiftiFiles

    @property
    def key(self) -> str:
        """SHA-256 of where its files lie, their sizes and their times."""
        files = [self.files.image, *self.files.masks, *filter(None, [self.files.label_map])]
        said = [f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()

    @property
    def patient(self) -> tuple[str, str]:
        """By the name of a folder; see ``nifti_files``."""
        return "NIfTI", self.files.patient

    @property
    def origin(self) -> str:
        """Name of the image."""
        return self.files.image.name

    @property
    def folder(self) -> str:
        """Below the root."""
        return self.files.folder

    @property
    def roi_names(self) -> tuple[str, ...]:
        """Stems of the masks, names of the label map."""
        return (*(stem(file) for file in self.files.masks), *self.files.labels.values())

    def draw(self, names: RoiNames, rules: Rules, *, with_pixels: bool) -> CaseDrawing:
        """Read and draw it."""
        try:
            image = read_nifti(self.files.image)
            grid = image.grid
            _refuse_implausible(grid)
            drawing = CaseDrawing.on(grid, self.folder)
            if abs(grid.normal[2]) < np.sqrt(0.5):
                drawing.remark("ct.not-transverse", "The images are not transverse.", Weight.WARNING)
            hu = _hounsfield(image.values, drawing)
        except SeriesRefused as refused:
            return CaseDrawing.refused(refused, self.folder, self.files.image.name)
        candidates: dict[str, list[Candidate]] = defaultdict(list)
        for roi, draw in self._rois(drawing, grid):
            structure = structure_of(drawing, roi, names, rules)
            if structure is not None:
                made = _drawer(draw, grid, names.known[structure], rules)
                candidates[structure].append(Candidate("", roi, False, "", made))
        settle(drawing, grid, candidates, rules.prefer)
        if with_pixels and drawing.masks:
            drawing.volume = CtVolume(hu, grid)
        return drawing

    def _rois(
        self, drawing: CaseDrawing, grid: Grid
    ) -> Iterator[tuple[str, Callable[[], NDArray[np.bool_]]]]:
        """Name of each ROI, and what reads its mask."""
        for file in self.files.masks:
            yield stem(file), partial(_mask, file, grid)
        if self.files.label_map is None:
            return
        try:
            values = _on_grid(self.files.label_map, grid)
        except SeriesRefused as refused:
            drawing.remark(refused.code, refused.sentence, Weight.LEFT_OUT, self.files.label_map.name)
            return
        unnamed = sorted(set(np.unique(values).tolist()) - self.files.labels.keys() - {0})
        if unnamed:
            drawing.remark(
                "nifti.label-unnamed",
                f"The label map holds numbers that the file of labels does not name: {unnamed[:20]}.",
                Weight.LEFT_OUT,
                self.files.label_map.name,
            )
        for number, name in self.files.labels.items():
            yield name, partial(np.equal, values, number)


def _refuse_implausible(grid: Grid) -> None:
    slices = grid.shape_zyx[0]
    if slices < _LIMITS.minimum_slices:
        raise SeriesRefused(
            "series.too-few-slices", f"The image has {slices} slices: that is no planning CT."
        )
    spacing = float(np.median(np.diff(grid.slice_offsets_mm)))
    low, high = _LIMITS.pixel_mm
    pixels = (grid.column_spacing_mm, grid.row_spacing_mm)
    thin, thick = _LIMITS.slice_spacing_mm
    if not (low <= min(pixels) <= max(pixels) <= high and thin <= spacing <= thick):
        raise SeriesRefused(
            "series.pixel-spacing",
            f"Voxels of {pixels[0]:g} x {pixels[1]:g} x {spacing:g} mm are no planning CT's.",
        )


def _hounsfield(values: NDArray[Any], drawing: CaseDrawing) -> NDArray[np.int16] | NDArray[np.float32]:
    lowest, highest = float(values.min()), float(values.max())
    if lowest > _AIR_HU:
        raise SeriesRefused(
            "nifti.not-hounsfield",
            f"The image's values go from {lowest:g} to {highest:g}: these are no CT numbers (air is -1000). "
            "Give the CT as it was before it was normalised.",
        )
    if np.issubdtype(values.dtype, np.integer) or (values == np.rint(values)).all():
        whole: NDArray[np.int16] = np.clip(values, -32768, 32767).astype(np.int16)
        return whole
    drawing.remark("ct.rounded", "Its CT numbers are not whole; they were rounded.", Weight.NOTE)
    return values.astype(np.float32)


def _on_grid(file: Path, ours: Grid) -> NDArray[Any]:
    """The values of a file that must lie on the image's voxels."""
    drawn = read_nifti(file)
    theirs = drawn.grid
    same = ours.shape_zyx == theirs.shape_zyx and all(
        np.abs(a - b).max() <= _SAME_MM
        for a, b in (
            (ours.slice_origins_lps_mm, theirs.slice_origins_lps_mm),
            (ours.column_step_lps_mm * ours.columns, theirs.column_step_lps_mm * ours.columns),
            (ours.row_step_lps_mm * ours.rows, theirs.row_step_lps_mm * ours.rows),
        )
    )
    if not same:
        raise SeriesRefused(
            "nifti.other-grid", "It does not lie on the voxels of the image. Draw it on the image itself."
        )
    values = drawn.values
    if (values != np.rint(values)).any():
        raise SeriesRefused("nifti.not-labels", "Its values are not whole numbers, so it is no mask.")
    return values.astype(np.int64) if values.dtype.kind == "f" else values


def _mask(file: Path, grid: Grid) -> NDArray[np.bool_]:
    values = _on_grid(file, grid)
    held = np.unique(values)
    if len(held) > 2 or held[0] != 0:
        raise SeriesRefused(
            "nifti.not-mask", "It holds other values than 0 and one more, so it is no mask of one structure."
        )
    return np.asarray(values != 0)


def _drawer(
    draw: Callable[[], NDArray[np.bool_]], grid: Grid, known: KnownStructure, rules: Rules
) -> Callable[[], RoiDrawing]:
    def made() -> RoiDrawing:
        drawing = RoiDrawing()
        try:
            drawing.mask = draw()
        except SeriesRefused as refused:
            return drawing.refuse(refused.code, refused.sentence)
        if not drawing.mask.any():
            return undrawn(drawing, grid, rules.empty_is_absent)
        return finished(drawing, grid, known)

    return made
