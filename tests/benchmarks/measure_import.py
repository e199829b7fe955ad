"""RTSTRUCT to masks: time, memory, and whether the masks are those that were drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import other_readers
from benchmarks.contestants import plastimatch, versions_of, worker
from benchmarks.pelvis_case import HOLLOW, SECTIONS, PelvisCase
from benchmarks.rounds import Figures, Unmeasured, interleaved
from benchmarks.scoreboard import Bar, Row, Scoreboard, absolute, compared, not_measured
from benchmarks.settings import Settings
from benchmarks.workers.write_ours import PROVENANCE, encode

from models.volume import Segmentation, StructureField
from service.contouring.ct_series import CtSeries

READERS = {
    "rt-utils": "modern",
    "DicomRTTool": "modern",
    "platipy": "pydicom2",
    "dcmrtstruct2nii": "pydicom2",
}
"""Peers by the environment they live in; their worker is ``read_NAME``."""

Masks = dict[str, np.ndarray]


def measure(settings: Settings) -> Scoreboard:
    """The structure set of seven structures on 150 slices of 512 x 512, as we write it."""
    case = PelvisCase(60, 256) if settings.small else PelvisCase()
    work = settings.work("rtstruct")
    case.write(work)
    series = CtSeries.read(sorted((work / "ct").glob("*.dcm")))
    drawn = {name: np.load(work / "masks" / f"{name}.npy") for name in SECTIONS}
    fields = {name: StructureField.of_mask(mask) for name, mask in drawn.items()}
    (work / "drawn.dcm").write_bytes(encode(series, Segmentation(fields, PROVENANCE), HOLLOW))

    board = Scoreboard("import", versions=versions_of("modern", "pydicom2"))
    samples = interleaved(_contestants(work), settings.rounds(7))
    size = f"{len(SECTIONS)} ROIs, {case.slices} x {case.pixels} x {case.pixels}"
    bar = Bar(">=", 5, against="the fastest")
    board.rows = [
        compared(
            f"CT folder and RTSTRUCT to masks, {size}, CPU",
            "s",
            samples.of("cpu_seconds"),
            bar,
            reason=samples.reason,
        ),
        compared("the same, elapsed", "s", samples.of("seconds"), bar),
        compared("the same, CT read before, CPU", "s", samples.of("convert_cpu_seconds"), bar),
        compared("peak memory, whole process", "MiB", samples.of("peak_mib")),
        *_agreement(work, series, drawn),
    ]
    board.remarks.append(
        "dcmrtstruct2nii and plastimatch end with files: the time of writing them, uncompressed, is in theirs. "
        "rt-utils, DicomRTTool and platipy round points to pixels and fill the border: that is their DSC."
    )
    return board


def _contestants(work: Path, keep: Path | None = None) -> dict[str, Callable[[], Figures]]:
    task: dict[str, Any] = {
        "ct": str(work / "ct"),
        "rtstruct": str(work / "drawn.dcm"),
        "names": list(SECTIONS),
    }

    def told(name: str) -> dict[str, Any]:
        return task if keep is None else task | {"keep": str(keep / f"{name}.npz")}

    found = {"ours": worker("read_ours", told("ours"))}
    for name, environment in READERS.items():
        found[name] = worker(f"read_{name.lower().replace('-', '_')}", told(name), environment)
    out = work / "plastimatch-read"
    arguments = ["convert", "--input", work / "drawn.dcm", "--referenced-ct", work / "ct"]
    return found | {
        "plastimatch": plastimatch([*arguments, "--output-prefix", out, "--prefix-format", "mha"], out)
    }


def _agreement(work: Path, series: CtSeries, drawn: Masks) -> list[Row]:
    """The worst structure's DSC: of every reader with what was drawn, and of ours with each exact reader."""
    keep = work / "read"
    keep.mkdir(exist_ok=True)
    read: dict[str, Masks] = {}
    reasons = []
    for name, run in _contestants(work, keep).items():
        try:
            run()
        except Unmeasured as error:
            reasons.append(f"{name} did not run: {error}")
            continue
        read[name] = _kept(work, name, series)
    bar = Bar(">=", 0.999, of="ours")
    rows = [
        compared(
            "worst DSC with the masks that were drawn",
            "",
            {name: [_worst(masks, drawn)] for name, masks in read.items()},
            bar,
            more_is_better=True,
            reason="; ".join(reasons),
        )
    ]
    for name in ("plastimatch", "dcmrtstruct2nii"):
        what = f"worst DSC between ours and {name}"
        if name in read:
            rows.append(absolute(what, "", [_worst(read["ours"], read[name])], bar))
        else:
            rows.append(not_measured(what, "", f"{name} did not run", bar))
    return rows


def _kept(work: Path, name: str, series: CtSeries) -> Masks:
    if name == "plastimatch":
        files = (work / "plastimatch-read").glob("*.mha")
        return {file.stem: other_readers.on_grid(file, series.grid) for file in files}
    with np.load(work / "read" / f"{name}.npz") as kept:
        return {roi: kept[roi] for roi in kept.files}


def _worst(masks: Masks, drawn: Masks) -> float:
    found = {name.casefold(): mask for name, mask in masks.items()}
    nothing = np.zeros_like(next(iter(drawn.values())))
    return min(other_readers.dsc(found.get(name.casefold(), nothing), mask) for name, mask in drawn.items())
