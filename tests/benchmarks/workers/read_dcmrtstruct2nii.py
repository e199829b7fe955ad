"""dcmrtstruct2nii: an RTSTRUCT file to mask files. Task: ``ct`` (folder), ``rtstruct`` (file), ``keep`` (npz).

It has no interface that ends with masks in memory: the time of writing them is in its figure, uncompressed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from benchmarks.stopwatch import Stopwatch, work
from dcmrtstruct2nii import dcmrtstruct2nii


def job(task: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as out:
        with Stopwatch() as watch:
            dcmrtstruct2nii(task["rtstruct"], task["ct"], out, gzip=False, convert_original_dicom=False)
        if "keep" in task:
            masks = {
                file.stem.removeprefix("mask_"): sitk.GetArrayFromImage(sitk.ReadImage(str(file))) > 0
                for file in Path(out).glob("mask_*.nii")
            }
            np.savez(task["keep"], **masks)
    return watch.figures


if __name__ == "__main__":
    work(job)
