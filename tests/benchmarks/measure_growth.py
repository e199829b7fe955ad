"""How time and memory grow with the CT: 50 to 1,000 slices, 512 to 1,024 pixels; as figures and as a plot."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from benchmarks.contestants import versions_of, worker
from benchmarks.pelvis_case import PelvisCase
from benchmarks.rounds import Figures, interleaved
from benchmarks.scoreboard import Bar, Row, Scoreboard, absolute
from benchmarks.settings import Settings
from matplotlib.figure import Figure

from service.dicom.ct_writer import write_ct

SLICES = (50, 100, 200, 400, 700, 1000)
PIXELS = (512, 640, 768, 896, 1024)
SLICES_OF_PIXELS = 150

QUANTITIES = {
    "load_seconds": ("CT folder to volume", "s"),
    "load_added_mib": ("CT folder to volume, memory", "MiB"),
    "write_seconds": ("masks to RTSTRUCT", "s"),
    "write_added_mib": ("masks to RTSTRUCT, memory", "MiB"),
}
LINEAR = Bar("<=", 1.25, of="ours")
"""Exponent of growth: 1 is linear. Above it by a quarter, ten times the CT would take 18 times as long."""


def measure(settings: Settings) -> Scoreboard:
    """One series of CTs of more slices, one of more pixels."""
    work = settings.work("growth")
    slices = (20, 40) if settings.small else SLICES
    pixels = (128, 256) if settings.small else PIXELS
    rounds = settings.rounds(3)
    by_slices = {n: _measured(work, PelvisCase(n, 128 if settings.small else 512), rounds) for n in slices}
    by_pixels = {
        n: _measured(work, PelvisCase(20 if settings.small else SLICES_OF_PIXELS, n), rounds) for n in pixels
    }
    board = Scoreboard("growth", versions=versions_of())
    for key, (what, unit) in QUANTITIES.items():
        voxels = {n * n: figures for n, figures in by_pixels.items()}
        board.rows += _rows(f"{what}, {min(slices)} to {max(slices)} slices", key, unit, by_slices)
        size = f"{min(pixels)} to {max(pixels)} pixels"
        # The contour's length grows with the pixels, the volume with their square.
        board.rows += _rows(f"{what}, {size}", key, unit, voxels if key.startswith("load") else by_pixels)
    picture = settings.out / "growth.png"
    _plot(picture, by_slices, by_pixels)
    board.remarks.append(f"The plot is {picture.name} beside the JSON file.")
    return board


def _measured(work: Path, case: PelvisCase, rounds: int) -> dict[str, float]:
    """Medians of one size; its CT is made for it and taken away again."""
    folder = work / f"{case.slices}x{case.pixels}"
    shutil.rmtree(folder, ignore_errors=True)
    grid = case.grid
    write_ct(folder, np.broadcast_to(np.int16(0), grid.shape_zyx), grid)
    task = {"ct": str(folder), "slices": case.slices, "pixels": case.pixels}
    samples = interleaved({"ours": worker("grow", task)}, rounds, warm_up=1)
    shutil.rmtree(folder)
    return {key: float(np.median(samples.of(key)["ours"])) for key in QUANTITIES}


def _rows(what: str, key: str, unit: str, found: dict[int, dict[str, float]]) -> list[Row]:
    """The largest case's figure, and how the figure grows with the size."""
    sizes = sorted(found)
    values = [found[n][key] for n in sizes]
    exponent = _exponent(sizes, values)
    return [
        absolute(f"{what}: the largest", unit, [values[-1]]),
        absolute(f"{what}: exponent of growth", "", [exponent], LINEAR),
    ]


def _exponent(sizes: list[int], values: list[float]) -> float:
    """Of the power law through the upper half: in small cases what does not grow outweighs the rest."""
    upper = len(sizes) // 2
    x, y = np.log(sizes[upper - 1 :]), np.log(np.maximum(values[upper - 1 :], 1e-3))
    return float(np.polyfit(x, y, 1)[0])


def _plot(file: Path, by_slices: dict[int, Figures], by_pixels: dict[int, Figures]) -> None:
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(2, 2)
    columns = (("slices of 512 x 512", by_slices), (f"pixels a side, {SLICES_OF_PIXELS} slices", by_pixels))
    for column, (label, found) in enumerate(columns):
        sizes = sorted(found)
        for row, unit in enumerate(("s", "MiB")):
            for key, (what, own_unit) in QUANTITIES.items():
                if own_unit == unit:
                    axes[row, column].plot(sizes, [found[n][key] for n in sizes], marker="o", label=what)
            axes[row, column].set(xlabel=label, ylabel=unit, ylim=(0, None))
            axes[row, column].legend(fontsize="small")
    figure.savefig(file, dpi=120)
