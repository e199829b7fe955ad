"""Masks to RTSTRUCT: time, memory, and how exactly the contours say what they should."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from benchmarks.contestants import plastimatch, versions_of, worker
from benchmarks.exactness import deviations, dsc_in_other_readers
from benchmarks.pelvis_case import HOLLOW, SECTIONS, PelvisCase
from benchmarks.rounds import Figures, Unmeasured, interleaved
from benchmarks.scoreboard import Bar, Row, Scoreboard, compared, not_measured
from benchmarks.settings import Settings
from benchmarks.workers.write_ours import PROVENANCE, encode

from models.volume import Segmentation, StructureField
from service.contouring.ct_series import CtSeries

WRITERS = {"rt-utils": "modern", "DicomRTTool": "modern", "platipy": "pydicom2"}
"""Peers by the environment they live in; their worker is ``write_NAME``."""

_LOGIT_PER_MM = 2.0
"""How fast an ideal network's logit grows with the depth; the contour does not depend on it."""


def measure(settings: Settings) -> Scoreboard:
    """Seven structures on 150 slices of 512 x 512."""
    case = PelvisCase(60, 256) if settings.small else PelvisCase()
    work = settings.work("rtstruct")
    case.write(work)
    _write_nrrd(work)
    size = f"{len(SECTIONS)} masks, {case.slices} x {case.pixels} x {case.pixels}"
    board = Scoreboard("rtstruct", versions=versions_of("modern", "pydicom2"))
    board.rows += _speed(settings, work, size)
    board.rows += _exactness(work, case)
    board.remarks.append(
        "plastimatch's figures are those of its whole process: it has no library that is called from Python."
    )
    return board


def _task(work: Path, name: str, *, in_turn: bool = False) -> dict[str, str | bool]:
    return {
        "ct": str(work / "ct"),
        "masks": str(work / "masks"),
        "out": str(work / f"{name}.dcm"),
        "hollow": HOLLOW,
        "in_turn": in_turn,
    }


def _contestants(work: Path, *, in_turn: bool = False) -> dict[str, Callable[[], Figures]]:
    found = {"ours": worker("write_ours", _task(work, "ours", in_turn=in_turn))}
    for name, environment in WRITERS.items():
        module = f"write_{name.lower().replace('-', '_')}"
        found[name] = worker(module, _task(work, name, in_turn=in_turn), environment)
    out = work / "plastimatch"
    arguments = ["convert", "--input-prefix", work / "nrrd", "--referenced-ct", work / "ct"]
    run = plastimatch([*arguments, "--output-dicom", out], out)

    def and_keep() -> Figures:
        figures = run()
        (written,) = out.glob("rtss*.dcm")
        shutil.copy(written, work / "plastimatch.dcm")
        return figures

    return found | {"plastimatch": and_keep}


def _speed(settings: Settings, work: Path, size: str) -> list[Row]:
    all_at_once = interleaved(_contestants(work), settings.rounds(7))
    in_turn = interleaved(_contestants(work, in_turn=True), settings.rounds(3))
    quarter, half = Bar("<=", 0.25, against="of the fastest"), Bar("<=", 0.5, against="of the least")
    why = all_at_once.reason
    return [
        compared(
            f"CT folder and {size} in memory to RTSTRUCT file, CPU",
            "s",
            all_at_once.of("cpu_seconds"),
            quarter,
            reason=why,
        ),
        compared("the same, CT read before, CPU", "s", all_at_once.of("convert_cpu_seconds"), quarter),
        compared("the same with the CT, elapsed", "s", all_at_once.of("seconds")),
        compared(
            "peak memory, whole process, masks read one by one where it can",
            "MiB",
            in_turn.of("peak_mib"),
            half,
        ),
        compared("peak memory beyond libraries and masks", "MiB", all_at_once.of("added_mib"), half),
    ]


def _exactness(work: Path, case: PelvisCase) -> list[Row]:
    series = CtSeries.read(sorted((work / "ct").glob("*.dcm")))
    fields = {name: _logit_field(case, name) for name in SECTIONS}
    probability = work / "probability.dcm"
    probability.write_bytes(encode(series, Segmentation(fields, PROVENANCE), HOLLOW))
    files = {name: work / f"{name}.dcm" for name in ("ours", *WRITERS, "plastimatch")}
    files = {name: file for name, file in files.items() if file.exists()}
    found = {name: deviations(file, case, series)["all"] for name, file in files.items()}
    ideal = deviations(probability, case, series)["all"]
    means = {name: [one.mean_mm] for name, one in found.items()}
    largest = {name: [one.max_mm] for name, one in found.items()}
    rows = [
        compared(
            "contours of a logit, mean distance from the surface, best peer from its masks",
            "mm",
            means | {"ours": [ideal.mean_mm]},
            Bar("<=", 0.02, of="ours"),
        ),
        compared("the same, largest", "mm", largest | {"ours": [ideal.max_mm]}, Bar("<=", 0.12, of="ours")),
        compared("contours of the masks, mean distance from the surface", "mm", means),
        compared("the same, largest", "mm", largest),
        compared("points in the file", "", {name: [one.points] for name, one in found.items()}),
        compared("bytes of the file", "", {name: [file.stat().st_size] for name, file in files.items()}),
    ]
    return rows + _round_trips(work, series, files)


def _round_trips(work: Path, series: CtSeries, files: dict[str, Path]) -> list[Row]:
    """The worst structure's DSC with its mask, as each of two other programs reads each file."""
    masks = {name: np.load(work / "masks" / f"{name}.npy") for name in SECTIONS}
    by_reader: dict[str, dict[str, list[float]]] = {}
    bar = Bar(">=", 1.0, of="ours")
    for name, file in files.items():
        with tempfile.TemporaryDirectory() as scratch:
            try:
                scores = dsc_in_other_readers(file, work / "ct", masks, series, Path(scratch))
            except Unmeasured as error:
                return [not_measured("masks back through other readers, DSC", "", str(error), bar)]
        for reader, score in scores.items():
            by_reader.setdefault(reader, {})[name] = [score]
    return [
        compared(f"masks back through {reader}, worst DSC", "", scores, bar, more_is_better=True)
        for reader, scores in by_reader.items()
    ]


def _logit_field(case: PelvisCase, name: str) -> StructureField:
    """What an ideal network says: a logit that follows the depth, cut off as ours are."""
    box = StructureField.of_mask(case.mask(name))
    field = np.full(box.field.shape, -9.0, dtype=np.float32)
    z, y, x = box.corner_zyx
    for k, rows, columns, depth in case.depths(name):
        logit = np.full((case.pixels, case.pixels), -9.0, dtype=np.float32)
        logit[rows, columns] = np.clip(_LOGIT_PER_MM * depth, -9, 9)
        if 0 <= k - z < len(field):
            field[k - z] = logit[y : y + field.shape[1], x : x + field.shape[2]]
    return StructureField(field, box.corner_zyx)


def _write_nrrd(work: Path) -> None:
    """The masks as plastimatch reads them, on the CT's own grid."""
    if (work / "nrrd").is_dir():
        return
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(work / "ct")))
    part = work / "nrrd.part"
    part.mkdir(exist_ok=True)
    for file in (work / "masks").glob("*.npy"):
        mask = sitk.GetImageFromArray(np.load(file).view(np.uint8))
        mask.CopyInformation(image)
        sitk.WriteImage(mask, str(part / f"{file.stem}.nrrd"))
    part.rename(work / "nrrd")
