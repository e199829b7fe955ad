"""Pictures of an evaluation: box plots, and the worst cases at their worst slices."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from models.data_sets.data_set import Case
from models.evaluation.figures import Figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Mask = NDArray[np.bool_]

TRUTH_COLOR: Final = "#3fa7ff"
ANSWER_COLOR: Final = "#ffb000"
_MARGIN_MM: Final = 40.0
_APART_MM: Final = 10.0  # neighbours of the worst slice are bad in the same way
_INCHES: Final = 4.2
_LEVEL_HU, _WIDTH_HU = 40.0, 400.0


@dataclass(frozen=True, slots=True, repr=False)
class Plane:
    """Part of one slice: HU and both masks, ``(rows, columns)``."""

    index: int
    hu: NDArray[np.int16] | NDArray[np.float32]
    truth: Mask
    answer: Mask


@dataclass(frozen=True, slots=True, repr=False)
class WorstCase:
    """One structure of one case at the slices where truth and answer differ most, the worst first."""

    structure: str
    case: str
    slices: int
    figures: Figures
    planes: tuple[Plane, ...]
    pixel_aspect: float

    @property
    def title(self) -> str:
        """What it is and how bad."""
        said = [f"DSC {self.figures.values['DSC']:.3f}"]
        if self.figures.found != "both":
            said.append(self.figures.found)
        if "HD95_mm" in self.figures.values:
            said.append(f"HD95 {self.figures.values['HD95_mm']:.1f} mm")
        return f"{self.structure}, {self.case}: {', '.join(said)}"


class WorstCases:
    """Keeps the worst cases of each structure, by DSC, as they go by; of equal ones the larger difference.

    Args:
        keep: how many of each structure.
        planes: how many slices of each.
    """

    def __init__(self, keep: int = 3, planes: int = 3) -> None:
        self._keep, self._planes = keep, planes
        self._kept: dict[str, list[tuple[float, float, WorstCase]]] = {}

    def __call__(self, case: Case, structure: str, figures: Figures, truth: Mask, answer: Mask) -> None:
        """Look at one structure of one case; a structure that is absent, rightly, cannot be bad."""
        if figures.found == "absent" or not self._keep:
            return
        kept = self._kept.setdefault(structure, [])
        dsc, less_wrong = figures.values["DSC"], -float((truth ^ answer).sum())
        if len(kept) >= self._keep and (dsc, less_wrong) >= kept[-1][:2]:
            return
        kept.append((dsc, less_wrong, _worst(case, structure, figures, (truth, answer), self._planes)))
        kept.sort(key=lambda each: each[:2])
        del kept[self._keep :]

    def cases(self) -> Mapping[str, tuple[WorstCase, ...]]:
        """By structure, the worst first."""
        return {structure: tuple(each[2] for each in kept) for structure, kept in self._kept.items()}


def _worst(case: Case, structure: str, figures: Figures, masks: tuple[Mask, Mask], planes: int) -> WorstCase:
    truth, answer = masks
    grid = case.volume.grid
    wrong = (truth ^ answer).sum(axis=(1, 2))
    worst: list[int] = []
    for k in np.argsort(-wrong, kind="stable"):
        apart = np.abs(grid.slice_offsets_mm[worst] - grid.slice_offsets_mm[k]) >= _APART_MM
        if wrong[k] and apart.all() and len(worst) < planes:
            worst.append(int(k))
    if not worst:
        worst = [int((truth | answer).sum(axis=(1, 2)).argmax())]
    shown = np.argwhere((truth | answer)[worst].any(axis=0))  # (pixels, row and column)
    part = (
        _range(shown[:, 0], _MARGIN_MM / grid.row_spacing_mm),
        _range(shown[:, 1], _MARGIN_MM / grid.column_spacing_mm),
    )
    hu = case.volume.hu
    cut = [Plane(k, hu[k][part].copy(), truth[k][part].copy(), answer[k][part].copy()) for k in worst]
    aspect = grid.row_spacing_mm / grid.column_spacing_mm
    return WorstCase(structure, case.name, len(truth), figures, tuple(cut), aspect)


def _range(at: NDArray[np.int64], margin: float) -> slice:
    return slice(max(0, int(at.min() - margin)), int(at.max() + margin) + 1)


def why_no_pictures() -> str | None:
    """None, or a sentence: an evaluation does not fail for its pictures."""
    if importlib.util.find_spec("matplotlib") is not None:
        return None
    return "There are no pictures because matplotlib is missing; install delineate[pictures] to get them."


def draw_worst(worst: WorstCase, file: Path) -> None:
    """Draw the slices side by side, the CT with the contours of truth and answer; save a PNG."""
    rows, columns = worst.planes[0].hu.shape
    height = min(2.0, worst.pixel_aspect * rows / columns) * _INCHES + 0.9  # title and legend
    figure = new_figure((_INCHES * len(worst.planes), height), "black")
    axes = figure.subplots(1, len(worst.planes), squeeze=False)[0]
    for axis, plane in zip(axes, worst.planes, strict=True):
        _draw_plane(axis, plane, worst.pixel_aspect)
        axis.set_title(f"slice {plane.index + 1} of {worst.slices}", color="white", fontsize=9)
    figure.suptitle(worst.title, color="white", fontsize=11)
    figure.text(0.35, 0.01, "truth", color=TRUTH_COLOR, ha="center")
    figure.text(0.65, 0.01, "answer (dashed)", color=ANSWER_COLOR, ha="center")
    save_figure(figure, file)


def _draw_plane(axis: Axes, plane: Plane, aspect: float) -> None:
    low, high = _LEVEL_HU - _WIDTH_HU / 2, _LEVEL_HU + _WIDTH_HU / 2
    axis.imshow(plane.hu, cmap="gray", vmin=low, vmax=high, aspect=aspect, interpolation="nearest")
    for mask, color, style in (
        (plane.truth, TRUTH_COLOR, "solid"),
        (plane.answer, ANSWER_COLOR, "dashed"),
    ):
        if mask.any():
            wide = np.pad(mask, 1).astype(float)
            y, x = np.arange(-1, mask.shape[0] + 1), np.arange(-1, mask.shape[1] + 1)
            axis.contour(x, y, wide, levels=[0.5], colors=[color], linewidths=1.3, linestyles=style)
    axis.set_xlim(-0.5, plane.hu.shape[1] - 0.5)
    axis.set_ylim(plane.hu.shape[0] - 0.5, -0.5)
    axis.set_axis_off()


def draw_box_plot(values: Mapping[str, Sequence[float]], label: str, file: Path) -> None:
    """Draw a box for each name: median, quartiles, whiskers to 1.5 times their distance, mean as a dot.

    Args:
        values: by name, each at least one.
        label: of the axis of values.
        file: the PNG.
    """
    figure = new_figure((max(4.0, 1.4 + 0.75 * len(values)), 4.2), "white")
    axis = figure.subplots()
    axis.boxplot(
        list(values.values()),
        tick_labels=[f"{name}\nn = {len(each)}" for name, each in values.items()],
        showmeans=True,
        meanprops={
            "marker": "o",
            "markerfacecolor": "#c0392b",
            "markeredgecolor": "#c0392b",
            "markersize": 4,
        },
        medianprops={"color": "black"},
        flierprops={"marker": "x", "markersize": 4},
    )
    axis.set_ylabel(label)
    axis.tick_params(axis="x", labelrotation=45 if len(values) > 4 else 0, labelsize=8)
    axis.grid(axis="y", alpha=0.3)
    save_figure(figure, file)


def new_figure(size: tuple[float, float], color: str) -> Figure:
    """An empty one, width and height in inches, that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, facecolor=color, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, file: Path) -> None:
    """As a PNG; its folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100, facecolor=figure.get_facecolor())
