"""How inference grows with the CT: slices and pixels, processor time and peak memory; as figures and as a plot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.contestants import versions_of
from benchmarks.measure_growth import LINEAR
from benchmarks.painted_case import FULL, SMALL, Size, painted_bundle
from benchmarks.rounds import in_own_process
from benchmarks.scoreboard import Bar, Row, Scoreboard, absolute
from benchmarks.settings import Settings
from matplotlib.figure import Figure

SLICES = (50, 100, 200, 400, 1000)
PIXELS = (512, 768, 1024)
SLICES_OF_PIXELS = 50


def measure(settings: Settings) -> Scoreboard:
    """The network of the default bundle on CTs of 3 mm, each in a process of its own; one round."""
    whole, base = settings.work("infer_growth"), SMALL if settings.small else FULL
    bundle = whole / "painted"
    painted_bundle(bundle, base)
    slices = (20, 40, 80) if settings.small else SLICES
    pixels = (128, 256) if settings.small else PIXELS
    by_slices = {n: _measured(whole, bundle, replace(base, slices=n)) for n in slices}
    flat = replace(base, slices=min(SLICES_OF_PIXELS, base.slices))
    by_pixels = {n: _measured(whole, bundle, replace(flat, pixels=n)) for n in pixels}
    board = Scoreboard("infer_growth", versions=versions_of())
    board.rows += _rows("slices", by_slices, Bar("<=", 8192, of="ours"))
    board.rows += _rows("pixels", {n * n: figures for n, figures in by_pixels.items()}, None)
    picture = settings.out / "infer_growth.png"
    _plot(picture, by_slices, by_pixels)
    board.remarks.append(
        "Processor time of all threads. Tiles come by whole ones, so the line has steps; the field of view is "
        f"500 mm whatever the pixels. The plot is {picture.name} beside the JSON file."
    )
    return board


def _measured(work: Path, bundle: Path, size: Size) -> dict[str, float]:
    task = {"size": size.as_json(), "bundle": str(bundle), "labels": str(work / "labels.npy")}
    found: Any = in_own_process("infer_ours", task, timeout_seconds=3600)
    return {"cpu_seconds": found["cpu_seconds"], "peak_mib": found["peak_mib"]}


def _rows(axis: str, found: dict[int, dict[str, float]], memory: Bar | None) -> list[Row]:
    sizes = sorted(found)
    text = f"inference, {sizes[-1] if axis == 'slices' else round(sizes[-1] ** 0.5)} {axis}"
    time, peak = ([found[n][key] for n in sizes] for key in ("cpu_seconds", "peak_mib"))
    rows = [
        absolute(f"{text}: processor time", "s", [time[-1]]),
        absolute(f"{text}: peak memory", "MiB", [peak[-1]], memory),
    ]
    for what, values in (("processor time", time), ("peak memory", peak)):
        exponent = float(np.polyfit(np.log(sizes[-3:]), np.log(values[-3:]), 1)[0])
        rows.append(absolute(f"{text}: exponent of {what}", "", [exponent], LINEAR))
    return rows


def _plot(file: Path, by_slices: dict[int, dict[str, float]], by_pixels: dict[int, dict[str, float]]) -> None:
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(2, 2)
    for column, (label, found) in enumerate((("slices", by_slices), ("pixels a side", by_pixels))):
        sizes = sorted(found)
        for row, (key, unit) in enumerate((("cpu_seconds", "processor s"), ("peak_mib", "MiB"))):
            axes[row, column].plot(sizes, [found[n][key] for n in sizes], marker="o")
            axes[row, column].set(xlabel=label, ylabel=unit, ylim=(0, None), xlim=(0, None))
    figure.savefig(file, dpi=120)
