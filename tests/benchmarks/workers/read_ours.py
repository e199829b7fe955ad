"""Ours: an RTSTRUCT file to masks. Task: ``ct`` (folder), ``rtstruct`` (file), ``keep`` (npz for the masks, optional)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.stopwatch import Stopwatch, cpu_seconds, work

from service.contouring.ct_series import CtSeries
from service.dicom.structure_set_reader import read_masks


def job(task: dict[str, Any]) -> dict[str, Any]:
    files = sorted(Path(task["ct"]).glob("*.dcm"))
    with Stopwatch() as watch:
        series = CtSeries.read(files)
        loaded = cpu_seconds()
        keys = [(one.sop_instance_uid, one.frame_number) for one in series.references]
        masks = read_masks(Path(task["rtstruct"]), series.grid, keys)
        converting = cpu_seconds() - loaded
    if "keep" in task:
        np.savez(task["keep"], **masks)
    return {**watch.figures, "convert_cpu_seconds": converting}


if __name__ == "__main__":
    work(job)
