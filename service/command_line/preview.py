"""A picture of a structure set over its CT: one axial, one coronal, one sagittal plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from models.volume import Grid

_LEVEL_HU, _WIDTH_HU = 40.0, 400.0


def draw_preview(
    file: Path,
    hu: NDArray[np.int16] | NDArray[np.float32],
    grid: Grid,
    masks: Mapping[str, NDArray[np.bool_]],
    colors: Mapping[str, str],
    title: str,
) -> None:
    """Draw the three planes that cut the most structures and save them as a PNG.

    Args:
        file: where the picture goes.
        hu: ``(slices, rows, columns)`` CT numbers.
        grid: where the voxels are; the slices are taken to be transverse.
        masks: by structure name, on the grid.
        colors: ``#rrggbb`` by structure name.
        title: a line above the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(15, 5.6), facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 1))
    for axis, (number, name) in zip(axes, enumerate(("axial", "coronal", "sagittal")), strict=True):
        where = _busiest_plane(masks, number)
        _draw_plane(axis, hu, grid, masks, colors, (number, where))
        axis.set_title(f"{name}, index {where}", color="white", fontsize=10)
    handles = [Line2D([], [], color=colors.get(name, "#ffffff"), label=name) for name in masks]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), 6) or 1,
        frameon=False,
        labelcolor="white",
    )
    figure.suptitle(title, color="white")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110, facecolor="black")


def _busiest_plane(masks: Mapping[str, NDArray[np.bool_]], axis: int) -> int:
    """Index along ``axis`` of the plane that cuts the most structures, the largest area breaking ties."""
    others = tuple(i for i in range(3) if i != axis)
    areas = [mask.sum(axis=others) for mask in masks.values()]
    if not areas:
        return 0
    cut = np.sum([area > 0 for area in areas], axis=0).astype(float)
    area = np.sum([a / max(a.max(), 1) for a in areas], axis=0)
    return int((cut + area / (len(areas) + 1)).argmax())


def _draw_plane(
    axis: Axes,
    hu: NDArray[np.int16] | NDArray[np.float32],
    grid: Grid,
    masks: Mapping[str, NDArray[np.bool_]],
    colors: Mapping[str, str],
    plane: tuple[int, int],
) -> None:
    number, where = plane
    index: list[slice | int] = [slice(None)] * 3
    index[number] = where
    cut = tuple(index)
    spacing_zyx = (float(np.median(grid.slice_widths_mm)), grid.row_spacing_mm, grid.column_spacing_mm)
    down, across = (s for i, s in enumerate(spacing_zyx) if i != number)
    axis.imshow(
        hu[cut],
        cmap="gray",
        vmin=_LEVEL_HU - _WIDTH_HU / 2,
        vmax=_LEVEL_HU + _WIDTH_HU / 2,
        aspect=down / across,
        origin="upper" if number == 0 else "lower",
        interpolation="bilinear",
    )
    for name, mask in masks.items():
        section = mask[cut]
        if section.any():
            axis.contour(section, levels=[0.5], colors=[colors.get(name, "#ffffff")], linewidths=1.2)
    axis.set_axis_off()
