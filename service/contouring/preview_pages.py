"""Pages of slices with the contours of a structure set, for people who have no planning system at hand.

Drawn from the CT and the structure set as it is sent; nothing on a page names the patient or the study.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service.dicom.structure_set_reader import RoiSlices, StructureSet, roi_slices
from service.errors import StructureSetInvalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.volume import FloatArray, Grid
    from service.contouring.ct_series import CtSeries

NO_MATPLOTLIB: Final = "preview.no-matplotlib"
_PAPER_INCHES: Final = (11.69, 8.27)  # A4, landscape
_ROWS, _COLUMNS = 3, 4
_MOST_PAGES: Final = 4
_DOTS_PER_INCH: Final = 110
_LEVEL_HU, _WIDTH_HU = 40.0, 400.0
_MARGIN_MM: Final = 20.0
_NO_COLOR: Final = (255, 255, 0)
_LETTERS: Final = ("LR", "PA", "HF")
"""By axis of the patient's coordinates (LPS), where it grows and where it falls."""

_REVIEW: Final = (
    "Not approved. This is no review: look at the contours in the planning system and approve there."
)


@dataclass(frozen=True, slots=True, repr=False)
class _Drawn:
    """An ROI upon the slices: name, colour as matplotlib takes it, volume, polygons."""

    name: str
    color: tuple[float, float, float]
    volume_cm3: float
    is_external: bool
    laid: RoiSlices


def can_draw() -> bool:
    """Whether matplotlib is installed, which draws the pages."""
    return importlib.util.find_spec("matplotlib") is not None


def pdf_of(series: CtSeries, structure_set: StructureSet) -> bytes:
    """The pages as a PDF document.

    Raises:
        StructureSetInvalid: matplotlib is not installed, or the set draws nothing on this CT.
        SeriesRefused: the pixels of a slice cannot be decoded.
    """
    _refuse_without_matplotlib()
    from matplotlib.backends.backend_pdf import PdfPages

    buffer = BytesIO()
    said = {"Title": "Contours for review", "Creator": "Delineate", "Producer": None, "CreationDate": None}
    with PdfPages(buffer, metadata=said) as pages:
        for figure in _figures(series, structure_set):
            pages.savefig(figure, dpi=_DOTS_PER_INCH, facecolor="black")
    return buffer.getvalue()


def pictures_of(series: CtSeries, structure_set: StructureSet) -> NDArray[np.uint8]:
    """The pages as pictures, ``(pages, rows, columns, 3)`` red, green, blue.

    Raises:
        StructureSetInvalid: matplotlib is not installed, or the set draws nothing on this CT.
        SeriesRefused: the pixels of a slice cannot be decoded.
    """
    _refuse_without_matplotlib()
    pictures = []
    for figure in _figures(series, structure_set):
        figure.set_dpi(_DOTS_PER_INCH)
        figure.canvas.draw()
        pictures.append(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())
    return np.stack(pictures)


def _refuse_without_matplotlib() -> None:
    if not can_draw():
        sentence = "Previews are drawn by matplotlib, which is absent: pip install delineate[pictures]."
        raise StructureSetInvalid(NO_MATPLOTLIB, sentence)


def _figures(series: CtSeries, structure_set: StructureSet) -> Iterator[Any]:
    drawn = _drawn(series, structure_set)
    slices = _chosen([k for each in _inner(drawn) for k in each.laid.polygons])
    box = _box(drawn, series.grid)
    each_page = _ROWS * _COLUMNS
    pages = math.ceil(len(slices) / each_page)
    for page in range(pages):
        figure = _page(structure_set, drawn, (page + 1, pages))
        for place, k in enumerate(slices[page * each_page : (page + 1) * each_page], 1):
            axes = figure.add_subplot(_ROWS, _COLUMNS, place)
            _draw_slice(axes, series, drawn, k, box)
        yield figure


def _drawn(series: CtSeries, structure_set: StructureSet) -> list[_Drawn]:
    keys = [(reference.sop_instance_uid, reference.frame_number) for reference in series.references]
    volumes_mm3 = series.grid.voxel_volumes_mm3()
    drawn = []
    for roi in structure_set.rois:
        laid = roi_slices(roi, series.grid, keys)
        if not laid.polygons:
            continue
        volume = sum(float(mask.sum()) * float(volumes_mm3[k]) for k, mask in laid.masks(series.grid))
        color = roi.color if len(roi.color) == 3 else _NO_COLOR
        red, green, blue = (value / 255 for value in color)
        is_external = roi.interpreted_type == "EXTERNAL"
        drawn.append(_Drawn(roi.name, (red, green, blue), volume / 1000, is_external, laid))
    if not drawn:
        sentence = "The structure set draws nothing on this CT; there is nothing to show."
        raise StructureSetInvalid("preview.empty", sentence)
    return drawn


def _inner(drawn: Sequence[_Drawn]) -> Sequence[_Drawn]:
    """The organs; the body's outline alone if there is nothing else."""
    return [each for each in drawn if not each.is_external] or drawn


def _chosen(contoured: Sequence[int]) -> list[int]:
    """Slices from the highest to the lowest that has a contour, as many as the pages hold, evenly spaced."""
    lowest, highest = min(contoured), max(contoured)
    step = math.ceil((highest - lowest + 1) / (_MOST_PAGES * _ROWS * _COLUMNS))
    return list(range(highest, lowest - 1, -step))


def _box(drawn: Sequence[_Drawn], grid: Grid) -> tuple[float, float, float, float]:
    """What of a slice is shown: left, right, bottom, top in pixels; all contours and a margin, no more."""
    points = np.concatenate([part for each in drawn for many in each.laid.polygons.values() for part in many])
    margin = np.array([_MARGIN_MM / grid.column_spacing_mm, _MARGIN_MM / grid.row_spacing_mm])
    left, top = np.maximum(points.min(axis=0) - margin, -0.5)
    right, bottom = np.minimum(points.max(axis=0) + margin, [grid.columns - 0.5, grid.rows - 0.5])
    return float(left), float(right), float(bottom), float(top)


def _page(structure_set: StructureSet, drawn: Sequence[_Drawn], page: tuple[int, int]) -> Any:  # noqa: ANN401
    """An empty page with what is said above and below the slices."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=_PAPER_INCHES, facecolor="black")
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.91, bottom=0.12, wspace=0.02, hspace=0.12)
    header = structure_set.header
    named = f"{header.get('StructureSetLabel', '')}   {header.get('SeriesDescription', '')}"
    figure.text(0.012, 0.96, named, color="white", fontsize=11, parse_math=False)
    figure.text(0.988, 0.96, f"{page[0]} / {page[1]}", color="white", fontsize=9, ha="right")
    figure.text(0.012, 0.008, _REVIEW, color="#ffb000", fontsize=8)
    handles = [
        Line2D([], [], color=each.color, label=f"{each.name} {each.volume_cm3:.1f} cm\N{SUPERSCRIPT THREE}")
        for each in drawn
    ]
    legend = figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.005, 0.025), ncols=min(len(handles), 7),
        frameon=False, labelcolor="white", fontsize=7,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _draw_slice(
    axes: Any,  # noqa: ANN401 - of matplotlib, which has no types
    series: CtSeries,
    drawn: Sequence[_Drawn],
    k: int,
    box: tuple[float, float, float, float],
) -> None:
    from matplotlib.collections import PolyCollection

    grid = series.grid
    axes.imshow(
        series.part(k, 1)[0],
        cmap="gray",
        vmin=_LEVEL_HU - _WIDTH_HU / 2,
        vmax=_LEVEL_HU + _WIDTH_HU / 2,
        aspect=grid.row_spacing_mm / grid.column_spacing_mm,
        interpolation="bilinear",
    )
    for each in drawn:
        outlines = list(each.laid.polygons.get(k, ()))
        axes.add_collection(
            PolyCollection(outlines, facecolors="none", edgecolors=[each.color], linewidths=0.9)
        )
    axes.set_xlim(box[0], box[1])
    axes.set_ylim(box[2], box[3])
    x, y, z = grid.positions_lps_mm(k, np.array(grid.rows / 2), np.array(grid.columns / 2))
    place = f"z {z:.1f} mm" if abs(grid.normal[2]) > 0.999 else f"({x:.0f}, {y:.0f}, {z:.0f}) mm"
    axes.set_title(f"slice {k + 1}, {place}", color="white", fontsize=7, pad=2)
    right, down = grid.column_step_lps_mm, grid.row_step_lps_mm
    for x_part, y_part, direction in ((0.02, 0.5, -right), (0.98, 0.5, right), (0.5, 0.97, -down)):
        how = {"color": "white", "fontsize": 7, "ha": "center", "va": "center", "transform": axes.transAxes}
        axes.text(x_part, y_part, side_of(direction), **how)
    axes.set_axis_off()


def side_of(direction_lps: FloatArray) -> str:
    """The letter of the patient's side that a direction points to: L, R, P, A, H or F."""
    axis = int(np.abs(direction_lps).argmax())
    return _LETTERS[axis][0 if direction_lps[axis] > 0 else 1]
