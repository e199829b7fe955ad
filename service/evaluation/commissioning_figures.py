"""Figures of the commissioning report: the chart of a structure, and a slice with both contours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from service.evaluation.commissioning_report import CasePicture
    from service.evaluation.quality import StructureChart

OURS, THEIRS = "#0072b2", "#d55e00"
_LEVEL_HU, _WIDTH_HU = 40.0, 400.0


def draw_chart(axis: Axes, chart: StructureChart) -> None:
    """The values of all cases in the order of review, with median and limit."""
    values = [point.value for point in chart.points]
    numbers = list(range(1, len(values) + 1))
    inside = [n for n, part in zip(numbers, chart.in_commissioning, strict=True) if part]
    axis.plot(numbers, values, color="#9aa4ae", linewidth=0.6, zorder=1)
    for marker, face, wanted in (("o", "none", True), ("o", OURS, False)):
        picked = [n for n, part in zip(numbers, chart.in_commissioning, strict=True) if part is wanted]
        axis.plot(
            picked, [values[n - 1] for n in picked], marker, ms=3.5, mfc=face, mec=OURS, linestyle="none"
        )
    if chart.limits is not None:
        axis.axvspan(inside[0] - 0.5, inside[-1] + 0.5, color="#eef1f4", zorder=0)
        axis.axhline(chart.limits.center, color="#555555", linestyle=":", linewidth=1, label="median")
        axis.axhline(
            chart.limits.limit, color="#b3261e", linestyle="--", linewidth=1, label="limit of single cases"
        )
        axis.legend(fontsize=7, loc="best", frameon=False)
    outside = [n for n, point in zip(numbers, chart.points, strict=True) if point.is_outlier]
    axis.plot(outside, [values[n - 1] for n in outside], "x", color="#b3261e", ms=7)
    axis.set_xlabel("reviewed case, in the order of review (shaded: commissioning)", fontsize=8)
    axis.set_ylabel(chart.measure.label, fontsize=8)
    axis.tick_params(labelsize=7)


def draw_picture(axis: Axes, picture: CasePicture | None) -> None:
    """Part of a slice with both contours, or that there is none."""
    axis.set_xticks([])
    axis.set_yticks([])
    if picture is None:
        axis.text(0.5, 0.5, "files were deleted\nor cannot be read", ha="center", va="center", fontsize=8,
                  transform=axis.transAxes)  # fmt: skip
        return
    low, high = _LEVEL_HU - _WIDTH_HU / 2, _LEVEL_HU + _WIDTH_HU / 2
    axis.imshow(picture.hu, cmap="gray", vmin=low, vmax=high, aspect=picture.aspect, interpolation="nearest")
    for contours, color, style in ((picture.ours, OURS, "solid"), (picture.theirs, THEIRS, "dashed")):
        for points in contours:
            closed = np.concatenate([points, points[:1]])
            axis.plot(closed[:, 0], closed[:, 1], color=color, linestyle=style, linewidth=1.3)
    axis.set_xlim(-0.5, picture.hu.shape[1] - 0.5)
    axis.set_ylim(picture.hu.shape[0] - 0.5, -0.5)
