"""Cases of a few hundred voxels, every voxel's CT number being its own place, and recipes that read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data_sets.data_set import Case, DataSet, DataSetWriter, Part
from models.training.recipes.recipe import Recipe
from models.training.recipes.recipe_book import recipe_of
from models.volume import CtVolume, Grid

SHAPE = (6, 20, 24)
SPACING_MM = (3.0, 2.0, 2.0)


def grid_of(shape_zyx: tuple[int, int, int], spacing_zyx_mm: tuple[float, float, float] = SPACING_MM) -> Grid:
    """Axial slices from the feet up, rows to posterior, columns to the left."""
    dz, dy, dx = spacing_zyx_mm
    origins = np.zeros((shape_zyx[0], 3))
    origins[:, 2] = np.arange(shape_zyx[0]) * dz
    return Grid(origins, np.array([dx, 0.0, 0.0]), np.array([0.0, dy, 0.0]), *shape_zyx[1:])


def numbered(shape_zyx: tuple[int, int, int] = SHAPE) -> NDArray[np.int16]:
    """CT numbers 0, 1, 2, ... in C order."""
    return np.arange(np.prod(shape_zyx), dtype=np.int16).reshape(shape_zyx)


def block(*edges: tuple[int, int], shape_zyx: tuple[int, int, int] = SHAPE) -> NDArray[np.bool_]:
    """A box of voxels, first and end along z, y, x."""
    mask = np.zeros(shape_zyx, bool)
    mask[tuple(slice(*edge) for edge in edges)] = True
    return mask


def case_of(
    number: int,
    masks: Mapping[str, NDArray[np.bool_]],
    hu: NDArray[np.int16] | None = None,
    grid: Grid | None = None,
) -> Case:
    """Case ``p0001-1`` and so on."""
    values = numbered() if hu is None else hu
    volume = CtVolume(values, grid or grid_of(values.shape))
    return Case(f"p{number:04}-1", f"p{number:04}", volume, dict(masks))


def data_of(folder: Path, cases: Sequence[Case], parts: Sequence[Part] | None = None) -> DataSet:
    """A data set of them, all to be trained on unless ``parts`` says otherwise."""
    structures = sorted({name for case in cases for name in case.masks})
    writer = DataSetWriter(folder, structures or ["Bladder"], "numbers")
    for case, part in zip(cases, parts or ["train"] * len(cases), strict=True):
        writer.add(case, part)
    writer.close()
    return DataSet.open(folder)


def recipe_for(structures: Sequence[str], patch_zyx: Sequence[int], **changes: Any) -> Recipe:
    """A recipe at the cases' own spacing that shows the network plain CT numbers; ``input`` is added to."""
    shown = {
        "spacing_zyx_mm": [None, None, None],
        "patch_zyx": list(patch_zyx),
        "channels": [{"clip_hu": [-1024, 3071]}],
    }
    content = {
        "name": "small--nobody",
        "summary": "for tests",
        "network": {"name": "unet-res-enc"},
        "structures": list(structures),
        "activation": "sigmoid",
        "input": shown | changes.pop("input", {}),
        "loss": {"name": "dice"},
        "optimiser": {"name": "adam", "learning_rate": 0.001},
        "end": {"steps": 2},
        "batch": 4,
    }
    return recipe_of(content | changes)
