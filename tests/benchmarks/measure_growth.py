"""How time and memory grow with the CT: 50 to 1,000 slices, 512 to 1,024 pixels; as figures and as a plot."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path

import numpy as np
from benchmarks.contestants import versions_of, worker
from benchmarks.pelvis_case import PelvisCase
from benchmarks.rounds import Unmeasured, interleaved
from benchmarks.scoreboard import Bar, Row, Scoreboard, absolute
from benchmarks.settings import Settings
from matplotlib.figure import Figure

from service.dicom.ct_writer import write_ct

SLICES = (50, 100, 200, 400, 700, 1000)
PIXELS = (512, 640, 768, 896, 1024)
SLICES_OF_PIXELS = 150
SLICE_MM = 2.0
"""A thousand of these are 2 m, the longest CT that is taken being 2.5 m."""

QUANTITIES = {
    "load_cpu_seconds": ("CT folder to volume", "CPU s"),
    "write_cpu_seconds": ("masks to RTSTRUCT", "CPU s"),
    "load_added_mib": ("CT folder to volume", "MiB"),
    "write_added_mib": ("masks to RTSTRUCT", "MiB"),
}
LINEAR = Bar("<=", 1.25, of="ours")
"""Exponent of growth: 1 is linear. A quarter above it, ten times the CT would take 18 times as much."""

Found = dict[int, dict[str, float]]
"""Medians by size."""


def measure(settings: Settings) -> Scoreboard:
    """One series of CTs of more slices, one of more pixels; all sizes by turns."""
    work = settings.work("growth")
    rows, stack = (128, 20) if settings.small else (512, SLICES_OF_PIXELS)
    by_slices = {n: PelvisCase(n, rows, SLICE_MM) for n in ((20, 40) if settings.small else SLICES)}
    by_pixels = {n: PelvisCase(stack, n, SLICE_MM) for n in ((128, 256) if settings.small else PIXELS)}
    found = _measured(work, [*by_slices.values(), *by_pixels.values()], settings.rounds(5))
    of_slices = {n: found[case] for n, case in by_slices.items()}
    of_pixels = {n: found[case] for n, case in by_pixels.items()}
    board = Scoreboard("growth", versions=versions_of())
    for key in QUANTITIES:
        board.rows += _rows(key, f"{min(of_slices)} to {max(of_slices)} slices", of_slices)
        board.rows += _rows(key, f"{min(of_pixels)} to {max(of_pixels)} pixels", of_pixels)
    picture = settings.out / "growth.png"
    _plot(picture, of_slices, of_pixels, f"pixels a side, {stack} slices")
    board.remarks.append(
        f"The plot is {picture.name} beside the JSON file. Of pixels, the exponent is that of the pixels in a slice."
    )
    return board


def _measured(work: Path, cases: list[PelvisCase], rounds: int) -> dict[PelvisCase, dict[str, float]]:
    """Medians of every case; the CTs are made for it and taken away again."""
    contestants = {}
    names = {f"{case.slices} x {case.pixels}": case for case in cases}
    for name, case in names.items():
        folder = work / name.replace(" ", "")
        write_ct(folder, np.broadcast_to(np.int16(0), case.grid.shape_zyx), case.grid)
        task = {"ct": str(folder), "slices": case.slices, "pixels": case.pixels, "slice_mm": case.slice_mm}
        contestants[name] = worker("grow", task)
    samples = interleaved(contestants, rounds, warm_up=1)
    shutil.rmtree(work)
    if samples.reasons:
        raise Unmeasured(samples.reason)
    return {
        case: {key: statistics.median(samples.of(key)[name]) for key in QUANTITIES}
        for name, case in names.items()
    }


def _rows(key: str, sizes: str, found: Found) -> list[Row]:
    """The largest case's figure, and how the figure grows with the size."""
    what, unit = QUANTITIES[key]
    values = [found[n][key] for n in sorted(found)]
    voxels = [n if "slices" in sizes else n * n for n in sorted(found)]
    return [
        absolute(f"{what}, {sizes}: the largest", unit, [values[-1]]),
        absolute(f"{what}, {unit}, {sizes}: exponent", "", [_exponent(voxels, values)], LINEAR),
    ]


def _exponent(voxels: list[int], values: list[float]) -> float:
    """Of the power law through the upper half: in small cases what does not grow outweighs the rest."""
    upper = max(len(voxels) // 2 - 1, 0)
    x, y = np.log(voxels[upper:]), np.log(np.maximum(values[upper:], 1e-3))
    return float(np.polyfit(x, y, 1)[0])


def _plot(file: Path, of_slices: Found, of_pixels: Found, label_of_pixels: str) -> None:
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(2, 2)
    columns = (("slices of 512 x 512", of_slices), (label_of_pixels, of_pixels))
    for column, (label, found) in enumerate(columns):
        sizes = sorted(found)
        for row, unit in enumerate(("CPU s", "MiB")):
            for key, (what, own_unit) in QUANTITIES.items():
                if own_unit == unit:
                    axes[row, column].plot(sizes, [found[n][key] for n in sizes], marker="o", label=what)
            axes[row, column].set(xlabel=label, ylabel=unit, xlim=(0, None), ylim=(0, None))
            axes[row, column].legend(fontsize="small")
    figure.savefig(file, dpi=120)
