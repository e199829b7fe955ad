"""platipy: masks in memory to an RTSTRUCT file. Task: ``ct``, ``masks`` (folders), ``out`` (file)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from benchmarks.stopwatch import Stopwatch, work
from platipy.dicom.io.nifti_to_rtstruct import convert_nifti


def job(task: dict[str, Any]) -> dict[str, Any]:
    images = {}
    for file in sorted(Path(task["masks"]).glob("*.npy")):
        images[file.stem] = sitk.GetImageFromArray(np.load(file).view(np.uint8))  # it looks at no geometry
    with Stopwatch() as watch:
        convert_nifti(task["ct"], images, task["out"])
    return watch.figures


if __name__ == "__main__":
    work(job)
