"""``curves.png`` of a run: loss, DSC and learning rate over the steps, from its two tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models.training.learning.run_log import PROGRESS, VALIDATION, read_log

if TYPE_CHECKING:
    from collections.abc import Sequence

CURVES: Final = "curves.png"
_NOT_OUTPUTS: Final = ("step", "epoch", "cycle", "loss", "dsc")


def draw_curves(folder: Path) -> str | None:
    """Draw ``curves.png`` anew in the folder of a run.

    Returns:
        None, or a sentence that says why there is no picture: a run does not fail for one.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return "There are no curves because matplotlib is missing; install delineate[pictures] to get them."
    steps, looks = read_log(folder / PROGRESS), read_log(folder / VALIDATION)
    figure = Figure(figsize=(9, 9), layout="constrained")
    FigureCanvasAgg(figure)
    loss, dsc, rate = figure.subplots(3, 1, sharex=True)
    if steps:
        loss.plot(steps["step"], steps["loss"], color="0.8", linewidth=0.7)
        loss.plot(steps["step"], smoothed(steps["loss"]), color="tab:blue", label="training, smoothed")
        rate.plot(steps["step"], steps["learning_rate"], color="tab:blue")
    if looks:
        loss.plot(looks["step"], looks["loss"], "o-", color="tab:orange", markersize=3, label="validation")
        _plot_dsc(dsc, looks)
    for axes, title in ((loss, "loss"), (dsc, "validation DSC"), (rate, "learning rate")):
        axes.set_ylabel(title)
        axes.grid(alpha=0.3)
    loss.legend() if loss.get_legend_handles_labels()[0] else None
    rate.set_xlabel("step")
    part = folder / f"{CURVES}.part"
    figure.savefig(part, format="png", dpi=110)
    part.replace(folder / CURVES)
    return None


def _plot_dsc(axes: Any, looks: dict[str, list[float]]) -> None:  # noqa: ANN401 - matplotlib has no types
    from matplotlib import colormaps

    names = [name for name in looks if name not in _NOT_OUTPUTS]
    for number, name in enumerate(names):
        color = colormaps["tab20"](number % 20)
        axes.plot(looks["step"], looks[name], linewidth=1, color=color, label=name)
    axes.plot(looks["step"], looks["dsc"], "o-", color="black", markersize=3, label="mean")
    axes.set_ylim(0, 1)
    axes.legend(fontsize="x-small", ncols=3)


def smoothed(values: Sequence[float], weight: float = 0.95) -> list[float]:
    """Running average with the early values weighed evenly, as the eye wants it."""
    found: list[float] = []
    total = scale = 0.0
    for value in values:
        total = weight * total + (1 - weight) * value
        scale = weight * scale + (1 - weight)
        found.append(total / scale)
    return found
